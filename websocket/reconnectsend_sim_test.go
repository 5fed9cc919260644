package websocket

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// The messages of a Reconnector: which ones wait, which ones a server gets, which ones are in
// doubt, and what is dropped. The world is that of reconnect_sim_test.go.

// received returns the frames that the server has got, "ping" for one of the Reconnector's own, and
// answers no ping.
func (w *simWorld) received() (list []string) { return framesIn(w.t, w.server().Sent()) }

func framesIn(t testing.TB, b string) (list []string) {
	for p := []byte(b); len(p) > 0; {
		var h [14]byte // the header and the key, as far as they are out
		copy(h[:], p)
		n, at := int(h[1]&0x7f), 2
		switch n {
		case 126:
			n, at = int(binary.BigEndian.Uint16(h[2:])), 4
		case 127:
			n, at = int(binary.BigEndian.Uint64(h[2:])), 10
		}
		if len(p) < at+4+n {
			return append(list, "cut") // the rest is not out yet
		}
		key, body := p[at:at+4], bytes.Clone(p[at+4:at+4+n])
		for i := range body {
			body[i] ^= key[i&3]
		}
		switch op := Op(p[0] & 0xf); {
		case op == Ping && strings.HasPrefix(string(body), pingMark):
			list = append(list, fmt.Sprintf("ask %d", binary.BigEndian.Uint64(body[len(pingMark):])))
		case op == Text || op == Binary:
			list = append(list, string(body))
		default:
			list = append(list, op.String())
		}
		p = p[at+4+n:]
	}
	return list
}

func (w *simWorld) wantReceived(want ...string) {
	w.t.Helper()
	if got := w.received(); !slices.Equal(got, want) {
		w.t.Fatalf("the server got %q, want %q", got, want)
	}
}

func (w *simWorld) send(text string) uint64 {
	w.t.Helper()
	n, err := w.r.Send(Text, []byte(text))
	if err != nil {
		w.t.Fatal(err)
	}
	w.turn()
	return n
}

// A message that is sent while there is no WebSocket waits, in order, and goes after those that the
// program sends in its Open event.
func TestReconnectSendsWhatHasWaited(t *testing.T) {
	w := newSim(t, ReconnectOptions{})
	w.send("a")
	w.pass(0)
	if n := w.send("b"); n != 2 {
		t.Errorf("the second message has the number %d", n)
	}
	w.on = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Open); ok {
			Send(c, Text, []byte("hello"))
			w.r.Send(Text, []byte("c"))
		}
	}
	w.accept()
	w.send("d")
	w.wantReceived("hello", "a", "b", "c", "d")
	w.want("connecting #1 queued 1", "open queued 3")
	w.cut()
	w.send("e")
	w.want("waiting #1 1s code 1006 doubt 1-4")
	w.pass(time.Second)
	w.accept()
	w.wantReceived("hello", "e", "c") // nothing is sent twice
	w.on = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Close); ok {
			w.events = append(w.events, "Close")
		}
	}
	w.cut()
	w.want("connecting #2 queued 1", "open queued 2", "Close", "waiting #2 2s code 1006 doubt 5-6")
}

func TestReconnectQueueIsBounded(t *testing.T) {
	for _, tc := range []struct {
		name string
		o    ReconnectOptions
		send []string
		errs []error
		want []string
		drop string
	}{
		{"messages", ReconnectOptions{MaxQueue: 2}, []string{"a", "b", "c"}, []error{nil, nil, ErrQueueFull}, []string{"a", "b"}, ""},
		{"bytes", ReconnectOptions{MaxQueueBytes: 5}, []string{"aaa", "bbb", "cc", "", "d"}, []error{nil, ErrQueueFull, nil, nil, ErrQueueFull}, []string{"aaa", "cc", ""}, ""},
		{"the oldest of the messages", ReconnectOptions{MaxQueue: 2, DropOldest: true}, []string{"a", "b", "c"}, []error{nil, nil, nil}, []string{"b", "c"}, " dropped 1"},
		{"the oldest of the bytes", ReconnectOptions{MaxQueueBytes: 5, DropOldest: true}, []string{"a", "bb", "cccc", "toolong"},
			[]error{nil, nil, nil, ErrQueueFull}, []string{"cccc"}, " dropped 2"},
		{"none", ReconnectOptions{MaxQueue: -1}, []string{"a"}, []error{ErrNotOpen}, nil, ""},
	} {
		w := newSim(t, tc.o)
		w.pass(0)
		for i, text := range tc.send {
			if _, err := w.r.Send(Text, []byte(text)); err != tc.errs[i] {
				t.Errorf("%s: %q: %v, want %v", tc.name, text, err, tc.errs[i])
			}
		}
		queued := ""
		if len(tc.want) > 0 {
			queued = fmt.Sprintf(" queued %d", len(tc.want))
		}
		w.accept()
		w.wantReceived(tc.want...)
		w.want("connecting #1", "open"+queued+tc.drop)
		w.send("more")
		w.wantReceived("more")
	}
}

// A server that takes little: messages wait here, where they are bounded and not in doubt.
func TestReconnectWithASlowServer(t *testing.T) {
	w := newSim(t, ReconnectOptions{MaxQueue: 100, MaxQueueBytes: 1 << 20})
	w.limits = conn.Limits{HighWater: 8 << 10}
	w.pass(0)
	w.accept()
	d := w.server()
	d.Wire.Room = 0
	piece := strings.Repeat("x", 1000)
	for range 20 {
		w.send(piece)
	}
	if p := w.r.c.Pending(); p < 4<<10 || p > 6<<10 {
		t.Errorf("%d bytes were handed to the connection", p)
	}
	if n, size := w.r.Queued(); n < 14 || size != n*1000 {
		t.Errorf("%d messages of %d bytes wait", n, size)
	}
	d.Room(-1)
	if got := w.received(); len(got) != 20 {
		t.Errorf("the server got %d messages", len(got))
	}
	if n, size := w.r.Queued(); n+size != 0 {
		t.Errorf("%d messages of %d bytes wait", n, size)
	}
	// While a Writer is at it, messages wait, too.
	mw := Writer(w.r.c, Text)
	mw.Write([]byte("be"))
	w.send("after")
	mw.Write([]byte("gun"))
	mw.Close()
	w.turn()
	w.wantReceived("be", "continuation", "continuation", "after")
}

// A message that was handed to a broken connection is in doubt, unless a pong has confirmed it.
func TestReconnectTellsWhatIsInDoubt(t *testing.T) {
	w := newSim(t, ReconnectOptions{ClientOptions: ClientOptions{Options: Options{PingInterval: -1}}})
	w.pass(0)
	w.accept()
	d := w.server()
	w.send("a")
	w.send("b")
	w.pass(10*time.Second - 1)
	w.wantReceived("a", "b")
	w.pass(1)
	w.wantReceived("ask 2")
	w.send("c")
	pong := func(n uint64) string {
		return frameOf(Pong, string(binary.BigEndian.AppendUint64([]byte(pingMark), n)))
	}
	w.want("connecting #1", "open")
	d.Send(frameOf(Pong, "own"), pong(9), pong(0), frameOf(Pong, pingMark)) // only the program's own are its business
	w.want("pong own", "pong "+pingMark)
	d.Send(pong(2))
	w.pass(10 * time.Second)
	w.wantReceived("c", "ask 3")
	w.pass(10 * time.Second)
	w.wantReceived("ask 3") // a pong may be left out
	w.send("d")
	d.Send(pong(3))
	w.cut()
	w.want("waiting #1 1s code 1006 doubt 4-4")
	if len(w.timers) != 1 {
		t.Errorf("%d timers", len(w.timers))
	}
	w.pass(time.Second)
	w.accept()
	w.send("e")
	w.pass(10 * time.Second)
	w.server().Send(pong(5))
	w.pass(time.Hour)
	w.wantReceived("e", "ask 5") // nothing is in doubt any more
	w.cut()
	w.want("connecting #2", "open", "waiting #1 1s code 1006")
	if len(w.timers) != 1 {
		t.Errorf("%d timers", len(w.timers))
	}
}

// send2 wants Send to fail.
func (w *simWorld) send2(want error) {
	w.t.Helper()
	if _, err := w.r.Send(Text, nil); err != want {
		w.t.Errorf("Send: %v, want %v", err, want)
	}
}

// A message goes to one server at most, the messages of each server come in order, and each message
// is accounted for: received, dropped, in doubt, waiting, or dropped at the end.
func TestReconnectAccountsForEachMessage(t *testing.T) {
	for seed := range uint64(400) {
		accountFor(t, rand.New(rand.NewPCG(seed, 12)))
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func accountFor(t *testing.T, rnd *rand.Rand) {
	o := ReconnectOptions{MaxQueue: 1 + rnd.IntN(8), MaxQueueBytes: 10 + rnd.IntN(5000), DropOldest: rnd.IntN(2) == 0, Confirm: time.Duration(rnd.IntN(3)) * time.Second}
	w := newSim(t, o)
	w.roll = rnd.Int64N
	w.limits = conn.Limits{HighWater: 256 << rnd.IntN(5)}
	const sent, gone, doubted = 1, 2, 3
	fate := map[uint64]int{} // of the accepted messages
	got := map[uint64]int{}  // by which server
	var dropped uint64
	inDoubt := map[uint64]bool{}
	closed := 0
	w.on = func(c *conn.Conn, ev conn.Event) {
		s, ok := ev.(*State)
		if !ok {
			return
		}
		dropped += s.Dropped
		if s.Phase == PhaseClosed {
			closed++
			dropped += uint64(s.Queued)
		}
		if s.DoubtTo > 0 {
			if s.DoubtFrom == 0 || s.DoubtFrom > s.DoubtTo {
				t.Errorf("doubt %d-%d", s.DoubtFrom, s.DoubtTo)
			}
			for n := s.DoubtFrom; n <= s.DoubtTo; n++ {
				inDoubt[n] = true
			}
		}
	}
	streams := make([]string, 0, 8) // what each server got
	collect := func() {
		for i, d := range w.dials {
			for len(streams) <= i {
				streams = append(streams, "")
			}
			streams[i] += d.Sent()
		}
	}
	open := func() bool { return w.r.phase == PhaseOpen && !w.server().Closed() }
	for range 60 {
		switch rnd.IntN(12) {
		case 0, 1, 2, 3:
			text := fmt.Sprintf("%d ", w.r.last+1) + strings.Repeat("x", rnd.IntN(400))
			if n, err := w.r.Send(Text, []byte(text)); err == nil {
				if !strings.HasPrefix(text, fmt.Sprintf("%d ", n)) {
					t.Errorf("message %q has the number %d", text, n)
				}
				fate[n] = sent
			}
		case 4, 5:
			w.pass(time.Duration(rnd.Int64N(int64(3 * time.Second))))
		case 6, 7:
			if w.r.phase == PhaseConnecting && len(w.dials) > 0 && w.r.c != nil && w.r.c.FD() < 0 {
				collect()
				d := w.server()
				d.Attach(nil)
				head := d.Sent()
				_, rest, ok := strings.Cut(head, "Sec-WebSocket-Key: ")
				if ok && rnd.IntN(4) > 0 {
					key := acceptKey([]byte(rest[:24]))
					d.Send("HTTP/1.1 101 OK\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + string(key[:]) + "\r\n\r\n")
				} else {
					d.Send("HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n")
				}
			}
		case 8:
			if open() {
				w.server().Wire.Room = rnd.IntN(2000)
			}
		case 9:
			if open() {
				w.server().Room(-1)
			}
		case 10:
			if open() {
				collect()
				for _, f := range framesIn(t, streams[len(streams)-1]) { // the server answers the last ping
					var n uint64
					if _, err := fmt.Sscanf(f, "ask %d", &n); err == nil {
						w.server().Send(frameOf(Pong, string(binary.BigEndian.AppendUint64([]byte(pingMark), n))))
					}
				}
			}
		case 11:
			switch {
			case open() && rnd.IntN(2) == 0:
				w.cut()
			case open() && rnd.IntN(3) == 0:
				w.end(CloseRestart)
			case w.r.phase == PhaseWaiting:
				w.r.Hurry()
			}
		}
		w.turn()
	}
	w.r.Close()
	w.pass(time.Minute)
	collect()
	if closed != 1 {
		t.Errorf("closed %d times", closed)
	}
	for i, s := range streams {
		last := uint64(0)
		for _, f := range framesIn(t, s) {
			var n uint64
			if strings.HasPrefix(f, "ask") {
				continue
			}
			if _, err := fmt.Sscanf(f, "%d ", &n); err != nil {
				continue
			}
			if n <= last {
				t.Errorf("server %d got message %d after %d", i, n, last)
			}
			last = n
			if before, ok := got[n]; ok {
				t.Errorf("message %d went to the servers %d and %d", n, before, i)
			}
			got[n] = i
			fate[n] = gone
		}
	}
	lost := uint64(0)
	for n, f := range fate {
		switch {
		case f == gone:
		case inDoubt[n]:
			fate[n] = doubted
		default:
			lost++
		}
	}
	doubtful := uint64(0) // the oldest that were dropped may lie in a range that is in doubt
	for _, f := range fate {
		if f == doubted && o.DropOldest {
			doubtful++
		}
	}
	if dropped < lost || dropped > lost+doubtful {
		t.Errorf("%d messages are not accounted for, %d were told as dropped", lost, dropped)
	}
}

// While the WebSocket is open, sending costs no allocation more than Send does.
func TestReconnectSendAllocatesNothing(t *testing.T) {
	w := newSim(t, ReconnectOptions{})
	w.pass(0)
	w.accept()
	w.server().Wire.Forget = true
	p := []byte(strings.Repeat("x", 64))
	n := testing.AllocsPerRun(1000, func() {
		if _, err := w.r.Send(Binary, p); err != nil {
			t.Fatal(err)
		}
		w.turn()
	})
	if n > 0 {
		t.Errorf("%v allocations for a message", n)
	}
}
