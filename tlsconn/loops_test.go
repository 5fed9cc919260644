package tlsconn_test

import (
	"context"
	"crypto/tls"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// startLoops serves TLS on two loops, in turn, and echoes.
func startLoops(t *testing.T, p mgr.Poller, s *tlsconn.Server) (*mgr.Loops, string) {
	t.Helper()
	l, err := mgr.NewLoops(2, mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	c, err := l.Listen("tls://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			c.Write(c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
		}
	}, mgr.ListenOptions{TLS: s, Accept: mgr.AcceptHandOver})
	if err != nil {
		t.Fatal(err)
	}
	addr := c.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- l.Run(context.Background()) }()
	t.Cleanup(func() {
		l.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return l, addr
}

func TestOneServerHasTLSOnAllLoops(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			s, err := tlsconn.SelfSigned(t.TempDir(), []string{"localhost"})
			if err != nil {
				t.Fatal(err)
			}
			l, addr := startLoops(t, p, s)
			cache := tls.NewLRUClientSessionCache(1)
			var resumed atomic.Int32
			for range 6 { // one after the other: each resumes the session of the other loop
				c, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr,
					&tls.Config{InsecureSkipVerify: true, ServerName: "localhost", ClientSessionCache: cache})
				if err != nil {
					t.Fatal(err)
				}
				defer c.Close()
				c.SetDeadline(time.Now().Add(time.Minute))
				b := make([]byte, 5)
				c.Write([]byte("hello"))
				if _, err := c.Read(b); err != nil || string(b) != "hello" {
					t.Fatalf("read %q, %v", b, err)
				}
				if c.ConnectionState().DidResume {
					resumed.Add(1)
				}
			}
			if each := l.StatsEach(); each[0].Accepts == 0 || each[1].Accepts == 0 || resumed.Load() != 5 {
				t.Errorf("%d and %d connections, %d resumed", each[0].Accepts, each[1].Accepts, resumed.Load())
			}
		})
	}
}

// The limit of handshakes under way counts those of all loops.
func TestMaxHandshakesHoldsForTheSumOfTheLoops(t *testing.T) {
	var running, most atomic.Int32
	proceed := make(chan struct{})
	s, err := tlsconn.SelfSigned(t.TempDir(), []string{"localhost"}, tlsconn.Config{
		Limits: tlsconn.Limits{MaxHandshakes: 3},
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			<-proceed
			running.Add(-1)
			return nil, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	l, addr := startLoops(t, mgr.Auto, s)
	var clients sync.WaitGroup
	var failed atomic.Int32
	for range 8 {
		clients.Go(func() {
			c, err := tls.DialWithDialer(&net.Dialer{Timeout: 20 * time.Second}, "tcp", addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				failed.Add(1)
				return
			}
			c.Close()
		})
	}
	for end := time.Now().Add(time.Minute); failed.Load() < 5 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	close(proceed)
	clients.Wait()
	if each := l.StatsEach(); most.Load() > 3 || failed.Load() != 5 || each[0].Accepts == 0 || each[1].Accepts == 0 {
		t.Errorf("%d at a time, %d failed, %d and %d connections", most.Load(), failed.Load(), each[0].Accepts, each[1].Accepts)
	}
}
