package http

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
)

// A pool is the connections of a Client, and the requests that wait for one.
type pool struct {
	hosts   map[hostKey]*clientHost
	waiting int           // calls in the queues of the hosts
	rested  clientList    // idle connections, the one that has rested longest first
	hungry  []*clientHost // hosts with a queue, the next one to be served first
	conns   []*clientConn // all of them
	timerAt int64         // when the timer of the calls without a connection fires; 0 is never
	closed  bool
	serving bool
}

// A hostKey tells servers apart whose connections must not be mixed.
type hostKey struct {
	secure   bool
	hostPort string
	proxy    string
}

// A clientHost is the pool's connections to one server, or through one proxy.
type clientHost struct {
	client *Client
	key    hostKey
	target *weburl.URL // one of the URLs that lead here
	via    *clientProxy

	idle        []*clientConn // the last one that came is the next to go
	open        int
	first, last *clientCall // the queue
	listed      bool        // in pool.hungry
	over        bool        // it has left the map
}

// hostOf returns the host that t leads to.
func (c *Client) hostOf(t *weburl.URL) (*clientHost, error) {
	key := hostKey{secure: t.Secure, hostPort: t.HostPort()}
	via, err := c.side.opts.proxyFor(t)
	if err != nil {
		return nil, err
	}
	if via != nil {
		if key.proxy = via.address + via.auth; !t.Secure && !c.side.opts.Tunnel {
			key.hostPort = "" // it is the proxy that they are sent to
		}
	}
	if h := c.hosts[key]; h != nil {
		return h, nil
	}
	if t.Secure && c.side.opts.TLS == nil {
		return nil, errNoClientTLS
	}
	h := &clientHost{client: c, key: key, target: t, via: via}
	c.hosts[key] = h
	return h, nil
}

// forget takes a host without connections and requests off the map.
func (h *clientHost) forget() {
	if h.open == 0 && h.first == nil && !h.over {
		h.over = true
		delete(h.client.hosts, h.key)
	}
}

// place gives a call a connection, or puts it into the queue.
func (c *Client) place(a *clientCall) error {
	h := a.of
	if h.first == nil {
		if k := h.takeIdle(); k != nil {
			k.add(a)
			return nil
		}
		if c.mayOpen(h) {
			return h.dial(a)
		}
	}
	if c.waiting >= c.side.opts.MaxQueue {
		h.forget()
		return ErrQueueFull
	}
	h.enqueue(a, false)
	return nil
}

// takeIdle returns an idle connection, nil if there is none.
func (h *clientHost) takeIdle() *clientConn {
	for n := len(h.idle); n > 0; n = len(h.idle) {
		k := h.idle[n-1]
		h.idle[n-1] = nil
		h.idle = h.idle[:n-1]
		h.client.rested.remove(k)
		k.c.Layer().SetSpare(false)
		if k.c.IsOpen() {
			return k
		}
	}
	return nil
}

// mayOpen reports whether h may have another connection. At MaxConns the connection that has rested
// longest makes room.
func (c *Client) mayOpen(h *clientHost) bool {
	o := &c.side.opts
	if h.open >= o.MaxConnsPerHost {
		return false
	}
	if len(c.conns) >= o.MaxConns {
		k := c.rested.first
		if k == nil {
			return false
		}
		k.c.Close()
		k.host.lost(k)
	}
	return true
}

// dial makes a connection for a.
func (h *clientHost) dial(a *clientCall) error {
	c, turn := h.client, a.turn
	var k *clientConn
	_, err := dialTo(c.m, h.target, h.via, nil, &c.side.opts, c.side.opts.ConnectTimeout, func(cn *conn.Conn) {
		k = attachClient(cn, c.side)
		k.host, k.via, k.at = h, h.via, len(c.conns)
		c.conns = append(c.conns, k)
		h.open++
	})
	if err != nil {
		h.forget()
		return a.fail(err)
	}
	if a.turn != turn { // the program has given it up, in Setup
		k.c.Close()
		h.lost(k)
		return nil
	}
	k.askTunnel(a.target)
	k.add(a)
	c.watch(a.until, c.m.Now()) // until the connection stands it has no other clock
	return nil
}

// enqueue has a wait for a connection, at the end of the queue or at its front.
func (h *clientHost) enqueue(a *clientCall, front bool) {
	c := h.client
	a.on, a.next = nil, nil
	switch {
	case h.first == nil:
		h.first, h.last = a, a
		if !h.listed {
			h.listed = true
			c.hungry = append(c.hungry, h)
		}
	case front:
		a.next = h.first
		h.first = a
	default:
		h.last.next = a
		h.last = a
	}
	c.waiting++
	c.watch(a.until, c.m.Now())
}

// dequeue takes the first call off the queue.
func (h *clientHost) dequeue() *clientCall {
	a := h.first
	if h.first = a.next; h.first == nil {
		h.last = nil
	}
	a.next = nil
	h.client.waiting--
	return a
}

// rest takes a connection back after a response: it carries the next request of the queue, or
// rests.
func (h *clientHost) rest(k *clientConn) {
	if k.c.Paused() {
		k.c.Resume() // the program has held back a response that is over
	}
	switch {
	case h.first != nil:
		k.add(h.dequeue())
	case h.client.closed, h.client.side.opts.KeepAlive < 0:
		k.c.Close()
		h.lost(k)
	default:
		h.idle = append(h.idle, k)
		h.client.rested.add(k)
		k.c.Layer().SetSpare(true)
		k.arm()
		if len(h.client.hungry) > 0 {
			h.client.serve() // another host may want its place
		}
	}
}

// lost notes that a connection is not the pool's any more. It may be called twice.
func (h *clientHost) lost(k *clientConn) {
	if k.lost {
		return
	}
	k.lost = true
	h.open--
	c := h.client
	last := c.conns[len(c.conns)-1]
	c.conns[k.at], last.at = last, k.at
	c.conns[len(c.conns)-1] = nil
	c.conns = c.conns[:len(c.conns)-1]
	if k.resting {
		c.rested.remove(k)
		for i, other := range h.idle {
			if other == k {
				h.idle = append(h.idle[:i], h.idle[i+1:]...)
				break
			}
		}
	}
	h.forget()
}

// serve gives connections to the requests that wait, host by host, as long as there may be more.
func (c *Client) serve() {
	if c.serving {
		return
	}
	c.serving = true
	defer func() { c.serving = false }()
	for i := 0; i < len(c.hungry); {
		h := c.hungry[i]
		for h.first != nil {
			k := h.takeIdle()
			if k == nil {
				if !c.mayOpen(h) {
					break
				}
				a := h.dequeue()
				if err := h.dial(a); err != nil {
					c.m.Try(func() { c.fail(a, err) }) // the others go on even if the program panics
				}
				continue
			}
			k.add(h.dequeue())
		}
		if h.first == nil {
			h.listed = false
			c.hungry = append(c.hungry[:i], c.hungry[i+1:]...)
			h.forget()
			continue
		}
		i++
	}
	if n := len(c.hungry); n > 1 { // by turns
		h := c.hungry[0]
		copy(c.hungry, c.hungry[1:])
		c.hungry[n-1] = h
	}
}

// repeat sends a call once more, on a connection of its own: others that were kept may have been
// closed as well.
func (c *Client) repeat(a *clientCall) {
	a.rewind()
	a.again = true
	h, err := c.hostOf(a.target)
	if err == nil {
		if a.of = h; !c.mayOpen(h) {
			h.enqueue(a, true)
			return
		}
		err = h.dial(a)
	}
	if err != nil {
		c.fail(a, err)
	}
}

// fail tells the program that a call has failed.
func (c *Client) fail(a *clientCall, err error) { Call{c, a, a.turn}.end(nil, err) }

// detached ends a call whose connection has been taken away by Detach.
func (c *Client) detached(a *clientCall, head ResponseHead) {
	c.side.resp = Response{ResponseHead: head}
	Call{c, a, a.turn}.end(&c.side.resp, nil)
}

// cancel ends a call without telling the program.
func (c *Client) cancel(a *clientCall) {
	if k := a.on; k != nil {
		for k.first != nil { // it, alone but for that of a tunnel
			k.drop()
		}
		k.c.Close()
		k.host.lost(k)
		c.side.put(a)
		c.serve()
		return
	}
	c.unqueue(a)
	c.side.put(a)
}

// unqueue takes a out of the queue of its host.
func (c *Client) unqueue(a *clientCall) {
	h := a.of
	var before *clientCall
	for at := h.first; at != nil; before, at = at, at.next {
		if at != a {
			continue
		}
		if before == nil {
			h.first = a.next
		} else {
			before.next = a.next
		}
		if h.last == a {
			h.last = before
		}
		a.next = nil
		c.waiting--
		return
	}
}

// watch has the timer look at the calls without a connection at the time at.
func (c *Client) watch(at, now int64) {
	if at == never || c.timerAt != 0 && c.timerAt <= at {
		return
	}
	c.timerAt = at
	c.m.AfterFunc(time.Duration(at-now), func() {
		if c.timerAt == at {
			c.overdue()
		}
	})
}

// overdue ends the calls that have waited for too long.
func (c *Client) overdue() {
	now := c.m.Now()
	c.timerAt = 0
	next := int64(never)
	for _, k := range c.conns {
		switch a := k.last; {
		case k.connected || a == nil:
		case now >= a.until:
			k.fail(conn.DeadlineOver, ErrTimeout)
		default:
			next = min(next, a.until)
		}
	}
	var late []Call
	for _, h := range c.hungry {
		for a := h.first; a != nil; a = a.next {
			if now >= a.until {
				late = append(late, Call{c, a, a.turn})
			} else {
				next = min(next, a.until)
			}
		}
	}
	c.watch(next, now)
	c.endAll(late, ErrTimeout)
}

// endAll ends calls that have waited in a queue. The program, when it is told of one, may give up
// another.
func (c *Client) endAll(calls []Call, why error) {
	for _, h := range calls {
		c.unqueue(h.a)
	}
	for _, h := range calls {
		if h.a.turn == h.turn {
			c.m.Try(func() { h.end(nil, h.a.fail(why)) })
		}
	}
}

// Close ends the client: its connections close, and each request that is under way ends with
// ErrClientClosed. It returns ErrClientClosed the second time.
func (c *Client) Close() error {
	if c.closed {
		return ErrClientClosed
	}
	c.closed = true
	var waiting []Call
	for _, h := range c.hosts {
		for h.first != nil {
			a := h.dequeue()
			waiting = append(waiting, Call{c, a, a.turn})
		}
	}
	if len(waiting) > 0 {
		c.m.AfterFunc(0, func() { c.endAll(waiting, ErrClientClosed) })
	}
	for _, k := range c.conns {
		k.c.Close()
	}
	return nil
}

// CloseIdle closes the connections that carry no request.
func (c *Client) CloseIdle() {
	for k := c.rested.first; k != nil; k = c.rested.first {
		k.c.Close()
		k.host.lost(k)
	}
}

// ClientStats are the figures of a Client.
type ClientStats struct {
	Conns   int // connections, those included that are being made
	Idle    int // of them: those that carry no request
	Waiting int // requests that wait for a connection
}

// Stats returns the figures of the client.
func (c *Client) Stats() ClientStats {
	return ClientStats{Conns: len(c.conns), Idle: c.rested.n, Waiting: c.waiting}
}

// A clientList is a list of idle connections.
type clientList struct {
	first, last *clientConn
	n           int
}

func (l *clientList) add(k *clientConn) {
	k.resting = true
	k.idlePrev, k.idleNext = l.last, nil
	if l.last != nil {
		l.last.idleNext = k
	} else {
		l.first = k
	}
	l.last = k
	l.n++
}

func (l *clientList) remove(k *clientConn) {
	if !k.resting {
		return
	}
	k.resting = false
	if k.idlePrev != nil {
		k.idlePrev.idleNext = k.idleNext
	} else {
		l.first = k.idleNext
	}
	if k.idleNext != nil {
		k.idleNext.idlePrev = k.idlePrev
	} else {
		l.last = k.idlePrev
	}
	k.idlePrev, k.idleNext = nil, nil
	l.n--
}
