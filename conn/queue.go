package conn

import "slices"

// queue is what waits to be sent. It belongs to a connection only while there is something in it.
//
// Bytes given to Write are copied to own. Buffers given to WriteShared are referred to by parts,
// which then says in what order they and the stretches of own go out; own bytes after the last
// part follow at the end.
type queue struct {
	sh *Shared

	own     []byte
	off     int   // own[:off] is sent
	placed  int   // own[:placed] is accounted for by parts
	size    int   // bytes in memory, all of them
	files   int64 // bytes of files
	parts   []part
	first   int     // parts[:first] are sent
	upTo    int     // Writes are taken up to this size, whatever the limit says: see Layer.Reserve
	sent    int     // bytes that went through, and that no Write event has told of
	counted int     // bytes of Shared.Held, without shared buffers; 0 when nothing is counted
	refers  int     // bytes of the shared buffers that are counted, those that other queues refer to included
	pinned  bool    // a write of own is under way: its bytes must stay where they are
	kept    []byte  // a buffer of such a write that the queue uses no longer
	bundle  *bundle // not nil when connections share the queue; then only size is in use
}

// part is a shared buffer, or a stretch of a file, or, when p and file are nil, the next n bytes of
// own.
type part struct {
	p    []byte
	n    int
	file *filePart
	held bool // counted in Shared.Held, if it is a shared buffer
	cast bool // a message of a broadcast, of which nothing has been sent: see dropOldest
}

// isOwn reports whether the part is a stretch of own.
func (t *part) isOwn() bool { return t.p == nil && t.file == nil }

// place makes parts account for all bytes of own, before a part that goes after them.
func (q *queue) place() {
	if q.first == len(q.parts) || q.first > 32 && 2*q.first > len(q.parts) { // forget what is sent
		q.parts = slices.Delete(q.parts, 0, q.first)
		q.first = 0
	}
	if n := len(q.own) - q.placed; n > 0 {
		q.parts = append(q.parts, part{n: n})
		q.placed = len(q.own)
	}
}

// empty reports whether nothing waits to be sent.
func (q *queue) empty() bool { return q.size == 0 && q.files == 0 }

// fileFirst returns the stretch of a file that is to be sent next, or nil.
func (q *queue) fileFirst() *filePart {
	if q.first < len(q.parts) {
		return q.parts[q.first].file
	}
	return nil
}

// pieces yields the unsent bytes in order, up to those of a file.
func (q *queue) pieces(yield func([]byte) bool) {
	off := q.off
	for _, t := range q.parts[q.first:] {
		p := t.p
		if t.file != nil {
			return
		}
		if p == nil {
			p = q.own[off : off+t.n]
			off += t.n
		}
		if !yield(p) {
			return
		}
	}
	if off < len(q.own) {
		yield(q.own[off:])
	}
}

// advance marks n bytes as sent.
func (q *queue) advance(n int) {
	q.size -= n
	for n > 0 && q.first < len(q.parts) {
		t := &q.parts[q.first]
		k := min(n, t.n)
		n -= k
		t.n -= k
		if t.p == nil {
			q.off += k
		} else {
			if t.n == 0 {
				q.unshare(t)
			}
			t.p = t.p[k:]
			t.cast = false
		}
		if t.n > 0 {
			return
		}
		*t = part{}
		q.first++
	}
	q.off += n
	q.placed = max(q.placed, q.off)
}

// The first poolOwn queues that wait to be used again keep their buffer of up to smallOwn bytes, as
// a short reply needs.
const (
	smallOwn = 2 << 10
	poolOwn  = 64
)

func (s *Shared) getQueue() *queue {
	if n := len(s.queues); n > 0 {
		q := s.queues[n-1]
		s.queues = s.queues[:n-1]
		return q
	}
	return &queue{sh: s}
}

// putQueue gives back a queue that is empty or no longer wanted.
func (s *Shared) putQueue(q *queue) {
	if q.bundle != nil {
		return
	}
	if q.counted != 0 {
		q.uncount()
	}
	own := q.own
	if cap(own) > smallOwn || len(s.queues) >= poolOwn {
		s.putBuf(own)
		own = nil
	}
	clear(q.parts)
	if cap(q.parts) > 64 {
		q.parts = nil
	}
	*q = queue{sh: s, own: own[:0], parts: q.parts[:0]}
	if len(s.queues) < poolQueue {
		s.queues = append(s.queues, q)
	}
}

// growOwn makes room for n more bytes in q.own, dropping what is sent.
func (s *Shared) growOwn(q *queue, n int) {
	if q.own == nil {
		q.own = s.getBuf(n)
		if cap(q.own) > countLater {
			s.count(q)
		}
		return
	}
	live := q.own[q.off:]
	if q.off > 0 && len(live)+n <= cap(q.own) && q.off >= len(live) && !q.pinned {
		k := copy(q.own, live)
		q.own = q.own[:k]
	} else {
		bigger := append(s.getBuf(max(len(live)+n, 2*len(live))), live...)
		if q.pinned && q.kept == nil {
			q.kept = q.own
		} else {
			s.putBuf(q.own)
		}
		q.own = bigger
	}
	q.placed -= q.off
	q.off = 0
	if cap(q.own) > countLater {
		s.count(q)
	}
}
