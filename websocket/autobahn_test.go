package websocket_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/websocket"
)

// The cases below follow the sections of the Autobahn suite, over real sockets and against an echo
// server.

// Sections 2 to 7: the frame sequences of the conformance table, each sent at once and in two
// pieces.
func TestConformanceOverTheWire(t *testing.T) {
	quiet := func(*conn.Conn, conn.Event) {}
	underBoth(t, &websocket.Options{MaxMessage: caseSize}, quiet, func(t *testing.T, s *server) {
		for _, tc := range frameCases() {
			for _, cut := range []int{len(tc.in), len(tc.in) / 2} {
				p := s.open()
				p.send(tc.in[:cut])
				p.Write(tc.in[cut:]) // may fail: the server may have ended it already
				got, err := io.ReadAll(p.r)
				if err != nil {
					t.Errorf("%s: %v", tc.name, err)
				}
				p.Close()
				if frames := framesOf(got, false); !slices.Equal(frames, tc.sent) {
					t.Errorf("%s: sent %q, want %q", tc.name, frames, tc.sent)
				}
				s.wantNotes(append(append([]string{opened}, tc.events...), "closed")...)
			}
			if t.Failed() {
				t.Fatal(tc.name)
			}
		}
	})
}

// Sections 1.1 and 1.2: echoes of every length class, whole and chopped.
func TestEchoOfEveryLength(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		for _, first := range []byte{0x81, 0x82} {
			for _, n := range []int{0, 1, 125, 126, 127, 128, 65535, 65536, 65537} {
				text := strings.Repeat("*", n)
				p.send(masked(first, text))
				p.want(first, text)
			}
			text := strings.Repeat("*", 65536)
			p.chopped(masked(first, text), 997)
			p.want(first, text)
		}
		p.finish()
	})
}

// chopped sends b in pieces of n bytes.
func (p *peer) chopped(b []byte, n int) {
	for len(b) > 0 {
		k := min(n, len(b))
		if _, err := p.Write(b[:k]); err != nil {
			p.t.Error(err)
			return
		}
		b = b[k:]
	}
}

// fragmented is a message in frames of n bytes.
func fragmented(first byte, text string, n int) []byte {
	var b []byte
	for op := first &^ fin; ; op = 0 {
		if len(text) <= n {
			return append(b, masked(op|fin, text)...)
		}
		b = append(b, masked(op, text[:n])...)
		text = text[n:]
	}
}

// Sections 9.1 to 9.6: up to 16 MiB, whole, in fragments, and in small writes.
func TestLargeMessages(t *testing.T) {
	largest := 16 << 20
	if racetest.Enabled {
		largest = 2 << 20 // the rest would take half a minute
	}
	underBoth(t, &websocket.Options{MaxMessage: 16 << 20}, nil, func(t *testing.T, s *server) {
		p := s.open()
		check := func(name string, first byte, text string, send func()) {
			t.Helper()
			go send()
			got, data, err := p.frame()
			if err != nil || got != first || string(data) != text {
				t.Fatalf("%s: %#x %s, %v", name, got, short(data), err)
			}
		}
		unit := "BAsd7&jh23 κόσμε 日本語 😀 "
		for _, first := range []byte{0x81, 0x82} {
			for n := 64 << 10; n <= largest; n *= 2 {
				text := strings.Repeat(unit, n/len(unit))
				check(fmt.Sprintf("9.1, 9.2: %d", n), first, text, func() { p.Write(masked(first, text)) })
			}
			text := strings.Repeat(unit, largest/4/len(unit))
			for n := 64; n <= largest/4; n *= 4 {
				in := fragmented(first, text, n)
				check(fmt.Sprintf("9.3, 9.4: fragments of %d", n), first, text, func() { p.Write(in) })
			}
			text = text[:min(len(text), 1<<20/len(unit)*len(unit))]
			for _, n := range []int{64, 128, 256, 512, 1 << 10, 2 << 10} {
				check(fmt.Sprintf("9.5, 9.6: pieces of %d", n), first, text, func() { p.chopped(masked(first, text), n) })
			}
		}
		p.finish()
	})
}

// Sections 9.7 and 9.8: a thousand round trips.
func TestRoundTrips(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		for _, first := range []byte{0x81, 0x82} {
			for _, n := range []int{0, 16, 64, 256, 1 << 10, 4 << 10} {
				text := strings.Repeat("r", n)
				for range 1000 {
					p.send(masked(first, text))
					p.want(first, text)
				}
			}
		}
		p.finish()
	})
}

// Section 10.1: 65536 bytes in fragments of 1300.
func TestManyFragments(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		p := s.open()
		text := strings.Repeat("*", 65536)
		p.send(fragmented(0x81, text, 1300))
		p.want(0x81, text)
		p.finish()
	})
}

// Messages that are piled up by a client which reads only later come back all and in order.
func TestPipelinedMessages(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		const n, size = 10_000, 3000
		p := s.open()
		go func() {
			text := make([]byte, size)
			for i := range uint32(n) {
				binary.BigEndian.PutUint32(text, i)
				if _, err := p.Write(masked(0x82, string(text))); err != nil {
					t.Error(err)
					return
				}
			}
		}()
		want := make([]byte, size)
		for i := range uint32(n) {
			binary.BigEndian.PutUint32(want, i)
			p.want(0x82, string(want))
		}
		p.finish()
	})
}
