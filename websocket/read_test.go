package websocket

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unsafe"

	"github.com/seed4930a636/mangusta/conn"
)

// RFC 6455 §8.1 and the fail-fast that the Autobahn suite asks for: the frame is not whole, the bad byte is enough.
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
		{"one frame", masked(0x82, strings.Repeat("x", defaultMaxMessage+1))[:14]},
		{"fragments", cat(masked(0x02, strings.Repeat("x", 100)), masked(0x80, strings.Repeat("x", defaultMaxMessage-99))[:14])},
	} {
		r := newRig(t, nil)
		r.receive(tc.in)
		r.want(tc.name, r.frames(), `close 1009 "message too big"`)
	}
}

func TestAnnouncedLengthAllocatesNothing(t *testing.T) {
	r := newRig(t, &Options{MaxMessage: 1 << 30})
	for _, first := range []byte{0x82, 0x02} {
		head := []byte{first, 0xff, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0xff, 1, 2, 3, 4, 'x'}
		r.receive(head)
		if n := r.c.Recv.Len(); n != len(head) {
			t.Fatalf("%d bytes kept, want %d", n, len(head))
		}
		if r.session().part != nil {
			t.Fatal("an assembly was made for a fragment that has not come")
		}
		r = newRig(t, &Options{MaxMessage: 1 << 30})
	}
}

func TestSessionIsSmallAndIdleOwnsNothing(t *testing.T) {
	if n := unsafe.Sizeof(session{}); n > 64 {
		t.Errorf("session has %d bytes", n)
	}
	r := newRig(t, nil)
	r.receive(masked(0x01, "half"))
	if r.session().part == nil {
		t.Error("no assembly inside a fragmented message")
	}
	r.receive(cat(masked(0x80, "whole"), masked(0x81, "next")))
	if r.session().part != nil || r.c.Recv.Len() > 0 {
		t.Error("an idle connection keeps a buffer")
	}
	r.receive(masked(0x01, "half"))
	s := r.session()
	r.hangUp()
	if s.part != nil {
		t.Error("a closed connection keeps its assembly")
	}
}

// A message that is whole in the buffer is not copied.
func TestWholeMessageIsDeliveredInPlace(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok && &m.Data[0] != &c.Recv.Bytes()[6] {
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
	r.in = in
	r.c.Readable()
	r.c.Readable()
	r.want("events", r.events, want...)
}

// A peer that floods pings and does not read is stopped by its own full socket, and gets every pong in the end.
func TestPingFloodIsBounded(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater = 16<<10, 4<<10
	r.room = 0
	const pings = 2000
	var flood []byte
	for i := range pings {
		flood = append(flood, masked(0x89, fmt.Sprintf("%0100d", i))...)
	}
	r.in = flood
	for range 50 {
		r.c.Readable()
		r.settle()
		if n := r.c.Pending(); n > r.limits.Send/2+127 {
			t.Fatalf("%d bytes are queued, the limit is %d", n, r.limits.Send)
		}
	}
	if len(r.in) == 0 {
		t.Fatal("everything was read although nothing could be sent")
	}
	for range 10_000 {
		r.room = 1000
		r.c.Writable()
		r.settle()
		r.c.Readable()
		r.settle()
		if len(r.in) == 0 && r.c.Recv.Len() == 0 && r.c.Pending() == 0 {
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

// RFC 6455 §5.5.2, with a queue that refuses: the pong has room because nothing is processed while there is none.
func TestPongIsNotDroppedWhenTheUserFillsTheQueue(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater, r.limits.OnFull = 8<<10, 1<<10, conn.RefuseOnFull
	r.room = 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			for Send(c, Binary, make([]byte, 100)) == nil {
			}
		}
	}
	r.receive(cat(masked(0x81, "fill"), masked(0x89, "p")))
	r.want("events while full", r.events, `text "fill"`)
	r.room = -1
	r.c.Writable()
	r.settle()
	r.want("events after", r.events, `text "fill"`, `ping "p"`)
	if got := r.frames(); got[len(got)-1] != `pong "p"` {
		t.Errorf("the last frame is %s", got[len(got)-1])
	}
}

// Small requests with large answers, to a client that reads slowly: what is held up stays bounded, and all are answered.
func TestCongestionStopsReading(t *testing.T) {
	r := newRig(t, &Options{MaxMessage: 1000})
	r.limits.Send, r.limits.HighWater, r.limits.Recv = 64<<10, 4<<10, 128<<10
	got := 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			got++
			Send(c, m.Op, make([]byte, 2000))
		}
	}
	r.quiet = true
	const requests = 10_000
	r.in = bytes.Repeat(masked(0x81, strings.Repeat("x", 100)), requests)
	for i := 0; got < requests && !r.over; i++ {
		if i > 1_000_000 {
			t.Fatal("it stands still")
		}
		r.c.Readable()
		r.settle()
		if n := r.c.Recv.Len(); n > 64<<10 {
			t.Fatalf("%d bytes are held up", n)
		}
		r.room = 8 << 10
		r.c.Writable()
		r.c.Settle()
	}
	if r.over {
		t.Error("the connection ended")
	}
}

// The end of the stream does not overtake what a congestion has held up.
func TestEndOfStreamComesAfterWhatWasHeldUp(t *testing.T) {
	r := newRig(t, nil)
	r.limits.Send, r.limits.HighWater = 8<<10, 1<<10
	r.room = 0
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			Send(c, Binary, make([]byte, 5000))
		}
	}
	r.receive(cat(masked(0x81, "fill"), masked(0x81, "held"), masked(0x81, "too")))
	r.hangUp()
	r.want("while congested", r.events, `text "fill"`)
	for range 2 {
		r.room = 5004
		r.c.Writable()
		r.c.Settle() // the queue falls; Redeliver is due in the next turn
		r.hangUp()
	}
	r.want("later", r.events, `text "fill"`, `text "held"`, `text "too"`)
	r.room = -1
	r.c.Writable()
	r.settle()
	r.hangUp()
	r.want("at the end", r.events, `text "fill"`, `text "held"`, `text "too"`, abnormal, "closed")
}

func TestPauseStopsDelivery(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			c.Pause()
		}
	}
	r.receive(cat(masked(0x81, "1"), masked(0x81, "2"), masked(0x81, "3")))
	r.want("paused", r.events, `text "1"`)
	r.c.Resume()
	r.settle()
	r.want("resumed once", r.events, `text "1"`, `text "2"`)
	r.c.Resume()
	r.settle()
	r.want("resumed twice", r.events, `text "1"`, `text "2"`, `text "3"`)
}

func TestCloseInTheHandlerStopsDelivery(t *testing.T) {
	for name, stop := range map[string]func(c *conn.Conn){"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain} {
		r := newRig(t, nil)
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				stop(c)
			}
		}
		r.receive(cat(masked(0x81, "1"), masked(0x81, "2")))
		r.want(name, r.events, `text "1"`, `end 1006 "" clean=false`, "closed")
	}
}

// The handler may change the bytes of a message; the frames behind it are not touched by that.
func TestHandlerMayChangeTheMessage(t *testing.T) {
	r := newRig(t, nil)
	r.onEvent = func(_ *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
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
	r := newRig(t, &Options{MaxMessage: size})
	r.limits.Recv = 1 << 10
	begin(r.c, &Options{MaxMessage: size})
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
	if m, ok := ev.(*Message); ok {
		Send(c, m.Op, m.Data)
	}
}

func echoRig(t testing.TB, op Op, size int) (r *rig, turn func()) {
	r = newRig(t, nil)
	r.quiet, r.onEvent = true, echo
	in := masked(fin|byte(op), strings.Repeat("x", size))
	buf := bytes.Clone(in)
	return r, func() {
		copy(buf, in)
		r.in = buf
		for len(r.in) > 0 {
			r.c.Readable()
		}
		r.settle()
	}
}

func TestEchoAllocatesNothing(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector makes sync.Pool forget")
	}
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		_, turn := echoRig(t, Text, size)
		if n := testing.AllocsPerRun(1000, turn); n != 0 {
			t.Errorf("echo of %d bytes: %v allocations", size, n)
		}
	}
}

func BenchmarkEcho(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		for _, op := range []Op{Text, Binary} {
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
	r.quiet = true
	in := bytes.Repeat(masked(0x81, strings.Repeat("x", 64)), 64)
	buf := bytes.Clone(in)
	b.ReportAllocs()
	for b.Loop() {
		copy(buf, in)
		r.in = buf
		r.c.Readable()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/64, "ns/frame")
}
