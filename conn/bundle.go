package conn

import "golang.org/x/sys/unix"

// A broadcast queues the same few buffers on thousands of connections. Connections that had nothing
// else to send then have equal queues, so they share one: a bundle. It costs a connection a
// pointer, and its bytes are joined for the system call once for all. A bundle never changes. One
// more shared buffer leads to the bundle that is longer by that, which remembers which connections
// asked last; anything else, and a short write, makes a queue of the connection's own.
type bundle struct {
	before *queue // nil, or the bundle that this one prolongs
	p      []byte
	after  *queue // the bundle made last of this one and one more buffer
	joined []byte // all bytes, when they have been asked for
}

const (
	bundleMax   = 64 << 10 // bytes: for more a writev costs little, and joined is a copy
	bundleRoots = 4        // kinds of buffers that one broadcast sends: plain and compressed messages, events
)

// bundleOf returns the bundle of what q, nil or a bundle, holds and of p. It returns nil when they
// are to have no bundle.
func (s *Shared) bundleOf(q *queue, p []byte) *queue {
	if q == nil {
		if len(p) > bundleMax {
			return nil
		}
		for _, b := range s.bundles {
			if b != nil && same(b.bundle.p, p) {
				return b
			}
		}
		b := newBundle(nil, p)
		s.bundles[s.nextBundle%bundleRoots] = b
		s.nextBundle++
		return b
	}
	if q.bundle == nil || q.size+len(p) > bundleMax {
		return nil
	}
	if b := q.bundle.after; b != nil && same(b.bundle.p, p) {
		return b
	}
	b := newBundle(q, p)
	q.bundle.after = b
	return b
}

// Settled says that all connections are at rest: those that queue something now do not share with
// what was queued before, and the budget is told what they hold. It is for the loop.
func (s *Shared) Settled() {
	s.tell()
	if s.nextBundle > 0 {
		s.bundles, s.nextBundle = [bundleRoots]*queue{}, 0
	}
}

// same reports whether a and b are the same memory.
func same(a, b []byte) bool { return len(a) == len(b) && &a[0] == &b[0] }

func newBundle(before *queue, p []byte) *queue {
	b := &struct {
		queue
		bundle
	}{queue{size: len(p)}, bundle{before: before, p: p}}
	if before != nil {
		b.size += before.size
	}
	b.queue.bundle = &b.bundle
	return &b.queue
}

// bytes returns all bytes of the bundle q.
func (q *queue) bytes() []byte {
	b := q.bundle
	switch {
	case b.joined != nil:
	case b.before == nil:
		b.joined = b.p
	default:
		b.joined = make([]byte, q.size)
		for end, x := q.size, q; x != nil; x = x.bundle.before {
			end -= len(x.bundle.p)
			copy(b.joined[end:], x.bundle.p)
		}
	}
	return b.joined
}

// ownQueue returns a queue that is the connection's own, with what it has queued.
func (c *Conn) ownQueue() *queue {
	q := c.out
	if q != nil && q.bundle == nil {
		return q
	}
	c.out = c.sh.getQueue()
	if q != nil {
		c.out.parts = append(c.out.parts, part{p: q.bytes(), n: q.size})
		c.out.size = q.size
	}
	return c.out
}

// flushBundle sends the bundle q, which is what is queued. It returns how many bytes have been
// sent.
func (c *Conn) flushBundle(q *queue) int {
	asked, n, err := c.send(q.bytes())
	for err == unix.EINTR {
		asked, n, err = c.send(q.bytes())
	}
	c.took(n)
	switch {
	case err == ErrSubmitted:
		c.flags |= blocked | submitted // a bundle never changes
	case err != nil && err != unix.EAGAIN:
		c.broken(err)
	case n == asked:
		c.out = nil
		if c.flags&holding != 0 {
			c.flags |= blocked
		}
	default:
		c.flags |= blocked
		if n > 0 {
			c.ownQueue().advance(n)
		}
	}
	return n
}
