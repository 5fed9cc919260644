package main

import (
	"context"
	"log"
	"net"
	"time"

	"github.com/panjf2000/gnet/v2"

	"github.com/seed4930a636/mangusta/bench/peer/internal/setup"
)

// waker measures wake-ups of the one connection that it makes to itself.
type waker struct {
	gnet.BuiltinEventEngine
	f    setup.Flags
	eng  gnet.Engine
	seen chan time.Time
}

func (w *waker) OnBoot(eng gnet.Engine) gnet.Action {
	w.eng = eng
	go func() {
		if _, err := net.Dial("tcp", w.f.Listen); err != nil {
			log.Fatal(err)
		}
	}()
	return gnet.None
}

func (w *waker) OnOpen(c gnet.Conn) ([]byte, gnet.Action) {
	go func() {
		w.f.Pings(func() error { return c.Wake(nil) }, w.seen)
		w.eng.Stop(context.Background())
	}()
	return nil, gnet.None
}

func (w *waker) OnTraffic(gnet.Conn) gnet.Action {
	w.seen <- time.Now()
	return gnet.None
}
