package conn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fakeNet is a Transport whose peer is the test: in is what it reads, sent what was written.
type fakeNet struct {
	in     []step
	sent   []byte
	room   int   // bytes the peer takes before EAGAIN; negative is no bound
	fail   error // of the next Write or Writev
	calls  int   // of Write and Writev
	shut   bool
	closed int
}

// step is what one Read gives.
type step struct {
	data string
	err  error
}

func (f *fakeNet) Read(_ int, p []byte) (int, error) {
	if len(f.in) == 0 {
		return 0, unix.EAGAIN
	}
	s := &f.in[0]
	if s.err != nil || s.data == "" {
		err := s.err
		f.in = f.in[1:]
		return 0, err
	}
	n := copy(p, s.data)
	if s.data = s.data[n:]; s.data == "" {
		f.in = f.in[1:]
	}
	return n, nil
}

func (f *fakeNet) Write(_ int, p []byte) (int, error) { return f.Writev(0, [][]byte{p}) }

func (f *fakeNet) Writev(_ int, pieces [][]byte) (int, error) {
	f.calls++
	if err := f.fail; err != nil {
		f.fail = nil
		return 0, err
	}
	n := 0
	for _, p := range pieces {
		k := len(p)
		if f.room >= 0 {
			k = min(k, f.room)
			f.room -= k
		}
		f.sent = append(f.sent, p[:k]...)
		n += k
	}
	if n == 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

func (f *fakeNet) CloseWrite(int) error { f.shut = true; return nil }
func (f *fakeNet) Close(int) error      { f.closed++; return nil }

// fakeLoop notes who was touched.
type fakeLoop struct{ touched []*Conn }

func (l *fakeLoop) Touch(c *Conn)       { l.touched = append(l.touched, c) }
func (l *fakeLoop) SetPoll(*Conn, bool) {}

// rig is one connection over a fakeNet, and the events it has fired.
type rig struct {
	t *testing.T
	*Conn
	net    *fakeNet
	loop   *fakeLoop
	events []string
}

func newRig(t *testing.T, limits Limits, h Handler) *rig {
	r := &rig{t: t, net: &fakeNet{room: -1}, loop: &fakeLoop{}}
	l := limits.WithDefaults()
	r.Conn = New(NewShared(r.loop), 5, NewID(5), r.net, &l, func(c *Conn, ev Event) {
		switch ev := ev.(type) {
		case *Read:
			r.events = append(r.events, fmt.Sprintf("Read%d", ev.N))
		case *Write:
			r.events = append(r.events, fmt.Sprintf("Write%d", ev.N))
		case *Error:
			r.events = append(r.events, "Error:"+ev.Reason.String())
		case *Close:
			r.events = append(r.events, "Close:"+ev.Reason.String())
		default:
			r.events = append(r.events, strings.TrimPrefix(fmt.Sprintf("%T", ev), "conn."))
		}
		if h != nil {
			h(c, ev)
		}
	})
	return r
}

// turn settles the connection until it is at rest, as the loop does, and returns what the poller should watch. A
// connection that never comes to rest fails the test.
func (r *rig) turn() Interest {
	r.t.Helper()
	var next Next
	next.Want = r.want
	for n := 0; len(r.loop.touched) > 0; n++ {
		if n > 100 {
			r.t.Fatal("the connection keeps touching itself")
		}
		batch := r.loop.touched
		r.loop.touched = nil
		for _, c := range batch {
			if next = c.Settle(); next.Done {
				for !c.Finished() {
					c.Finish()
				}
				c.CloseFD()
			}
		}
	}
	return next.Want
}

// input gives the connection one Read of data.
func (r *rig) input(data string) {
	r.net.in = append(r.net.in, step{data: data})
	r.Readable()
	r.turn()
}

// writable makes room bytes of room at the peer.
func (r *rig) writable(room int) Interest {
	r.net.room = room
	r.Writable()
	return r.turn()
}

func (r *rig) wantEvents(want string) {
	r.t.Helper()
	if got := strings.Join(r.events, " "); got != want {
		r.t.Errorf("events %q, want %q", got, want)
	}
	r.events = nil
}

func (r *rig) wantSent(want string) {
	r.t.Helper()
	if string(r.net.sent) != want {
		r.t.Errorf("sent %.200q, want %.200q", r.net.sent, want)
	}
}

func TestWritesOfOneTurnGoOutInOneCall(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Write([]byte("one "))
	r.WriteString("two ")
	r.WriteShared([]byte("three "))
	r.Write([]byte("four"))
	if r.net.calls != 0 {
		t.Error("something was sent before the end of the turn")
	}
	if want := r.turn(); want != In {
		t.Errorf("the poller is to watch for %d, want In", want)
	}
	r.wantSent("one two three four")
	r.wantEvents("Write18")
	if r.net.calls != 1 {
		t.Errorf("%d system calls", r.net.calls)
	}
}

func TestShortWriteWaitsForThePollerAndOnlyThen(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.room = 3
	r.WriteString("abcdef")
	if want := r.turn(); want != In|Out {
		t.Errorf("after a short write the poller is to watch for %d, want In|Out", want)
	}
	calls := r.net.calls
	r.WriteString("ghi")
	r.turn()
	if r.net.calls != calls {
		t.Error("a Write behind a short write was tried although the kernel has no room")
	}
	if want := r.writable(-1); want != In {
		t.Errorf("after the rest the poller is to watch for %d, want In", want)
	}
	r.wantSent("abcdefghi")
	r.wantEvents("Write3 Write6")
}

func TestNothingTakenIsNoWriteEvent(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.room = 0
	r.WriteString("abc")
	if want := r.turn(); want != In|Out {
		t.Errorf("the poller is to watch for %d, want In|Out", want)
	}
	r.wantEvents("")
	if r.Pending() != 3 {
		t.Errorf("Pending %d, want 3", r.Pending())
	}
}

func TestInterruptedWriteIsTriedAgain(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.fail = unix.EINTR
	r.WriteString("abc")
	r.turn()
	r.wantSent("abc")
	r.wantEvents("Write3")
}

func TestWriteErrorsEndTheConnectionWithTheirReason(t *testing.T) {
	for errno, why := range map[unix.Errno]Reason{
		unix.EPIPE: BrokenPipe, unix.ECONNRESET: Reset, unix.ETIMEDOUT: TimedOut, unix.EHOSTUNREACH: Unreachable,
		unix.ENETUNREACH: Unreachable, unix.EIO: IOError,
	} {
		r := newRig(t, Limits{}, nil)
		r.net.fail = errno
		r.WriteString("abc")
		r.turn()
		r.wantEvents(fmt.Sprintf("Error:%s Close:%s", why, why))
	}
}

func TestSharedBytesAreNotCopied(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	p := bytes.Repeat([]byte("x"), scratchSize+1)
	r.WriteShared(p)
	p[0] = 'y' // against the rules, to see whose bytes go out
	r.turn()
	if r.net.sent[0] != 'y' {
		t.Error("WriteShared made a copy")
	}
}

func TestWriteCopiesItsArgument(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	p := []byte("abc")
	r.Write(p)
	copy(p, "xyz")
	r.turn()
	r.wantSent("abc")
}

// The queue is compared with a plain slice of bytes, under any mixture of writes and short writes.
func TestOrderIsKeptUnderAnyMixtureOfWritesAndShortWrites(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t, Limits{Send: math.MaxInt32}, nil)
		var want []byte
		next := byte(0)
		bytesOf := func(n int) []byte {
			p := make([]byte, n)
			for i := range p {
				p[i] = next
				next++
			}
			want = append(want, p...)
			return p
		}
		for range 1 + rnd.IntN(60) {
			n := 1 + rnd.IntN([]int{10, 100, 3000, 40_000}[rnd.IntN(4)])
			switch rnd.IntN(7) {
			case 0, 1:
				r.Write(bytesOf(n))
			case 2:
				r.WriteString(string(bytesOf(n)))
			case 3:
				r.WriteShared(bytesOf(n))
			case 4:
				r.Write(append(r.AvailableBuffer(), bytesOf(n)...))
			case 5:
				r.net.room = rnd.IntN(3000)
				r.turn()
			case 6:
				r.writable(rnd.IntN(60_000))
			}
			if got := r.Pending() + len(r.net.sent); got != len(want) {
				t.Fatalf("seed %d: %d sent and pending, want %d", seed, got, len(want))
			}
		}
		for i := 0; r.Pending() > 0 && i < 10_000; i++ {
			r.writable(rnd.IntN(100_000))
		}
		if !bytes.Equal(r.net.sent, want) {
			t.Fatalf("seed %d: the %d bytes sent are not the %d written", seed, len(r.net.sent), len(want))
		}
		if r.out != nil {
			t.Fatalf("seed %d: an empty queue is kept", seed)
		}
	}
}

func TestSharedBytesBehindAHalfSentWrite(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.room = 4
	r.WriteString("0123456789")
	r.turn()
	r.WriteShared([]byte("shared"))
	r.writable(-1)
	r.wantSent("0123456789shared")
}

func TestAQueueThatIsNeverEmptyDoesNotGrowForEver(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	frame := bytes.Repeat([]byte("f"), 1000)
	r.net.room = 0
	r.WriteShared(frame)
	r.turn()
	for range 5000 {
		r.WriteShared(frame)
		r.Write(frame)
		r.writable(2000)
	}
	if r.Pending() != 1000 {
		t.Fatalf("Pending %d, want 1000", r.Pending())
	}
	if n := cap(r.out.parts); n > 256 {
		t.Errorf("the list of parts has room for %d though three frames are queued at most", n)
	}
	if n := cap(r.out.own); n > 64<<10 {
		t.Errorf("the buffer has %d bytes though three frames are queued at most", n)
	}
}

func TestOneConnectionSendsABoundedAmountPerTurn(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Write(make([]byte, 4*flushMax))
	r.loop.touched = nil
	next := r.Settle()
	if n := len(r.net.sent); n > flushMax || next.Want != In|Out {
		t.Errorf("%d bytes went out in one turn, want %d at most and the poller to watch for Out (%d)", n, flushMax, next.Want)
	}
}

func TestSendLimitClosesTheConnection(t *testing.T) {
	r := newRig(t, Limits{Send: 10}, nil)
	r.net.room = 0
	r.WriteString("12345678")
	n, err := r.WriteString("901")
	if n != 0 || err != ErrSendLimit {
		t.Errorf("Write past the limit: %d, %v; want 0, ErrSendLimit", n, err)
	}
	r.turn()
	r.wantEvents("Error:send limit Close:send limit")
}

func TestSendLimitRefusesTheWriteWhereThatIsThePolicy(t *testing.T) {
	r := newRig(t, Limits{Send: 10, OnFull: RefuseOnFull}, nil)
	r.net.room = 0
	r.WriteString("12345678")
	for name, write := range map[string]func() error{
		"Write":       func() error { _, err := r.Write([]byte("901")); return err },
		"WriteString": func() error { _, err := r.WriteString("901"); return err },
		"WriteShared": func() error { return r.WriteShared([]byte("901")) },
	} {
		if err := write(); err != ErrSendLimit {
			t.Errorf("%s past the limit: %v, want ErrSendLimit", name, err)
		}
	}
	if n := r.sh.Stats.Rejected; n != 3 {
		t.Errorf("Stats.Rejected %d, want 3", n)
	}
	if _, err := r.WriteString("90"); err != nil {
		t.Errorf("Write up to the limit: %v", err)
	}
	r.turn()
	r.writable(-1)
	r.wantSent("1234567890")
	r.wantEvents("Write10")
}

func TestARefusedFirstWriteLeavesNoQueueBehind(t *testing.T) {
	r := newRig(t, Limits{Send: 10, OnFull: RefuseOnFull}, nil)
	r.Write(make([]byte, 11))
	r.turn()
	if r.out != nil {
		t.Error("the connection keeps an empty queue")
	}
}

func TestDrainedComesOnlyAfterTheHighWaterMark(t *testing.T) {
	for _, tt := range []struct {
		write int
		want  string
	}{{100, "Write1 Write99"}, {101, "Write1 Write100 Drained"}} {
		r := newRig(t, Limits{HighWater: 100}, nil)
		r.net.room = 1
		r.Write(make([]byte, tt.write))
		r.turn()
		r.writable(-1)
		r.wantEvents(tt.want)
		r.WriteString("x")
		r.turn()
		r.wantEvents("Write1") // and no second Drained
	}
}

func TestCongestionBeginsAboveHalfTheLimitAndEndsAtAQuarter(t *testing.T) {
	r := newRig(t, Limits{Send: 1000}, nil)
	r.net.room = 0
	r.Write(make([]byte, 500))
	if r.turn(); r.Congested() {
		t.Error("congested at half the limit")
	}
	r.Write(make([]byte, 1))
	if want := r.turn(); !r.Congested() || want != Out {
		t.Errorf("above half the limit: Congested %v, watched for %d; want true, Out", r.Congested(), want)
	}
	if want := r.writable(250); !r.Congested() || want != Out {
		t.Errorf("above a quarter: Congested %v, watched for %d; want true, Out", r.Congested(), want)
	}
	if want := r.writable(1); r.Congested() || want != In|Out {
		t.Errorf("at a quarter: Congested %v, watched for %d; want false, In|Out", r.Congested(), want)
	}
}

func TestRedeliveryWaitsForTheEndOfCongestion(t *testing.T) {
	r := newRig(t, Limits{Send: 1000}, nil)
	r.input("abc")
	r.net.room = 0
	r.Write(make([]byte, 600))
	r.turn()
	r.Redeliver()
	r.turn()
	r.wantEvents("Read3")
	r.writable(-1)
	r.wantEvents("Write600 Read0")
}

func TestAvailableBufferIsWrittenWithoutACopy(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.WriteString("head ")
	b := append(r.AvailableBuffer(), "body"...)
	at := &b[0]
	r.Write(b)
	if &r.out.own[5] != at {
		t.Error("the bytes were moved")
	}
	r.turn()
	r.wantSent("head body")
}

func TestAvailableBufferThatOutgrewItsRoomIsWrittenToo(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.WriteString("head ")
	long := strings.Repeat("x", 10*minRoom)
	r.Write(append(r.AvailableBuffer(), long...))
	r.turn()
	r.wantSent("head " + long)
}

func TestAvailableBufferWithoutAWriteLeavesNothingBehind(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	if b := r.AvailableBuffer(); len(b) != 0 || cap(b) == 0 {
		t.Errorf("len %d, cap %d", len(b), cap(b))
	}
	r.turn()
	if r.out != nil {
		t.Error("the connection keeps an empty queue")
	}
	r.wantEvents("")
}

func TestWritesAfterTheEndAreRefused(t *testing.T) {
	for name, end := range map[string]func(*Conn){
		"Close": (*Conn).Close, "Drain": (*Conn).Drain, "CloseWrite": (*Conn).CloseWrite,
		"DrainLinger": func(c *Conn) { c.DrainLinger(time.Second) },
		"Fail":        func(c *Conn) { c.Fail(Protocol, errors.New("x")) },
	} {
		r := newRig(t, Limits{}, nil)
		end(r.Conn)
		if _, err := r.WriteString("x"); err != ErrClosed {
			t.Errorf("Write after %s: %v, want ErrClosed", name, err)
		}
		if err := r.WriteShared([]byte("x")); err != ErrClosed {
			t.Errorf("WriteShared after %s: %v, want ErrClosed", name, err)
		}
		r.turn()
		if _, err := r.WriteString("x"); err != ErrClosed {
			t.Errorf("Write a turn after %s: %v, want ErrClosed", name, err)
		}
	}
}

func TestWritingNothingIsNothing(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Write(nil)
	r.WriteString("")
	r.WriteShared(nil)
	r.turn()
	if r.net.calls != 0 || r.out != nil {
		t.Errorf("%d system calls, queue %v", r.net.calls, r.out)
	}
}

func TestCloseInAWriteEventBehindAShortWrite(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Write); ok {
			c.Close()
		}
	})
	r.net.room = 1
	r.WriteString("abc")
	if want := r.turn(); want != 0 {
		t.Errorf("a connection that is over is to be watched for %d", want)
	}
	r.wantEvents("Write1 Close:closed locally")
	if r.net.closed != 1 {
		t.Errorf("the descriptor was closed %d times", r.net.closed)
	}
}

func TestTouchInTheLastEventsWatchesNothing(t *testing.T) {
	touch := func(c *Conn, ev Event) {
		switch ev.(type) {
		case *Error, *Close:
			c.Pause()
			c.Resume()
			c.Redeliver()
			c.WriteString("x")
			c.Drain()
			c.CloseWrite()
			c.SetPoll(true)
			c.Close()
		}
	}
	for name, listener := range map[string]bool{"connection": false, "listener": true} {
		r := newRig(t, Limits{}, touch)
		if listener {
			r.flags |= listening
		}
		r.Fail(Protocol, errors.New("x"))
		if want := r.turn(); want != 0 {
			t.Errorf("%s: a closed one is to be watched for %d", name, want)
		}
		r.wantEvents("Error:protocol error Close:protocol error")
		if r.Polls() {
			t.Errorf("%s: a closed one polls", name)
		}
	}
}

// The receive buffer.

func TestUnreadBytesAreKeptAndTheNextReadAppends(t *testing.T) {
	var seen []string
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok {
			seen = append(seen, string(c.Recv.Bytes()))
		}
	})
	r.input("abc")
	copy(r.sh.read, "XXXXXX") // another connection reads
	r.input("def")
	if !slices.Equal(seen, []string{"abc", "abcdef"}) {
		t.Errorf("handlers saw %q", seen)
	}
	r.wantEvents("Read3 Read3")
}

func TestDiscardPartly(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok {
			c.Recv.Discard(2)
		}
	})
	for i, want := range []string{"c", "ef", "gh"} {
		r.input([]string{"abc", "def", "gh"}[i])
		if got := string(r.Recv.Bytes()); got != want {
			t.Errorf("unread %q, want %q", got, want)
		}
	}
	r.Recv.Discard(100)
	if r.Recv.Len() != 0 {
		t.Errorf("%d bytes left after discarding more than there are", r.Recv.Len())
	}
}

func TestTruncateKeepsTheBeginning(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.input("abcdef")
	r.Recv.Discard(1)
	r.Recv.Truncate(3)
	if got := string(r.Recv.Bytes()); got != "bcd" {
		t.Errorf("unread %q, want %q", got, "bcd")
	}
	r.input("xyz")
	if got := string(r.Recv.Bytes()); got != "bcdxyz" {
		t.Errorf("unread %q, want %q", got, "bcdxyz")
	}
}

// Handlers that discard any amount see the stream without a gap or a repetition.
func TestTheStreamIsWholeUnderAnyDiscards(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var got []byte
		r := newRig(t, Limits{}, func(c *Conn, ev Event) {
			if _, ok := ev.(*Read); ok {
				n := rnd.IntN(c.Recv.Len() + 1)
				got = append(got, c.Recv.Bytes()[:n]...)
				c.Recv.Discard(n)
			}
		})
		var want []byte
		for i := range 50 {
			p := bytes.Repeat([]byte{byte(i)}, 1+rnd.IntN([]int{5, 500, 20_000}[rnd.IntN(3)]))
			want = append(want, p...)
			r.input(string(p))
		}
		for len(r.net.in) > 0 {
			r.Readable()
			r.turn()
		}
		got = append(got, r.Recv.Bytes()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes came, %d were sent, or they differ", seed, len(got), len(want))
		}
	}
}

func TestAnIdleConnectionOwnsNoBuffer(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok && c.Recv.Len() > 3 {
			c.WriteString("answer")
			c.Recv.Discard(c.Recv.Len())
		}
	})
	r.input("ab")
	r.input("cdef")
	if r.Recv.buf != nil || r.out != nil {
		t.Errorf("it keeps a receive buffer of %d bytes and the queue %v", cap(r.Recv.buf), r.out)
	}
}

func TestReceiveLimitEndsTheConnection(t *testing.T) {
	r := newRig(t, Limits{Recv: 4}, nil)
	r.input("abcd")
	r.wantEvents("Read4")
	r.input("e")
	r.wantEvents("Read1 Error:receive limit Close:receive limit")
}

func TestReceiveLimitCountsWhatTheHandlerLeft(t *testing.T) {
	r := newRig(t, Limits{Recv: 4}, func(c *Conn, ev Event) { c.Recv.Discard(c.Recv.Len()) })
	r.input("abcdefgh")
	r.wantEvents("Read8")
}

func TestInterruptedReadIsTriedAgain(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.in = []step{{err: unix.EINTR}, {err: unix.EINTR}, {data: "abc"}}
	r.Readable()
	r.turn()
	r.wantEvents("Read3")
}

func TestResumeDeliversUnreadBytesAgainWithN0(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.input("abc")
	r.Pause()
	if want := r.turn(); want != 0 {
		t.Errorf("a paused connection is to be watched for %d", want)
	}
	r.input("unseen")
	r.Resume()
	if want := r.turn(); want != In {
		t.Errorf("a resumed connection is to be watched for %d, want In", want)
	}
	r.wantEvents("Read3 Read0")
	r.Resume() // which was not paused
	r.turn()
	r.wantEvents("")
}

func TestPauseAndHoldDoNotUndoEachOther(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Pause()
	r.Hold()
	r.turn()
	r.Resume()
	if want := r.turn(); want != 0 {
		t.Errorf("held and resumed: watched for %d", want)
	}
	r.Pause()
	r.Unhold()
	if want := r.turn(); want != 0 {
		t.Errorf("paused and unheld: watched for %d", want)
	}
	r.Resume()
	if want := r.turn(); want != In {
		t.Errorf("neither: watched for %d, want In", want)
	}
}

func TestEndOfInputDrains(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if ev == (EOF{}) {
			c.WriteString("bye")
		}
	})
	r.net.in = []step{{}}
	r.Readable()
	r.turn()
	r.wantSent("bye")
	r.wantEvents("EOF Write3 Close:closed by the peer")
}

func TestHalfOpenOutlivesTheEndOfInput(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetHalfOpen(true)
	r.net.in = []step{{}}
	r.Readable()
	if want := r.turn(); want != 0 {
		t.Errorf("watched for %d after the end of input", want)
	}
	r.WriteString("later")
	r.turn()
	r.wantSent("later")
	r.Drain()
	r.turn()
	r.wantEvents("EOF Write5 Close:closed by the peer")
}

// RFC 9112 §9.6: the last reply must not be lost to a reset because input was on its way.
func TestDrainLingerShutsTheWriteSideAndDropsInputUntilThePeerCloses(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.WriteString("bye")
	r.DrainLinger(time.Second)
	if want := r.turn(); want != In || !r.net.shut {
		t.Errorf("lingering: watched for %d, write side shut %v", want, r.net.shut)
	}
	r.net.in = []step{{data: "late"}, {}}
	r.Readable()
	r.turn()
	r.wantEvents("Write3")
	r.Readable()
	r.turn()
	r.wantEvents("Close:closed locally")
}

func TestDrainLingerEndsAtItsTime(t *testing.T) {
	for _, d := range []time.Duration{time.Second, 0} {
		r := newRig(t, Limits{}, nil)
		r.DrainLinger(d)
		r.turn()
		if d > 0 && r.Finished() {
			t.Fatal("it ended at once")
		}
		r.sh.Now += int64(d)
		r.Expire()
		r.turn()
		r.wantEvents("Close:closed locally")
	}
}

func TestCloseWriteShutsWhenAllIsSentAndGoesOnReading(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.room = 1
	r.WriteString("ab")
	r.CloseWrite()
	if r.turn(); r.net.shut {
		t.Error("the write side was shut before all was sent")
	}
	if want := r.writable(-1); !r.net.shut || want != In {
		t.Errorf("write side shut %v, watched for %d; want true, In", r.net.shut, want)
	}
	r.input("more")
	r.wantEvents("Write1 Write1 Read4")
}

func TestCloseDropsWhatIsQueuedAndDrainDoesNot(t *testing.T) {
	for _, tt := range []struct {
		end  func(*Conn)
		sent string
	}{{(*Conn).Close, ""}, {(*Conn).Drain, "abc"}} {
		r := newRig(t, Limits{}, nil)
		r.WriteString("abc")
		tt.end(r.Conn)
		r.turn()
		r.wantSent(tt.sent)
		if !r.Finished() {
			t.Error("not closed")
		}
	}
}

func TestTheFirstFailureIsTheOneReported(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Fail(Protocol, errors.New("first"))
	r.Fail(IOError, errors.New("second"))
	r.Close()
	r.turn()
	r.wantEvents("Error:protocol error Close:protocol error")
}

func TestErrorTextNamesTheReasonAndWraps(t *testing.T) {
	var got error
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if ev, ok := ev.(*Error); ok {
			got = ev.Err
		}
	})
	r.net.in = []step{{err: unix.ECONNRESET}}
	r.Readable()
	r.turn()
	if want := "conn: reset by the peer: io: connection reset by peer"; got == nil || got.Error() != want ||
		!errors.Is(got, unix.ECONNRESET) {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestProtocolSeesEventsFirstAndItsCloseHidesThem(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetProtocol(func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok {
			r.events = append(r.events, "protocol")
			if string(c.Recv.Bytes()) == "end" {
				c.Close()
			}
			c.Recv.Discard(c.Recv.Len())
		}
	}, nil)
	r.input("abc")
	r.wantEvents("protocol Read3")
	r.input("end")
	r.wantEvents("protocol Close:closed locally")
}

// Timeouts: NextDeadline is a lower bound, or the loop would never look.

func TestStallIsNotedWhenTheQueueFills(t *testing.T) {
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.net.room = 0
	r.WriteString("abc")
	r.turn()
	if at := r.sh.NextDeadline; at > int64(time.Second) {
		t.Errorf("the loop will look at %v, want 1s at the latest", time.Duration(at))
	}
	r.sh.Now = int64(time.Second)
	r.Expire()
	r.turn()
	r.wantEvents("Error:write stalled Close:write stalled")
}

func TestStallCountsFromTheLastByteTaken(t *testing.T) {
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.net.room = 0
	r.WriteString("abc")
	r.turn()
	r.sh.Now = int64(900 * time.Millisecond)
	r.writable(1)
	r.sh.Now = int64(1800 * time.Millisecond)
	if at := r.Expire(); at != int64(1900*time.Millisecond) {
		t.Errorf("next look at %v, want 1.9s", time.Duration(at))
	}
	r.wantEvents("Write1")
}

func TestDeadlineFiresOnceAndCanBeCancelled(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetDeadline(time.Second)
	r.sh.Now = int64(time.Second)
	r.Expire()
	r.Expire()
	r.wantEvents("Deadline")
	r.SetDeadline(time.Second)
	r.SetDeadline(0)
	r.sh.Now = int64(time.Hour)
	r.Expire()
	r.wantEvents("")
}

func TestForeverIsNotThePast(t *testing.T) {
	r := newRig(t, Limits{Idle: math.MaxInt64, Stall: math.MaxInt64}, nil)
	r.sh.Now = int64(time.Hour)
	r.net.in = []step{{data: "a"}}
	r.Readable()
	r.net.room = 0
	r.WriteString("abc")
	r.SetDeadline(math.MaxInt64)
	r.turn()
	r.Expire()
	r.turn()
	r.wantEvents("Read1")
}

func TestHexdumpShowsEachByteOnce(t *testing.T) {
	var dump bytes.Buffer
	r := newRig(t, Limits{}, nil)
	r.SetHexdump(&dump)
	r.input("hello")
	r.WriteString("ans")
	r.WriteString("wer")
	r.turn()
	id := r.ID()
	want := fmt.Sprintf(`%d recv 5
00000000  68 65 6c 6c 6f                                    |hello|
%d send 6
00000000  61 6e 73 77 65 72                                 |answer|
`, id, id)
	if dump.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", dump.String(), want)
	}
	dump.Reset()
	big := bytes.Repeat([]byte("A"), 2*scratchSize)
	r.net.room = scratchSize
	r.WriteShared(big)
	r.WriteShared(big)
	for r.turn(); r.Pending() > 0; {
		r.writable(-1)
	}
	if n := strings.Count(dump.String(), "|AAAAAAAAAAAAAAAA|") * 16; n != 2*len(big) {
		t.Errorf("%d bytes in the dump of %d sent", n, 2*len(big))
	}
	dump.Reset()
	r.SetHexdump(nil)
	r.input("quiet")
	if dump.Len() > 0 {
		t.Errorf("after SetHexdump(nil): %s", &dump)
	}
}

func TestNumbersAreNeverUsedAgainAndLeadToTheirDescriptor(t *testing.T) {
	seen := map[uint64]bool{}
	for i := range 1000 {
		fd := i % 3
		id := NewID(fd)
		if seen[id] || FDOfID(id) != fd {
			t.Fatalf("number %d for descriptor %d: seen before %v, leads to %d", id, fd, seen[id], FDOfID(id))
		}
		seen[id] = true
	}
}
