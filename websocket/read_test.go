package websocket_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/websocket"
)

// RFC 6455 §8.1 and the fail-fast that the Autobahn suite asks for: the frame is not whole, the bad
// byte is enough.
func TestBadUTF8FailsInsideAFrame(t *testing.T) {
	text := "κόσμε\xed\xa0\x80edited"
	bad := firstBad([]byte(text))
	for _, tc := range []struct {
		name   string
		before []byte
		frame  []byte
	}{
		{"text", nil, masked(0x81, text)},
		{"first fragment", nil, masked(0x01, text)},
		{"continuation", masked(0x01, "abc\xce"), masked(0x80, "\xba"+text)},
	} {
		r := newRig(t, nil)
		r.receive(tc.before)
		n := len(tc.frame) - (len(text) - bad)
		r.receive(tc.frame[:n])
		r.want(tc.name+": before the bad byte", r.frames())
		r.receive(tc.frame[n : n+1])
		r.want(tc.name+": at the bad byte", r.frames(), `close 1007 "text is not UTF-8"`)
		r.want(tc.name+": events", r.events, `end 1007 "text is not UTF-8" clean=false`)
	}
}

// Too big is told by the header: nothing of the payload is waited for or kept.
func TestTooBigIsRefusedByTheHeader(t *testing.T) {
	for _, tc := range []struct {
		name string
		in   []byte
	}{
		{"one frame", masked(0x82, strings.Repeat("x", websocket.DefaultMaxMessage+1))[:14]},
		{"fragments", cat(masked(0x02, strings.Repeat("x", 100)), masked(0x80, strings.Repeat("x", websocket.DefaultMaxMessage-99))[:14])},
	} {
		r := newRig(t, nil)
		r.receive(tc.in)
		r.want(tc.name, r.frames(), `close 1009 "message too big"`)
	}
}

func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	r := newRig(t, &websocket.Options{MaxMessage: 1 << 30})
	for _, first := range []byte{0x82, 0x02} {
		head := []byte{first, 0xff, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'x'}
		r.receive(head)
		if n := r.c.Recv.Len(); n != len(head) {
			t.Fatalf("%d bytes kept, want %d", n, len(head))
		}
		if r.hasPart() {
			t.Fatal("an assembly was made for a fragment that has not come")
		}
		r = newRig(t, &websocket.Options{MaxMessage: 1 << 30})
	}
}

func TestSessionIsSmallAndIdleOwnsNothing(t *testing.T) {
	if n := websocket.SessionSize; n > 64 {
		t.Errorf("session has %d bytes", n)
	}
	r := newRig(t, nil)
	r.receive(masked(0x01, "half"))
	if !r.hasPart() {
		t.Error("no assembly inside a fragmented message")
	}
	r.receive(cat(masked(0x80, "whole"), masked(0x81, "next")))
	if r.hasPart() || r.c.Recv.Len() > 0 {
		t.Error("an idle connection keeps a buffer")
	}
	r.receive(masked(0x01, "half"))
	part := websocket.Parts(r.c)
	r.SendEOF()
	if _, any := part(); any {
		t.Error("a closed connection keeps its assembly")
	}
}

// A message that is whole in the buffer is not copied.
func TestWholeMessageIsDeliveredInPlace(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Message); ok && &m.Data[0] != &c.Recv.Bytes()[6] {
			t.Error("the message was copied")
		}
	}
	r.receive(masked(0x81, "in place"))
	r.want("events", r.events, `text "in place"`)
}

func TestManyFramesInOneRead(t *testing.T) {
	r := newRig(t, nil)
	var in []byte
	var want []string
	for i := range 5000 {
		in = append(in, masked(0x81, fmt.Sprint(i))...)
		want = append(want, fmt.Sprintf("text %q", fmt.Sprint(i)))
	}
	r.receive(in)
	r.want("events", r.events, want...)
}

// A peer that floods pings and does not read is stopped by its own full socket, and gets every pong
// in the end.
func TestPingFloodIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater = 16<<10, 4<<10
	r.Wire.Room = 0
	const pings = 2000
	var flood []byte
	for i := range pings {
		flood = append(flood, masked(0x89, fmt.Sprintf("%0100d", i))...)
	}
	r.receive(flood)
	if n := r.c.Pending(); n > r.limits.HighWater+127 {
		t.Fatalf("%d bytes are queued, the high-water mark is %d", n, r.limits.HighWater)
	}
	if r.Wire.Unread() == 0 {
		t.Fatal("everything was read although nothing could be sent")
	}
	for range 10_000 {
		r.Room(1000)
		if r.Wire.Unread() == 0 && r.c.Recv.Len() == 0 && r.c.Pending() == 0 {
			break
		}
	}
	var want []string
	for i := range pings {
		want = append(want, "pong "+short(fmt.Appendf(nil, "%0100d", i)))
	}
	if got := r.frames(); !slices.Equal(got, want) {
		t.Errorf("%d pongs for %d pings", len(got), pings)
	}
}

// RFC 6455 §5.5.2, with a queue that refuses: the pong has room because nothing is processed while
// there is none.
func TestPongIsNotDroppedWhenTheUserFillsTheQueue(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater, r.limits.OnFull = 8<<10, 1<<10, conn.RefuseOnFull
	r.Wire.Room = 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Message); ok {
			for websocket.Send(c, websocket.Binary, make([]byte, 100)) == nil {
			}
		}
	}
	r.receive(cat(masked(0x81, "fill"), masked(0x89, "p")))
	r.want("events while full", r.events, `text "fill"`)
	r.Room(-1)
	r.want("events after", r.events, `text "fill"`, `ping "p"`)
	if got := r.frames(); got[len(got)-1] != `pong "p"` {
		t.Errorf("the last frame is %s", got[len(got)-1])
	}
}

// Small requests with large replies, to a client that reads slowly: the bytes that wait stay
// bounded, and all get their reply.
func TestCongestionStopsReading(t *testing.T) {
	r := newRig(t, &websocket.Options{MaxMessage: 1000})
	r.limits.Send, r.limits.HighWater, r.limits.Recv = 64<<10, 4<<10, 128<<10
	got := 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Message); ok {
			got++
			websocket.Send(c, m.Op, make([]byte, 2000))
		}
	}
	r.hush()
	const requests = 10_000
	r.Wire.Room = 0
	r.receive(bytes.Repeat(masked(0x81, strings.Repeat("x", 100)), requests))
	for i := 0; got < requests && !r.Closed(); i++ {
		if i > 1_000_000 {
			t.Fatal("it stands still")
		}
		r.Room(8 << 10)
		if n := r.c.Recv.Len(); n > 64<<10 {
			t.Fatalf("%d bytes are held up", n)
		}
	}
	if r.Closed() {
		t.Error("the connection ended")
	}
}

// The end of the stream does not overtake what a congestion has held up.
func TestEndOfStreamComesAfterWhatWasHeldUp(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater = 8<<10, 1<<10
	r.Wire.Room = 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Message); ok {
			websocket.Send(c, websocket.Binary, make([]byte, 5000))
		}
	}
	r.receive(cat(masked(0x81, "fill"), masked(0x81, "held"), masked(0x81, "too")))
	r.SendEOF()
	r.want("while congested", r.events, `text "fill"`)
	r.Room(5004) // the queue falls
	r.want("later", r.events, `text "fill"`, `text "held"`)
	r.Room(5004)
	r.want("later", r.events, `text "fill"`, `text "held"`, `text "too"`)
	r.Room(-1)
	r.want("at the end", r.events, `text "fill"`, `text "held"`, `text "too"`, abnormal, "closed")
}

func TestPauseStopsDelivery(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Message); ok {
			c.Pause()
		}
	}
	r.receive(cat(masked(0x81, "1"), masked(0x81, "2"), masked(0x81, "3")))
	r.want("paused", r.events, `text "1"`)
	r.c.Resume()
	r.Turn()
	r.want("resumed once", r.events, `text "1"`, `text "2"`)
	r.c.Resume()
	r.Turn()
	r.want("resumed twice", r.events, `text "1"`, `text "2"`, `text "3"`)
}

func TestCloseInTheHandlerStopsDelivery(t *testing.T) {
	for name, stop := range map[string]func(c *conn.Conn){"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain} {
		r := newRig(t, nil)
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*websocket.Message); ok {
				stop(c)
			}
		}
		r.receive(cat(masked(0x81, "1"), masked(0x81, "2")))
		r.want(name, r.events, `text "1"`, `end 1006 "" clean=false`, "closed")
	}
}

// The handler may change the bytes of a message; the frames after it do not change with it.
func TestHandlerMayChangeTheMessage(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(_ *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Message); ok {
			clear(m.Data)
			_ = append(m.Data, 'x')
		}
	}
	r.receive(cat(masked(0x81, "one"), masked(0x81, "two")))
	r.want("events", r.events, `text "one"`, `text "two"`)
}

// conn's receive limit must not come before 1009, however the bytes fall.
func TestReceiveLimitLeavesRoomForTheLargestMessage(t *testing.T) {
	const size = 4 << 20
	r, _ := handshakeRig(t, conn.Limits{Recv: 1 << 10}, &websocket.Options{MaxMessage: size})
	p := strings.Repeat("0123456789abcdef", size/16)
	in := cat(masked(0x82, p), masked(0x82, p), masked(0x82, p+"x"))
	for len(in) > 0 {
		n := min(len(in), 50_000)
		r.receive(in[:n])
		in = in[n:]
	}
	m := "binary " + short([]byte(p))
	r.want("events", r.events, m, m, `end 1009 "message too big" clean=false`)
}

// echo is the handler of the benchmarks.
func echo(c *conn.Conn, ev conn.Event) {
	if m, ok := ev.(*websocket.Message); ok {
		websocket.Send(c, m.Op, m.Data)
	}
}

func echoRig(t testing.TB, op websocket.Op, size int) (r *rig, turn func()) {
	r = newRig(t, nil)
	r.onEvent = echo
	r.hush()
	in := masked(fin|byte(op), strings.Repeat("x", size))
	buf := bytes.Clone(in)
	return r, func() {
		copy(buf, in)
		r.receive(buf)
	}
}

func TestEchoAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		_, turn := echoRig(t, websocket.Text, size)
		if n := testing.AllocsPerRun(1000, turn); n != 0 {
			t.Errorf("echo of %d bytes: %v allocations", size, n)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		for _, op := range []websocket.Op{websocket.Text, websocket.Binary} {
			b.Run(fmt.Sprintf("%s-%d", op, size), func(b *testing.B) {
				_, turn := echoRig(b, op, size)
				b.ReportAllocs()
				b.SetBytes(int64(size))
				for b.Loop() {
					turn()
				}
			})
		}
	}
}

// Sixty-four small frames in a read, as a busy client sends them.
func BenchmarkManyFrames(b *testing.B) {
	r := newRig(b, nil)
	r.hush()
	in := bytes.Repeat(masked(0x81, strings.Repeat("x", 64)), 64)
	buf := bytes.Clone(in)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		r.receive(buf)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/frame")
}
