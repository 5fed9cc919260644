package mgr_test

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestMaxConnsHoldsForTheSumOfTheLoops(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		o.MaxConns = 7
		lo.Refusal = []byte("full")
		var open, most atomic.Int32
		l := startLoops(t, 3, o, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *conn.Accept:
				if n := open.Add(1); n > most.Load() {
					most.Store(n)
				}
				c.WriteString("in")
			case *conn.Close:
				if !c.IsListener() {
					open.Add(-1)
				}
			}
		}, lo)
		for round := range 3 {
			var in, out atomic.Int32
			var calls sync.WaitGroup
			leave := make(chan struct{})
			var decided sync.WaitGroup
			for range 20 {
				decided.Add(1)
				calls.Go(func() {
					c, err := net.Dial("tcp", l.addr)
					if err != nil {
						t.Error(err)
						decided.Done()
						return
					}
					defer c.Close()
					c.SetDeadline(time.Now().Add(time.Minute))
					b := make([]byte, 4)
					n, err := io.ReadAtLeast(c, b, 2)
					switch string(b[:n]) {
					case "in":
						in.Add(1)
					case "full", "fu", "ful":
						out.Add(1)
					default:
						t.Errorf("read %q, %v", b[:n], err)
					}
					decided.Done()
					<-leave
				})
			}
			decided.Wait()
			if in.Load() != 7 || out.Load() != 13 || most.Load() != 7 {
				t.Errorf("round %d: %d were let in and %d refused; %d were open", round, in.Load(), out.Load(), most.Load())
			}
			close(leave)
			calls.Wait()
			l.until("all have left", func(s mgr.Stats) bool { return s.Conns == 0 })
		}
		l.until("39 were refused", func(s mgr.Stats) bool { return s.Refused == 39 })
	})
}

// spare is a handler whose connections always rest between two requests.
func spare(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Accept); ok {
		c.Layer().SetSpare(true)
		c.WriteString("in")
	}
}

// A loop without idle connections asks the other ones for the place of one of theirs.
func TestALoopMakesRoomForAnother(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.MaxConns = 4
		l := prepareLoops(t, 3, o)
		var addrs []string
		for _, m := range l.Managers() {
			c, err := m.Listen("tcp://127.0.0.1:0", spare)
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, c.LocalAddr().String())
		}
		l.run()
		var idle []net.Conn
		for range 4 {
			c := dialAddr(t, "tcp", addrs[1])
			wantRead(t, c, "in")
			idle = append(idle, c)
		}
		wantRead(t, dialAddr(t, "tcp", addrs[0]), "in")
		wantEOF(t, idle[0])
		wantRead(t, dialAddr(t, "tcp", addrs[2]), "in")
		wantEOF(t, idle[1])
		l.until("four are open", func(s mgr.Stats) bool { return s.Conns == 4 && s.MadeRoom == 2 && s.Refused == 0 })

		// No loop has an idle one: the peer is refused.
		l.Broadcast(func(c *conn.Conn) { c.Layer().SetSpare(false) })
		wantEOF(t, dialAddr(t, "tcp", addrs[0]))
		l.until("one was refused", func(s mgr.Stats) bool { return s.Conns == 4 && s.Refused == 1 })
	})
}

func TestMaxConnsPerAddrHoldsForTheSumOfTheLoops(t *testing.T) {
	underEach(t, func(t *testing.T, o mgr.Options, lo mgr.ListenOptions) {
		o.MaxConnsPerAddr = 5
		l := startLoops(t, 3, o, nil, lo)
		var peers []net.Conn
		for range 20 {
			peers = append(peers, l.dial())
		}
		l.until("15 are refused", func(s mgr.Stats) bool { return s.Conns == 5 && s.Crowded == 15 })
		for _, c := range peers {
			c.Close()
		}
		l.until("all have left", func(s mgr.Stats) bool { return s.Conns == 0 })
		l.dial()
		l.until("the next one is let in", func(s mgr.Stats) bool { return s.Conns == 1 })
	})
}

// The bytes that a connection of one loop holds count against those of another.
func TestMemoryHoldsForTheSumOfTheLoops(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Memory = 1 << 20
		o.Limits.Recv = 1 << 20
		l := prepareLoops(t, 2, o)
		var addrs []string
		for _, m := range l.Managers() {
			c, err := m.Listen("tcp://127.0.0.1:0", nil) // takes nothing of what it reads
			if err != nil {
				t.Fatal(err)
			}
			addrs = append(addrs, c.LocalAddr().String())
		}
		l.run()
		for range 3 {
			for _, addr := range addrs {
				c := dialAddr(t, "tcp", addr)
				go c.Write(make([]byte, 400<<10)) // 2.4 MB in all
			}
		}
		l.until("memory is scarce", func(s mgr.Stats) bool { return s.Rations > 0 || s.Closed[conn.MemoryLimit] > 0 })
		for range 200 {
			// A loop leaves an eighth to the other one if that holds more, and looks after an event:
			// one buffer of each may have grown from 256 to 512 KiB.
			if s := l.Stats(); s.Held > 1<<20+1<<17+2*256<<10 {
				t.Fatalf("%d bytes are held", s.Held)
			}
			time.Sleep(100 * time.Microsecond) // so that samples are spread over the growth
		}
	})
}
