package mgr_test

import (
	"context"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// The calls that a handler may make in any event, and whether they end the manager. Queued
// functions run all the same.
var insides = map[string]struct {
	call func(t *testing.T, l *loop, lc *conn.Conn)
	ends bool
}{
	"Broadcast": {call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Broadcast(func(c *conn.Conn) { c.WriteString("x") }))
	}},
	"Broadcast of Close": {call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Broadcast((*conn.Conn).Close))
	}},
	"Broadcast inside Broadcast": {call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Broadcast(func(*conn.Conn) { noError(t, l.Broadcast((*conn.Conn).Drain)) }))
	}},
	"Close of the listener": {call: func(_ *testing.T, _ *loop, lc *conn.Conn) { lc.Close() }},
	"Listen and Connect": {call: func(t *testing.T, l *loop, _ *conn.Conn) {
		lc, err := l.Listen("tcp://127.0.0.1:0", nil)
		noError(t, err)
		_, err = l.Connect("tcp://"+lc.LocalAddr().String(), nil)
		noError(t, err)
	}},
	"Manager.Close twice": {ends: true, call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Close())
		noError(t, l.Close())
	}},
	"Shutdown twice": {ends: true, call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Shutdown(context.Background()))
		noError(t, l.Shutdown(context.Background()))
	}},
	"Shutdown and Close": {ends: true, call: func(t *testing.T, l *loop, _ *conn.Conn) {
		noError(t, l.Shutdown(context.Background()))
		noError(t, l.Close())
	}},
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

func TestCallsInsideEachCallback(t *testing.T) {
	for event := range triggers {
		for name, x := range insides {
			t.Run(event+" "+name, func(t *testing.T) {
				underBothAtOnce(t, func(t *testing.T, o mgr.Options) { callInside(t, o, event, x.call, x.ends) })
			})
		}
	}
}

func callInside(t *testing.T, o mgr.Options, event string, call func(*testing.T, *loop, *conn.Conn), ends bool) {
	l := prepare(t, o)
	rules := newRules(t)
	var lc *conn.Conn
	called, queued := make(chan struct{}, 1), make(chan struct{}, 1)
	armed := false
	h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
		if c.IsListener() {
			return
		}
		rules.see(c, ev)
		if armed && eventName(ev) == event {
			armed = false
			l.Do(func() { queued <- struct{}{} })
			call(t, l, lc)
			called <- struct{}{}
		}
	})
	lc = l.listen(h, smallBuffers)
	l.run()
	l.dial()
	take(t, conns)
	if trigger := triggers[event]; trigger == nil {
		l.on(func() { armed = true })
		l.dial()
	} else {
		peer := l.dial()
		c := take(t, conns)
		l.on(func() { armed = true })
		trigger(l, c, peer)
	}
	take(t, called)
	take(t, queued)
	if ends {
		if err := take(t, l.ran); err != nil {
			t.Errorf("Run: %v", err)
		}
		l.ran <- nil // for the end of the test
		if n := len(rules.fds); n != 0 {
			t.Errorf("%d connections have had no Close", n)
		}
		return
	}
	l.on(func() {})
	l.on(func() {
		if s := l.Stats(); s.Panics != 0 {
			t.Errorf("%d panics", s.Panics)
		}
	})
}
