package websocket_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// A cut is how a peer ends a WebSocket in the middle of a large message. The peer sends the bytes,
// and then aborts (RST), or ends its side, or waits; code is that of the Close frame that it gets,
// 0 for none.
type cut struct {
	name       string
	bytes      []byte
	abort, fin bool
	code       int
}

func cuts() []cut {
	const size = 1500 << 10
	large := masked(0x02, strings.Repeat("x", size))
	text := masked(0x01, strings.Repeat("x", size-10)+"\xff"+strings.Repeat("x", 9))
	endless := []byte{0x02, 0xff, 0x3f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 2, 3, 4}
	just4G := []byte{0x02, 0xff, 0, 0, 0, 1, 0, 0, 0, 10, 1, 2, 3, 4} // 10 in 32 bits
	var z codec
	bomb := z.deflate(strings.Repeat("a", 20<<20))
	bye := masked(0x88, closing(1000, ""))
	whole := masked(0x82, strings.Repeat("x", size))
	return []cut{
		{"abort inside a whole message", whole[:700<<10], true, false, 0},
		{"end inside a whole message", whole[:700<<10], false, true, 0},
		{"abort inside a fragment", large[:700<<10], true, false, 0},
		{"abort inside the second", cat(large, masked(0x80, strings.Repeat("y", size))[:700<<10]), true, false, 0},
		{"end inside a fragment", large[:700<<10], false, true, 0},
		{"end between fragments", large, false, true, 0},
		{"Close frame between fragments", cat(large, bye), false, false, 1000},
		{"Close frame in the payload, then an end", cat(large[:700<<10], bye), false, true, 0},
		{"a new message after a fragment", cat(large, large), false, false, 1002},
		{"a reserved bit after a fragment", cat(large, []byte{0xf0, 0x80, 1, 2, 3, 4}), false, false, 1002},
		{"no UTF-8 near the end", text, false, false, 1007},
		{"larger than MaxMessage in pieces", cat(large, masked(0x00, strings.Repeat("y", size))[:20]), false, false, 1009},
		{"a length of 62 bits", endless, false, false, 1009},
		{"a length of 32 bits and one", just4G, false, false, 1009},
		{"62 bits in the second fragment", cat(large, []byte{0x80}, endless[1:]), false, false, 1009},
		{"62 bits, compressed", append([]byte{0x42}, endless[1:]...), false, true, 0},
		{"a bomb", masked(0xc2, bomb), false, false, 1009},
		{"a bomb in fragments", cat(masked(0x42, bomb[:len(bomb)/2]), masked(0x80, bomb[len(bomb)/2:])), false, false, 1009},
		{"abort inside a bomb", masked(0x42, bomb)[:400], true, false, 0},
		{"the handler panics", cat(large, masked(0x80, "panic")), false, false, 1011},
		{"the handler closes between fragments", cat(large[:700<<10], large[700<<10:], masked(0x89, "close"), masked(0x80, strings.Repeat("y", size)), bye), false, false, 1000},
	}
}

// end sends the bytes and ends as the cut says. It returns the code of the Close frame.
func (k *cut) end(c net.Conn, r io.Reader) (code int) {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	sent := make(chan struct{})
	go func() {
		c.Write(k.bytes) // fails if the server stops reading before all is there
		close(sent)
	}()
	switch {
	case k.abort:
		<-sent
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		return 0
	case k.fin:
		<-sent
		c.(*net.TCPConn).CloseWrite()
	}
	in, _ := io.ReadAll(r)
	c.Close()
	<-sent
	for len(in) >= 2 {
		n := 2 + int(in[1]) // all frames of the server are short here
		if in[0] == 0x88 && n >= 4 && len(in) >= n {
			code = int(binary.BigEndian.Uint16(in[2:]))
		}
		in = in[min(n, len(in)):]
	}
	return code
}

func cutServer(t *testing.T, p mgr.Poller, memory int) *server {
	return serveWith(t, mgr.Options{Poller: p, Memory: memory}, &websocket.Options{Compress: deflate.New(), MaxMessage: 2 << 20}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Control:
			if string(ev.Data) == "close" {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		case *websocket.Message:
			if strings.HasSuffix(string(ev.Data[len(ev.Data)-5:]), "panic") {
				panic("on purpose")
			}
		}
	})
}

const cutOffer, cutReply = "permessage-deflate", "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

// wantNothingHeld waits for n connections to end.
func (s *server) wantNothingHeld(n int) {
	s.t.Helper()
	for range n {
		select {
		case <-s.ended:
		case <-time.After(time.Minute):
			s.t.Fatal("a connection does not end")
		}
	}
	if n := s.figures().Held; n != 0 {
		s.t.Errorf("%d bytes are held after the end", n)
	}
}

// However a WebSocket ends in the middle of a large message, the peer is told why, and nothing is
// held afterwards.
func TestCutsInLargeMessages(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := cutServer(t, p, 0)
			for _, k := range cuts() {
				c, _ := s.openDeflate(cutOffer, cutReply)
				if code := k.end(c.Conn, c.r); code != k.code {
					t.Errorf("%s: code %d, want %d", k.name, code, k.code)
				}
				s.wantNothingHeld(1)
			}
		})
	}
}

// The same with all at once and memory for two messages: some end with 1013 instead.
func TestCutsInLargeMessagesWithLittleMemory(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s := cutServer(t, p, 4<<20)
			var peers sync.WaitGroup
			all := cuts()
			all = append(all, all...)
			for _, k := range all {
				c, _ := s.openDeflate(cutOffer, cutReply)
				peers.Go(func() { k.end(c.Conn, c.r) })
			}
			peers.Wait()
			s.wantNothingHeld(len(all))
		})
	}
}
