package conn

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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
		r.turn()
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
	r.WriteShared(make([]byte, 4*flushMax))
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

func TestWriteThroughGoesOutAtOnce(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	big := make([]byte, 20_000)
	r.WriteString("head")
	r.WriteThrough(big)
	r.wantSent("head" + string(big))
	r.wantEvents("")
	if n := r.Pending(); n != 0 {
		t.Errorf("%d bytes are pending", n)
	}
	r.turn()
	r.wantEvents("Write20004")
	if r.out != nil {
		t.Error("an empty queue is kept")
	}
}

func TestWriteThroughIsBoundedInATurn(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	for range 10 {
		r.WriteThrough(make([]byte, 300_000))
	}
	if n := len(r.net.sent); n != 1_200_000 {
		t.Errorf("%d bytes went out before the end of the turn", n)
	}
	r.turn()
	for r.Pending() > 0 {
		r.writable(-1)
	}
	if n := len(r.net.sent); n != 3_000_000 {
		t.Errorf("%d bytes were sent", n)
	}
}

func TestWriteThroughThatFailsEndsTheConnection(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.fail = unix.EPIPE
	r.WriteThrough(make([]byte, 20_000))
	r.turn()
	r.wantEvents("Error:broken pipe Close:broken pipe")
}

func TestWriteThroughIsFollowedByDrained(t *testing.T) {
	r := newRig(t, Limits{HighWater: 10_000}, nil)
	r.net.room = 15_000
	r.WriteThrough(make([]byte, 20_000))
	r.turn()
	r.wantEvents("Write15000")
	r.writable(-1)
	r.wantEvents("Write5000 Drained")
	r.WriteThrough(make([]byte, 20_000))
	r.turn()
	r.wantEvents("Write20000 Drained")
}
