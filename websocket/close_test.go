package websocket

import (
	"errors"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

const abnormal = `end 1006 "" clean=false`

// RFC 6455 §7.1.2: we begin the closing handshake, the peer answers, the server ends TCP.
func TestCloseWithIsAnswered(t *testing.T) {
	r := newRig(t, nil)
	if err := CloseWith(r.c, CloseGoingAway, "bye"); err != nil {
		t.Fatal(err)
	}
	r.settle()
	r.want("sent", r.frames(), `close 1001 "bye"`)
	r.want("events before the answer", r.events)
	if r.shut {
		t.Error("TCP was ended before the answer came")
	}
	r.receive(masked(0x88, closing(1001, "ok")))
	r.want("events", r.events, `end 1001 "ok" clean=true`)
	r.want("sent after the answer", r.frames(), `close 1001 "bye"`)
	if !r.shut {
		t.Error("TCP was not ended")
	}
	r.hangUp()
	r.want("events at the end", r.events, `end 1001 "ok" clean=true`, "closed")
}

// §5.5.1: after a Close frame no more data frames are sent; what still comes is read but not delivered.
func TestNothingIsSentOrDeliveredAfterOurClose(t *testing.T) {
	r := newRig(t, nil)
	r.receive(masked(0x01, "begun before, "))
	CloseWith(r.c, CloseNormal, "")
	for what, err := range map[string]error{
		"Send":         Send(r.c, Text, []byte("late")),
		"Send of ping": Send(r.c, Ping, nil),
		"SendPrepared": SendPrepared(r.c, Prepare(Text, []byte("late"))),
		"CloseWith":    CloseWith(r.c, CloseNormal, ""),
		"Writer":       Writer(r.c, Text).Close(),
	} {
		if !errors.Is(err, ErrClosed) {
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
	if err := Send(r.c, Text, nil); !errors.Is(err, ErrClosed) {
		t.Errorf("Send after the end = %v", err)
	}
}

func TestCloseInTheMessageHandlerDropsTheRest(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			CloseWith(c, 4000, "enough")
		}
	}
	r.receive(cat(masked(0x81, "1"), masked(0x81, "2"), masked(0x89, "p"), masked(0x88, closing(4000, ""))))
	r.want("events", r.events, `text "1"`, `end 4000 "" clean=true`)
	r.want("sent", r.frames(), `close 4000 "enough"`)
}

func TestCloseIsAnsweredBeforeTheEvent(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Control); ok && m.Op == Close {
			if err := Send(c, Text, []byte("late")); !errors.Is(err, ErrClosed) {
				t.Errorf("Send in the last event = %v", err)
			}
			c.Drain() // what a program may well do here must not cost the lingering
		}
	}
	r.receive(masked(0x88, closing(1000, "")))
	r.want("sent", r.frames(), `close 1000 ""`)
	if r.over || !r.shut {
		t.Error("the connection does not linger")
	}
}

// Both sides begin at the same time: the peer's frame is the answer.
func TestCloseFramesCross(t *testing.T) {
	r := newRig(t, nil)
	CloseWith(r.c, CloseNormal, "")
	r.receive(masked(0x88, closing(1001, "me too")))
	r.want("events", r.events, `end 1001 "me too" clean=true`)
	r.want("sent", r.frames(), `close 1000 ""`)
}

func TestCloseTimeout(t *testing.T) {
	for _, tc := range []struct {
		opts *Options
		d    time.Duration
	}{{nil, 5 * time.Second}, {&Options{CloseTimeout: time.Second}, time.Second}} {
		r := newRig(t, tc.opts)
		CloseWith(r.c, CloseNormal, "")
		r.settle()
		r.pass(tc.d - time.Millisecond)
		r.want("before", r.events)
		r.pass(2 * time.Millisecond)
		r.want("after", r.events, abnormal, "error deadline passed", "closed")
	}
}

// The lingering after the last frame is bounded too: by a second after a clean end, by CloseTimeout after any other.
func TestLingerTimeout(t *testing.T) {
	closing := func(r *rig) { r.receive(masked(0x88, "")) }
	for _, tc := range []struct {
		name  string
		opts  *Options
		end   func(r *rig)
		after time.Duration
	}{
		{"clean, the peer began", nil, closing, time.Second},
		{"clean, we began", nil, func(r *rig) { CloseWith(r.c, CloseNormal, ""); r.settle(); closing(r) }, time.Second},
		{"clean, CloseTimeout is less", &Options{CloseTimeout: 200 * time.Millisecond}, closing, 200 * time.Millisecond},
		{"failed", nil, func(r *rig) { r.receive(masked(0xf1, "")) }, defaultCloseTimeout},
	} {
		r := newRig(t, tc.opts)
		tc.end(r)
		r.receive([]byte("junk that is thrown away"))
		if r.pass(tc.after - time.Millisecond); r.over || !r.shut {
			t.Errorf("%s: closed too early", tc.name)
		}
		if r.pass(2 * time.Millisecond); !r.over || r.events[len(r.events)-1] != "closed" {
			t.Errorf("%s: not closed", tc.name)
		}
	}
}

// The second counts from when the last byte is sent: a slow reader gets its Close frame.
func TestLingeringBeginsWhenAllIsSent(t *testing.T) {
	r := newRig(t, nil)
	r.room = 1000
	Send(r.c, Binary, make([]byte, 3000))
	r.settle()
	r.receive(masked(0x88, closing(1000, "")))
	r.pass(defaultCloseTimeout - time.Millisecond)
	if r.over {
		t.Fatal("closed with bytes to send")
	}
	r.room = -1
	r.c.Writable()
	r.settle()
	if r.pass(time.Second - time.Millisecond); r.over || !r.shut {
		t.Error("closed too early")
	}
	if r.pass(2 * time.Millisecond); !r.over {
		t.Error("not closed")
	}
	if got := r.frames(); len(got) != 2 || got[1] != `close 1000 ""` {
		t.Errorf("sent %v", got)
	}
}

func TestProtocolErrorIsTheReasonOfTheClose(t *testing.T) {
	r := newRig(t, nil)
	r.room = 0
	r.receive(cat(masked(0xf1, "x"), make([]byte, 1000)))
	if n := r.c.Recv.Len(); n > 0 {
		t.Errorf("%d bytes are kept although nothing is read any more", n)
	}
	r.room = -1
	r.c.Writable()
	r.settle()
	r.hangUp()
	if r.sh.Stats.Closed[conn.Protocol] != 1 {
		t.Errorf("closed by reason: %v", r.sh.Stats.Closed)
	}
}

func TestErrorWhileClosingSendsNoSecondClose(t *testing.T) {
	r := newRig(t, nil)
	CloseWith(r.c, CloseNormal, "")
	r.receive(masked(0xf1, "x"))
	r.want("events", r.events, `end 1002 "a reserved bit is set" clean=false`)
	r.want("sent", r.frames(), `close 1000 ""`)
	r.hangUp()
	r.want("events at the end", r.events, `end 1002 "a reserved bit is set" clean=false`, "closed")
}

// RFC 6455 §7.1.5: without a Close frame the code is 1006.
func TestConnectionThatVanishesEndsWith1006(t *testing.T) {
	reset := func(r *rig) {
		r.c.Fail(conn.Reset, unix.ECONNRESET)
		r.settle()
	}
	for _, tc := range []struct {
		name string
		do   func(r *rig)
		want []string
	}{
		{"end of the stream", (*rig).hangUp, []string{abnormal, "closed"}},
		{"end inside a header", func(r *rig) { r.receive([]byte{0x81}); r.hangUp() }, []string{abnormal, "closed"}},
		{"end inside a frame", func(r *rig) { r.receive(masked(0x81, "hello")[:8]); r.hangUp() }, []string{abnormal, "closed"}},
		{"end inside a message", func(r *rig) { r.receive(masked(0x01, "hello")); r.hangUp() }, []string{abnormal, "closed"}},
		{"reset", reset, []string{"error reset by the peer", abnormal, "closed"}},
		{"Conn.Close", func(r *rig) { r.c.Close(); r.settle() }, []string{abnormal, "closed"}},
		{"Conn.Drain", func(r *rig) { r.c.Drain(); r.settle() }, []string{abnormal, "closed"}},
		{"end instead of the answer", func(r *rig) { CloseWith(r.c, CloseNormal, ""); r.settle(); r.hangUp() }, []string{abnormal, "closed"}},
		{"reset instead of the answer", func(r *rig) { CloseWith(r.c, CloseNormal, ""); r.settle(); reset(r) },
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
	r.c.Fire(conn.Shutdown{})
	r.c.Fire(conn.Shutdown{})
	r.settle()
	r.want("sent", r.frames(), `close 1001 ""`)
	r.receive(masked(0x81, "late"))
	r.want("events before the answer", r.events)
	r.receive(masked(0x88, closing(1001, "")))
	r.hangUp()
	r.want("events", r.events, `end 1001 "" clean=true`, "closed")
}

func TestShutdownOfAPeerThatDoesNotAnswer(t *testing.T) {
	r := newRig(t, nil)
	r.c.Fire(conn.Shutdown{})
	r.settle()
	r.pass(defaultCloseTimeout + time.Millisecond)
	r.want("events", r.events, abnormal, "error deadline passed", "closed")
}

// A queue that has no room even for the Close frame: the peer is not reading.
func TestShutdownOfAFullQueue(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.OnFull, r.room = 1<<10, conn.RefuseOnFull, 0
	for Send(r.c, Binary, nil) == nil {
	}
	r.c.Fire(conn.Shutdown{})
	if r.c.IsOpen() {
		t.Error("the connection does not drain")
	}
	r.room = -1
	r.c.Writable()
	r.settle()
	r.want("events", r.events, abnormal, "closed")
}

func TestCloseWithRefusesWhatMustNotBeSent(t *testing.T) {
	r := newRig(t, nil)
	for _, tc := range []struct {
		code   Code
		reason string
		want   string
	}{
		{0, "", "websocket: close: code 0 must not be sent"},
		{CloseNoStatus, "", "websocket: close: code 1005 must not be sent"},
		{CloseAbnormal, "", "websocket: close: code 1006 must not be sent"},
		{5000, "", "websocket: close: code 5000 must not be sent"},
		{CloseNormal, strings.Repeat("x", 124), "websocket: close: reason of 124 bytes, 123 are allowed"},
		{CloseNormal, "\xff", "websocket: close: reason is not UTF-8"},
	} {
		if err := CloseWith(r.c, tc.code, tc.reason); err == nil || err.Error() != tc.want {
			t.Errorf("CloseWith(%d, %q) = %v, want %s", tc.code, tc.reason, err, tc.want)
		}
	}
	if err := CloseWith(r.c, CloseNormal, strings.Repeat("x", 123)); err != nil {
		t.Error(err)
	}
}
