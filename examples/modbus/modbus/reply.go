package modbus

import (
	"bytes"

	"github.com/seed4930a636/mangusta/conn"
)

// read takes what has come.
func (x *Master) read(c *conn.Conn) {
	x.heard = x.m.Now()
	switch {
	case c != x.conn:
		c.Recv.Discard(c.Recv.Len())
	case x.tcp:
		x.came = true
		x.readTCP(c)
	case x.state != asked:
		x.awaitOwed(c)
	default:
		x.came = true
		x.readRTU(c)
	}
}

func (x *Master) readRTU(c *conn.Conn) {
	if len(x.echo) > 0 {
		b := c.Recv.Bytes()
		i := bytes.Index(b, x.echo)
		if i < 0 {
			drop := max(0, len(b)-len(x.echo)+1)
			x.noise(drop)
			c.Recv.Discard(drop)
			return
		}
		x.noise(i)
		c.Recv.Discard(i + len(x.echo))
		x.echo, x.came = nil, c.Recv.Len() > 0
	}
	r := x.queue[0]
	if r.unit == Broadcast {
		return // no unit replies: it is noise
	}
	for {
		b := c.Recv.Bytes()
		reply, n := findRTU(b, r.unit, r.pdu)
		if reply == nil {
			n = max(n, len(b)-maxRTU)
			x.noise(n)
			c.Recv.Discard(n)
			return
		}
		values, err := parseReply(r.pdu, reply)
		if err == errReply { // the reply to a write of something else, long ago: ours is still to come
			x.noise(n)
			c.Recv.Discard(n)
			continue
		}
		x.noise(len(b) - len(reply) - 3)
		c.Recv.Discard(len(b))
		x.reply(values, err)
		return
	}
}

// readTCP takes the frames that are whole. One that nobody waits for is dropped, also while no
// request is under way: the frames after it must not lose their beginning.
func (x *Master) readTCP(c *conn.Conn) {
	for x.conn == c && x.state != closed {
		id, unit, pdu, n, err := parseTCP(c.Recv.Bytes())
		switch {
		case err != nil:
			x.stats.Garbled++
			c.Layer().Fail(conn.Protocol, err)
			return
		case n == 0:
			return
		}
		if x.state != asked || id != x.id { // late: the reply to a request that was repeated
			c.Recv.Discard(n)
			continue
		}
		r := x.queue[0]
		values, err := parseReply(r.pdu, pdu)
		if unit != r.unit {
			values, err = nil, errReply
		}
		c.Recv.Discard(n)
		x.reply(values, err)
	}
}

// reply takes the reply to the first request.
func (x *Master) reply(values []uint16, err error) {
	switch e, refused := err.(Exception); {
	case refused && e == DeviceBusy:
		x.stats.Exceptions++
		x.stopTimer()
		x.again(e)
		return
	case refused:
		x.stats.Exceptions++
	case err != nil:
		x.stats.Garbled++
		x.again(err)
		return
	default:
		x.stats.Replies++
	}
	x.finish(values, err)
}

// drop throws away what has come so far: on a serial line it is no part of a later reply. Over TCP
// the rest of a frame is still to come, so its beginning stays.
func (x *Master) drop() {
	if x.conn == nil || x.tcp {
		return
	}
	x.noise(x.conn.Recv.Len())
	x.conn.Recv.Discard(x.conn.Recv.Len())
}

func (x *Master) noise(n int) { x.stats.Noise += uint64(n) }
