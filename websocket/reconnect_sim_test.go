package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A Reconnector in a world of the test's own: when it connects, how long it waits, when it gives
// up, and how it ends. Its messages are in reconnectsend_sim_test.go.

// A simWorld is the world of a Reconnector whose time and servers are the test's.
type simWorld struct {
	t      testing.TB
	loop   *conntest.Loop
	timers []*simTimer
	dials  []*conntest.Dialogue // all connections, the last one at the end
	fail   error                // of the next connect, once
	roll   func(n int64) int64
	limits conn.Limits

	r      *Reconnector
	events []string
	on     func(c *conn.Conn, ev conn.Event)
	url    string // of the last attempt
	header []Header
}

type simTimer struct {
	w  *simWorld
	at int64
	f  func()
}

func (t *simTimer) Stop() bool {
	at := slices.Index(t.w.timers, t)
	if at >= 0 {
		t.w.timers = slices.Delete(t.w.timers, at, at+1)
	}
	return at >= 0
}

func (w *simWorld) connect(url string, h conn.Handler, o *ClientOptions) (*conn.Conn, error) {
	w.url, w.header = url, o.Header
	if err := w.fail; err != nil {
		w.fail = nil
		return nil, err
	}
	d := conntest.New(w.t, h, conntest.Options{Loop: w.loop, Waiting: time.Hour, Limits: w.limits, Describe: func(conn.Event) string { return "" }})
	w.dials = append(w.dials, d)
	if d.Closed() {
		return d.Conn, nil
	}
	return d.Conn, ConnectOver(d.Conn, url, o)
}

func (w *simWorld) after(d time.Duration, f func()) timer {
	t := &simTimer{w, w.now() + int64(d), f}
	w.timers = append(w.timers, t)
	return t
}

func (w *simWorld) now() int64             { return w.loop.Shared.Now }
func (w *simWorld) random(n int64) int64   { return w.roll(n) }
func (w *simWorld) forGood(err error) bool { return errors.Is(err, errForGood) }

var errForGood = errors.New("for good")

// newSim makes a Reconnector that rolls the longest waits.
func newSim(t testing.TB, o ReconnectOptions) *simWorld {
	t.Helper()
	w := &simWorld{t: t, loop: conntest.NewLoop(), roll: func(n int64) int64 { return n - 1 }}
	r, err := newReconnector(w, "ws://h.test/x", w.handle, &o)
	if err != nil {
		t.Fatal(err)
	}
	w.r = r
	return w
}

func (w *simWorld) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *State:
		if c != nil {
			w.t.Error("a State with a connection")
		}
		text := ev.Phase.String()
		if ev.Attempt > 0 {
			text += fmt.Sprintf(" #%d", ev.Attempt)
		}
		if ev.Phase == PhaseWaiting {
			text += " " + ev.Delay.String()
		}
		if ev.Code > 0 {
			text += fmt.Sprintf(" code %d", ev.Code)
		}
		if ev.Status > 0 {
			text += fmt.Sprintf(" status %d", ev.Status)
		}
		if ev.DoubtTo > 0 {
			text += fmt.Sprintf(" doubt %d-%d", ev.DoubtFrom, ev.DoubtTo)
		}
		if ev.Queued > 0 {
			text += fmt.Sprintf(" queued %d", ev.Queued)
		}
		if ev.Dropped > 0 {
			text += fmt.Sprintf(" dropped %d", ev.Dropped)
		}
		w.events = append(w.events, text)
	case *Message:
		w.events = append(w.events, "message "+string(ev.Data))
	case *Control:
		if ev.Op == Pong {
			w.events = append(w.events, "pong "+string(ev.Data))
		}
	}
	if w.on != nil {
		w.on(c, ev)
	}
}

// want wants exactly these events since the last want.
func (w *simWorld) want(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.events, want) {
		w.t.Fatalf("events:\n  got  %s\n  want %s", strings.Join(w.events, " | "), strings.Join(want, " | "))
	}
	w.events = nil
}

// pass moves the clock, and runs the timers that are due, each at its time.
func (w *simWorld) pass(d time.Duration) {
	w.t.Helper()
	end := w.now() + int64(d)
	for {
		w.turn()
		var next *simTimer
		for _, t := range w.timers {
			if t.at <= end && (next == nil || t.at < next.at) {
				next = t
			}
		}
		step := end
		if next != nil {
			step = next.at
		}
		for w.now() < step { // the deadlines of connections want small steps
			w.loop.Advance(time.Duration(min(step-w.now(), int64(500*time.Millisecond))))
			w.turn()
		}
		if next == nil {
			return
		}
		if next.Stop() {
			next.f()
		}
	}
}

func (w *simWorld) turn() {
	w.t.Helper()
	if err := w.loop.Turn(); err != nil {
		w.t.Fatal(err)
	}
}

// server is the last connection.
func (w *simWorld) server() *conntest.Dialogue { return w.dials[len(w.dials)-1] }

// accept has the server take the connection and the handshake.
func (w *simWorld) accept() {
	w.t.Helper()
	d := w.server()
	d.Attach(nil)
	_, rest, ok := strings.Cut(d.Sent(), "Sec-WebSocket-Key: ")
	if !ok {
		w.t.Fatal("there was no handshake")
	}
	key := acceptKey([]byte(rest[:24]))
	d.Send("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + string(key[:]) + "\r\n\r\n")
}

// refuse has the server refuse the handshake.
func (w *simWorld) refuse(status string, fields ...string) {
	w.t.Helper()
	d := w.server()
	d.Attach(nil)
	d.Send("HTTP/1.1 " + status + "\r\nContent-Length: 0\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n")
	w.turn()
}

// unreachable has the attempt to connect fail.
func (w *simWorld) unreachable() { w.server().Attach(unix.ECONNREFUSED) }

// cut breaks the connection.
func (w *simWorld) cut() { w.server().Fail(unix.ECONNRESET) }

// end has the server close the WebSocket with this code.
func (w *simWorld) end(code Code) {
	d := w.server()
	d.Send(frameOf(Close, string(binary.BigEndian.AppendUint16(nil, uint16(code)))))
	d.SendEOF()
}

func frameOf(op Op, payload string) string {
	return string(appendHeader(nil, finBit|byte(op), len(payload))) + payload
}

// The wait doubles with each failure, up to MaxDelay, and begins again after a WebSocket that has
// stood for Stable. All of it is random: full jitter.
func TestReconnectBacksOff(t *testing.T) {
	w := newSim(t, ReconnectOptions{})
	w.want() // nothing before the next turn
	w.pass(0)
	w.want("connecting #1")
	for n, wait := range []string{"1s", "2s", "4s", "8s", "16s", "32s", "1m0s", "1m0s"} {
		w.unreachable()
		w.want(fmt.Sprintf("waiting #%d %s", n+1, wait))
		d, _ := time.ParseDuration(wait)
		w.pass(d - 1)
		w.want()
		w.pass(1)
		w.want(fmt.Sprintf("connecting #%d", n+2))
	}
	w.accept()
	w.want("open")
	w.pass(10*time.Second - 1)
	w.cut() // not stable yet
	w.want("waiting #9 1m0s code 1006")
	w.pass(time.Minute)
	w.accept()
	w.pass(10 * time.Second)
	w.cut()
	w.want("connecting #10", "open", "waiting #1 1s code 1006")

	var asked []int64
	w = newSim(t, ReconnectOptions{MinDelay: 3, MaxDelay: 10})
	w.roll = func(n int64) int64 { asked = append(asked, n); return 0 }
	for range 100 { // without overflow
		w.pass(0)
		w.unreachable()
	}
	if len(asked) != 100 || !slices.Equal(asked[:4], []int64{4, 7, 11, 11}) || asked[99] != 11 {
		t.Errorf("of how many waits one was chosen: %v", asked)
	}
}

// Retry-After and the close codes 1012 and 1013 lead to longer waits.
func TestReconnectHeedsTheServer(t *testing.T) {
	least := func(int64) int64 { return 0 }
	most := func(n int64) int64 { return n - 1 }
	refused := func(fields ...string) func(w *simWorld) {
		return func(w *simWorld) { w.refuse("503 Busy", fields...) }
	}
	closed := func(c Code) func(w *simWorld) { return func(w *simWorld) { w.accept(); w.end(c) } }
	for _, tc := range []struct {
		name        string
		end         func(w *simWorld)
		least, most time.Duration
	}{
		{"nothing", refused(), 0, time.Second},
		{"seconds", refused("Retry-After: 7"), 7 * time.Second, 8 * time.Second},
		{"zero", refused("Retry-After: 0"), 0, time.Second},
		{"malformed", refused("Retry-After: -7"), 0, time.Second},
		{"too large a number", refused("Retry-After: 99999999999999999999"), 0, time.Second},
		{"for years", refused("Retry-After: 999999999"), time.Hour, time.Hour + time.Second},
		{"a date that is over", refused("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT"), 0, time.Second},
		{"a date far away", refused("Retry-After: Fri, 06 Nov 2099 08:49:37 GMT"), time.Hour, time.Hour + time.Second},
		{"1001", closed(CloseGoingAway), 0, time.Second},
		{"1000", closed(CloseNormal), 0, time.Second},
		{"1012", closed(CloseRestart), 5 * time.Second, 30 * time.Second},
		{"1013", closed(CloseTryLater), 5 * time.Second, 30 * time.Second},
	} {
		for _, roll := range []struct {
			f    func(int64) int64
			want time.Duration
		}{{least, tc.least}, {most, tc.most}} {
			w := newSim(t, ReconnectOptions{})
			w.roll = roll.f
			w.pass(0)
			tc.end(w)
			w.turn()
			if w.r.phase != PhaseWaiting || w.r.state.Delay != roll.want {
				t.Errorf("%s: %s for %s, want %s", tc.name, w.r.phase, w.r.state.Delay, roll.want)
			}
		}
	}
	w := newSim(t, ReconnectOptions{MinDelay: 50 * time.Second})
	w.pass(0)
	w.accept()
	w.end(CloseRestart)
	w.want("connecting #1", "open", "waiting #1 50s code 1012") // its own wait is longer
}

func TestRefusedForGood(t *testing.T) {
	var got []int
	for status := range 600 {
		if RefusedForGood(&State{Status: status}) {
			got = append(got, status)
		}
	}
	if want := []int{400, 401, 403, 404, 405, 410, 426, 501}; !slices.Equal(got, want) {
		t.Errorf("%d, want %d", got, want)
	}
}

func TestReconnectGivesUp(t *testing.T) {
	for status, want := range map[string]string{"401 No": "closed #1 status 401", "403 No": "closed #1 status 403", "404 No": "closed #1 status 404",
		"410 Gone": "closed #1 status 410", "503 Busy": "waiting #1 1s status 503", "429 Slow": "waiting #1 1s status 429", "500 No": "waiting #1 1s status 500"} {
		w := newSim(t, ReconnectOptions{Fatal: RefusedForGood})
		w.pass(0)
		w.refuse(status)
		w.want("connecting #1", want)
		if strings.HasPrefix(want, "closed") && w.r.state.Err == nil {
			t.Errorf("%s: no error", status)
		}
	}
	w := newSim(t, ReconnectOptions{}) // without Fatal nothing is
	w.pass(0)
	w.refuse("404 Not Found")
	w.want("connecting #1", "waiting #1 1s status 404")

	w = newSim(t, ReconnectOptions{Fatal: func(ev *State) bool { return ev.Attempt == 2 || ev.Code == CloseNormal }})
	w.pass(0)
	w.unreachable()
	w.pass(time.Second)
	w.unreachable()
	w.send2(ErrClosed)
	w.want("connecting #1", "waiting #1 1s", "connecting #2", "closed #2")

	w = newSim(t, ReconnectOptions{})
	w.fail = fmt.Errorf("x: %w", errForGood)
	w.pass(0)
	w.want("connecting #1", "closed #1")
	w = newSim(t, ReconnectOptions{})
	w.fail = unix.EMFILE // comes before there is a connection
	w.pass(0)
	w.want("connecting #1", "waiting #1 1s")
	if w.r.state.Err != unix.EMFILE {
		t.Error(w.r.state.Err)
	}
}

// Close ends it from each state, also from within each event; a State with PhaseClosed is the last
// event, and no timer or connection is left.
func TestReconnectCloses(t *testing.T) {
	type step struct {
		name string
		do   func(w *simWorld)
	}
	steps := []step{
		{"new", func(w *simWorld) {}},
		{"connecting", func(w *simWorld) { w.pass(0) }},
		{"handshake", func(w *simWorld) { w.server().Attach(nil) }},
		{"half a response", func(w *simWorld) { w.server().Send("HTTP/1.1 101 OK\r\n") }},
		{"open", func(w *simWorld) {
			d := w.server()
			_, rest, _ := strings.Cut(d.Sent(), "Sec-WebSocket-Key: ")
			key := acceptKey([]byte(rest[:24]))
			d.Send("Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + string(key[:]) + "\r\n\r\n")
		}},
		{"closing", func(w *simWorld) { CloseWith(w.r.c, CloseGoingAway, ""); w.turn() }},
		{"waiting", func(w *simWorld) { w.cut() }},
		{"connecting again", func(w *simWorld) { w.pass(time.Second) }},
		{"waiting again", func(w *simWorld) { w.unreachable() }},
	}
	finish := func(t *testing.T, w *simWorld, name string) {
		t.Helper()
		w.r.Close() // a second call does nothing
		w.pass(0)
		for _, d := range w.dials {
			if !d.Closed() && len(d.Wire.Sent) > 0 && bytes.Contains(d.Wire.Sent, []byte{finBit | byte(Close)}) {
				d.Send(frameOf(Close, "\x03\xe8"))
				d.SendEOF()
			}
		}
		w.pass(10 * time.Minute)
		n := 0
		for _, e := range w.events {
			if strings.HasPrefix(e, "closed") {
				n++
			}
		}
		if n != 1 || !strings.HasPrefix(w.events[len(w.events)-1], "closed") || w.r.Phase() != PhaseClosed || w.r.Conn() != nil {
			t.Errorf("closed while %s: %s", name, strings.Join(w.events, " | "))
		}
		if w.r.state.Err != nil {
			t.Errorf("closed while %s: %v", name, w.r.state.Err)
		}
		for _, d := range w.dials {
			if !d.Closed() {
				t.Errorf("closed while %s: a connection is left", name)
			}
		}
		if len(w.timers) > 0 {
			t.Errorf("closed while %s: %d timers are left", name, len(w.timers))
		}
		w.send2(ErrClosed)
	}
	for i := range steps {
		w := newSim(t, ReconnectOptions{})
		for _, s := range steps[:i+1] {
			s.do(w)
		}
		w.r.Close()
		if steps[i].name == "closing" {
			if w.turn(); w.server().Closed() {
				t.Error("a closing handshake that is under way was cut off")
			}
		}
		finish(t, w, steps[i].name)
	}
	// From within the n-th event.
	for n, over := 1, false; !over; n++ {
		for _, before := range []bool{false, true} {
			w := newSim(t, ReconnectOptions{Fatal: func(*State) bool { return false }})
			at, name := 0, ""
			count := func(ev string) {
				if at++; at == n {
					name = "in " + ev
					w.r.Close()
				}
			}
			w.on = func(c *conn.Conn, ev conn.Event) { count(ev.EventName()) }
			if before {
				w.r.opts.Before = func(*Attempt) error { count("Before"); return nil }
				w.r.opts.Fatal = func(*State) bool { count("Fatal"); return false }
			}
			for _, s := range steps {
				if name != "" {
					break
				}
				s.do(w)
			}
			if over = name == ""; !over {
				finish(t, w, name)
			}
		}
	}
}

// A server that is silent is dead, even though no byte says so.
func TestReconnectNoticesADeadServer(t *testing.T) {
	w := newSim(t, ReconnectOptions{ClientOptions: ClientOptions{Options: Options{PingInterval: 20 * time.Second, PongTimeout: 10 * time.Second}}})
	w.pass(0)
	w.accept()
	w.pass(time.Minute)
	if got := w.events; len(got) < 3 || !strings.HasPrefix(got[2], "waiting #1 1s code 1006") || !errors.Is(w.r.lastErr(), errNoPong) {
		t.Errorf("%q %v", got, w.r.lastErr())
	}
}

// lastErr is the error of the last end.
func (r *Reconnector) lastErr() error { return r.err }

// Before may change the URL and the fields of each attempt.
func TestReconnectBefore(t *testing.T) {
	own := []Header{{"X-A", "1"}}
	w := newSim(t, ReconnectOptions{ClientOptions: ClientOptions{Options: Options{Header: own}}})
	fail := errors.New("no token")
	w.r.opts.Before = func(a *Attempt) error {
		if a.URL != "ws://h.test/x" || !slices.Equal(a.Header, own) {
			t.Errorf("%+v", a)
		}
		a.URL, a.Header = fmt.Sprintf("ws://h.test/%d", a.Number), []Header{{"Authorization", "t"}}
		if a.Number == 2 {
			return fail
		}
		return nil
	}
	w.pass(0)
	if w.url != "ws://h.test/1" || w.header[0].Value != "t" || own[0].Value != "1" {
		t.Errorf("%s %v", w.url, w.header)
	}
	w.unreachable()
	w.pass(time.Second)
	if w.url != "ws://h.test/1" || !errors.Is(w.r.state.Err, fail) {
		t.Errorf("%s %v", w.url, w.r.state.Err)
	}
	w.pass(2 * time.Second)
	if w.url != "ws://h.test/3" {
		t.Errorf("%s", w.url)
	}
	w.want("connecting #1", "waiting #1 1s", "connecting #2", "waiting #2 2s", "connecting #3")
}

func TestReconnectHurries(t *testing.T) {
	w := newSim(t, ReconnectOptions{})
	w.r.Hurry()
	w.pass(0)
	w.r.Hurry()
	w.unreachable()
	w.pass(0)
	w.want("connecting #1", "waiting #1 1s")
	w.r.Hurry()
	w.r.Hurry()
	w.want() // not within the call
	w.pass(0)
	w.want("connecting #2")
	w.accept()
	w.r.Hurry()
	w.pass(0)
	w.want("open")
	if len(w.timers) > 0 {
		t.Errorf("%d timers", len(w.timers))
	}
}

// The manager shuts down: there is no other attempt.
func TestReconnectEndsWithAShutdown(t *testing.T) {
	w := newSim(t, ReconnectOptions{})
	w.pass(0)
	w.accept()
	w.server().Shutdown()
	w.server().Send(frameOf(Close, "\x03\xe9"))
	w.server().SendEOF()
	w.pass(time.Hour)
	w.want("connecting #1", "open", "closed code 1001")
}

func TestReconnectRefusesWhatCannotWork(t *testing.T) {
	for url, o := range map[string]*ReconnectOptions{
		"http://h/": nil, "wss://h/": nil, "ws://h/#x": nil,
		"ws://h/": {ClientOptions: ClientOptions{Options: Options{Protocols: []string{"a b"}}}},
	} {
		if r, err := newReconnector(&simWorld{t: t, loop: conntest.NewLoop()}, url, nil, o); err == nil || r != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	w := newSim(t, ReconnectOptions{})
	if _, err := w.r.Send(Ping, nil); err == nil {
		t.Error("a ping is no message")
	}
}
