package mgr

import (
	"errors"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	errTooManyConns = errors.New("mgr: MaxConns connections are open")
	errAddrShare    = errors.New("mgr: MaxConnsPerAddr connections of one address are open")
)

// mostConns bounds the default of Options.MaxConns.
const mostConns = 1 << 20

// defaultMaxConns returns how many connections fit beside what else the program needs descriptors
// for, if the process may have soft of them and the poller takes those up to maxFD.
func defaultMaxConns(soft uint64, maxFD int) int {
	n := int(min(soft, uint64(maxFD)+1, 2*mostConns))
	n -= 32 + n/16 // files, outbound connections, peers that are being refused
	return max(1, min(n, mostConns))
}

// softLimit returns how many descriptors the process may have.
func softLimit() uint64 {
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return 256 // the least that POSIX systems start with
	}
	return uint64(l.Cur)
}

// shares counts the accepted connections of each address, for Options.MaxConnsPerAddr.
type shares struct {
	most    int // for one address; 0 is no limit, and then nothing is counted
	trusted []netip.Prefix
	open    *addrCounts               // one for all managers of a Loops
	of      map[*conn.Conn]netip.Addr // who was counted; the PROXY protocol changes the address of a connection
	tellAt  int64                     // no Error event before this time
}

// addrCounts are how many connections each address has open.
type addrCounts struct {
	mu sync.Mutex
	of map[netip.Addr]int
}

func newShares(o *Options) shares {
	if o.MaxConnsPerAddr <= 0 {
		return shares{}
	}
	return shares{most: o.MaxConnsPerAddr, trusted: o.Trusted, open: &addrCounts{of: make(map[netip.Addr]int)}, of: make(map[*conn.Conn]netip.Addr)}
}

// owner returns the address that a connection from peer counts for; not valid when it is not
// counted.
func (s *shares) owner(peer conn.Peer) netip.Addr {
	if s.most == 0 {
		return netip.Addr{}
	}
	return conn.Owner(peer.Addr(), s.trusted)
}

// take counts one connection more for owner, and reports false if it has all that it may have. own
// or drop comes next.
func (s *shares) take(owner netip.Addr) bool {
	if !owner.IsValid() {
		return true
	}
	s.open.mu.Lock()
	defer s.open.mu.Unlock()
	if s.open.of[owner] >= s.most {
		return false
	}
	s.open.of[owner]++
	return true
}

// drop takes back take.
func (s *shares) drop(owner netip.Addr) {
	if !owner.IsValid() {
		return
	}
	s.open.mu.Lock()
	defer s.open.mu.Unlock()
	if s.open.of[owner]--; s.open.of[owner] == 0 {
		delete(s.open.of, owner)
	}
}

// own says that c is the connection that was counted for owner.
func (s *shares) own(c *conn.Conn, owner netip.Addr) {
	if owner.IsValid() {
		s.of[c] = owner
	}
}

// give counts c no more.
func (s *shares) give(c *conn.Conn) {
	if owner, ok := s.of[c]; ok {
		delete(s.of, c)
		s.drop(owner)
	}
}

// tell reports whether to fire an Error event for an address over its share: once a second at most.
// A peer can bring about as many as it likes.
func (s *shares) tell(now int64) bool {
	if now < s.tellAt {
		return false
	}
	s.tellAt = now + int64(time.Second)
	return true
}

// spares are connections that rest between two requests: the longest idle ones, in that order. One
// look at all connections finds up to 64 of them, so that a flood of peers at MaxConns does not
// cost a look each.
type spares struct {
	list   []spare
	lookAt int64 // the time of the next look, if the last one has found none
}

type spare struct {
	c     *conn.Conn
	since int64
}

const mostSpares = 64

// makeRoom closes the longest idle connection that rests between two requests, for another to take
// its place. It reports whether there was one.
func (m *Manager) makeRoom() bool {
	for looked := false; ; looked = true {
		for s := &m.spares; len(s.list) > 0; {
			next := s.list[0]
			s.list = append(s.list[:0], s.list[1:]...)
			since, ok := next.c.Driver().Spare()
			if !ok || since != next.since || m.leaving[next.c] || !next.c.Driver().Silent() {
				continue // it is at work, or its next request is there
			}
			next.c.Layer().SetReason(conn.Idle)
			next.c.Close()
			m.leaving[next.c] = true
			m.open--
			m.stats.MadeRoom++
			return true
		}
		if looked || m.sh.Now < m.spares.lookAt {
			return false
		}
		m.findSpares()
	}
}

// insert is slices.Insert for one element. slices.Insert itself is 2 KB of code for each type.
func insert[T any](list []T, at int, x T) []T {
	list = append(list, x)
	copy(list[at+1:], list[at:])
	list[at] = x
	return list
}

func (m *Manager) findSpares() {
	list := m.spares.list[:0]
	for _, c := range m.conns {
		if c == nil {
			continue
		}
		since, ok := c.Driver().Spare()
		if !ok || len(list) == mostSpares && since >= list[len(list)-1].since {
			continue
		}
		if len(list) == mostSpares {
			list = list[:len(list)-1]
		}
		at := len(list)
		for at > 0 && list[at-1].since > since {
			at--
		}
		list = insert(list, at, spare{c, since})
	}
	m.spares.list = list
	if len(list) == 0 {
		m.spares.lookAt = m.sh.Now + sweepEvery(m.open)
	}
}
