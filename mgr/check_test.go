package mgr_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// panicOf returns what f panics with.
func panicOf(f func()) (v any) {
	defer func() { v = recover() }()
	f()
	return nil
}

func TestCheckedPanicsOffTheLoop(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Checked = true
		h, conns := accepted(echo)
		l := start(t, o, h)
		l.dial()
		c := take(t, conns)
		l.on(func() {}) // the loop runs
		var timer *mgr.Timer
		l.on(func() { timer = l.AfterFunc(time.Hour, func() {}) })
		for op, f := range map[string]func(){
			"Write":                func() { c.WriteString("x") },
			"Close":                c.Close,
			"Drain":                c.Drain,
			"DrainLinger":          func() { c.Layer().DrainLinger(time.Second) },
			"CloseWrite":           c.CloseWrite,
			"Pause":                c.Pause,
			"Pending":              func() { c.Pending() },
			"IsOpen":               func() { c.IsOpen() },
			"IsClosed":             func() { c.IsClosed() },
			"Resume":               c.Resume,
			"Hold":                 c.Layer().Hold,
			"Unhold":               c.Layer().Unhold,
			"SetPoll":              func() { c.SetPoll(true) },
			"SetHandler":           func() { c.SetHandler(nil) },
			"SetProtocol":          func() { c.SetProtocol(nil, nil) },
			"SetDeadline":          func() { c.Layer().SetDeadline(1) },
			"SetLimits":            func() { c.SetLimits(&conn.Limits{}) },
			"SetHexdump":           func() { c.SetHexdump(nil) },
			"LocalAddr":            func() { c.LocalAddr() },
			"Fail":                 func() { c.Layer().Fail(conn.Protocol, nil) },
			"SetReason":            func() { c.Layer().SetReason(conn.Protocol) },
			"Redeliver":            c.Layer().Redeliver,
			"SetHalfOpen":          func() { c.SetHalfOpen(true) },
			"AvailableBuffer":      func() { c.AvailableBuffer() },
			"SetProtocolState":     func() { c.Layer().SetProtocolState(nil) },
			"SendFile":             func() { c.SendFile(os.Stdin, 0, 1, nil) },
			"Connect":              func() { l.Connect("tcp://127.0.0.1:1", nil) },
			"SetNoDelay":           func() { c.Kernel().SetNoDelay(true) },
			"Listen":               func() { l.Listen("tcp://127.0.0.1:0", nil) },
			"Wrap":                 func() { l.Wrap(0, nil) },
			"Lookup":               func() { l.Lookup(1) },
			"Stats":                func() { l.Stats() },
			"AfterFunc and Every":  func() { l.AfterFunc(0, func() {}) },
			"Timer.Stop":           func() { timer.Stop() },
			"AfterFunc and Every ": func() { l.Every(1, func() {}) },
		} {
			if op == "AfterFunc and Every " { // a key of its own for Every
				op = op[:len(op)-1]
			}
			want := "mangusta: " + op + " was called off the loop while the loop was running; use Manager.Do, Wakeup or Broadcast"
			if got := panicOf(f); got != want {
				t.Errorf("panic %v, want %s", got, want)
			}
		}
	})
}

func TestWhatIsSafeForConcurrentUseIsNotChecked(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Checked = true
		h, conns := accepted(echo)
		l := start(t, o, h)
		l.dial()
		c := take(t, conns)
		if v := panicOf(func() {
			l.Do(func() {})
			l.Wakeup(c.ID(), nil)
			l.Broadcast(func(c *conn.Conn) { c.WriteString("x") })
		}); v != nil {
			t.Errorf("panic %v", v)
		}
	})
}

func TestCheckedLetsAnyoneInWhileTheLoopRests(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		o.Checked = true
		m := newManager(t, o)
		m.Poll(0)
		if v := panicOf(func() {
			m.AfterFunc(0, func() {})
			m.Stats()
			m.Listen("tcp://127.0.0.1:0", nil)
		}); v != nil {
			t.Errorf("panic %v", v)
		}
	})
}

func TestPollAndRunInAHandlerPanic(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		l := start(t, o, echo)
		l.on(func() {
			for name, f := range map[string]func(){"Poll": func() { l.Poll(0) }, "Run": func() { l.Run(t.Context()) }} {
				want := fmt.Sprintf("mgr: %s was called from a handler of the same manager", name)
				if got := panicOf(f); got != want {
					t.Errorf("panic %v, want %s", got, want)
				}
			}
		})
	})
}
