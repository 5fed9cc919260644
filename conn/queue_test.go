package conn_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

func TestWritesOfOneTurnGoOutInOneCall(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Write([]byte("one "))
	r.WriteString("two ")
	r.WriteShared([]byte("three "))
	r.Write([]byte("four"))
	if r.Wire.Writes != 0 {
		t.Error("something was sent before the end of the turn")
	}
	if want := r.Settle(); want != conn.In {
		t.Errorf("the poller is to watch for %d, want In", want)
	}
	r.WantSent("one two three four")
	r.WantEvents("Write 18")
	if r.Wire.Writes != 1 {
		t.Errorf("%d system calls", r.Wire.Writes)
	}
}

func TestShortWriteWaitsForThePollerAndOnlyThen(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.Room = 3
	r.WriteString("abcdef")
	if want := r.Settle(); want != conn.In|conn.Out {
		t.Errorf("after a short write the poller is to watch for %d, want In|Out", want)
	}
	calls := r.Wire.Writes
	r.WriteString("ghi")
	r.Settle()
	if r.Wire.Writes != calls {
		t.Error("a Write behind a short write was tried although the kernel has no room")
	}
	if want := r.writable(-1); want != conn.In {
		t.Errorf("after the rest the poller is to watch for %d, want In", want)
	}
	r.WantSent("abcdefghi")
	r.WantEvents("Write 3", "Write 6")
}

func TestNothingTakenIsNoWriteEvent(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.Room = 0
	r.WriteString("abc")
	if want := r.Settle(); want != conn.In|conn.Out {
		t.Errorf("the poller is to watch for %d, want In|Out", want)
	}
	r.WantEvents()
	if r.Pending() != 3 {
		t.Errorf("Pending %d, want 3", r.Pending())
	}
}

func TestInterruptedWriteIsTriedAgain(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.FailWrite(unix.EINTR)
	r.WriteString("abc")
	r.Settle()
	r.WantSent("abc")
	r.WantEvents("Write 3")
}

func TestWriteErrorsEndTheConnectionWithTheirReason(t *testing.T) {
	for errno, why := range map[unix.Errno]conn.Reason{
		unix.EPIPE: conn.BrokenPipe, unix.ECONNRESET: conn.Reset, unix.ETIMEDOUT: conn.TimedOut, unix.EHOSTUNREACH: conn.Unreachable,
		unix.ENETUNREACH: conn.Unreachable, unix.EIO: conn.IOError,
	} {
		r := newRig(t, conn.Limits{}, nil)
		r.Wire.FailWrite(errno)
		r.WriteString("abc")
		r.Settle()
		r.WantEvents("Error "+why.String(), "Close "+why.String())
	}
}

func TestSharedBytesAreNotCopied(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	p := bytes.Repeat([]byte("x"), conn.ScratchSize+1)
	r.WriteShared(p)
	p[0] = 'y' // against the rules, to see whose bytes go out
	r.Settle()
	if r.Wire.Sent[0] != 'y' {
		t.Error("WriteShared made a copy")
	}
}

func TestWriteCopiesItsArgument(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	p := []byte("abc")
	r.Write(p)
	copy(p, "xyz")
	r.Settle()
	r.WantSent("abc")
}

// The queue is compared with a plain slice of bytes, under any mixture of writes and short writes.
func TestOrderIsKeptUnderAnyMixtureOfWritesAndShortWrites(t *testing.T) {
	for seed := range uint64(100) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := newRig(t, conn.Limits{Send: math.MaxInt32}, nil)
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
			switch rnd.IntN(8) {
			case 7:
				r.WriteThrough(bytesOf(n))
			case 0, 1:
				r.Write(bytesOf(n))
			case 2:
				r.WriteString(string(bytesOf(n)))
			case 3:
				r.WriteShared(bytesOf(n))
			case 4:
				r.Write(append(r.AvailableBuffer(), bytesOf(n)...))
			case 5:
				r.Wire.Room = rnd.IntN(3000)
				r.Settle()
			case 6:
				r.writable(rnd.IntN(60_000))
			}
			if got := r.Pending() + len(r.Wire.Sent); got != len(want) {
				t.Fatalf("seed %d: %d sent and pending, want %d", seed, got, len(want))
			}
		}
		for i := 0; r.Pending() > 0 && i < 10_000; i++ {
			r.writable(rnd.IntN(100_000))
		}
		r.Settle()
		if !bytes.Equal(r.Wire.Sent, want) {
			t.Fatalf("seed %d: the %d bytes sent are not the %d written", seed, len(r.Wire.Sent), len(want))
		}
		if conn.HasQueue(r.Conn) {
			t.Fatalf("seed %d: an empty queue is kept", seed)
		}
	}
}

func TestSharedBytesBehindAHalfSentWrite(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.Room = 4
	r.WriteString("0123456789")
	r.Settle()
	r.WriteShared([]byte("shared"))
	r.writable(-1)
	r.WantSent("0123456789shared")
}

func TestAQueueThatIsNeverEmptyDoesNotGrowForEver(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	frame := bytes.Repeat([]byte("f"), 1000)
	r.Wire.Room = 0
	r.WriteShared(frame)
	r.Settle()
	for range 5000 {
		r.WriteShared(frame)
		r.Write(frame)
		r.writable(2000)
	}
	if r.Pending() != 1000 {
		t.Fatalf("Pending %d, want 1000", r.Pending())
	}
	own, parts := conn.QueueCaps(r.Conn)
	if n := parts; n > 256 {
		t.Errorf("the list of parts has room for %d though three frames are queued at most", n)
	}
	if n := own; n > 64<<10 {
		t.Errorf("the buffer has %d bytes though three frames are queued at most", n)
	}
}

func TestOneConnectionSendsABoundedAmountPerTurn(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.WriteShared(make([]byte, 4*conn.FlushMax))
	next := r.Driver().Settle()
	if n := len(r.Wire.Sent); n > conn.FlushMax || next.Want != conn.Out {
		t.Errorf("%d bytes went out in one turn, want %d at most and the poller to watch for Out alone (%d)", n, conn.FlushMax, next.Want)
	}
}

func TestSendLimitClosesTheConnection(t *testing.T) {
	r := newRig(t, conn.Limits{Send: 10}, nil)
	r.Wire.Room = 0
	r.WriteString("12345678")
	if _, err := r.WriteString("901"); err != nil {
		t.Errorf("Write below the limit: %v; one message may go past it", err)
	}
	n, err := r.WriteString("2")
	if n != 0 || err != conn.ErrSendLimit {
		t.Errorf("Write past the limit: %d, %v; want 0, ErrSendLimit", n, err)
	}
	r.Settle()
	r.WantEvents("Error send limit", "Close send limit")
}

func TestSendLimitRefusesTheWriteWhereThatIsThePolicy(t *testing.T) {
	r := newRig(t, conn.Limits{Send: 10, OnFull: conn.RefuseOnFull}, nil)
	r.Wire.Room = 0
	r.WriteString("12345678")
	if _, err := r.WriteString("90"); err != nil {
		t.Errorf("Write up to the limit: %v", err)
	}
	for name, write := range map[string]func() error{
		"Write":          func() error { _, err := r.Write([]byte("x")); return err },
		"WriteString":    func() error { _, err := r.WriteString("x"); return err },
		"WriteShared":    func() error { return r.WriteShared([]byte("x")) },
		"WriteBroadcast": func() error { return r.WriteBroadcast([]byte("x")) },
		"Reserve":        func() error { return r.Layer().Reserve(1) },
	} {
		if err := write(); err != conn.ErrSendLimit {
			t.Errorf("%s past the limit: %v, want ErrSendLimit", name, err)
		}
	}
	if n := r.Loop.Shared.Stats.Rejected; n != 5 {
		t.Errorf("Stats.Rejected %d, want 5", n)
	}
	if r.Layer().Fits(1) {
		t.Error("Fits at the limit")
	}
	r.Settle()
	r.writable(-1)
	r.WantSent("1234567890")
	r.WantEvents("Write 10", "Drained", "Resumed") // no mark is above Send
}

// A message that takes several Writes is queued whole, although the first of them reaches the
// limit.
func TestWhatIsReservedIsTaken(t *testing.T) {
	r := newRig(t, conn.Limits{Send: 10, OnFull: conn.RefuseOnFull}, nil)
	r.Wire.Room = 0
	r.WriteShared([]byte("shared"))
	if err := r.Layer().Reserve(30); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if n, err := r.Write([]byte("0123456789")); n != 10 {
			t.Fatal(err)
		}
	}
	if _, err := r.Write([]byte("x")); err != conn.ErrSendLimit {
		t.Errorf("Write past what is reserved: %v, want ErrSendLimit", err)
	}
	r.Settle()
	if _, err := r.Write([]byte("x")); err != conn.ErrSendLimit {
		t.Errorf("Write in the next turn: %v, want ErrSendLimit", err)
	}
	r.writable(20)
	if _, err := r.Write([]byte("x")); err != conn.ErrSendLimit {
		t.Errorf("Write while a part of what was reserved waits: %v, want ErrSendLimit", err)
	}
	r.writable(-1)
	r.WantSent("shared" + strings.Repeat("0123456789", 3))
	r.Layer().Reserve(5)
	if r.Settle(); conn.HasQueue(r.Conn) {
		t.Error("Reserve without a Write leaves a queue behind")
	}
}

func TestDrainedComesOnlyAfterTheHighWaterMark(t *testing.T) {
	for _, tt := range []struct {
		write int
		want  []string
	}{{99, []string{"Write 1", "Write 98"}}, {100, []string{"Write 1", "Write 99", "Drained", "Resumed"}}} {
		r := newRig(t, conn.Limits{HighWater: 100}, nil)
		r.Wire.Room = 1
		r.Write(make([]byte, tt.write))
		r.Settle()
		r.writable(-1)
		r.WantEvents(tt.want...)
		r.WriteString("x")
		r.Settle()
		r.WantEvents("Write 1") // and no second Drained
	}
}

// Reading stops at the high-water mark, however much the queue may hold.
func TestCongestionBeginsAtTheHighWaterMarkAndEndsAtHalfOfIt(t *testing.T) {
	r := newRig(t, conn.Limits{HighWater: 1000}, nil)
	r.Wire.Room = 0
	r.Write(make([]byte, 999))
	if r.Settle(); r.Layer().Congested() || r.Layer().Stopped() {
		t.Error("congested below the mark")
	}
	r.Write(make([]byte, 1))
	if want := r.Settle(); !r.Layer().Congested() || !r.Layer().Stopped() || want != conn.Out {
		t.Errorf("at the mark: Congested %v, watched for %d; want true, Out", r.Layer().Congested(), want)
	}
	if want := r.writable(499); !r.Layer().Congested() || want != conn.Out {
		t.Errorf("above half: Congested %v, watched for %d; want true, Out", r.Layer().Congested(), want)
	}
	if want := r.writable(1); r.Layer().Congested() || want != conn.In|conn.Out {
		t.Errorf("at half: Congested %v, watched for %d; want false, In|Out", r.Layer().Congested(), want)
	}
	r.WantEvents("Write 499", "Write 1", "Resumed")
}

func TestRedeliveryWaitsForTheEndOfCongestion(t *testing.T) {
	r := newRig(t, conn.Limits{HighWater: 500}, nil)
	r.input("abc")
	r.Wire.Room = 0
	r.Write(make([]byte, 600))
	r.Settle()
	r.Layer().Redeliver()
	r.Settle()
	r.WantEvents("Read 3")
	r.writable(-1)
	r.WantEvents("Write 600", "Drained", "Resumed", "Read 0")
}

func TestAvailableBufferIsWrittenWithoutACopy(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.WriteString("head ")
	b := append(r.AvailableBuffer(), "body"...)
	at := &b[0]
	r.Write(b)
	if &conn.OwnBytes(r.Conn)[5] != at {
		t.Error("the bytes were moved")
	}
	r.Settle()
	r.WantSent("head body")
}

func TestAvailableBufferThatOutgrewItsRoomIsWrittenToo(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.WriteString("head ")
	long := strings.Repeat("x", 10*conn.MinRoom)
	r.Write(append(r.AvailableBuffer(), long...))
	r.Settle()
	r.WantSent("head " + long)
}

func TestAvailableBufferWithoutAWriteLeavesNothingBehind(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	if b := r.AvailableBuffer(); len(b) != 0 || cap(b) == 0 {
		t.Errorf("len %d, cap %d", len(b), cap(b))
	}
	r.Settle()
	if conn.HasQueue(r.Conn) {
		t.Error("the connection keeps an empty queue")
	}
	r.WantEvents()
}

func TestWritesAfterTheEndAreRefused(t *testing.T) {
	for name, end := range map[string]func(*conn.Conn){
		"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain, "CloseWrite": (*conn.Conn).CloseWrite,
		"DrainLinger": func(c *conn.Conn) { c.Layer().DrainLinger(time.Second) },
		"Fail":        func(c *conn.Conn) { c.Layer().Fail(conn.Protocol, errors.New("x")) },
	} {
		r := newRig(t, conn.Limits{}, nil)
		end(r.Conn)
		if _, err := r.WriteString("x"); err != conn.ErrClosed {
			t.Errorf("Write after %s: %v, want ErrClosed", name, err)
		}
		if err := r.WriteShared([]byte("x")); err != conn.ErrClosed {
			t.Errorf("WriteShared after %s: %v, want ErrClosed", name, err)
		}
		r.Settle()
		if _, err := r.WriteString("x"); err != conn.ErrClosed {
			t.Errorf("Write a turn after %s: %v, want ErrClosed", name, err)
		}
	}
}

func TestWritingNothingIsNothing(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Write(nil)
	r.WriteString("")
	r.WriteShared(nil)
	r.Settle()
	if r.Wire.Writes != 0 || conn.HasQueue(r.Conn) {
		t.Errorf("%d system calls, queue %v", r.Wire.Writes, conn.HasQueue(r.Conn))
	}
}

func TestCloseInAWriteEventBehindAShortWrite(t *testing.T) {
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Write); ok {
			c.Close()
		}
	})
	r.Wire.Room = 1
	r.WriteString("abc")
	if want := r.Settle(); want != 0 {
		t.Errorf("a connection that is over is to be watched for %d", want)
	}
	r.WantEvents("Write 1", "Close closed locally")
	if r.Wire.Closed != 1 {
		t.Errorf("the descriptor was closed %d times", r.Wire.Closed)
	}
}

func TestTouchInTheLastEventsWatchesNothing(t *testing.T) {
	touch := func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Error, *conn.Close:
			c.Pause()
			c.Resume()
			c.Layer().Redeliver()
			c.WriteString("x")
			c.Drain()
			c.CloseWrite()
			c.SetPoll(true)
			c.Close()
		}
	}
	for name, listener := range map[string]bool{"connection": false, "listener": true} {
		r := rigOf(t, conntest.Options{Listener: listener}, touch)
		r.Layer().Fail(conn.Protocol, errors.New("x"))
		if want := r.Settle(); want != 0 {
			t.Errorf("%s: a closed one is to be watched for %d", name, want)
		}
		r.WantEvents("Error protocol error", "Close protocol error")
		if r.Driver().Polls() {
			t.Errorf("%s: a closed one polls", name)
		}
	}
}

func TestWriteThroughGoesOutAtOnce(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	big := make([]byte, 20_000)
	r.WriteString("head")
	r.WriteThrough(big)
	r.WantSent("head" + string(big))
	r.WantEvents()
	if n := r.Pending(); n != 0 {
		t.Errorf("%d bytes are pending", n)
	}
	r.Settle()
	r.WantEvents("Write 20004")
	if conn.HasQueue(r.Conn) {
		t.Error("an empty queue is kept")
	}
}

func TestWriteThroughIsBoundedInATurn(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	for range 10 {
		r.WriteThrough(make([]byte, 300_000))
	}
	if n := len(r.Wire.Sent); n != 1_200_000 {
		t.Errorf("%d bytes went out before the end of the turn", n)
	}
	r.Settle()
	for r.Pending() > 0 {
		r.writable(-1)
	}
	if n := len(r.Wire.Sent); n != 3_000_000 {
		t.Errorf("%d bytes were sent", n)
	}
}

func TestWriteThroughThatFailsEndsTheConnection(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.FailWrite(unix.EPIPE)
	r.WriteThrough(make([]byte, 20_000))
	r.Settle()
	r.WantEvents("Error broken pipe", "Close broken pipe")
}

func TestWriteThroughIsFollowedByDrained(t *testing.T) {
	r := newRig(t, conn.Limits{HighWater: 10_000}, nil)
	r.Wire.Room = 15_000
	r.WriteThrough(make([]byte, 20_000))
	r.Settle()
	r.WantEvents("Write 15000")
	r.writable(-1)
	r.WantEvents("Write 5000", "Drained")
	r.WriteThrough(make([]byte, 20_000))
	r.Settle()
	r.WantEvents("Write 20000", "Drained")
}
