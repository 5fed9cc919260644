package websocket_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

const abnormal = `end 1006 "" clean=false`

// RFC 6455 §7.1.2: this side begins the closing handshake, the peer sends its Close frame, the
// server ends TCP.
func TestCloseWith(t *testing.T) {
	r := newRig(t, nil)
	if err := websocket.CloseWith(r.c, websocket.CloseGoingAway, "bye"); err != nil {
		t.Fatal(err)
	}
	r.Turn()
	r.want("sent", r.frames(), `close 1001 "bye"`)
	r.want("events before the peer's Close", r.events)
	if r.Wire.Shut {
		t.Error("TCP was ended before the peer's Close frame came")
	}
	r.receive(masked(0x88, closing(1001, "ok")))
	r.want("events", r.events, `end 1001 "ok" clean=true`)
	r.want("sent after the peer's Close", r.frames(), `close 1001 "bye"`)
	if !r.Wire.Shut {
		t.Error("TCP was not ended")
	}
	r.SendEOF()
	r.want("events at the end", r.events, `end 1001 "ok" clean=true`, "closed")
}

// §5.5.1: after a Close frame no more data frames are sent; what still comes is read but not
// delivered.
func TestNothingIsSentOrDeliveredAfterOurClose(t *testing.T) {
	r := newRig(t, nil)
	r.receive(masked(0x01, "begun before, "))
	websocket.CloseWith(r.c, websocket.CloseNormal, "")
	for what, err := range map[string]error{
		"Send":         websocket.Send(r.c, websocket.Text, []byte("late")),
		"Send of ping": websocket.Send(r.c, websocket.Ping, nil),
		"SendPrepared": websocket.SendPrepared(r.c, websocket.Prepare(websocket.Text, []byte("late"))),
		"CloseWith":    websocket.CloseWith(r.c, websocket.CloseNormal, ""),
		"Writer":       websocket.Writer(r.c, websocket.Text).Close(),
	} {
		if !errors.Is(err, websocket.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", what, err)
		}
	}
	big := masked(0x82, strings.Repeat("x", 100_000))
	r.receive(cat(masked(0x80, "ended after"), masked(0x81, "late"), masked(0x89, "p"), masked(0x8a, "p"), big, masked(0x02, "a")))
	r.receive(masked(0x80, "b"))
	r.want("events", r.events)
	r.receive(masked(0x88, closing(1000, "")))
	r.want("events at the end", r.events, `end 1000 "" clean=true`)
	r.want("sent", r.frames(), `close 1000 ""`)
	if err := websocket.Send(r.c, websocket.Text, nil); !errors.Is(err, websocket.ErrClosed) {
		t.Errorf("Send after the end = %v", err)
	}
}

func TestCloseInTheMessageHandlerDropsTheRest(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Message); ok {
			websocket.CloseWith(c, 4000, "enough")
		}
	}
	r.receive(cat(masked(0x81, "1"), masked(0x81, "2"), masked(0x89, "p"), masked(0x88, closing(4000, ""))))
	r.want("events", r.events, `text "1"`, `end 4000 "" clean=true`)
	r.want("sent", r.frames(), `close 4000 "enough"`)
}

func TestCloseIsSentBeforeTheEvent(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Control); ok && m.Op == websocket.Close {
			if err := websocket.Send(c, websocket.Text, []byte("late")); !errors.Is(err, websocket.ErrClosed) {
				t.Errorf("Send in the last event = %v", err)
			}
			c.Drain() // what a program may well do here must not cost the lingering
		}
	}
	r.receive(masked(0x88, closing(1000, "")))
	r.want("sent", r.frames(), `close 1000 ""`)
	if r.Closed() || !r.Wire.Shut {
		t.Error("the connection does not linger")
	}
}

// Both sides begin at the same time: each frame closes the other's handshake.
func TestCloseFramesCross(t *testing.T) {
	r := newRig(t, nil)
	websocket.CloseWith(r.c, websocket.CloseNormal, "")
	r.receive(masked(0x88, closing(1001, "me too")))
	r.want("events", r.events, `end 1001 "me too" clean=true`)
	r.want("sent", r.frames(), `close 1000 ""`)
}

func TestCloseTimeout(t *testing.T) {
	for _, tc := range []struct {
		opts *websocket.Options
		d    time.Duration
	}{{nil, 5 * time.Second}, {&websocket.Options{CloseTimeout: time.Second}, time.Second}} {
		r := newRig(t, tc.opts)
		websocket.CloseWith(r.c, websocket.CloseNormal, "")
		r.Turn()
		r.pass(tc.d - time.Millisecond)
		r.want("before", r.events)
		r.pass(2 * time.Millisecond)
		r.want("after", r.events, abnormal, "error deadline passed", "closed")
	}
}

// The lingering after the last frame is bounded too: by a second after a clean end, by CloseTimeout
// after any other.
func TestLingerTimeout(t *testing.T) {
	closing := func(r *rig) { r.receive(masked(0x88, "")) }
	for _, tc := range []struct {
		name  string
		opts  *websocket.Options
		end   func(r *rig)
		after time.Duration
	}{
		{"clean, the peer began", nil, closing, time.Second},
		{"clean, we began", nil, func(r *rig) { websocket.CloseWith(r.c, websocket.CloseNormal, ""); r.Turn(); closing(r) }, time.Second},
		{"clean, CloseTimeout is less", &websocket.Options{CloseTimeout: 200 * time.Millisecond}, closing, 200 * time.Millisecond},
		{"failed", nil, func(r *rig) { r.receive(masked(0xf1, "")) }, websocket.DefaultCloseTimeout},
	} {
		r := newRig(t, tc.opts)
		tc.end(r)
		r.receive([]byte("junk that is thrown away"))
		if r.pass(tc.after - time.Millisecond); r.Closed() || !r.Wire.Shut {
			t.Errorf("%s: closed too early", tc.name)
		}
		if r.pass(2 * time.Millisecond); !r.Closed() || r.events[len(r.events)-1] != "closed" {
			t.Errorf("%s: not closed", tc.name)
		}
	}
}

// The second counts from when the last byte is sent: a slow reader gets its Close frame.
func TestLingeringBeginsWhenAllIsSent(t *testing.T) {
	r := newRig(t, nil)
	r.Wire.Room = 1000
	websocket.Send(r.c, websocket.Binary, make([]byte, 3000))
	r.Turn()
	r.receive(masked(0x88, closing(1000, "")))
	r.pass(websocket.DefaultCloseTimeout - time.Millisecond)
	if r.Closed() {
		t.Fatal("closed with bytes to send")
	}
	r.Room(-1)
	if r.pass(time.Second - time.Millisecond); r.Closed() || !r.Wire.Shut {
		t.Error("closed too early")
	}
	if r.pass(2 * time.Millisecond); !r.Closed() {
		t.Error("not closed")
	}
	if got := r.frames(); len(got) != 2 || got[1] != `close 1000 ""` {
		t.Errorf("sent %v", got)
	}
}

func TestProtocolErrorIsTheReasonOfTheClose(t *testing.T) {
	r := newRig(t, nil)
	r.Wire.Room = 0
	r.receive(cat(masked(0xf1, "x"), make([]byte, 1000)))
	if n := r.c.Recv.Len(); n > 0 {
		t.Errorf("%d bytes are kept although nothing is read any more", n)
	}
	r.Room(-1)
	r.SendEOF()
	if r.Loop.Shared.Stats.Closed[conn.Protocol] != 1 {
		t.Errorf("closed by reason: %v", r.Loop.Shared.Stats.Closed)
	}
}

func TestErrorWhileClosingSendsNoSecondClose(t *testing.T) {
	r := newRig(t, nil)
	websocket.CloseWith(r.c, websocket.CloseNormal, "")
	r.receive(masked(0xf1, "x"))
	r.want("events", r.events, `end 1002 "a reserved bit is set" clean=false`)
	r.want("sent", r.frames(), `close 1000 ""`)
	r.SendEOF()
	r.want("events at the end", r.events, `end 1002 "a reserved bit is set" clean=false`, "closed")
}

// RFC 6455 §7.1.5: without a Close frame the code is 1006.
func TestConnectionThatVanishesEndsWith1006(t *testing.T) {
	reset := func(r *rig) {
		r.c.Layer().Fail(conn.Reset, unix.ECONNRESET)
		r.Turn()
	}
	for _, tc := range []struct {
		name string
		do   func(r *rig)
		want []string
	}{
		{"end of the stream", (*rig).hangUp, []string{abnormal, "closed"}},
		{"end inside a header", func(r *rig) { r.receive([]byte{0x81}); r.SendEOF() }, []string{abnormal, "closed"}},
		{"end inside a frame", func(r *rig) { r.receive(masked(0x81, "hello")[:8]); r.SendEOF() }, []string{abnormal, "closed"}},
		{"end inside a message", func(r *rig) { r.receive(masked(0x01, "hello")); r.SendEOF() }, []string{abnormal, "closed"}},
		{"reset", reset, []string{"error reset by the peer", abnormal, "closed"}},
		{"Conn.Close", func(r *rig) { r.c.Close(); r.Turn() }, []string{abnormal, "closed"}},
		{"Conn.Drain", func(r *rig) { r.c.Drain(); r.Turn() }, []string{abnormal, "closed"}},
		{"end instead of a Close frame", func(r *rig) { websocket.CloseWith(r.c, websocket.CloseNormal, ""); r.Turn(); r.SendEOF() }, []string{abnormal, "closed"}},
		{"reset instead of a Close frame", func(r *rig) { websocket.CloseWith(r.c, websocket.CloseNormal, ""); r.Turn(); reset(r) },
			[]string{"error reset by the peer", abnormal, "closed"}},
		{"reset after the end", func(r *rig) { r.receive(masked(0x88, "")); reset(r) },
			[]string{`end 1005 "" clean=true`, "error reset by the peer", "closed"}},
	} {
		r := newRig(t, nil)
		tc.do(r)
		r.want(tc.name, r.events, tc.want...)
	}
}

func TestShutdownSends1001AndWaits(t *testing.T) {
	r := newRig(t, nil)
	r.Shutdown()
	r.Shutdown()
	r.want("sent", r.frames(), `close 1001 ""`)
	r.receive(masked(0x81, "late"))
	r.want("events before the peer's Close", r.events)
	r.receive(masked(0x88, closing(1001, "")))
	r.SendEOF()
	r.want("events", r.events, `end 1001 "" clean=true`, "closed")
}

func TestShutdownOfAPeerThatDoesNotClose(t *testing.T) {
	r := newRig(t, nil)
	r.Shutdown()
	r.pass(websocket.DefaultCloseTimeout + time.Millisecond)
	r.want("events", r.events, abnormal, "error deadline passed", "closed")
}

// A queue that has no room even for the Close frame: the peer is not reading.
func TestShutdownOfAFullQueue(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.OnFull, r.Wire.Room = 1<<10, conn.RefuseOnFull, 0
	for websocket.Send(r.c, websocket.Binary, nil) == nil {
	}
	r.Shutdown()
	if r.c.IsOpen() {
		t.Error("the connection does not drain")
	}
	r.Room(-1)
	r.want("events", r.events, abnormal, "closed")
}

func TestCloseWithRefusesWhatMustNotBeSent(t *testing.T) {
	r := newRig(t, nil)
	for _, tc := range []struct {
		code   websocket.Code
		reason string
		want   string
	}{
		{0, "", "websocket: close: code 0 must not be sent"},
		{websocket.CloseNoStatus, "", "websocket: close: code 1005 must not be sent"},
		{websocket.CloseAbnormal, "", "websocket: close: code 1006 must not be sent"},
		{5000, "", "websocket: close: code 5000 must not be sent"},
		{websocket.CloseNormal, strings.Repeat("x", 124), "websocket: close: reason of 124 bytes, 123 are allowed"},
		{websocket.CloseNormal, "\xff", "websocket: close: reason is not UTF-8"},
	} {
		if err := websocket.CloseWith(r.c, tc.code, tc.reason); err == nil || err.Error() != tc.want {
			t.Errorf("CloseWith(%d, %q) = %v, want %s", tc.code, tc.reason, err, tc.want)
		}
	}
	if err := websocket.CloseWith(r.c, websocket.CloseNormal, strings.Repeat("x", 123)); err != nil {
		t.Error(err)
	}
}
