package websocket_test

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/websocket"
)

// watcher is a conn.Watcher.
type watcher func(c *conn.Conn, ev conn.Event)

func (w watcher) Watch(c *conn.Conn, ev conn.Event) { w(c, ev) }

// The bytes of large frames of a fragmented message are read to where the message is put together,
// and nearly all of them lie there after few reads, without a copy.
func TestLargeFragmentsAreReadInPlace(t *testing.T) {
	life(t, websocket.Options{MaxMessage: 4 << 20}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		const size = 1 << 20
		text := strings.Repeat("0123456789abcdef", 2*size/16)
		inPlace, reads := 0, 0
		r.c.SetWatcher(watcher(func(c *conn.Conn, ev conn.Event) {
			if read, ok := ev.(*conn.Read); ok {
				reads++
				if p := websocket.Place(c); len(p) > 0 && &p[0] == &c.Recv.Bytes()[0] {
					inPlace += read.N
				}
			}
		}))
		for _, f := range [][]byte{frame(0x02, text[:size]), frame(0x80, text[size:])} {
			r.Wire.Arrive(f, nil)
		}
		r.Turn()
		r.want("events", r.events, "binary "+short([]byte(text)))
		if inPlace < 2*size*3/4 || reads > 12 {
			t.Errorf("%d of %d bytes were read in place, in %d reads", inPlace, 2*size, reads)
		}
		if r.hasPart() || r.Loop.Shared.Held() > 0 {
			t.Errorf("%d bytes are held after the message", r.Loop.Shared.Held())
		}
	})
}

// A large frame that is announced has its room in few steps, and never more than five times what
// has come.
func TestAnnouncedFragmentsGetRoomAsTheyCome(t *testing.T) {
	r := newRig(t, &websocket.Options{MaxMessage: 4 << 20})
	f := masked(0x02, strings.Repeat("x", 3<<20))
	sent, steps, held := 0, 0, 0
	for sent < len(f)-1 {
		n := min(70_000, len(f)-1-sent)
		r.receive(f[sent : sent+n])
		sent += n
		if h, _ := websocket.Parts(r.c)(); h != held {
			held = h
			steps++
		}
		if held > 5*sent {
			t.Fatalf("%d bytes have come, %d are held", sent, held)
		}
	}
	if steps > 4 || held != 3<<20 {
		t.Errorf("%d bytes of room for %d, in %d steps", held, 3<<20, steps)
	}
}

// Large frames at random, with mistakes, Close frames, pauses and ends among them: bytes that come
// as they like lead to the events and replies that the same frames lead to if each comes in many
// small pieces, and in the end nothing is held.
func TestHugeFragmentsAtRandom(t *testing.T) {
	rounds := uint64(25)
	if exhaustive.On() {
		rounds = 2000
	}
	large := strings.Repeat(manyBytes, 15)
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 29))
		var in []byte
		first := byte(1 + rnd.IntN(2))
		for range 1 + rnd.IntN(5) {
			n := rnd.IntN(len(large))
			if rnd.IntN(3) == 0 {
				n = rnd.IntN(200)
			}
			for n > 0 && large[n]&0xc0 == 0x80 {
				n-- // a character ends here
			}
			p := []byte(large[:n])
			if rnd.IntN(8) == 0 && n > 0 {
				p[rnd.IntN(n)] ^= byte(1 << rnd.IntN(8)) // often no UTF-8
			}
			fin := byte(rnd.IntN(2) * 0x80)
			in = append(in, masked(fin|first, string(p))...)
			if first = 0; fin != 0 {
				first = byte(1 + rnd.IntN(2))
			}
			switch rnd.IntN(10) {
			case 0:
				in = append(in, masked(0x89, "ping")...)
			case 1:
				in = append(in, masked(0x88, closing(1000, ""))...)
			}
		}
		in = in[:len(in)-rnd.IntN(1+rnd.IntN(len(in)))]
		closeAt := rnd.IntN(4 * len(in)) // mostly never
		play := func(most int, pause bool) *rig {
			r := newRig(t, &websocket.Options{MaxMessage: 1 << 20})
			for sent, n := 0, 0; sent < len(in); sent += n {
				n = min(1+rnd.IntN(most), len(in)-sent)
				if sent < closeAt {
					n = min(n, closeAt-sent)
				} else if sent == closeAt {
					websocket.CloseWith(r.c, websocket.CloseNormal, "")
				}
				if pause = pause && r.c.IsOpen(); pause && rnd.IntN(3) == 0 {
					r.c.Pause()
					r.receive(in[sent : sent+n])
					r.c.Resume()
					r.Turn()
				} else {
					r.receive(in[sent : sent+n])
				}
			}
			return r
		}
		small, any := play(20_000, false), play(400_000, true)
		if !slices.Equal(any.events, small.events) || !slices.Equal(any.frames(), small.frames()) {
			t.Fatalf("seed %d:\nin large pieces %q, %q\nin small ones   %q, %q", seed, any.events, any.frames(), small.events, small.frames())
		}
		for _, r := range []*rig{small, any} {
			r.hangUp()
			if r.pass(time.Hour); r.Loop.Shared.Held() > 0 {
				t.Fatalf("seed %d: %d bytes are held after the end", seed, r.Loop.Shared.Held())
			}
		}
	}
}
