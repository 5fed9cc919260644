package mgr_test

import (
	"context"
	"io"
	"net"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestShutdownOfLoopsWaitsForSlowPeersOnEachOfThem(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		lo.Socket = smallBuffers.Socket
		l := startLoops(t, 2, o, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept:
				c.Write(make([]byte, 256<<10))
				c.WriteString("good bye")
			}
		}, lo)
		var peers []net.Conn
		for range 8 {
			peers = append(peers, l.dial())
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == 8 })
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(context.Background()) }()
		l.until("the listeners are closed", func(s mgr.Stats) bool { return s.Listeners == 0 })
		if !l.Draining() {
			t.Error("not draining")
		}
		for _, c := range peers {
			b, err := io.ReadAll(c)
			if err != nil || len(b) != 256<<10+8 {
				t.Errorf("read %d bytes, %v", len(b), err)
			}
		}
		if err := take(t, down); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if err := l.Shutdown(context.Background()); err != mgr.ErrClosed {
			t.Errorf("the second Shutdown: %v", err)
		}
		if err := l.Broadcast(func(*conn.Conn) {}); err != mgr.ErrClosed {
			t.Errorf("Broadcast: %v", err)
		}
		if c, err := net.Dial("tcp", l.addr); err == nil {
			c.Close()
			t.Error("the port still takes connections")
		}
	})
}

func TestShutdownOfLoopsCutsThoseThatAreTooSlow(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		lo.Socket = smallBuffers.Socket
		l := startLoops(t, 2, o, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Accept); ok {
				c.Write(make([]byte, 1<<20))
			}
		}, lo)
		for range 8 {
			l.dial()
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == 8 })
		ctx, cancel := context.WithCancel(context.Background())
		down := make(chan error, 1)
		go func() { down <- l.Shutdown(ctx) }()
		l.until("the listeners are closed", func(s mgr.Stats) bool { return s.Listeners == 0 })
		cancel()
		if err := take(t, down); err != context.Canceled {
			t.Errorf("Shutdown: %v", err)
		}
	})
}

func TestShutdownOfLoopsFromAHandler(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		l := prepareLoops(t, 3, o)
		l.listen(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
				c.WriteString("bye")
				ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
				defer cancel()
				if err := l.Shutdown(ctx); err != nil {
					t.Errorf("Shutdown: %v", err)
				}
			}
		}, lo)
		l.run()
		var peers []net.Conn
		for range 9 {
			peers = append(peers, l.dial())
		}
		l.until("all are there", func(s mgr.Stats) bool { return s.Conns == 9 })
		io.WriteString(peers[4], "x")
		for i, c := range peers {
			b, err := io.ReadAll(c)
			if want := map[bool]string{true: "bye"}[i == 4]; err != nil || string(b) != want {
				t.Errorf("peer %d read %q, %v", i, b, err)
			}
		}
		if err := take(t, l.ran); err != nil {
			t.Error(err)
		}
		l.ran <- nil
	})
}
