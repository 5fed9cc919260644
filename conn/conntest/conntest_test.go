package conntest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// upper is a handler that a user might write: it sends lines back in capitals.
func upper(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Read); ok {
		b := c.Recv.Bytes()
		for i, char := range b {
			if 'a' <= char && char <= 'z' {
				b[i] = char - 'a' + 'A'
			}
		}
		c.Write(b)
		c.Recv.Discard(len(b))
	}
}

// TestDialogue teaches the words.
func TestDialogue(t *testing.T) {
	d := conntest.New(t, upper, conntest.Options{Limits: conn.Limits{Idle: time.Minute}})
	d.WantEvents("Open", "Accept")

	d.Send("hello ", "world") // two pieces, read in two turns
	d.WantEvents("Read 6", "Write 6", "Read 5", "Write 5")
	d.WantSent("HELLO WORLD")

	d.Room(2) // the peer's kernel takes two bytes, and then no more
	d.Send("slow")
	d.WantSent("SL")
	if got := d.Turn(); got != conn.In|conn.Out {
		t.Errorf("watched for %d after a short write", got)
	}
	d.Room(-1)
	d.WantSent("OW")
	d.WantEvents("Read 4", "Write 2", "Write 2")

	d.Wire.Room = 3 // a test that is the poller itself: the write is queued, and goes out when the turn ends
	d.Conn.WriteString("step")
	d.WantSent("")
	d.Settle()
	d.WantSent("ste")
	d.Wire.Room = -1
	d.Settle() // the poller has not reported the room
	d.WantSent("")
	d.Report(conn.Out)
	d.WantSent("p")
	d.Wire.Arrive([]byte("in"), nil)
	d.Settle() // nor that there is input
	d.WantEvents("Write 3", "Write 1")
	d.Note("a word of the test's own")
	d.Report(conn.In)
	d.WantEvents("a word of the test's own", "Read 2", "Write 2")
	d.WantSent("IN")

	d.Sleep(59 * time.Second)
	d.WantOpen()
	d.Sleep(2 * time.Second)
	d.WantClosed(conn.Idle)
	d.WantEvents("Error idle for too long", "Close idle for too long")
}

func TestThePeerEndsTheStream(t *testing.T) {
	d := conntest.New(t, upper)
	d.Send("bye")
	d.SendEOF()
	d.WantSent("BYE")
	d.WantClosed(conn.PeerClosed)
	d.WantEvents("Open", "Accept", "Read 3", "Write 3", "EOF", "Close closed by the peer")
}

func TestTheManagerShutsDown(t *testing.T) {
	d := conntest.New(t, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Shutdown); ok {
			c.Write([]byte("bye"))
			c.Drain()
		}
	})
	d.Shutdown()
	d.WantSent("bye")
	d.WantEvents("Open", "Accept", "Shutdown", "Write 3", "Close closed locally")
}

func TestThePeerAborts(t *testing.T) {
	d := conntest.New(t, upper)
	d.Fail(unix.ECONNRESET)
	d.WantClosed(conn.Reset)
}

func TestAWriteFails(t *testing.T) {
	d := conntest.New(t, upper)
	d.Wire.FailWrite(unix.EPIPE)
	d.Send("x")
	d.WantSent("")
	d.WantClosed(conn.BrokenPipe)
}

func TestAPausedConnectionReadsNothing(t *testing.T) {
	d := conntest.New(t, upper)
	d.Conn.Pause()
	d.Send("later")
	if got := d.Wire.Unread(); got != 5 {
		t.Errorf("%d bytes wait in the kernel, want 5", got)
	}
	d.Conn.Resume()
	d.Turn()
	d.WantSent("LATER")
}

func TestPollsAndFunctionsOfOtherGoroutines(t *testing.T) {
	d := conntest.New(t, nil)
	d.Events()
	d.Conn.SetPoll(true)
	d.Turn()
	d.WantEvents("Poll")
	d.Conn.SetPoll(false)
	d.Turn()
	d.WantEvents()
	ran := 0
	d.Loop.Do(func() { ran++ })
	d.Turn()
	d.Turn()
	if ran != 1 {
		t.Errorf("a function given to Do ran %d times", ran)
	}
}

func TestAnEmptyPieceIsNotTheEndOfTheStream(t *testing.T) {
	d := conntest.New(t, upper)
	d.Send("", "a", "")
	d.WantOpen()
	d.WantSent("A")
	d.WantEvents("Open", "Accept", "Read 1", "Write 1")
}

func TestAWireThatForgetsCounts(t *testing.T) {
	d := conntest.New(t, upper)
	d.Send("a")
	d.Wire.Forget = true
	d.Send("bc")
	d.WantSent("A")
	if d.Wire.Taken != 3 {
		t.Errorf("%d bytes taken, want 3", d.Wire.Taken)
	}
}

// A report may be older than what is watched: the connection must not read then.
func TestAReportComesWhateverIsWatched(t *testing.T) {
	d := conntest.New(t, upper)
	d.Conn.Pause()
	d.Wire.Arrive([]byte("x"), nil)
	if got := d.Report(conn.In | conn.Out); got != 0 {
		t.Errorf("watched for %d while paused", got)
	}
	d.WantSent("")
	d.Conn.Close()
	d.Turn()
	d.Report(conn.In | conn.Out) // after the end it comes to nobody
	d.WantEvents("Open", "Accept", "Close closed locally")
}

func TestConnectionsOfOneLoop(t *testing.T) {
	one := conntest.New(t, upper)
	two := conntest.New(t, upper, conntest.Options{Loop: one.Loop})
	if one.Conn.ID() == two.Conn.ID() || one.Conn.FD() == two.Conn.FD() || one.Conn.Layer().Shared() != two.Conn.Layer().Shared() {
		t.Errorf("connections %d and %d, descriptors %d and %d", one.Conn.ID(), two.Conn.ID(), one.Conn.FD(), two.Conn.FD())
	}
	two.Wire.Arrive([]byte("b"), nil)
	one.Send("a") // turns the loop of both
	one.WantSent("A")
	two.WantSent("B")
	one.Conn.Close()
	one.Turn()
	one.WantClosed(conn.Local)
	two.WantOpen()
	two.Send("c")
	two.WantSent("C")
}

func TestAListenerGetsOpenAlone(t *testing.T) {
	d := conntest.New(t, nil, conntest.Options{Listener: true})
	d.WantEvents("Open")
	if got := d.Turn(); !d.Conn.IsListener() || got != conn.In {
		t.Errorf("a listener: %v, watched for %d", d.Conn.IsListener(), got)
	}
}

func TestAKernelThatSendsFiles(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	f.WriteString("0123456789")
	for _, files := range []*conntest.Files{nil, {}, {Fail: []error{unix.EINTR}}, {Fail: []error{unix.EINVAL}}} {
		d := conntest.New(t, nil, conntest.Options{Files: files})
		d.Room(6)
		d.Conn.WriteString("a file: ")
		d.Conn.SendFile(f, 1, 8, nil)
		d.Turn()
		d.WantSent("a file")
		d.Room(4)
		d.WantSent(": 12")
		d.Room(-1)
		d.WantSent("345678")
		d.WantOpen()
		if files != nil && (files.Calls < 1 || files.Most != 8) {
			t.Errorf("%d calls for files, of %d bytes at most", files.Calls, files.Most)
		}
	}
}

// A loop looks at the timeouts only when Shared.NextDeadline has come: a connection that forgets to
// bring it forward would wait for ever.
func TestTheLoopGoesByTheNextDeadline(t *testing.T) {
	d := conntest.New(t, nil)
	d.Conn.Layer().SetDeadline(time.Second)
	d.Loop.Shared.NextDeadline = 1<<63 - 1
	d.Sleep(2 * time.Second)
	d.WantEvents("Open", "Accept")
	d.Conn.Layer().SetDeadline(time.Second)
	d.Sleep(2 * time.Second)
	d.WantEvents("Deadline")
}

// failures records what a Dialogue reports, in place of a *testing.T.
type failures []string

func (*failures) Helper()                     {}
func (f *failures) Errorf(s string, a ...any) { *f = append(*f, fmt.Sprintf(s, a...)) }
func (f *failures) Fatalf(s string, a ...any) { *f = append(*f, fmt.Sprintf(s, a...)) }
func (f *failures) want(t *testing.T, n int) {
	t.Helper()
	if len(*f) != n {
		t.Errorf("%d failures, want %d: %q", len(*f), n, *f)
	}
	*f = nil
}

// A Want method that cannot fail would make every test that uses it worthless.
func TestWhatIsNotSoFails(t *testing.T) {
	var f failures
	d := conntest.New(&f, upper)
	d.WantEvents("Open")
	f.want(t, 1)
	d.Send("a")
	d.WantSent("a")
	f.want(t, 1)
	d.WantClosed(conn.Local)
	f.want(t, 1)
	d.Conn.Close()
	d.Turn()
	d.WantClosed(conn.Idle)
	f.want(t, 1)
	d.WantOpen()
	f.want(t, 1)
	busy := conntest.New(&f, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Read); ok && ev.N >= 0 {
			c.Layer().Redeliver()
		}
	})
	busy.Send("x")
	f.want(t, 1)
}
