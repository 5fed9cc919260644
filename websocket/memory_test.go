package websocket_test

import (
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// FIELD.md §3.5: 1 KB of an unfinished compressed message inflates to nearly 1 MiB, on many
// connections.
func TestUnfinishedCompressedMessagesAreBounded(t *testing.T) {
	const limit, peers = 4 << 20, 20
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := serveWith(t, mgr.Options{Poller: p, Memory: limit}, &websocket.Options{Compress: deflate.New()}, nil)
			small := s.open()
			small.send(masked(0x01, "hel"))
			var z codec
			bomb := masked(0x41, z.deflate(strings.Repeat("a", 1000<<10)))
			for range peers {
				c, _ := s.openDeflate("permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
				c.send(bomb, masked(0x89, "")) // the pong comes after the bomb was inflated, if it was
				first, _, err := c.frame()
				if err != nil || first != 0x8a && first != 0x88 {
					t.Fatalf("frame %#x, %v", first, err)
				}
				if n := s.figures().Held; n > limit {
					t.Fatalf("%d bytes are held, more than %d", n, limit)
				}
			}
			if st := s.figures(); st.Held < limit/2 {
				t.Errorf("only %d bytes are held: peers within the limit must stay", st.Held)
			}
			small.send(masked(0x80, "lo"))
			small.want(0x81, "hello") // it holds little, and is never among those that end
			small.finish()
		})
	}
}

// A peer whose message is the largest is told why it has to go, and what it held is free.
func TestTheLargestIsSent1013(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			const piece = 40 << 10
			s := serveWith(t, mgr.Options{Poller: p, Memory: 1 << 20}, nil, nil)
			grow := func(c *peer, first byte, n int) {
				for range n {
					c.send(masked(first, strings.Repeat("x", piece)), masked(0x89, ""))
					c.want(0x8a, "")
					first = 0x00
				}
			}
			large, next := s.open(), s.open()
			grow(large, 0x02, 15)
			if st := s.figures(); st.Held < 15*piece || st.Closed[conn.MemoryLimit] != 0 {
				t.Fatalf("%d bytes are held, %d were ended", st.Held, st.Closed[conn.MemoryLimit])
			}
			grow(next, 0x02, 11)
			large.wantClose(1013)
			large.Close()
			next.send(masked(0x80, ""))
			if first, data, err := next.frame(); err != nil || first != 0x82 || len(data) != 11*piece {
				t.Fatalf("frame %#x of %d bytes, %v", first, len(data), err)
			}
			if got := <-s.ended; got != conn.MemoryLimit.String() {
				t.Errorf("ended: %s", got)
			}
			next.finish()
			<-s.ended
			if st := s.figures(); st.Held != 0 || st.Closed[conn.MemoryLimit] != 1 {
				t.Errorf("%d bytes are held, %d were ended for memory", st.Held, st.Closed[conn.MemoryLimit])
			}
		})
	}
}

// A single message that inflates to more than the limit and a quarter ends while it inflates,
// before it is all there.
func TestOneCompressedMessageIsChargedAsItInflates(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			most := make(chan int, 1)
			h := func(c *conn.Conn, ev conn.Event) {
				if ev, ok := ev.(*websocket.Control); ok && ev.Op == websocket.Close {
					most <- int(ev.Code)
				}
			}
			s := serveWith(t, mgr.Options{Poller: p, Memory: 1 << 20}, &websocket.Options{Compress: deflate.New(), MaxMessage: 64 << 20}, h)
			c, z := s.openDeflate("permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover")
			c.send(masked(0xc1, z.deflate(strings.Repeat("a", 16<<20))))
			c.wantClose(1013)
			io.Copy(io.Discard, c)
			if code := <-most; code != 1013 {
				t.Errorf("code %d", code)
			}
		})
	}
}

// figures returns the manager's Stats.
func (s *server) figures() mgr.Stats {
	st := make(chan mgr.Stats, 1)
	s.Do(func() { st <- s.Stats() })
	return <-st
}
