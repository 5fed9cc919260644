package conn

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

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

func TestFailWithoutAnErrorNamesTheReason(t *testing.T) {
	var got error
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if ev, ok := ev.(*Error); ok {
			got = ev.Err
		}
	})
	r.Fail(Protocol, nil)
	r.turn()
	if got == nil || got.Error() != "conn: protocol error" {
		t.Errorf("error %v", got)
	}
}

// Error and Close agree: what went wrong on the way to the end is told, unless the peer had done wrong before.
func TestAFailureOnTheWayToTheEnd(t *testing.T) {
	for _, x := range []struct{ asked, failed, want Reason }{
		{ShuttingDown, Stalled, Stalled},
		{ShuttingDown, Panicked, Panicked},
		{Protocol, Reset, Protocol},
		{Protocol, Panicked, Panicked},
		{Local, Reset, Reset},
	} {
		r := newRig(t, Limits{}, nil)
		r.net.room = 0
		r.WriteString("the end")
		r.SetReason(x.asked)
		r.Drain()
		r.turn()
		r.Fail(x.failed, errors.New("on the way"))
		r.turn()
		r.wantEvents("Error:" + x.want.String() + " Close:" + x.want.String())
	}
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
