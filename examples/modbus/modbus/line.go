package modbus

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// openLine opens the line, unless it was found to be down a moment ago.
func (x *Master) openLine() {
	if wait := x.downed + int64(x.o.Reopen) - x.m.Now(); x.down && wait > 0 {
		x.state = resting
		x.after(time.Duration(wait), x.next)
		return
	}
	x.state = opening
	x.stopTimer()
	c, err := x.open(x.handle)
	switch {
	case err != nil:
		x.goneDown(err)
	case x.state != opening: // a handler has closed the master meanwhile
		c.Close()
	default:
		x.conn = c
		if !c.Layer().Connecting() {
			x.up()
		}
	}
}

func (x *Master) up() {
	x.stats.Opened++
	x.down, x.rests = false, 0
	x.heard = x.m.Now() // whatever was on the line before
	x.next()
}

// goneDown fails all requests that wait: those of a program that asks each second must not pile up
// while the line is down. The next ones wait for the next attempt to open it.
func (x *Master) goneDown(err error) {
	x.conn = nil
	x.down, x.downed = true, x.m.Now()
	x.state = idle
	x.failAll(err)
}

// lost is the end of the line. A request that was under way goes on a fresh one: a device may close
// a connection that rests just when the request is on its way.
func (x *Master) lost(err error) {
	was := x.state
	x.conn = nil
	switch was {
	case closed:
	case opening:
		x.goneDown(err)
	case asked, resting:
		r := x.queue[0]
		if was == asked {
			x.owe() // the unit may still reply when the line is plugged in again
		}
		if was == resting {
			r.tries++ // or a line that ends as soon as it is open would be opened for ever
		}
		if r.tries > max(x.o.Retries, 0) {
			x.stopTimer()
			x.goneDown(err)
			return
		}
		x.state = resting
		x.after(0, x.next)
	}
}

// failAll ends all requests that wait now.
func (x *Master) failAll(err error) {
	all := x.queue
	x.queue = nil
	if x.state != closed {
		x.state = idle
	}
	for _, r := range all {
		x.m.Try(func() { r.done(nil, err) })
	}
}

func (x *Master) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Connect:
		x.up()
	case *conn.Read:
		x.read(c)
	case *conn.Error:
		if c == x.conn {
			x.lost(ev.Err)
		}
	case *conn.Close:
		if c == x.conn {
			x.lost(fmt.Errorf("modbus: the peer has closed the connection: %w", conn.ErrClosed))
		}
	}
}
