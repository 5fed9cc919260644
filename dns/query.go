package dns

import (
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/net/dns/dnsmessage"
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

type dnsType = dnsmessage.Type

// A query is one question under way, for all who have asked it meanwhile. It goes to one server
// after the other, until one has answered, for as many rounds as the configuration says. A server
// that was asked before may still answer.
//
//	sent      a try waits for its answer; the timer leads to the next server
//	chased    the answer was the name of another question: all begins anew with that
//	over      finish has been called
type query struct {
	l       *loop
	m       *mgr.Manager
	q       question // what was asked for
	target  question // what the servers are asked: q, or the end of its CNAMEs so far
	hops    int
	ttl     uint32 // of the CNAMEs so far
	waiters []*waiter

	servers []netip.AddrPort // in the order in which they are asked
	sends   int              // so far, for the present target
	plain   bool             // a server does not know EDNS0
	tries   []*try           // that wait
	timer   *mgr.Timer
	failed  error // of the last try that failed
	by      netip.AddrPort
	over    bool
}

// waiter is one who waits for a query.
type waiter struct {
	q *query
	f func(*entry) // nil when it has left
}

// try is one message to one server, and the wait for its answer.
type try struct {
	q      *query
	server netip.AddrPort
	id     uint16
	edns   bool
	fd     int // of UDP, -1 with TCP
	c      *conn.Conn
	over   bool
}

// ask calls f with the answer to q, before it returns, and then it returns nil; or later.
func (l *loop) ask(m *mgr.Manager, q question, f func(*entry)) *waiter {
	if e := l.cache.get(q, m.Now()); e != nil {
		l.stats.Hits++
		f(e)
		return nil
	}
	x := l.pending[q]
	if x != nil {
		l.stats.Shared++
		w := &waiter{x, f}
		x.waiters = append(x.waiters, w)
		return w
	}
	if len(l.pending) >= l.maxQueries() {
		f(&entry{q: q, err: &Error{Name: q.name, Err: ErrBusy}})
		return nil
	}
	x = &query{l: l, m: m, q: q, target: q, ttl: ^uint32(0), servers: slices.Clone(l.conf.servers)}
	if l.conf.rotate {
		n := l.next % len(x.servers)
		l.next++
		x.servers = slices.Concat(x.servers[n:], x.servers[:n])
	}
	w := &waiter{x, f}
	x.waiters = []*waiter{w}
	l.pending[q] = x
	l.stats.Queries++
	x.next()
	if x.over {
		return nil
	}
	return w
}

// leave takes a waiter back. A query that has none left ends.
func (w *waiter) leave() {
	x := w.q
	w.f = nil
	x.waiters = slices.DeleteFunc(x.waiters, func(o *waiter) bool { return o == w })
	if len(x.waiters) == 0 && !x.over {
		x.stop()
	}
}

// next asks the next server, or gives up.
func (x *query) next() {
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
	for !x.over && x.sends < len(x.servers)*x.l.conf.attempts {
		server := x.servers[x.sends%len(x.servers)]
		x.sends++
		if err := x.send(server, x.l.conf.useTCP); err != nil {
			x.note(server, err)
			continue
		}
		return
	}
	if !x.over {
		x.giveUp()
	}
}

// note remembers why a server did not answer.
func (x *query) note(server netip.AddrPort, err error) { x.failed, x.by = err, server }

// giveUp ends the query without an answer.
func (x *query) giveUp() {
	x.l.stats.Failures++
	e := &Error{Name: x.q.name, Server: x.by, Err: ErrTimeout}
	ttl := failedFor
	if x.failed != nil {
		e.Err = ErrServer
		if x.failed != ErrServer {
			e.Err = &cause{ErrServer, x.failed}
		}
		if errors.Is(x.failed, mgr.ErrClosed) {
			e.Err, ttl = ErrShutdown, 0
		}
	}
	x.finish(&entry{q: x.q, err: e}, ttl)
}

// cause is a kind of failure, and what exactly it was.
type cause struct{ kind, err error }

func (c *cause) Error() string   { return c.kind.Error() + ": " + c.err.Error() }
func (c *cause) Unwrap() []error { return []error{c.kind, c.err} }

// stop ends everything that is under way.
func (x *query) stop() {
	x.over = true
	delete(x.l.pending, x.q)
	if x.timer != nil {
		x.timer.Stop()
		x.timer = nil
	}
	for len(x.tries) > 0 {
		x.tries[0].end()
	}
}

// finish gives e to all who wait.
func (x *query) finish(e *entry, ttl time.Duration) {
	x.stop()
	if e.size() <= mostEntry {
		x.l.cache.put(e, ttl, x.m.Now())
	}
	waiters := x.waiters
	x.waiters = nil
	for _, w := range waiters {
		x.m.Try(func() {
			if w.f != nil {
				w.f(e)
			}
		})
	}
}

// mostEntry is how many bytes an answer may have that is kept.
const mostEntry = 4096

func (e *entry) size() int {
	n := len(e.addrs) * 24
	for _, s := range e.srv {
		n += len(s.Target) + 24
	}
	for _, t := range e.texts {
		n += len(t) + 16
	}
	return n
}

// send sends the question to server.
func (x *query) send(server netip.AddrPort, tcp bool) error {
	t := &try{q: x, server: server, id: uint16(rand.Uint32()), edns: !x.plain, fd: -1} // ChaCha8, seeded by the system
	b, err := appendQuery(nil, t.id, x.target, t.edns)
	if err != nil {
		return err
	}
	if tcp {
		err = t.openTCP(b)
	} else {
		err = t.openUDP(b)
	}
	if err != nil {
		return err
	}
	x.l.stats.Sent++
	x.tries = append(x.tries, t)
	x.arm()
	return nil
}

// arm starts the clock of the try that was sent last.
func (x *query) arm() {
	if x.timer != nil {
		x.timer.Stop()
	}
	x.timer = x.m.AfterFunc(x.l.conf.timeout, func() { x.timer = nil; x.next() })
}

// openUDP sends b in a datagram.
func (t *try) openUDP(b []byte) error {
	fd, err := conn.DialUDP(t.server)
	if err != nil {
		return err
	}
	if _, err = unix.Write(fd, b); err == nil {
		t.fd = fd
		t.c, err = t.q.m.Watch(fd, t.ready)
	}
	if err != nil {
		unix.Close(fd)
		return err
	}
	return nil
}

// ready is the handler of a try's datagram socket.
func (t *try) ready(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *conn.Ready:
		t.readUDP()
	case *conn.Close:
		unix.Close(c.FD())
		if !t.over { // the manager shuts down
			t.fail(mgr.ErrClosed)
		}
	}
}

// roomFor is how long a datagram may be. A longer one is asked for by TCP.
const roomFor = 4096

// readUDP reads what has come; not all if somebody floods the port.
func (t *try) readUDP() {
	l := t.q.l
	if l.room == nil {
		l.room = make([]byte, roomFor)
	}
	for i := 0; i < 16 && !t.over; i++ {
		n, err := unix.Read(t.fd, l.room)
		switch {
		case err == unix.EINTR:
		case err == unix.EAGAIN:
			return
		case err != nil: // ECONNREFUSED and its like: an ICMP message
			t.fail(err)
		default:
			t.got(l.room[:max(n, 0)], n == roomFor)
		}
	}
}

// got looks at a message from the server. cut says that it may not be whole.
func (t *try) got(msg []byte, cut bool) {
	x := t.q
	r := &x.l.reply
	err := readReply(msg, t.id, x.target, t.edns, r)
	if cut && err != errForeign {
		err = errTruncated
	}
	switch err {
	case errForeign:
		x.l.stats.Foreign++
		if t.fd < 0 {
			t.fail(errForeign)
		}
	case errTruncated:
		t.again(true)
	case errNoEDNS:
		x.plain = true
		t.again(false)
	case nil, ErrNoName, ErrNoData:
		x.by = t.server
		x.answered(r, err)
	default:
		t.fail(err)
	}
}

// again asks the same server once more, by TCP or without EDNS0.
func (t *try) again(tcp bool) {
	x := t.q
	byTCP := t.fd < 0
	if tcp && byTCP {
		t.fail(errTruncated) // a server that truncates there too
		return
	}
	t.end()
	if err := x.send(t.server, tcp || byTCP); err != nil {
		x.note(t.server, err)
		x.next()
	}
}

// fail ends a try. If it is the last that was sent, the next server is asked at once.
func (t *try) fail(err error) {
	x := t.q
	last := len(x.tries) > 0 && x.tries[len(x.tries)-1] == t
	t.end()
	x.note(t.server, err)
	if last && !x.over {
		x.next()
	}
}

// end closes what a try has open.
func (t *try) end() {
	if t.over {
		return
	}
	t.over = true
	t.q.tries = slices.DeleteFunc(t.q.tries, func(o *try) bool { return o == t })
	t.c.Close()
}

// answered takes the answer of a server: records, a name to ask for instead, or the word that there
// are none.
func (x *query) answered(r *reply, err error) {
	if err == nil && r.chase != "" {
		if x.hops++; x.hops > mostHops {
			x.note(x.by, errLoop)
			x.giveUp()
			return
		}
		x.ttl = min(x.ttl, r.ttl)
		x.target.name = r.chase
		for len(x.tries) > 0 {
			x.tries[0].end()
		}
		x.sends = 0
		x.next()
		return
	}
	e := &entry{q: x.q, addrs: slices.Clone(r.addrs), srv: r.srv, texts: r.texts}
	ttl := time.Duration(min(x.ttl, r.ttl)) * time.Second
	if err != nil {
		e = &entry{q: x.q, err: &Error{Name: x.q.name, Server: x.by, Err: err}}
		ttl = min(ttl, mostNegative)
	}
	x.finish(e, min(ttl, mostPositive))
}
