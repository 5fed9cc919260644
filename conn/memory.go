package conn

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"unsafe"
)

// The memory of a loop is counted where a connection keeps it: unread input when it is copied out
// of the loop's buffer, a send queue when it is not empty at the end of the turn. So a request
// whose reply leaves at once costs no counting. A queue that grows past countLater is counted at
// once: the loop may be past its limit before the turn has ended. A layer tells with Charge of
// buffers of its own, a Layered transport with Holds: so a connection over TLS counts while it is
// idle too. Buffers that rest in the pools are not counted: Shared bounds them.
//
// A buffer of WriteShared is counted once for all queues that it stays in. Each of them has its
// part of it: see Holds.

// countLater is up to how many bytes a send queue is not counted before the end of the turn.
const countLater = 4 << 10

const partSize = int(unsafe.Sizeof(part{}))

// ErrMemory is in the Error of a connection that was ended because the budget of its loop was used
// up.
var ErrMemory = errors.New("conn: the memory budget is used up")

// Held returns how many bytes of buffers the connections hold: unread input, what was queued to
// send at the end of the last turn, what layers have charged, and what Layered transports hold.
func (s *Shared) Held() int { return s.held }

// hold is getBuf for a buffer that is counted.
func (s *Shared) hold(n int) []byte {
	b := s.getBuf(n)
	s.held += cap(b)
	return b
}

// unhold gives back a buffer of hold.
func (s *Shared) unhold(b []byte) {
	s.held -= cap(b)
	s.putBuf(b)
}

// count has Held include what the queue q holds now.
func (s *Shared) count(q *queue) {
	n := cap(q.own) + cap(q.parts)*partSize
	s.held += n - q.counted
	q.counted = n
	for i := len(q.parts) - 1; i >= q.first && !q.parts[i].held; i-- {
		q.share(&q.parts[i])
	}
}

// uncount takes away what count has added.
func (q *queue) uncount() {
	q.sh.held -= q.counted
	for i := q.first; q.refers > 0; i++ {
		q.unshare(&q.parts[i])
	}
}

// A buffer of WriteShared is known by the address of its last byte, which is the last to be sent.
type sharing struct {
	n      int // bytes
	queues int // that it is in
}

// sharings are the buffers of WriteShared that queues hold.
type sharings struct {
	bufs   map[*byte]sharing
	bytes  int // of all of them
	refers int // the sum of that of the queues
}

// share counts t, if it is a shared buffer.
func (q *queue) share(t *part) {
	t.held = true
	if t.p == nil {
		return
	}
	s := q.sh
	at := &t.p[len(t.p)-1]
	b := s.sharings.bufs[at]
	if b.queues++; b.queues == 1 {
		b.n = len(t.p)
		s.held += b.n
		s.sharings.bytes += b.n
	}
	if s.sharings.bufs == nil {
		s.sharings.bufs = make(map[*byte]sharing)
	}
	s.sharings.bufs[at] = b
	s.sharings.refers += b.n
	q.refers += b.n
}

// unshare ends share, before t goes.
func (q *queue) unshare(t *part) {
	if t.p == nil || !t.held {
		return
	}
	t.held = false
	s := q.sh
	at := &t.p[len(t.p)-1]
	b := s.sharings.bufs[at]
	if b.queues--; b.queues > 0 {
		s.sharings.bufs[at] = b
	} else {
		delete(s.sharings.bufs, at)
		s.held -= b.n
		s.sharings.bytes -= b.n
	}
	s.sharings.refers -= b.n
	q.refers -= b.n
}

// Charge says that the layer holds n bytes in all in buffers of its own, such as a message that is
// being put together. The end of the connection takes the charge away.
func (l *Layer) Charge(n int) {
	if l.rare != nil || n != 0 { // inlined: most connections never have a charge
		l.charge(n)
	}
}

func (l *Layer) charge(n int) {
	r := (*Conn)(l).rarely()
	l.sh.held += n - r.charged
	r.charged = n
}

// Buffer returns an empty buffer with room for n bytes, for what the layer puts together and
// charges. It may have more room than that. GiveBack takes it when nothing refers to it any more;
// else it goes to the garbage collector. See makeLarge.
func (l *Layer) Buffer(n int) []byte { return l.sh.getBuf(n) }

// GiveBack returns a buffer of Buffer to the loop, which gives it to somebody else.
func (l *Layer) GiveBack(b []byte) { l.sh.putBuf(b) }

// makeLarge returns a new buffer. Once as many bytes as the budget has went into large ones, it
// waits for the garbage collector. The collector alone may come late: what is made while it marks
// stays until its next round, so on busy processors buffers that grow by doubling took many times
// the budget.
func (s *Shared) makeLarge(n int) []byte {
	if b := s.budget; b != nil && b.made.Add(int64(n)) >= b.limit {
		b.made.Store(int64(n))
		s.huge = sync.Pool{} // else what is in it would outlive one collection
		runtime.GC()
	}
	return uncleared(n)
}

// uncleared returns an empty buffer with room for n bytes, of which nobody has seen what is in it:
// to clear a large one costs as much as to fill it, and what it gets is written over that anyway.
// A strings.Builder is the only way to such memory. The string is not used as one, so nothing
// relies on its bytes staying the same.
func uncleared(n int) []byte {
	var b strings.Builder
	b.Grow(n)
	b.WriteByte(0)
	return unsafe.Slice(unsafe.StringData(b.String()), n)[:0]
}

// Affords reports whether what a layer has charged may grow further while it handles one event. The
// loop ends the largest connections between two events, so what is then a quarter over the limit
// has come with this one.
func (l *Layer) Affords() bool {
	s := l.sh
	return !s.Overfull() || s.held-s.allowed <= s.budget.Limit()/4
}

// Holds returns how many bytes the connection holds of what Shared.Held counts. Of shared buffers
// it is a part, as large as if each of them were in as many queues as the average.
func (d *Driver) Holds() int {
	n := 0
	if d.flags&lent == 0 {
		n = cap(d.Recv.buf)
	}
	if q := d.out; q != nil && q.bundle == nil {
		n += q.counted
		if q.refers > 0 {
			n += int(int64(q.refers) * int64(d.sh.sharings.bytes) / int64(d.sh.sharings.refers))
		}
	}
	if d.rare != nil {
		n += d.rare.charged + int(d.rare.layerHolds)
		if g := d.rare.grams; g != nil {
			n += g.counted
		}
	}
	return n
}

// Ration stops the reading of a connection that holds much while memory is scarce, or lets it go
// on. It is one of the reasons of the gate.
func (d *Driver) Ration(on bool) {
	if on {
		(*Conn)(d).shutGate(rationed)
	} else {
		(*Conn)(d).openGate(rationed)
	}
}

// Rationed reports whether Ration is in force.
func (d *Driver) Rationed() bool { return d.flags&rationed != 0 }

// Relieve gives back at once what a connection holds that has ended, or is draining after
// FailAfter: its input, its charge, and, if it has ended, its queue. The loop calls it outside of
// all handlers.
func (d *Driver) Relieve() {
	c := (*Conn)(d)
	switch {
	case c.state == closing:
		c.release()
	case c.state > open:
		c.dropInput()
		c.Layer().Charge(0)
	}
}
