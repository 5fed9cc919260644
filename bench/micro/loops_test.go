package micro

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// BenchmarkWakeup has two connections wake each other in turn, with 1 or 64 wake-ups on their way:
// on one manager, on one loop of two, and on two loops. The figures are for one wake-up.
func BenchmarkWakeup(b *testing.B) {
	for _, way := range []string{"manager", "same loop", "other loop"} {
		for _, flight := range []int{1, 64} {
			b.Run(fmt.Sprintf("%s/%d", way, flight), func(b *testing.B) { benchWakeup(b, way, flight) })
		}
	}
}

func benchWakeup(b *testing.B, way string, flight int) {
	var wakeup func(id uint64, data []byte) error
	var on [2]*mgr.Manager
	var run func(context.Context) error
	var end func() error
	if way == "manager" {
		m, err := mgr.New(mgr.Options{})
		if err != nil {
			b.Fatal(err)
		}
		end = m.Close
		wakeup, run, on = m.Wakeup, m.Run, [2]*mgr.Manager{m, m}
	} else {
		l, err := mgr.NewLoops(2, mgr.Options{})
		if err != nil {
			b.Fatal(err)
		}
		end = l.Close
		wakeup, run, on = l.Wakeup, l.Run, [2]*mgr.Manager(l.Managers())
		if way == "same loop" {
			on[1] = on[0]
		}
	}
	var ids [2]uint64
	done := make(chan struct{})
	var left [2]int // each belongs to its loop
	for i, m := range on {
		fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		if err != nil {
			b.Fatal(err)
		}
		defer unix.Close(fds[1])
		c, err := m.Wrap(fds[0], func(_ *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Wakeup); !ok {
				return
			}
			if left[i]--; left[i] > 0 {
				wakeup(ids[1-i], nil)
			} else if left[i] == 0 {
				done <- struct{}{}
			}
		})
		if err != nil {
			b.Fatal(err)
		}
		ids[i], left[i] = c.ID(), b.N
	}
	ran := make(chan struct{})
	go func() { defer close(ran); run(context.Background()) }()
	b.ResetTimer()
	b.ReportAllocs()
	for k := range flight {
		wakeup(ids[k%2], nil)
	}
	<-done
	b.StopTimer()
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/wakeup")
	go func() { // the other one may be done as well
		select {
		case <-done:
		case <-ran:
		}
	}()
	end()
	<-ran
}
