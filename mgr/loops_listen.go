package mgr

import (
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Accept is how Loops spread the connections of a listener.
type Accept uint8

const (
	// AcceptAuto is AcceptReusePort for TCP on Linux; else AcceptExclusive with epoll, and
	// AcceptHandOver without it.
	AcceptAuto Accept = iota

	// AcceptReusePort gives each loop a socket of its own on the same address, with SO_REUSEPORT:
	// no loop wakes up for the connection of another. Linux chooses by a hash of the addresses and
	// ports, whatever the loops have to do: with few connections the loops may get very different
	// numbers of them, and one that is stuck still gets its part. TCP on Linux.
	//
	// A socket that closes has connections in its backlog, which the kernel would reset. So a
	// listener that closes accepts them first; those that have sent a request already get their
	// reply, even in Shutdown. A few may still come between the last accept and close. Linux 5.14
	// and later moves them, and those whose handshake is not finished, to another socket of the
	// port, of another process too, if the sysctl net.ipv4.tcp_migrate_req is 1.
	AcceptReusePort

	// AcceptExclusive has all loops wait for one socket, with EPOLLEXCLUSIVE: for a new connection
	// the kernel wakes one of the loops that sleep, seldom more. A loop that has over 1/8 and 4
	// connections more than the average stops accepting for a moment. Linux 4.5, with epoll.
	AcceptExclusive

	// AcceptHandOver has the first loop accept, and hand each connection to the loop that has the
	// fewest. Everywhere.
	AcceptHandOver
)

var acceptNames = [...]string{AcceptAuto: "auto", AcceptReusePort: "reuseport", AcceptExclusive: "exclusive", AcceptHandOver: "handover"}

func (a Accept) String() string {
	if int(a) < len(acceptNames) {
		return acceptNames[a]
	}
	return "unknown"
}

// ParseAccept is the inverse of String, for flags.
func ParseAccept(s string) (Accept, error) {
	for i, name := range acceptNames {
		if s == name {
			return Accept(i), nil
		}
	}
	return 0, fmt.Errorf("mgr: accept %q: want auto, reuseport, exclusive or handover", s)
}

// alone, in what a poller is to watch, is EPOLLEXCLUSIVE. Only listeners have it.
const alone conn.Interest = 1 << 7

// A listenerSet is what the listeners of one Loops.Listen have in common.
type listenerSet struct {
	loops *Loops
	mode  Accept
	at    []*listener // by the number of the loop, each for that loop alone; nil after its end
}

// Listen is Manager.Listen for all loops: h gets the events of each connection on the loop of that
// connection, so it runs on several goroutines at once. Each loop gets a listener; the one of the
// first loop is returned, or, to a handler, that of its own loop. If one of them is closed, all
// are. ListenOptions.Accept says how connections are spread; options that the system cannot meet
// are an error. Safe for concurrent use.
func (l *Loops) Listen(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	if isDatagrams(url) {
		return l.listenDatagrams(url, h, opts)
	}
	return l.ListenStream(url, h, opts...)
}

// ListenStream is Listen without udp:// and unixgram://: see Manager.ListenStream. Safe for
// concurrent use.
func (l *Loops) ListenStream(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error) {
	var o ListenOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	addr, err := parseURL(url, o.TLS != nil)
	if err != nil {
		return nil, fmt.Errorf("mgr: listen: %w", err)
	}
	if addr.Datagrams() {
		return nil, errStream("listen")
	}
	set := &listenerSet{loops: l, mode: o.Accept, at: make([]*listener, len(l.all))}
	if err := set.choose(addr.Network); err != nil {
		return nil, fmt.Errorf("mgr: listen %s: %w", addr, err)
	}
	fds, err := l.openListeners(addr, &o, set.mode)
	if err != nil {
		return nil, fmt.Errorf("mgr: %w", err)
	}
	o.set = set
	return l.listenOn(addr, fds, func(m *Manager, fd int) (*conn.Conn, error) { return m.addListener(fd, addr, h, o) })
}

func (s *listenerSet) accept() Accept { return s.mode }

// copies reports whether the socket of the listener of m is that of another loop.
func (s *listenerSet) copies(m *Manager) bool { return s.mode != AcceptReusePort && s.of(m).index > 0 }

// of returns m as a member of the loops.
func (s *listenerSet) of(m *Manager) *member { return m.member.(*member) }

// choose makes a definite mode of AcceptAuto, and returns an error if the system does not have the
// mode.
func (s *listenerSet) choose(network string) error {
	spreads := runtime.GOOS == "linux" && network == "tcp"
	exclusive := canExclusive(s.loops.all[0].poller)
	switch s.mode {
	case AcceptAuto:
		switch {
		case spreads:
			s.mode = AcceptReusePort
		case exclusive:
			s.mode = AcceptExclusive
		default:
			s.mode = AcceptHandOver
		}
	case AcceptReusePort:
		if !spreads {
			return fmt.Errorf("AcceptReusePort is for TCP on Linux: %w", errors.ErrUnsupported)
		}
	case AcceptExclusive:
		if !exclusive {
			return fmt.Errorf("AcceptExclusive is for epoll: %w", errors.ErrUnsupported)
		}
	case AcceptHandOver:
	default:
		return fmt.Errorf("Accept %d is not known", s.mode)
	}
	return nil
}

// canExclusive reports whether p can watch with EPOLLEXCLUSIVE.
func canExclusive(p poller) bool {
	_, ok := p.(interface{ exclusive() })
	return ok
}

// openListeners opens a descriptor for each loop.
func (l *Loops) openListeners(addr conn.Addr, o *ListenOptions, mode Accept) ([]int, error) {
	if mode == AcceptReusePort {
		return l.all[0].sockets.listenMany(addr, o.Socket, len(l.all))
	}
	fd, err := l.all[0].sockets.listen(addr, o.Socket)
	if err != nil {
		return nil, err
	}
	fds := []int{fd}
	for len(fds) < len(l.all) {
		fd, err := l.all[0].sockets.dup(fd)
		if err != nil {
			l.giveUp(addr, fds)
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

// giveUp closes the descriptors of a Listen that fails.
func (l *Loops) giveUp(addr conn.Addr, fds []int) {
	for _, fd := range fds {
		l.all[0].sock.Close(fd)
	}
	conn.RemoveUnix(addr)
}

// listenOn has each loop make a listener of its descriptor. Where the caller may not wait for a
// loop, that one does it soon. It returns the connection of the first loop, or that of the caller.
func (l *Loops) listenOn(addr conn.Addr, fds []int, add func(*Manager, int) (*conn.Conn, error)) (*conn.Conn, error) {
	for i, m := range l.all { // all of them or none: add has no other reason to fail
		if err := m.fits(fds[i]); err != nil {
			l.giveUp(addr, fds)
			return nil, err
		}
	}
	type outcome struct {
		c   *conn.Conn
		err error
	}
	var got [MaxLoops]outcome
	g := goroutine()
	wait, own := !isLoop(g), 0
	done, asked := make(chan int, len(fds)), 0
	for i, m := range l.all {
		here := func() {
			if m.ending() {
				m.closeFD(fds[i])
				got[i].err = ErrClosed
				return
			}
			got[i].c, got[i].err = add(m, fds[i])
		}
		var err error
		switch {
		case m.inPlace(g, here):
			if m.owner.Load() == g {
				own = i
			}
		case wait:
			if err = m.Complete(func() { here(); done <- i }); err == nil {
				asked++
			}
		default:
			err = m.Complete(func() {
				if m.ending() {
					m.closeFD(fds[i])
					return
				}
				add(m, fds[i])
			})
		}
		if err != nil {
			got[i].err = err
			m.sock.Close(fds[i])
		}
	}
	for range asked {
		<-done
	}
	if got[own].err != nil {
		conn.RemoveUnix(addr) // unless another loop listens
	}
	if got[own].c == nil && got[own].err == nil {
		return nil, errors.New("mgr: Listen was called from a handler of another manager; use Loops.Do")
	}
	return got[own].c, got[own].err
}

// inPlace runs f as the loop does, if goroutine g, the caller, is in a handler of m, or if no
// goroutine is in Poll or Run. After Close there is no loop.
func (m *Manager) inPlace(g uint64, f func()) bool {
	if m.owner.Load() == g {
		f()
		return true
	}
	if !m.mu.TryLock() {
		return false
	}
	defer m.mu.Unlock()
	if m.isDone() {
		return false
	}
	m.own(g)
	defer m.own(0)
	f()
	return true
}

// joined is called on the loop of m when l begins.
func (s *listenerSet) joined(m *Manager, l *listener) {
	i := s.of(m).index
	s.at[i] = l
	if s.mode == AcceptHandOver && i != 0 {
		l.idle = true
		l.c.Layer().Hold()
	}
}

// left is called on the loop of m when l has been closed. If the program has closed it, the other
// listeners are closed too. If it has failed, they go on.
func (s *listenerSet) left(m *Manager, l *listener) {
	i := s.of(m).index
	s.at[i] = nil
	switch {
	case m.ending(), l.released:
	case !l.failed:
		for j, other := range s.loops.all {
			if j != i {
				other.Complete(func() {
					if l := s.at[j]; l != nil {
						l.c.Close()
					}
				})
			}
		}
	case s.mode == AcceptHandOver && !l.idle:
		s.promote(i + 1)
	default:
		s.stops(m)
	}
}

// stops is called when the listener of m stops accepting, for a while or for ever. The kernel may
// have woken it alone for a peer that waits: so the others are told to look.
func (s *listenerSet) stops(m *Manager) {
	if s.mode != AcceptExclusive {
		return
	}
	for _, b := range s.loops.members {
		if b.m != m {
			s.look(b)
		}
	}
}

// look has the loop of b accept, although its poller has not told it of a peer.
func (s *listenerSet) look(b *member) {
	b.m.Complete(func() {
		if l := s.at[b.index]; l != nil {
			b.m.acceptBatch(l)
		}
	})
}

// promote has the listener of loop i accept, or that of the next loop that has one.
func (s *listenerSet) promote(i int) {
	if i == len(s.at) {
		return
	}
	s.loops.all[i].Complete(func() {
		l := s.at[i]
		if l == nil || l.c.IsClosed() {
			s.promote(i + 1)
			return
		}
		l.idle = false
		l.c.Layer().Unhold()
	})
}

// watch adds to what a poller is to watch for l how it shares the socket.
func (l *listener) watch(want conn.Interest) conn.Interest {
	if want != 0 && l != nil && l.set != nil && l.set.accept() == AcceptExclusive {
		want |= alone
	}
	return want
}

// A loop that has more than its share of connections stops accepting for yieldTime. If no other
// loop accepts meanwhile, it goes on sooner, with yieldGrace connections at a time.
const (
	yieldTime  = 10 * time.Millisecond
	yieldGrace = 16
	yieldSlack = 4 // connections more than the average, and an eighth, that are no reason to yield
)

// takes reports whether l may accept. A loop that has more than its share leaves the peers to the
// others for a while. The kernel has woken this loop for a peer, and may wake no other for it: so
// the loop with the fewest connections is told to look.
func (s *listenerSet) takes(m *Manager, l *listener) bool {
	if s.mode != AcceptExclusive {
		return true
	}
	if l.grace > 0 {
		l.grace--
		return true
	}
	n := len(s.loops.all)
	average := int(s.loops.open.Load()) / n
	if m.open <= average+average/8+yieldSlack {
		return true
	}
	own := s.of(m)
	to := s.least(own)
	if to == own {
		return true
	}
	m.stats.Yields++
	l.c.Layer().Hold()
	m.AfterFunc(yieldTime, func() {
		l.grace = yieldGrace
		l.c.Layer().Unhold()
	})
	s.look(to)
	return false
}

// least returns the loop with the fewest connections: b if several have as few.
func (s *listenerSet) least(b *member) *member {
	least, fewest := b, int64(b.m.open)+b.onWay.Load()
	for i := 1; i < len(s.loops.members); i++ {
		x := s.loops.members[(b.index+i)%len(s.loops.members)]
		way := x.onWay.Load()
		if n := x.open.Load() + way; n < fewest && way < mostOnWay {
			least, fewest = x, n
		}
	}
	return least
}

// mostOnWay is how many connections may be on their way to one loop. A loop that does not take them
// is stuck in a handler.
const mostOnWay = 64

// handOver hands a peer that was accepted on m to another loop. It reports false if m keeps it.
func (s *listenerSet) handOver(m *Manager, fd int, peer conn.Peer) bool {
	if s.mode != AcceptHandOver {
		return false
	}
	own := s.of(m)
	to := s.least(own)
	if to == own {
		return false
	}
	to.onWay.Add(1)
	err := to.m.Complete(func() {
		to.onWay.Add(-1)
		if l := s.at[to.index]; l != nil && !l.c.IsClosed() {
			to.m.accepted(l, fd, peer)
		} else {
			to.m.closeFD(fd)
		}
		to.open.Store(int64(to.m.open))
	})
	if err != nil {
		to.onWay.Add(-1)
		return false
	}
	m.stats.HandedOver++
	return true
}
