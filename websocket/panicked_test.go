package websocket_test

import (
	"net"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

func TestAPeerWhoseHandlerPanicsIsSent1011(t *testing.T) {
	why := make(chan conn.Reason, 10) // more than come: a handler that waits would hold up the end of a failed test
	h := func(_ *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Message:
			panic("boom")
		case *conn.Error:
			why <- ev.Reason
		}
	}
	underBoth(t, nil, h, func(t *testing.T, s *server) {
		p := s.open()
		p.send(masked(0x81, "x"), masked(0x81, "y"))
		p.wantClose(1011)
		p.Close()
		if r := <-why; r != conn.Panicked {
			t.Errorf("Error event with %v", r)
		}
		s.wantNotes(`open ""`, `text "x"`, `end 1006 "" clean=false`, "closed")
	})
}

// FIELD.md §2: the handler of the last event of a WebSocket panics, whichever way the WebSocket
// ends; conn.Close still comes, once.
func TestAPanicInTheEndOfAWebSocketDoesNotLoseClose(t *testing.T) {
	const sockets = 30
	closes := make(chan *conn.Conn, 2*sockets)
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Control:
			if ev.Op == websocket.Close {
				panic("boom")
			}
		case *conn.Close:
			closes <- c
		}
	}
	underBoth(t, nil, h, func(t *testing.T, s *server) {
		var peers []*peer
		for range sockets {
			peers = append(peers, s.open())
		}
		for i, p := range peers {
			switch i % 3 {
			case 0: // reset
				p.Conn.(*net.TCPConn).SetLinger(0)
				p.Close()
			case 1: // the end of the stream without a Close frame
				p.Close()
			case 2:
				p.send(masked(0x88, "\x03\xe8"))
			}
		}
		seen := make(map[*conn.Conn]bool)
		for range sockets {
			c := <-closes
			if seen[c] {
				t.Error("a second conn.Close")
			}
			seen[c] = true
		}
		left := make(chan int, 1)
		s.Do(func() { left <- s.Stats().Conns })
		if n := <-left; n != 0 || len(closes) > 0 {
			t.Errorf("%d connections are left, %d more conn.Close", n, len(closes))
		}
	})
}
