package mgr

import (
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// The budget of a manager has two marks: see conn.Budget. Past the second, relieve ends the
// connections that hold most, between two events. Past the first, ration stops the reading of those
// that hold most, at the end of a turn; it lets them go on when memory has eased, and ends them
// when that takes too long.

// rations is what a manager knows of those whose reading is stopped.
type rations struct {
	rationed   []rationed // the oldest first
	rationedAt int        // bytes that were held when ration looked last
	recheck    *Timer     // when ration comes again though nothing happens; nil when none is set
	hoarders   []hoarder  // scratch of findHoarders
	news       [3]int     // connections by memoryNews, not logged yet
	newsAt     *Timer     // when they will be; nil if nothing was logged within the last second
}

type rationed struct {
	c     *conn.Conn
	since int64
}

// A hoarder is a connection that holds much.
type hoarder struct {
	c     *conn.Conn
	holds int
}

const (
	mostHoarders = 64      // found by one look at all connections
	mostUnread   = 4 << 10 // bytes queued, from which on the peer does not read, and would not read a last word either

	rationTime  = 10 * time.Second // that memory may be scarce before those whose reading is stopped end
	rationCheck = time.Second      // between two looks, if nothing else happens
)

// relieve ends those connections that hold most, until a sixteenth of the budget is left. So a
// flood of peers costs one look at all connections for many that end.
func (m *Manager) relieve() {
	if !m.sh.Spend() {
		return
	}
	m.sh.DropPools()
	ended := 0
	for low := m.budget.Limit() / 16; m.sh.Left() < low; {
		m.findHoarders(false)
		if len(m.hoarders) == 0 {
			break // it is held by none of them
		}
		for _, h := range m.hoarders {
			if m.sh.Left() >= low {
				break
			}
			m.evict(h.c)
			ended++
		}
	}
	m.forgetHoarders()
	m.tellMemory(endedAtOnce, ended)
}

// ration sees to scarce memory, and to the connections that were stopped for it. Of the connections
// that hold most, it stops the reading of so many that they have half of what is held. It looks for
// more only when much has been added since.
func (m *Manager) ration() {
	m.rationed = slices.DeleteFunc(m.rationed, func(r rationed) bool { return !r.c.IsOpen() })
	switch {
	case m.budget.Eased():
		for _, r := range m.rationed {
			r.c.Driver().Ration(false)
		}
		clear(m.rationed)
		m.rationed, m.rationedAt = m.rationed[:0], 0
		return
	case len(m.rationed) > 0 && m.sh.Now >= later(m.rationed[0].since, int64(rationTime)):
		m.endRationed()
	case m.budget.Scarce() && m.sh.Held() > m.rationedAt && m.sh.Spend():
		m.rationMore()
		m.rationedAt = m.sh.Held() + m.budget.Limit()/64
	}
	m.rationedAt = min(m.rationedAt, m.sh.Held()+m.budget.Limit()/64)
	if m.recheck == nil && len(m.rationed) > 0 {
		m.recheck = m.newTimer(rationCheck, 0, func() { m.recheck = nil })
	}
}

// rationMore stops the reading of more connections.
func (m *Manager) rationMore() {
	m.sh.DropPools()
	enough := m.sh.Held() / 2
	for _, r := range m.rationed {
		enough -= r.c.Driver().Holds()
	}
	if enough <= 0 {
		return
	}
	m.findHoarders(true)
	n := 0
	for _, h := range m.hoarders {
		if enough <= 0 {
			break
		}
		h.c.Driver().Ration(true)
		m.rationed = append(m.rationed, rationed{h.c, m.sh.Now})
		enough -= h.holds
		n++
	}
	m.stats.Rations += uint64(n)
	m.forgetHoarders()
	m.tellMemory(notRead, n)
}

// endRationed ends those whose reading has been stopped for too long, until memory has eased.
func (m *Manager) endRationed() {
	n := 0
	for _, r := range m.rationed {
		if m.budget.Eased() || m.sh.Now < later(r.since, int64(rationTime)) {
			break
		}
		m.evict(r.c)
		m.sh.Left() // the budget is told
		n++
	}
	m.tellMemory(endedAfterLong, n)
}

// memoryNews is what happens to connections because of memory.
type memoryNews uint8

const (
	notRead memoryNews = iota
	endedAfterLong
	endedAtOnce
)

var memoryTexts = [...]string{
	notRead:        "memory is scarce: connections are not read from",
	endedAfterLong: "memory was scarce for long: connections ended",
	endedAtOnce:    "connections ended for memory",
}

// tellMemory logs what has happened to n connections: at once, or with the next line, which comes a
// second after the last.
func (m *Manager) tellMemory(what memoryNews, n int) {
	if n == 0 || m.sh.Log == nil {
		return
	}
	m.news[what] += n
	if m.newsAt == nil {
		m.logMemory()
	}
}

func (m *Manager) logMemory() {
	m.newsAt = nil
	for what, n := range m.news {
		if n > 0 {
			m.sh.Log.Warn(memoryTexts[what], "connections", n, "left", m.sh.Left(), "limit", m.budget.Limit())
		}
	}
	if m.news != ([3]int{}) {
		m.newsAt = m.newTimer(time.Second, 0, m.logMemory)
	}
	m.news = [3]int{}
}

func (m *Manager) forgetHoarders() {
	clear(m.hoarders)
	m.hoarders = m.hoarders[:0]
}

// findHoarders lists those connections that hold most, the largest first; with readers, those of
// them that are read from.
func (m *Manager) findHoarders(readers bool) {
	list := m.hoarders[:0]
	for _, c := range m.conns {
		if c == nil || m.hidden[c] || readers && (!c.IsOpen() || c.Driver().Rationed()) {
			continue
		}
		n := c.Driver().Holds()
		if n == 0 || len(list) == mostHoarders && n <= list[len(list)-1].holds {
			continue
		}
		if len(list) == mostHoarders {
			list = list[:len(list)-1]
		}
		at := len(list)
		for at > 0 && list[at-1].holds < n {
			at--
		}
		list = insert(list, at, hoarder{c, n})
	}
	m.hoarders = list
}

// An overfullWord is the state of a protocol layer that has something to tell a peer whose
// connection ends for memory, such as status 503. Overfull queues it, and returns how long to
// linger; 0 when there is nothing to tell.
type overfullWord interface {
	Overfull(c *conn.Conn) time.Duration
}

// evict ends c, and takes from it what it holds.
func (m *Manager) evict(c *conn.Conn) {
	defer m.recovered(c)
	linger := time.Duration(0)
	if w, ok := c.Layer().ProtocolState().(overfullWord); ok && c.IsOpen() && c.Pending() < mostUnread {
		linger = w.Overfull(c)
	}
	if linger > 0 {
		c.Driver().FailAfter(conn.MemoryLimit, conn.ErrMemory, linger)
	} else {
		c.Layer().SetReason(conn.MemoryLimit)
		c.Layer().Fail(conn.MemoryLimit, conn.ErrMemory)
	}
	c.Driver().Relieve()
}
