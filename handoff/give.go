package handoff

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// stage is how far a handoff to a successor has come, in the old process.
//
//	stage      left by
//	greeted    Hello: the listeners are collected and sent
//	offering   Ready: the listeners are paused
//	pausing    all loops have paused theirs: Go is sent
//	finishing  no connection is left, or the deadline: this process ends
//	over       -
//
// If the successor ends in any of them, or is too slow before Ready, all is undone.
type stage uint8

const (
	greeted stage = iota
	offering
	pausing
	finishing
	over
)

// giving is a handoff to a successor. It belongs to the loop of the host; what other loops touch is
// said.
type giving struct {
	p     *Process
	link  link
	stage stage

	places  [][]place // the listeners, by loop; after offering they do not change
	copies  copies    // of their descriptors, until they are sent
	flat    []*place  // the same, by their place in the offer
	timer   *mgr.Timer
	ticker  *mgr.Timer
	asking  bool // a look at the connections is under way
	drained bool // the program had called BeginDrain before
	limbo   map[uint64]arrival

	ended  atomic.Bool  // stage is over: for all loops
	heir   bool         // the successor has one of its own
	alone  bool         // the successor has ended, since it was replaced
	moving atomic.Bool  // connections move: for all loops
	onWay  atomic.Int64 // connections that have left their loop and are not acknowledged: for all loops
	stay   []map[uint64]bool
}

// place is a listener of this process. Only its own loop touches the connection.
type place struct {
	mgr.Listening
	at    sockname
	loop  int
	fd    int  // of giving.copies; -1 if it is not sent
	taken bool // by the successor
	spare bool // the successor has others on the same address
	held  bool // paused here
}

// copies are descriptors that loops have duplicated for the host to send: a listener of another
// loop may be closed at any moment, and its number be another file's then.
type copies struct {
	mu     sync.Mutex
	fds    []int
	closed bool
}

// add returns a copy of fd.
func (s *copies) add(fd int) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return -1, errGone
	}
	own, err := conn.Dup(fd)
	if err == nil {
		s.fds = append(s.fds, own)
	}
	return own, err
}

func (s *copies) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, fd := range s.fds {
		unix.Close(fd)
	}
	s.fds, s.closed = nil, true
}

// arrival is a connection that moves: in the old process until it is acknowledged, in the new one
// until it can be adopted.
type arrival struct {
	record
	fd   int
	loop int
}

// onControl handles the events of Options.Path and its connections.
func (p *Process) onControl(c *conn.Conn, ev conn.Event) {
	if _, ok := ev.(*conn.Accept); ok && !c.IsListener() {
		p.greet(c)
	}
}

// greet begins a handoff to the process at the other end of c.
func (p *Process) greet(c *conn.Conn) {
	p.host.Hide(c)
	who, err := c.Kernel().PeerCredentials()
	if err == nil && !p.opts.Allow(who) {
		err = fmt.Errorf("%w: %d", ErrNotAllowed, who.UID)
	}
	if err == nil && p.giving != nil {
		err = errors.New("another handoff is under way")
	}
	if err != nil {
		p.opts.Log.Warn("handoff: turned away", "process", who.PID, "err", err)
		c.Write(appendFrame(nil, kindAbort, 0, []byte(err.Error())))
		c.Drain()
		return
	}
	g := &giving{p: p, limbo: make(map[uint64]arrival), places: make([][]place, len(p.loops)), stay: make([]map[uint64]bool, len(p.loops))}
	g.link = link{c: c, frame: g.frame, gone: g.gone}
	c.SetLimits(&linkLimits)
	c.SetHandler(g.link.handle)
	g.drained = p.host.Draining()
	p.giving = g
	p.control.Pause() // one successor at a time; the next waits
	g.timer = p.host.AfterFunc(p.opts.Patience, func() { g.abort("the new process has taken too long") })
	p.opts.Log.Warn("handoff: a new process has come", "process", who.PID)
}

// frame handles a frame of the successor.
func (g *giving) frame(f frame, file int) error {
	step("old got " + string(f.kind))
	switch {
	case f.kind == kindHello && g.stage == greeted:
		if err := checkHello(f.payload); err != nil {
			g.abort(err.Error())
			return nil
		}
		g.stage = offering
		failed := make([]error, len(g.p.loops))
		g.p.each(func(i int, m *mgr.Manager) {
			for _, l := range m.Listeners() {
				pl := place{Listening: l, at: nameOf(l.Conn.FD()), loop: i, fd: -1}
				if !pl.Copy && failed[i] == nil {
					pl.fd, failed[i] = g.copies.add(l.Conn.FD())
				}
				g.places[i] = append(g.places[i], pl)
			}
		}, func() { g.offer(errors.Join(failed...)) })
	case f.kind == kindReady && g.stage == offering && g.flat != nil:
		return g.ready(f.payload)
	case (f.kind == kindTaken || f.kind == kindRefused) && g.stage == finishing:
		return g.acknowledged(f)
	case f.kind == kindHeir && g.stage == finishing && len(f.payload) > 0:
		g.heir = f.payload[0]&heirServes != 0
	default:
		drop(file)
		return errFrame
	}
	return nil
}

// offer sends the listeners, unless err has come between.
func (g *giving) offer(err error) {
	defer g.copies.close()
	if g.stage != offering {
		return
	}
	if err != nil {
		g.abort(err.Error())
		return
	}
	g.flat = []*place{}
	if g.p.link != nil {
		g.link.send(kindElder, nil)
	}
	for i := range g.places {
		for k := range g.places[i] {
			pl := &g.places[i][k]
			if pl.Copy {
				continue
			}
			if err := g.link.send(kindListener, []byte(pl.Addr.String()), pl.fd); err != nil {
				g.abort(err.Error())
				return
			}
			g.flat = append(g.flat, pl)
		}
	}
	g.link.send(kindOffered, nil)
}

// ready handles the successor's word that it can serve: the listeners are paused.
func (g *giving) ready(b []byte) error {
	if len(b) == 0 {
		return errFrame
	}
	g.moving.Store(b[0]&readyMoves != 0 && g.p.opts.Move)
	for b = b[1:]; len(b) > 0; {
		at, n := uvarint(b)
		if n <= 0 || at >= uint64(len(g.flat)) {
			return errFrame
		}
		g.flat[at].taken = true
		b = b[n:]
	}
	for i := range g.places {
		for k := range g.places[i] {
			pl := &g.places[i][k]
			same := slices.ContainsFunc(g.flat, func(o *place) bool {
				return o.taken && o.at == pl.at && o.Addr.Network == pl.Addr.Network
			})
			pl.taken = pl.taken || pl.Copy && same
			pl.spare = same && !pl.taken
		}
	}
	g.timer.Stop()
	g.stage = pausing
	g.p.each(func(i int, m *mgr.Manager) {
		for k := range g.places[i] {
			g.places[i][k].stop(m)
		}
		m.SetDraining(true)
	}, g.begin)
	return nil
}

// stop has a listener take no new peers. One whose address the new program has dropped is kept,
// too, in case that program dies.
func (pl *place) stop(m *mgr.Manager) {
	switch {
	case pl.Addr.Datagrams() && !pl.taken: // it serves until this process ends, so no datagram waits for ever
	case pl.spare: // peers would wait in its backlog, since the kernel spreads them over all
		m.Release(pl.Conn, false)
	case !pl.Conn.Paused():
		pl.Conn.Pause()
		pl.held = true
	}
}

// begin has the successor serve, and this process finish.
func (g *giving) begin() {
	if g.stage != pausing {
		return
	}
	p := g.p
	g.stage = finishing
	p.tellHeir(heirServes) // first: the process before must not serve beside the successor
	g.link.send(kindGo, nil)
	g.timer = p.host.AfterFunc(p.opts.Deadline, g.finish)
	if g.moving.Load() {
		p.host.AfterFunc(p.opts.Deadline/2, func() {
			if g.moving.Swap(false) && g.stage == finishing {
				p.each(g.retireAll, nil)
			}
		})
	}
	g.ticker = p.host.Every(lookEvery, g.look)
	p.each(g.retireAll, g.look)
	p.opts.Log.Warn("handoff: the new process serves")
}

// lookEvery is how often the old process looks whether connections are left, and can move.
const lookEvery = 10 * time.Millisecond

// retireAll tells the connections of a loop of the restart, each after a delay of its own. Those
// that may move are left alone.
func (g *giving) retireAll(i int, m *mgr.Manager) {
	m.Broadcast(func(c *conn.Conn) { g.retire(m, i, c) })
}

func (g *giving) retire(m *mgr.Manager, i int, c *conn.Conn) {
	delay, id := time.Duration(0), c.ID()
	if most := g.p.opts.Spread; most > 0 {
		delay = rand.N(most)
	}
	m.AfterFunc(delay, func() {
		c := m.Lookup(id)
		if c == nil || g.ended.Load() || g.mayMove(i, c) {
			return
		}
		m.Retire(c)
	})
}

// look asks all loops for their connections, and finishes when none is left, and the process before
// this one has ended: that one may have connections to give.
func (g *giving) look() {
	if g.asking || g.stage != finishing {
		return
	}
	g.asking = true
	left := make([]int, len(g.p.loops))
	g.p.each(func(i int, m *mgr.Manager) {
		m.Broadcast(func(c *conn.Conn) {
			if !g.move(i, c) {
				left[i]++
			}
		})
	}, func() {
		g.asking = false
		sum := 0
		for _, n := range left {
			sum += n
		}
		flushed := g.link.c.IsOpen() && g.link.c.Pending() == 0
		if sum == 0 && g.onWay.Load() == 0 && g.stage == finishing && (flushed || g.alone) && g.p.link == nil {
			g.finish()
		}
	})
}

// finish ends this process: the successor has all that it will get.
func (g *giving) finish() {
	if g.stage != finishing {
		return
	}
	step("finish")
	p := g.p
	g.end()
	for id, a := range g.limbo { // the new process has them, or this one has been too slow
		unix.Close(a.fd)
		delete(g.limbo, id)
	}
	p.replaced.Store(true)
	p.opts.Log.Warn("handoff: this process has finished")
	p.each(func(i int, m *mgr.Manager) {
		for k := range g.places[i] {
			pl := &g.places[i][k]
			m.Release(pl.Conn, pl.taken)
		}
		m.Close()
	}, nil)
}

// end stops the clocks.
func (g *giving) end() {
	g.stage = over
	g.ended.Store(true)
	g.moving.Store(false)
	g.timer.Stop()
	if g.ticker != nil {
		g.ticker.Stop()
	}
}

// abort tells the successor that it must not serve.
func (g *giving) abort(why string) {
	if g.stage >= pausing {
		return
	}
	step("abort")
	g.link.send(kindAbort, []byte(why))
	g.link.c.Drain()
	g.link.bad = fmt.Errorf("%s", why)
	g.undo(g.link.bad)
}

// gone is called when the link has ended.
func (g *giving) gone(err error) {
	if err == nil {
		err = errGone
	}
	if g.stage == finishing && g.heir {
		g.goAlone()
		return
	}
	g.undo(err)
}

// goAlone has this process finish although its successor has ended: that one was replaced, and its
// own successor serves. Nothing can move any more.
func (g *giving) goAlone() {
	g.alone = true
	moved := g.moving.Swap(false)
	for id, a := range g.limbo {
		delete(g.limbo, id)
		g.takeBack(a)
	}
	if moved {
		g.p.each(g.retireAll, nil) // else they have been told
	}
	g.p.opts.Log.Warn("handoff: the new process has ended after it was replaced; this one finishes")
}

// tellHeir tells the process before, if it still finishes, whether this one has a successor that
// serves: else it would come back at the end of this one.
func (p *Process) tellHeir(flags byte) {
	if p.link != nil && p.link.c.IsOpen() {
		p.link.send(kindHeir, []byte{flags})
	}
}

// undo goes on as if there had been no successor.
func (g *giving) undo(why error) {
	if g.stage == over {
		return
	}
	p, paused := g.p, g.stage >= pausing
	g.end()
	g.copies.close()
	p.giving = nil
	p.opts.Log.Error("handoff: the new process has failed; this one goes on", "err", why)
	p.control.Resume()
	if !paused {
		return
	}
	p.tellHeir(0)
	p.each(func(i int, m *mgr.Manager) {
		for k := range g.places[i] {
			if pl := &g.places[i][k]; pl.held {
				pl.held = false
				pl.Conn.Resume()
			}
		}
		m.SetDraining(g.drained)
	}, nil)
	for id, a := range g.limbo {
		delete(g.limbo, id)
		p.adopt(a, nil)
	}
}

// each runs f on every loop, and then, if it is not nil, on the host's.
func (p *Process) each(f func(i int, m *mgr.Manager), then func()) {
	left := len(p.loops)
	done := func() {
		if left--; left == 0 && then != nil {
			then()
		}
	}
	for i, m := range p.loops {
		if m.Complete(func() { f(i, m); p.host.Complete(done) }) != nil {
			p.host.Complete(done) // it has ended
		}
	}
}
