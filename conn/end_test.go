package conn_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

func TestEndOfInputDrains(t *testing.T) {
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.EOF); ok {
			c.WriteString("bye")
		}
	})
	r.Wire.Arrive(nil, nil)
	r.Report(conn.In)
	r.WantSent("bye")
	r.WantEvents("EOF", "Write 3", "Close closed by the peer")
}

func TestHalfOpenOutlivesTheEndOfInput(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.SetHalfOpen(true)
	r.Wire.Arrive(nil, nil)
	if want := r.Report(conn.In); want != 0 {
		t.Errorf("watched for %d after the end of input", want)
	}
	r.WriteString("later")
	r.Settle()
	r.WantSent("later")
	r.Drain()
	r.Settle()
	r.WantEvents("EOF", "Write 5", "Close closed by the peer")
}

// RFC 9112 §9.6: the last reply must not be lost to a reset because input was on its way.
func TestDrainLingerShutsTheWriteSideAndDropsInputUntilThePeerCloses(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.WriteString("bye")
	r.Layer().DrainLinger(time.Second)
	if want := r.Settle(); want != conn.In || !r.Wire.Shut {
		t.Errorf("lingering: watched for %d, write side shut %v", want, r.Wire.Shut)
	}
	r.Wire.Arrive([]byte("late"), nil)
	r.Wire.Arrive(nil, nil)
	r.Report(conn.In)
	r.WantEvents("Write 3")
	r.Report(conn.In)
	r.WantEvents("Close closed locally")
}

func TestDrainLingerEndsAtItsTime(t *testing.T) {
	for _, d := range []time.Duration{time.Second, 0} {
		r := newRig(t, conn.Limits{}, nil)
		r.Layer().DrainLinger(d)
		r.Settle()
		if d > 0 && r.Driver().Finished() {
			t.Fatal("it ended at once")
		}
		r.Loop.Advance(d)
		r.Driver().Expire()
		r.Settle()
		r.WantEvents("Close closed locally")
	}
}

func TestCloseWriteShutsWhenAllIsSentAndGoesOnReading(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.Room = 1
	r.WriteString("ab")
	r.CloseWrite()
	if r.Settle(); r.Wire.Shut {
		t.Error("the write side was shut before all was sent")
	}
	if want := r.writable(-1); !r.Wire.Shut || want != conn.In {
		t.Errorf("write side shut %v, watched for %d; want true, In", r.Wire.Shut, want)
	}
	r.input("more")
	r.WantEvents("Write 1", "Write 1", "Read 4")
}

func TestCloseDropsWhatIsQueuedAndDrainDoesNot(t *testing.T) {
	for _, tt := range []struct {
		end  func(*conn.Conn)
		sent string
	}{{(*conn.Conn).Close, ""}, {(*conn.Conn).Drain, "abc"}} {
		r := newRig(t, conn.Limits{}, nil)
		r.WriteString("abc")
		tt.end(r.Conn)
		r.Settle()
		r.WantSent(tt.sent)
		if !r.Driver().Finished() {
			t.Error("not closed")
		}
	}
}

func TestTheFirstFailureIsTheOneReported(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Layer().Fail(conn.Protocol, errors.New("first"))
	r.Layer().Fail(conn.IOError, errors.New("second"))
	r.Close()
	r.Settle()
	r.WantEvents("Error protocol error", "Close protocol error")
}

func TestFailWithoutAnErrorNamesTheReason(t *testing.T) {
	var got error
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Error); ok {
			got = ev.Err
		}
	})
	r.Layer().Fail(conn.Protocol, nil)
	r.Settle()
	if got == nil || got.Error() != "conn: protocol error" {
		t.Errorf("error %v", got)
	}
}

// Error and Close agree: what went wrong on the way to the end is told, unless the peer had done
// wrong before.
func TestAFailureOnTheWayToTheEnd(t *testing.T) {
	for _, x := range []struct{ asked, failed, want conn.Reason }{
		{conn.ShuttingDown, conn.Stalled, conn.Stalled},
		{conn.ShuttingDown, conn.Panicked, conn.Panicked},
		{conn.Protocol, conn.Reset, conn.Protocol},
		{conn.Protocol, conn.Panicked, conn.Panicked},
		{conn.Local, conn.Reset, conn.Reset},
	} {
		r := newRig(t, conn.Limits{}, nil)
		r.Wire.Room = 0
		r.WriteString("the end")
		r.Layer().SetReason(x.asked)
		r.Drain()
		r.Settle()
		r.Layer().Fail(x.failed, errors.New("on the way"))
		r.Settle()
		r.WantEvents("Error "+x.want.String(), "Close "+x.want.String())
	}
}

func TestErrorTextNamesTheReasonAndWraps(t *testing.T) {
	var got error
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Error); ok {
			got = ev.Err
		}
	})
	r.Wire.Arrive(nil, unix.ECONNRESET)
	r.Report(conn.In)
	if want := "conn: reset by the peer: io: connection reset by peer"; got == nil || got.Error() != want ||
		!errors.Is(got, unix.ECONNRESET) {
		t.Errorf("error %q, want %q", got, want)
	}
}

func TestProtocolSeesEventsFirstAndItsCloseHidesThem(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.SetProtocol(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			r.Note("protocol")
			if string(c.Recv.Bytes()) == "end" {
				c.Close()
			}
			c.Recv.Discard(c.Recv.Len())
		}
	}, nil)
	r.input("abc")
	r.WantEvents("protocol", "Read 3")
	r.input("end")
	r.WantEvents("protocol", "Close closed locally")
}
