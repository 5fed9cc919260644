package mgr

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// The next strokes fail. The loop sleeps when the message is sent, or is about to, so nothing but
// the bell can wake it.
func TestNoMessageIsLostWhenTheDoorbellFails(t *testing.T) {
	for _, poller := range []Poller{Epoll, Select} {
		for _, fails := range []int{1, 2, 7} {
			t.Run(poller.String(), func(t *testing.T) {
				m, err := New(Options{Poller: poller})
				if err != nil {
					t.Fatal(err)
				}
				b, err := ctlpair.NewBell()
				if err != nil {
					t.Fatal(err)
				}
				real, left := b.Strike, new(atomic.Int32)
				b.Strike = func() error {
					if left.Add(-1) >= 0 {
						return unix.ENOBUFS
					}
					return real()
				}
				m.poller.set(m.pair.FD(), conn.In, 0)
				m.pair.Close(nil)
				m.pair = ctlpair.NewOver[message](0, b)
				if err := m.poller.set(m.pair.FD(), 0, conn.In); err != nil {
					t.Fatal(err)
				}
				ended := make(chan error, 1)
				go func() { ended <- m.Run(context.Background()) }()
				ran := make(chan int, 100)
				for i := range 4 {
					m.Broadcast(func(*conn.Conn) {}) // it has been in its poller
					m.Broadcast(func(*conn.Conn) { t.Error("there is no connection") })
					left.Store(int32(fails))
					if err := m.Do(func() { ran <- i }); err != nil {
						t.Error(err)
					}
					select {
					case k := <-ran:
						if k != i {
							t.Errorf("message %d came, want %d", k, i)
						}
					case <-time.After(time.Minute):
						t.Fatalf("message %d never came", i)
					}
				}
				m.Close()
				<-ended
			})
		}
	}
}
