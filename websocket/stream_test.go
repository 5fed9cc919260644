package websocket_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// noteChunks has pieces noted as they come.
func (r *rig) noteChunks() {
	r.onEvent = func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*websocket.Chunk); ok {
			r.note("%s first=%v last=%v %s", m.Op, m.First, m.Last, short(m.Data))
		}
	}
}

func TestStreamDeliversWhatHasCome(t *testing.T) {
	r := newRig(t, &websocket.Options{Stream: true})
	r.noteChunks()
	r.receive(masked(0x81, "small"))
	in := masked(0x82, "in pieces")
	r.receive(in[:4])
	r.receive(in[4:9])
	r.receive(in[9:])
	r.receive(cat(masked(0x01, "frag"), masked(0x89, "p"), masked(0x00, ""), masked(0x00, "ments"), masked(0x80, "")))
	r.receive(masked(0x82, ""))
	r.want("events", r.events,
		`text first=true last=true "small"`,
		`binary first=true last=false "in "`, `binary first=false last=true "pieces"`,
		`text first=true last=false "frag"`, `ping "p"`, `text first=false last=false "ments"`, `text first=false last=true ""`,
		`binary first=true last=true ""`)
	if r.hasPart() || r.c.Recv.Len() > 0 {
		t.Error("something is kept")
	}
}

// The frame sequences of the conformance table mean the same in pieces.
func TestStreamConformance(t *testing.T) {
	for _, tc := range frameCases() {
		for _, cut := range []int{0, 1, len(tc.in) / 2, len(tc.in) - 1} {
			r := newRig(t, &websocket.Options{MaxMessage: caseSize, Stream: true})
			got := r.joinChunks()
			r.receive([]byte(string(tc.in[:cut])))
			r.receive([]byte(string(tc.in[cut:])))
			r.want(fmt.Sprintf("%s, cut at %d: events", tc.name, cut), *got, tc.events...)
			r.want(tc.name+": sent", r.frames(), tc.sent...)
		}
		if t.Failed() {
			return
		}
	}
}

// With Stream nothing is put together: a message may be larger than anything that is held, unless
// MaxMessage says no.
func TestStreamOfAnEndlessMessage(t *testing.T) {
	for _, deflated := range []bool{false, true} {
		r := newDeflateRig(t, &websocket.Options{Stream: true, Compress: deflate.New()}, "")
		r.hush()
		total, most := 0, 0
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Chunk); ok {
				total += len(m.Data)
				most = max(most, len(m.Data))
			}
		}
		piece := strings.Repeat("endless ", 1<<13)
		first := byte(0x02)
		if deflated {
			z := codec{}
			piece = z.deflate(piece) + tail
			first |= 0x40
		}
		const pieces = 1000
		for i := range pieces {
			in := masked(first, piece)
			if i > 0 {
				in = masked(0, piece)
			}
			r.receive(in)
			if n := r.c.Recv.Len(); n > 0 {
				t.Fatalf("%d bytes are kept", n)
			}
			if n, _ := websocket.Parts(r.c)(); n > 4*websocket.InflateWindow {
				t.Fatalf("%d bytes are kept", n)
			}
		}
		if total != pieces<<16 {
			t.Errorf("deflated %v: %d bytes were delivered", deflated, total)
		}
		if most > 64<<10 {
			t.Errorf("deflated %v: a piece of %d bytes", deflated, most)
		}
	}
}

// A handler that pauses gets nothing more until it resumes, not even of what has been read already.
func TestStreamStopsWhilePaused(t *testing.T) {
	text := strings.Repeat("0123456789abcdef", 40_000)
	for _, deflated := range []bool{false, true} {
		for _, fragments := range []int{1 << 30, 5000, 1} {
			r := newDeflateRig(t, &websocket.Options{Stream: true, Compress: deflate.New(deflate.Options{ClientTakeover: true})}, "")
			var got []byte
			ended := 0
			r.onEvent = func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*websocket.Chunk); ok {
					if c.Paused() {
						t.Error("a piece while paused")
					}
					got = append(got, m.Data...)
					if m.Last {
						ended++
					}
					c.Pause()
				}
			}
			z, p := codec{outKeeps: true}, text
			if fragments == 1 {
				p = text[:300]
			}
			first := byte(0x81)
			payload := p
			if deflated {
				first |= 0x40
				payload = z.deflate(p)
			}
			in := fragmented(first, payload, fragments)
			if deflated {
				payload = z.deflate(p)
			}
			in = append(in, fragmented(first, payload, fragments)...)
			in = append(in, masked(0x80, "end")...) // an error, to see where it is found
			r.Wire.Arrive(in, nil)
			turns := 0
			for ; turns < 5000 && !r.Closed() && websocket.Running(r.c); turns++ {
				before := len(got)
				r.Turn()
				if len(got) > before+64<<10 {
					t.Fatalf("%d bytes in one turn", len(got)-before)
				}
				r.c.Resume()
			}
			if string(got) != p+p || ended != 2 {
				t.Errorf("deflated %v, fragments of %d: %d bytes of %d, %d ends after %d turns", deflated, fragments, len(got), 2*len(p), ended, turns)
			}
			r.want("sent", r.frames(), `close 1002 "continuation of nothing"`)
		}
	}
}

// A handler that ends the WebSocket in the middle of a message gets no more of it; the closing
// handshake goes on.
func TestStreamAndCloseWith(t *testing.T) {
	for _, first := range []byte{0x01, 0x41} {
		r := newDeflateRig(t, &websocket.Options{Stream: true, Compress: deflate.New()}, "")
		n := 0
		r.onEvent = func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*websocket.Chunk); ok {
				n++
				websocket.CloseWith(c, 4000, "enough")
			}
		}
		p := strings.Repeat("x", 200_000)
		if first&0x40 != 0 {
			p = (&codec{}).deflate(p) + tail
		}
		r.receive(masked(first, p))
		r.receive(cat(masked(0x00, p), masked(0x80, "\x00"), masked(0x81, "late"), masked(0x88, closing(4000, ""))))
		r.want("events", r.events, `end 4000 "" clean=true`)
		if n != 1 {
			t.Errorf("%d pieces", n)
		}
	}
}
