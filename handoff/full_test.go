package handoff_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/mgr"
)

// A process at MaxConns can be replaced: more than ever then, perhaps.
func TestAProcessAtMaxConnsLetsItsSuccessorIn(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		for _, loops := range []int{1, 2} {
			o := handoff.Options{Path: t.TempDir() + "/s", Patience: 5 * time.Second}
			old, err := handoff.Begin(o)
			if err != nil {
				t.Fatal(err)
			}
			l, err := mgr.NewLoops(loops, mgr.Options{Poller: p, MaxConns: 1})
			if err != nil {
				t.Fatal(err)
			}
			in := make(chan bool)
			c, err := l.Listen("tcp://127.0.0.1:0", func(_ *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Accept); ok {
					close(in)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			addr := c.LocalAddr().String()
			if err := old.Ready(l); err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			go func() { ran <- l.Run(context.Background()) }()
			peer, err := net.Dial("tcp", addr)
			if err != nil {
				t.Fatal(err)
			}
			<-in
			next, err := handoff.Begin(o)
			if err != nil {
				t.Errorf("%d loops: Begin: %v", loops, err)
			} else {
				if next.First() {
					t.Errorf("%d loops: the successor has got no listener", loops)
				}
				next.Close()
			}
			peer.Close()
			l.Close()
			<-ran
			old.Close()
		}
	})
}
