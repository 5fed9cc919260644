package modbus

import "time"

// state is how far the first request of the queue is.
type state uint8

const (
	idle    state = iota // no request, or the line is not open
	opening              // the line is being opened
	resting              // the line has to be silent before the request
	asked                // the request has gone, a reply is to come
	closed
)

// request is one question.
type request struct {
	unit  byte
	pdu   []byte
	done  func([]uint16, error)
	tries int
}

// after calls f in d, unless the state changes before.
func (x *Master) after(d time.Duration, f func()) {
	x.stopTimer()
	x.timer = x.m.AfterFunc(d, f)
}

func (x *Master) stopTimer() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
}

// next begins the first request of the queue.
func (x *Master) next() {
	switch {
	case x.state == closed:
	case len(x.queue) == 0:
		x.state = idle
	case x.conn == nil:
		x.openLine()
	case x.owing() > 0:
		x.state = resting
		x.after(x.owing(), x.next)
	default:
		// RTU: the line has to be silent, and what comes until then is no reply.
		x.state = resting
		now := x.m.Now()
		if x.rests == 0 {
			x.rests = now
		}
		switch wait := x.heard + int64(x.o.gap) - now; {
		case x.o.gap == 0 || wait <= 0:
			x.rests = 0
			x.ask()
		case now-x.rests > int64(x.o.Timeout): // somebody talks without end
			x.rests = 0
			x.queue[0].tries++
			x.stats.Garbled++
			x.again(ErrGarbled)
		default:
			left := x.rests + int64(x.o.Timeout) - now
			x.after(time.Duration(min(wait, left+1)), x.next)
		}
	}
}

// ask sends the first request of the queue.
func (x *Master) ask() {
	r := x.queue[0]
	r.tries++
	x.stats.Requests++
	x.state, x.came = asked, false
	x.drop()
	x.echo = nil
	wait := x.o.Timeout
	if x.tcp {
		x.id++
		x.buf = appendTCP(x.buf[:0], x.id, r.unit, r.pdu)
	} else {
		x.buf = appendRTU(x.buf[:0], r.unit, r.pdu)
		if x.o.Echo {
			x.echo = x.buf
		}
		n := len(x.buf)
		if r.unit != Broadcast {
			n += replySize(r.pdu) + 3
		}
		wait += time.Duration(n) * x.o.char
	}
	if r.unit == Broadcast && !x.tcp {
		wait += x.o.Turnaround - x.o.Timeout
	}
	x.after(wait, x.late)
	if _, err := x.conn.Write(x.buf); err != nil {
		x.conn.Close() // the Close event goes on
	}
}

// late ends the wait for a reply.
func (x *Master) late() {
	r := x.queue[0]
	if r.unit != Broadcast || len(x.echo) > 0 {
		x.owe()
	}
	switch {
	case len(x.echo) > 0:
		x.again(ErrNoEcho)
	case r.unit == Broadcast && !x.tcp:
		x.finish(nil, nil)
	case x.came:
		x.stats.Garbled++
		x.again(ErrGarbled)
	default:
		x.stats.Timeouts++
		x.again(ErrTimeout)
	}
}

// again repeats the first request, or ends it with err if that was done often enough.
func (x *Master) again(err error) {
	x.drop()
	if x.queue[0].tries > max(x.o.Retries, 0) {
		x.finish(nil, err)
		return
	}
	x.state = resting
	if err == DeviceBusy {
		x.after(x.o.Turnaround, x.next)
		return
	}
	x.next()
}

// finish ends the first request and begins the next.
func (x *Master) finish(values []uint16, err error) {
	r := x.queue[0]
	x.stopTimer()
	x.queue = x.queue[1:]
	x.echo = nil
	x.state = resting
	x.m.Try(func() { r.done(values, err) })
	if x.state == resting { // done may have closed the master, or asked
		x.next()
	}
}
