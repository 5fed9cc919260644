package handoff

import (
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

const (
	mostOnWay = 128      // connections that may be on their way
	mostUser  = 64 << 10 // bytes of Options.Save
	mostInput = 64 << 10 // unread bytes of a connection that moves
	plainHTTP = "http/1.1"
)

// mayMove reports whether c will move, now or later. It runs on the loop of c.
func (g *giving) mayMove(i int, c *conn.Conn) bool {
	kind, _, when := c.Layer().Move()
	return g.moving.Load() && when != conn.MoveNever && !g.stay[i][c.ID()] && (kind == plainHTTP || g.p.opts.Restore != nil)
}

// keep has c stay in this process. It runs on the loop of c.
func (g *giving) keep(i int, c *conn.Conn) {
	if g.stay[i] == nil {
		g.stay[i] = make(map[uint64]bool)
	}
	g.stay[i][c.ID()] = true
}

// move sends c to the successor if it can move now. It runs on the loop of c. From here on, the
// connection is only a record and a descriptor, in this process as on the way.
func (g *giving) move(i int, c *conn.Conn) bool {
	kind, state, when := c.Layer().Move()
	if when != conn.MoveNow || !g.mayMove(i, c) || c.Recv.Len() > mostInput || g.onWay.Load() >= mostOnWay {
		return false
	}
	a := arrival{record: record{id: c.ID(), kind: kind, state: state}}
	at := nameOf(c.FD())
	pl := g.accepted(i, at)
	if pl == nil { // this process has connected it, or its listener is no more
		g.keep(i, c)
		g.retire(g.p.loops[i], i, c)
		return false
	}
	a.listener, a.loop = pl.Addr.String(), pl.loop
	if g.p.opts.Save != nil {
		user, ok := g.p.opts.Save(c)
		if !ok || len(user) > mostUser || !c.IsOpen() {
			g.keep(i, c)
			g.retire(g.p.loops[i], i, c) // else it would wait until no connection may move any more
			return false
		}
		a.user = slices.Clone(user)
		if _, _, when := c.Layer().Move(); when != conn.MoveNow {
			return false // Save has written to it, say
		}
	}
	fd, err := unix.FcntlInt(uintptr(c.FD()), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return false // out of descriptors: later, perhaps
	}
	a.fd = fd
	if remote := c.RemoteAddr(); remote.IsValid() {
		a.remote = remote.String()
	}
	a.input = slices.Clone(c.Recv.Bytes())
	c.Layer().SetReason(conn.Moved)
	c.Close()
	g.onWay.Add(1)
	if g.p.host.Complete(func() { g.sendMove(a) }) != nil {
		unix.Close(fd)
	}
	return true
}

// accepted returns the listener that has accepted a connection of loop i which is bound to at: one
// that the successor has taken, and that is still open here. It is of another loop, perhaps, since
// the successor may have fewer: a connection that comes back goes there.
func (g *giving) accepted(i int, at sockname) *place {
	var found *place
	for k := range g.places {
		for n := range g.places[k] {
			if pl := &g.places[k][n]; pl.taken && !pl.Addr.Datagrams() && pl.at.accepts(at) && (found == nil || k == i) {
				found = pl
			}
		}
	}
	return found
}

// sendMove sends a connection that has left its loop.
func (g *giving) sendMove(a arrival) {
	switch {
	case g.stage != finishing:
		g.p.adopt(a, nil)
	case g.alone:
		g.takeBack(a)
	case !g.link.c.IsOpen() || g.link.send(kindMove, a.append(nil), a.fd) == nil:
		g.limbo[a.id] = a // if the link has ended, undo comes
	default:
		g.takeBack(a)
	}
}

// takeBack has a connection that cannot move stay. It counts as on its way until its loop has it.
func (g *giving) takeBack(a arrival) {
	g.p.adopt(a, func(m *mgr.Manager, c *conn.Conn) {
		if c != nil {
			g.keep(a.loop, c)
			g.retire(m, a.loop, c)
		}
		g.onWay.Add(-1)
	})
}

// acknowledged handles the successor's word on a connection.
func (g *giving) acknowledged(f frame) error {
	id, err := parseNumber(f.payload)
	a, ok := g.limbo[id]
	if err != nil || !ok {
		return errFrame
	}
	delete(g.limbo, id)
	if f.kind == kindTaken {
		unix.Close(a.fd)
		g.onWay.Add(-1)
	} else {
		g.takeBack(a)
	}
	if len(g.limbo) == 0 {
		g.look()
	}
	return nil
}

// adopt makes a connection of what has moved, or come back, on its loop. then, if it is not nil, is
// called there, or, if that loop has ended, at once: with nil if the connection is lost.
func (p *Process) adopt(a arrival, then func(*mgr.Manager, *conn.Conn)) {
	m := p.loops[a.loop]
	err := m.Complete(func() {
		c, err := p.adoptOn(m, a)
		if err != nil {
			unix.Close(a.fd)
			p.opts.Log.Error("handoff: a connection is lost", "err", err)
		}
		if then != nil {
			then(m, c)
		}
	})
	if err != nil { // that loop has ended
		unix.Close(a.fd)
		if then != nil {
			then(m, nil)
		}
	}
}

func (p *Process) adoptOn(m *mgr.Manager, a arrival) (*conn.Conn, error) {
	l, err := p.check(m, a)
	if err != nil {
		return nil, err
	}
	o := mgr.AdoptOptions{Input: a.input, Restore: func(c *conn.Conn) { p.restore(c, a) }}
	if at, err := netip.ParseAddrPort(a.remote); err == nil {
		o.Remote = conn.PeerOf(at)
	}
	return m.Adopt(a.fd, l, o)
}

// restore gives c the layer and the state that it had.
func (p *Process) restore(c *conn.Conn, a arrival) {
	if p.opts.Restore == nil {
		return
	}
	if err := p.opts.Restore(c, Record{Kind: a.kind, State: a.state, User: a.user}); err != nil {
		c.Layer().Fail(conn.Protocol, err)
	}
}

// check says whether m can adopt a, and by which listener. It runs on the loop of m.
func (p *Process) check(m *mgr.Manager, a arrival) (*conn.Conn, error) {
	if p.opts.Restore == nil && (a.kind != plainHTTP || len(a.user) > 0) {
		return nil, errNoRestore
	}
	for _, l := range m.Listeners() {
		if l.Addr.String() == a.listener {
			return l.Conn, m.CanAdopt(a.fd, l.Conn)
		}
	}
	return nil, errNoListener
}
