package websocket

import (
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// attempt begins to connect.
func (r *Reconnector) attempt() {
	r.timer = nil
	if r.closing {
		r.closed(State{})
		return
	}
	r.phase = PhaseConnecting
	r.err, r.code, r.reason = nil, 0, ""
	r.first, r.handed, r.confirmed = 0, 0, 0
	begun := false
	defer func() { // even if the program panics
		if !begun && r.c == nil {
			r.lost(State{Err: errPanicked})
		}
	}()
	r.tell(State{Attempt: r.failures + 1})
	if r.closing {
		begun = true // Close has set a timer
		return
	}
	err := r.connect()
	begun = true
	if err != nil && r.c == nil { // else its Close event comes
		r.lost(State{Err: err})
	}
}

var errPanicked = errors.New("websocket: the program panicked before the attempt")

func (r *Reconnector) connect() error {
	a := Attempt{Number: r.failures + 1, URL: r.url, Header: r.opts.Header}
	o := &r.opts.ClientOptions
	if r.opts.Before != nil {
		if err := r.opts.Before(&a); err != nil {
			return fmt.Errorf("websocket: connect to %s: %w", r.url, err)
		}
		if r.closing {
			return errClosing
		}
		copied := *o
		copied.Header = a.Header
		o = &copied
	}
	_, err := r.world.connect(a.URL, r.handle, o)
	return err
}

var errClosing = errors.New("websocket: closed by this side")

// handle is the handler of all connections.
func (r *Reconnector) handle(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Open); ok && r.c == nil {
		r.c = c
		if r.closing {
			c.Close()
		}
	}
	if c != r.c { // a redirect has replaced it, or is about to put it in the place of r.c
		r.h(c, ev)
		return
	}
	switch ev := ev.(type) {
	case *Redirect:
		r.c = ev.Conn
	case *Open:
		r.opened(c, ev)
		return
	case *Control:
		if ev.Op == Pong && r.confirms(ev.Data) {
			return
		}
		if ev.Op == Close {
			r.code, r.reason = ev.Code, ev.Reason
		}
	case *conn.Shutdown:
		r.ending = true
	case *conn.Error:
		r.err = ev.Err
	case *conn.Close:
		defer r.over(ev.Reason) // even if the program panics
	}
	r.h(c, ev)
	r.drain()
}

// opened is the beginning of a WebSocket.
func (r *Reconnector) opened(c *conn.Conn, ev *Open) {
	r.phase, r.openedAt = PhaseOpen, r.world.now()
	defer r.drain() // after what the program sends first
	r.h(c, ev)
	if r.c == c && r.phase == PhaseOpen {
		r.tell(State{})
	}
}

// over is the end of a connection.
func (r *Reconnector) over(why conn.Reason) {
	end := State{Err: r.err, Code: r.code, Reason: r.reason}
	if r.phase == PhaseOpen && r.code == 0 {
		end.Code = CloseAbnormal
	}
	if end.Err == nil {
		end.Err = fmt.Errorf("websocket: %s", why)
		if r.code != 0 {
			end.Err = fmt.Errorf("websocket: closed with %d %s", r.code, r.reason)
		}
	}
	if e, ok := errors.AsType[*HandshakeError](end.Err); ok {
		end.Status, end.RetryAfter = e.Status, e.RetryAfter
	}
	if r.handed > r.confirmed {
		end.DoubtFrom, end.DoubtTo = max(r.first, r.confirmed+1), r.handed
	}
	if r.phase == PhaseOpen && r.world.now()-r.openedAt >= int64(r.opts.Stable) {
		r.failures = 0
	}
	r.c = nil
	r.stopAsking()
	if r.ending || why == conn.ShuttingDown {
		r.closed(end)
		return
	}
	r.lost(end)
}

// lost waits for the next attempt, or gives up.
func (r *Reconnector) lost(end State) {
	if r.closing {
		end.Err = nil
		r.closed(end)
		return
	}
	r.phase = PhaseWaiting
	r.failures++
	end.Phase, end.Attempt, end.Queued = PhaseWaiting, r.failures, len(r.box.list)
	end.Delay = r.delay(&end)
	if r.world.forGood(end.Err) || r.opts.Fatal != nil && r.opts.Fatal(&end) || r.closing {
		if r.closing { // by Fatal
			end.Err = nil
		}
		r.closed(end)
		return
	}
	r.timer = r.world.after(end.Delay, r.attempt)
	r.tell(end)
}

// delay is how long to wait after end.
func (r *Reconnector) delay(end *State) time.Duration {
	o := &r.opts
	most := o.MaxDelay
	if n := r.failures - 1; n < 63 && o.MinDelay <= most>>n {
		most = o.MinDelay << n
	}
	d := r.upTo(most)
	if end.Code == CloseRestart || end.Code == CloseTryLater {
		d = max(d, o.RestartMin+r.upTo(o.RestartMax-o.RestartMin))
	}
	if end.RetryAfter > 0 { // not all of them at the same moment
		d = max(d, min(end.RetryAfter, o.MaxRetryAfter)+r.upTo(o.MinDelay))
	}
	return d
}

// upTo returns a random time from 0 to d.
func (r *Reconnector) upTo(d time.Duration) time.Duration {
	if d <= 0 {
		return 0
	}
	return time.Duration(r.world.random(int64(d) + 1))
}

// closed is the end of r.
func (r *Reconnector) closed(end State) {
	r.stop()
	if r.phase == PhaseClosed {
		return
	}
	r.phase, r.closing = PhaseClosed, true
	end.Delay = 0
	defer r.box.clear() // even if the program panics
	r.tell(end)
}

// stop ends the wait.
func (r *Reconnector) stop() {
	if r.timer != nil {
		r.timer.Stop()
		r.timer = nil
	}
}

// tell gives the program a State of the present phase.
func (r *Reconnector) tell(ev State) {
	ev.Phase, ev.Queued, ev.Dropped = r.phase, len(r.box.list), r.dropped
	r.dropped = 0
	r.state = ev
	r.h(nil, &r.state)
}
