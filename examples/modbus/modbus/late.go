package modbus

import (
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// owed is a reply on a serial line that may still come, though its request was given up. RTU has no
// number of the transaction, so a later request of the same function to the same unit could take it
// for its own reply.
type owed struct {
	unit  byte
	pdu   []byte // of the request
	until int64  // by m.Now: from then on it counts as lost
	// whole says that the reply ends the wait. Otherwise the echo of the request may come as well, and
	// that of a write to one register is equal to the reply.
	whole bool
}

// owe is called when the first request of the queue is given up, on a line that is a serial one.
func (x *Master) owe() {
	if x.tcp || x.o.Late < 0 {
		return
	}
	r, now := x.queue[0], x.m.Now()
	x.owed = slices.DeleteFunc(x.owed, func(o owed) bool { return o.until <= now || o.unit == r.unit && o.pdu[0] == r.pdu[0] })
	x.owed = append(x.owed, owed{r.unit, r.pdu, now + int64(x.o.Late), len(x.echo) == 0})
}

// owing returns how long the first request of the queue has to wait for a late reply.
func (x *Master) owing() time.Duration {
	r, now := x.queue[0], x.m.Now()
	for _, o := range x.owed {
		if o.unit == r.unit && o.pdu[0] == r.pdu[0] && o.until > now {
			return time.Duration(o.until - now)
		}
	}
	return 0
}

// awaitOwed takes what comes while nothing is asked: a late reply, or noise.
func (x *Master) awaitOwed(c *conn.Conn) {
	b, now := c.Recv.Bytes(), x.m.Now()
	useless := len(b)
	for i, o := range x.owed {
		if !o.whole || o.until <= now {
			continue
		}
		reply, n := findRTU(b, o.unit, o.pdu)
		if reply == nil {
			useless = min(useless, max(n, len(b)-maxRTU))
			continue
		}
		x.stats.Late++
		x.noise(n - len(reply) - 3)
		c.Recv.Discard(n)
		waits := x.state == resting && x.owing() > 0
		x.owed = slices.Delete(x.owed, i, i+1)
		x.drop()
		if waits && x.owing() == 0 { // the first request has waited for this, and for no other pause
			x.next()
		}
		return
	}
	x.noise(useless)
	c.Recv.Discard(useless)
}
