package websocket_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/websocket"
)

// manyBytes is a text whose characters are longer than a byte, so that most places to cut it are
// inside of one.
var manyBytes = strings.Repeat("κόσμε € 𝄞, ", 3000)

// Large frames of a fragmented message are taken as they come. However their bytes are split, the
// events are those of small frames.
func TestLargeFragments(t *testing.T) {
	life(t, websocket.Options{}, func(t *testing.T, r *rig, frame func(byte, string) []byte) {
		var in []byte
		var want []string
		rest, first := manyBytes, byte(0x01)
		for i, n := range []int{20_001, 0, 5, 4095, 4096, 4097, 15_000} {
			in = append(in, cat(frame(first, rest[:n]), frame(0x89, fmt.Sprint(i)))...)
			want = append(want, fmt.Sprintf("ping %q", fmt.Sprint(i)))
			rest, first = rest[n:], 0x00
		}
		in = append(in, cat(frame(0x80, rest), frame(0x02, rest), frame(0x80, ""), frame(0x82, "next"))...)
		want = append(want, "text "+short([]byte(manyBytes)), "binary "+short([]byte(rest)), `binary "next"`)
		held := r.Loop.Shared.Held()
		for _, n := range []int{1, 1000, 4095, 4110, 10_007, 60_000, len(in)} {
			r.events = nil
			for p := in; len(p) > 0; p = p[min(n, len(p)):] {
				r.receive(p[:min(n, len(p))])
			}
			r.receive(nil) // more than one read takes
			r.want(fmt.Sprintf("in pieces of %d bytes", n), r.events, want...)
			if r.hasPart() || r.c.Recv.Len() > 0 || r.Loop.Shared.Held() != held {
				t.Errorf("in pieces of %d bytes: something is kept", n)
			}
		}
	})
}

// The bytes of such a frame wait in the assembly, not in the connection's buffer, and are counted.
func TestLargeFragmentsWaitInTheAssembly(t *testing.T) {
	r := newRig(t, nil)
	r.receive(masked(0x01, manyBytes[:50_000])[:40_000])
	if n := r.c.Recv.Len(); n > 0 || !r.hasPart() {
		t.Errorf("%d bytes are in the buffer", n)
	}
	if n := r.Loop.Shared.Held(); n < 39_000 || n > 80_000 {
		t.Errorf("%d bytes are held", n)
	}
}

// The buffer of a large message goes back to the loop, which has others for it.
func TestLargeAssembliesAreUsedAgain(t *testing.T) {
	r := newRig(t, nil)
	var at *byte
	size := 0
	r.onEvent = func(_ *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Message); ok {
			at, size = &m.Data[0], len(m.Data)
		}
	}
	r.receive(masked(0x02, strings.Repeat("x", 60_000)))
	r.receive(masked(0x80, strings.Repeat("x", 60_000)))
	r.receive(nil)
	if b := r.c.Layer().Buffer(size); size != 120_000 || &b[:1][0] != at {
		t.Errorf("after a message of %d bytes the loop has no buffer", size)
	}
}

func TestBadUTF8FailsInsideALargeFragment(t *testing.T) {
	for _, cut := range []int{5000, 5001, 5002, 6000} {
		r := newRig(t, nil)
		in := masked(0x01, manyBytes[:10_000]+"\xed\xa0\x80edited")
		bad := len(in) - len("\xa0\x80edited")
		r.receive(in[:cut])
		r.receive(in[cut:bad])
		r.want("before the bad byte", r.frames())
		r.receive(in[bad : bad+1])
		r.want("at the bad byte", r.frames(), `close 1007 "text is not UTF-8"`)
	}
}

func TestTooBigAfterALargeFragment(t *testing.T) {
	r := newRig(t, &websocket.Options{MaxMessage: 20_000})
	r.receive(masked(0x02, strings.Repeat("x", 15_000))[:10_000])
	r.receive(masked(0x02, strings.Repeat("x", 15_000))[10_000:])
	r.want("up to the limit", r.frames())
	r.receive(masked(0x00, strings.Repeat("x", 5001))[:8])
	r.want("past the limit", r.frames(), `close 1009 "message too big"`)
}

// After this side's Close frame nothing is delivered, and the rest of a message is no mistake.
func TestCloseInsideALargeFragment(t *testing.T) {
	for _, n := range []int{10_000, 10_001, 10_002, 10_003} {
		r := newRig(t, nil)
		websocket.FreshPart(r.c)
		in := cat(masked(0x01, manyBytes[:20_001]), masked(0x00, manyBytes[20_001:20_011]), masked(0x80, manyBytes[20_011:]))
		r.receive(in[:n])
		websocket.CloseWith(r.c, websocket.CloseNormal, "")
		r.receive(in[n : len(in)-10])
		if n := r.Loop.Shared.Held(); n > 0 {
			t.Errorf("%d bytes are held of a message that is not delivered", n)
		}
		r.receive(in[len(in)-10:])
		r.receive(masked(0x88, closing(1000, "")))
		r.want("events", r.events, `end 1000 "" clean=true`)
	}
}

// Frames at random, with mistakes among them: bytes that come in pieces must lead to what the same
// frames lead to if each comes whole.
func TestLargeFragmentsAtRandom(t *testing.T) {
	rounds := uint64(300)
	if exhaustive.On() {
		rounds = 20_000
	}
	for seed := range rounds {
		rnd := rand.New(rand.NewPCG(seed, 16))
		var frames [][]byte
		first := byte(1 + rnd.IntN(2))
		for range 1 + rnd.IntN(8) {
			p := []byte(manyBytes[:rnd.IntN(9000)])
			if rnd.IntN(12) == 0 && len(p) > 0 {
				p[rnd.IntN(len(p))] ^= byte(1 << rnd.IntN(8)) // often no UTF-8
			}
			fin := byte(rnd.IntN(2) * 0x80)
			frames = append(frames, masked(fin|first, string(p)))
			if first = 0; fin != 0 {
				first = byte(1 + rnd.IntN(2))
			}
			switch rnd.IntN(12) {
			case 0:
				frames = append(frames, masked(0x89, "ping"))
			case 1:
				first = byte(rnd.IntN(3)) // perhaps a mistake
			case 2:
				frames = append(frames, masked(0x88, closing(1000, "")))
			}
		}
		whole := newRig(t, &websocket.Options{MaxMessage: 30_000})
		for _, f := range frames {
			whole.receive(f)
		}
		r := newRig(t, &websocket.Options{MaxMessage: 30_000})
		for p := cat(frames...); len(p) > 0; {
			n := min(1+rnd.IntN(1+rnd.IntN(12_000)), len(p))
			r.receive(p[:n])
			p = p[n:]
		}
		if !slices.Equal(r.events, whole.events) || !slices.Equal(r.frames(), whole.frames()) {
			t.Fatalf("seed %d:\nin pieces %q, %q\nwhole     %q, %q", seed, r.events, r.frames(), whole.events, whole.frames())
		}
	}
}
