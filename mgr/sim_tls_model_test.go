package mgr

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// tlsSimConn is a connection of the simulation with TLS, and what is known of it.
type tlsSimConn struct {
	*tlsSock
	c        *conn.Conn
	n        int
	outbound bool
	peer     *tlsPeer
	lim      conn.Limits
	began    int64

	inStart, outStart  int
	accepted, consumed int

	opened, up, stands, eof, failed, closedEvent bool
	truncated                                    bool

	halfOpen, paused, held, shutAsked bool
	draining                          bool // it ends when all is sent
	cut                               bool // it ends at once
	allowed                           [conn.NumReasons]bool
	reason                            conn.Reason
}

func (p *tlsSimConn) String() string { return fmt.Sprintf("conn %d(fd %d)", p.n, p.fd) }

// handle is the program's handler. It checks each event, and then does as programs do.
func (p *tlsSimConn) handle(c *conn.Conn, ev conn.Event) {
	s := p.s
	s.note("%v: sees %s", p, simName(ev))
	_, opens := ev.(*conn.Open)
	_, closes := ev.(*conn.Close)
	switch {
	case p.closedEvent:
		s.fail("%v: %s after Close", p, simName(ev))
	case p.failed && !closes:
		s.fail("%v: %s between Error and Close", p, simName(ev))
	case opens == p.opened:
		s.fail("%v: %s, opened %v", p, simName(ev), p.opened)
	}
	p.opened = true
	switch ev := ev.(type) {
	case *conn.Open, *conn.Shutdown, *conn.Drained, *conn.Resumed: // at any time
	case *tlsconn.Handshake:
		if p.up || !c.Secure() {
			s.fail("%v: Handshake; before %v, secure %v", p, p.up, c.Secure())
		}
		p.up = true
	case *conn.Accept, *conn.Connect:
		if _, in := ev.(*conn.Accept); p.stands || !p.up || in == p.outbound {
			s.fail("%v: %s; before %v, handshake %v", p, simName(ev), p.stands, p.up)
		}
		p.stands = true
	case *conn.Error:
		p.failed, p.reason = true, ev.Reason
		p.judge(ev)
	case *conn.Close:
		p.closedEvent = true
		if !p.failed {
			p.reason = ev.Reason
		}
	case *conn.EOF:
		p.eof = true
		if p.truncated = tlsconn.Truncated(c); p.truncated == p.peer.bye && !p.peer.lost {
			s.fail("%v: truncated is %v, and the peer has sent close_notify: %v", p, p.truncated, p.peer.bye)
		}
		p.draining = p.draining || !p.halfOpen
	default:
		if !p.stands {
			s.fail("%v: %s before it stands", p, simName(ev))
		}
	}
	p.checkRecv()
	if _, ok := ev.(*conn.Read); ok || s.d.one(4) {
		p.discard(s.calm)
	}
	for i := s.d.n(4) - 2; i > 0 && !s.calm && !s.ending; i-- {
		s.act(p)
	}
	if s.panicky && !opens && !s.calm && !s.ending && s.d.one(60) {
		p.cut, p.allowed[conn.Panicked] = true, true
		panic(simPanic{})
	}
}

// judge checks that an error has a cause.
func (p *tlsSimConn) judge(ev *conn.Error) {
	s, x, now := p.s, p.peer, p.s.m.Now()
	ok := p.allowed[ev.Reason]
	switch ev.Reason {
	case conn.TLSFailed:
		// An honest peer whose bytes all arrive, and who says so before it ends, is no failure.
		ok = x.spoilt || x.lost || !p.up && p.airFin || errors.Is(ev.Err, tlsconn.ErrTruncated) && p.airFin
		s.tally.Failed++
	case conn.DeadlineOver:
		ok = ok || !p.up && now >= p.began+int64(tlsSimTimeout)
	case conn.ShuttingDown:
		ok = ok || s.ending || s.m.shutting || s.m.closing
	case conn.RecvLimit:
		ok = p.c.Recv.Len() > p.lim.Recv
	}
	if !ok {
		s.fail("%v: Error{%v, %v} without a cause; the peer: up %v, %v", p, ev.Reason, ev.Err, x.up, x.err)
	}
	if ev.Err == nil {
		s.fail("%v: Error without an error", p)
	}
}

// checkRecv compares what is unread with what the peer has sent.
func (p *tlsSimConn) checkRecv() {
	if p.failed || p.closedEvent || p.c == nil {
		return
	}
	b := p.c.Recv.Bytes()
	if p.consumed+len(b) > p.peer.sent || !simSame(b, p.inStart, p.consumed) {
		p.s.fail("%v: wrong bytes in Recv: %d after %d of %d", p, len(b), p.consumed, p.peer.sent)
	}
}

func (p *tlsSimConn) discard(all bool) {
	n := p.c.Recv.Len()
	if !all && p.s.d.one(2) {
		n = p.s.d.n(n + 1)
	}
	if !p.c.Driver().Finished() && n > 0 {
		p.c.Recv.Discard(n)
		p.consumed += n
		p.s.tally.In += n
	}
}

func (p *tlsSimConn) write(how, n int) {
	b := simBytes(p.outStart, p.accepted, n)
	open := p.c.IsOpen() && !p.shutAsked
	k, err := 0, error(nil)
	switch how {
	case 0, 1:
		k, err = p.c.Write(b)
	case 2, 3:
		if err = p.c.WriteShared(b); err == nil {
			k = n
		}
	case 4:
		k, err = p.c.Write(append(p.c.AvailableBuffer(), b...))
	case 5:
		k, err = p.c.WriteThrough(b)
	}
	if over := errors.Is(err, conn.ErrSendLimit); open && !over && (k != n || err != nil) || !open && (k != 0 || !errors.Is(err, conn.ErrClosed)) {
		p.s.fail("%v: a write of %d in way %d: %d, %v", p, n, how, k, err)
	}
	p.accepted += k
	p.s.tally.Out += k
	p.s.note("%v: writes %d in way %d: %d, %v", p, n, how, k, err)
}

// act does one thing that a program may do to a connection.
func (s *tlsSim) act(p *tlsSimConn) {
	if s.inner >= 3 || s.failure != "" || s.calm || s.ending || p == nil || p.c == nil {
		return
	}
	s.inner++
	defer func() { s.inner-- }()
	d, c := &s.d, p.c
	k := d.n(48)
	if k >= 24 {
		p.write(d.n(6), d.size())
		return
	}
	s.note("%v: action %d", p, k)
	switch k {
	case 0:
		if d.one(2) {
			p.draining = p.draining || c.IsOpen()
			c.Drain()
		}
	case 1:
		if d.one(2) {
			if c.IsOpen() {
				p.draining = true
			}
			c.Layer().DrainLinger(time.Duration(d.n(300)) * time.Millisecond)
		}
	case 2:
		if d.one(4) {
			p.cut = true
			c.Close()
		}
	case 3:
		if d.one(2) {
			p.shutAsked = p.shutAsked || c.IsOpen()
			c.CloseWrite()
		}
	case 4:
		if d.one(4) {
			p.cut, p.allowed[conn.Protocol] = true, true
			c.Layer().Fail(conn.Protocol, conn.ErrClosed)
		}
	case 5, 6:
		p.paused = true
		c.Pause()
	case 7, 8, 9, 10:
		p.paused = false
		c.Resume()
	case 11:
		p.held = true
		c.Layer().Hold()
	case 12, 13, 14:
		p.held = false
		c.Layer().Unhold()
	case 15:
		c.Layer().Redeliver()
	case 16:
		c.SetIdleTimeout(time.Duration(1 + d.n(int(time.Second))))
		p.allowed[conn.Idle] = true
	case 17:
		c.SetWriteTimeout(time.Duration(1 + d.n(int(time.Second))))
		p.allowed[conn.Stalled] = true
	case 18:
		p.halfOpen = d.one(2)
		c.SetHalfOpen(p.halfOpen)
	case 19:
		s.m.Do(func() { s.act(p) })
	case 20:
		p.discard(false)
	case 21:
		if d.one(30) && s.polling {
			s.note("Shutdown")
			s.m.Shutdown(context.Background())
		}
	}
}

// checkTurn checks between two turns what holds at any time.
func (s *tlsSim) checkTurn() {
	for _, p := range s.conns {
		if p.c.Driver().Finished() != p.closedEvent || p.closedEvent != p.closed {
			s.fail("%v: finished %v, saw Close %v, descriptor closed %v", p, p.c.Driver().Finished(), p.closedEvent, p.closed)
		}
		if !p.closed && p.c.IsOpen() {
			p.checkRecv()
		}
	}
}

// settleDown lets the kernel move all there is, and the program do nothing but read: everything that
// can be sent and read has to be, and the loop has to come to rest.
func (s *tlsSim) settleDown() {
	s.note("== settling down")
	s.calm = true
	for _, p := range s.conns {
		p.c.SetIdleTimeout(0)
		p.c.SetWriteTimeout(-1)
		p.c.Resume()
		p.c.Layer().Unhold()
		p.c.Layer().Redeliver()
	}
	for range 300 {
		if s.failure != "" || s.m.isDone() {
			return
		}
		s.poll(0)
		s.checkTurn()
	}
	if n := len(s.m.touched); n > 0 || len(s.ready(false)) > 0 {
		s.fail("the loop does not come to rest: %d touched, ready %v", n, s.ready(false))
	}
	for _, p := range s.conns {
		p.checkEnd()
	}
}

// checkEnd checks what has become of a connection after all bytes have moved.
func (p *tlsSimConn) checkEnd() {
	s, x := p.s, p.peer
	broken := x.spoilt || x.lost || p.gone || p.err != nil
	switch {
	case !p.closed && p.c.IsOpen():
		switch {
		case !p.up:
			s.fail("%v: the handshake is not over; the peer: up %v, %v", p, x.up, x.err)
		case !p.eof && p.consumed != x.sent:
			s.fail("%v: read %d of the %d bytes that the peer sent", p, p.consumed, x.sent)
		case p.eof != (x.bye || p.airFin):
			s.fail("%v: EOF %v; close_notify %v, FIN %v", p, p.eof, x.bye, p.airFin)
		case p.c.Pending() > 0:
			s.fail("%v: %d of %d bytes are unsent", p, p.c.Pending(), p.accepted)
		case x.got != p.accepted:
			s.fail("%v: the peer got %d of %d bytes: %v", p, x.got, p.accepted, x.err)
		case p.shutAsked != (x.err == io.EOF):
			s.fail("%v: CloseWrite %v, the peer has %v", p, p.shutAsked, x.err)
		}
	case !p.closed:
		if p.draining && p.c.Pending() > 0 {
			s.fail("%v: draining, and %d bytes are unsent", p, p.c.Pending())
		}
	case p.failed || p.cut || broken:
		if x.up && x.err == io.EOF && x.got < p.accepted {
			s.fail("%v: it ended (%v) with %d of %d bytes, and close_notify", p, p.reason, x.got, p.accepted)
		}
	case !p.up && p.accepted == 0: // there was nothing to wait for
	case x.got != p.accepted || x.err != io.EOF:
		s.fail("%v: it ended well (%v), and the peer has %d of %d bytes, %v", p, p.reason, x.got, p.accepted, x.err)
	default:
		s.tally.Clean++
	}
	if p.truncated {
		s.tally.Truncated++
	}
}

// end closes the manager, and checks that everything is given back.
func (s *tlsSim) end() {
	if s.failure != "" {
		return
	}
	s.ending = true
	if !s.m.isDone() {
		if err := s.m.Close(); err != nil {
			s.fail("Close: %v", err)
		}
	}
	for _, p := range s.conns {
		if !p.closed || !p.closedEvent {
			s.fail("%v: closed %v, saw Close %v", p, p.closed, p.closedEvent)
		}
		p.peer.end = true
		p.peer.run()
		if !p.peer.over {
			s.fail("%v: the peer has not ended", p)
		}
	}
	servers, clients := s.server.Stats(), s.client.Stats()
	for until := time.Now().Add(time.Minute); servers.InFlight+clients.InFlight > 0; { // what was abandoned ends soon
		if time.Now().After(until) {
			s.fail("%d workers are left", servers.InFlight+clients.InFlight)
			return
		}
		runtime.Gosched()
		servers, clients = s.server.Stats(), s.client.Stats()
	}
	sum := servers.Handshakes + servers.Failed + servers.Unfinished + clients.Handshakes + clients.Failed + clients.Unfinished
	if int(sum) != len(s.conns) {
		s.fail("%d connections, and Stats have %+v and %+v", len(s.conns), servers, clients)
	}
}
