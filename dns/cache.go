package dns

import (
	"net/netip"
	"time"
)

// A cache keeps what was answered, the bad news too, for as long as the server allows. The entry
// that was used least recently makes room for a new one.
type cache struct {
	most    int
	entries map[question]*entry
	root    entry // of the ring: next is the one used last
}

// entry is one answer. Its content does not change, so a caller may keep it.
type entry struct {
	q       question
	addrs   []netip.Addr
	srv     []SRV
	texts   []string
	err     *Error // nil if there are records
	expires int64  // on the manager's clock

	// For AAAA: the addresses of this entry and of the one for A, in order (loop.both).
	both  []netip.Addr
	with  *entry
	until int64

	prev, next *entry
}

// How long answers are kept.
const (
	mostPositive = 24 * time.Hour
	mostNegative = 15 * time.Minute
	// failedFor is how long a failure of the servers is kept, so that a program which asks again
	// and again does not add to their trouble (RFC 9520 §3.2: 1 s at least).
	failedFor = time.Second
)

func newCache(most int) *cache {
	c := &cache{most: most}
	c.clear()
	return c
}

func (c *cache) clear() {
	c.entries = map[question]*entry{}
	c.root.next, c.root.prev = &c.root, &c.root
}

// get returns the entry of q if it is still good.
func (c *cache) get(q question, now int64) *entry {
	e := c.entries[q]
	if e == nil {
		return nil
	}
	if e.expires <= now {
		c.drop(e)
		return nil
	}
	e.unlink()
	c.link(e)
	return e
}

// put keeps e for ttl.
func (c *cache) put(e *entry, ttl time.Duration, now int64) {
	if old := c.entries[e.q]; old != nil {
		c.drop(old)
	}
	if ttl <= 0 || c.most <= 0 {
		return
	}
	e.expires = now + int64(ttl)
	for len(c.entries) >= c.most {
		c.drop(c.root.prev)
	}
	c.entries[e.q] = e
	c.link(e)
}

func (c *cache) drop(e *entry) {
	delete(c.entries, e.q)
	e.unlink()
}

func (e *entry) unlink() {
	e.prev.next, e.next.prev = e.next, e.prev
	e.prev, e.next = nil, nil
}

func (c *cache) link(e *entry) {
	e.prev, e.next = &c.root, c.root.next
	e.prev.next, e.next.prev = e, e
}
