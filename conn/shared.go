package conn

import (
	"math"
	"math/bits"
	"slices"
	"sync"
)

// Loop is what a connection needs of the loop it lives on.
type Loop interface {
	// Touch asks for c.Settle before the loop sleeps. A connection calls it at most once until it
	// is settled.
	Touch(c *Conn)
	// SetPoll starts or stops the Poll events of c.
	SetPoll(c *Conn, on bool)
}

// Logger is where a loop reports what no event tells. A *slog.Logger is one; the interface keeps
// log/slog, with the encoding/json that it brings, out of programs that do not log.
type Logger interface {
	Warn(msg string, args ...any)
	Error(msg string, args ...any)
}

// Shared is what the connections of one loop have in common. The loop owns it.
type Shared struct {
	Loop  Loop
	Log   Logger          // nil is silent, and costs nothing
	Check func(op string) // nil, or panics when the caller is not on the loop's goroutine

	// Now is the loop's clock, in nanoseconds of the monotonic clock, read once each turn.
	Now int64
	// NextDeadline is a lower bound of the times at which Expire of some connection has work.
	NextDeadline int64

	Stats Stats

	read    []byte   // lent to the connection that is being read
	scratch []byte   // joins small pieces for one write
	pieces  [][]byte // of one writev
	bufs    [numClasses][][]byte
	large   [][]byte  // larger ones, the last given back last
	inLarge int       // bytes
	huge    sync.Pool // of *[]byte past largeMax
	boxes   []*[]byte // nil ones, for what is put into huge
	held    int       // see Held
	queues  []*queue

	bundles    [bundleRoots]*queue // the shortest, of one buffer
	nextBundle int                 // of bundles to be replaced

	sharings sharings

	// See budget.go.
	budget   *Budget
	told     int
	allowed  int
	nextWake int64 // no other loop is woken before this time

	// The events with data, reused.
	evRead    Read
	evResumed Resumed
	evWrite   Write
	evError   Error
	evClose   Close
	evReady   Ready

	// Of datagram sockets, made when there is the first.
	datagrams     []Datagram // events, reused
	outgoing      []Outgoing
	evUndelivered Undelivered
}

// Stats counts what happened on a loop since it began.
type Stats struct {
	Events   uint64 // handler calls
	BytesIn  uint64
	BytesOut uint64
	Panics   uint64             // of handlers, timers and Do functions
	Rejected uint64             // Writes turned away by RefuseOnFull
	Skipped  uint64             // messages of broadcasts that a peer which lags did not get: see Limits.Backlog
	Closed   [NumReasons]uint64 // connections by the reason they ended for

	DatagramsIn      uint64 // received
	DatagramsOut     uint64 // that the kernel has taken
	DatagramsDropped uint64 // not sent: the queue was full, the kernel refused them, or the socket was closed
	DatagramsMissed  uint64 // that came while the kernel's buffer was full (Linux)
	DatagramsCut     uint64 // received, but longer than the socket takes
}

const (
	readSize    = 64 << 10
	scratchSize = 16 << 10
	minClass    = 9 // 512 bytes
	maxClass    = 16
	numClasses  = maxClass - minClass + 1
	// poolBytes bounds what each size class keeps; what is over goes to the garbage collector.
	poolBytes = 256 << 10
	// Of buffers past the largest class, those of largeMax bytes at most are kept, poolLarge bytes
	// in all. Larger ones stay until the garbage collector has come by twice.
	largeMax  = 1<<20 + readSize
	poolLarge = 4 * largeMax
	poolQueue = 1024
	poolBoxes = 16
)

// NewShared returns what the connections of loop will share.
func NewShared(loop Loop) *Shared {
	return &Shared{
		Loop:         loop,
		NextDeadline: math.MaxInt64,
		allowed:      math.MaxInt,
		read:         make([]byte, readSize),
		scratch:      make([]byte, 0, scratchSize),
		pieces:       make([][]byte, 0, maxPieces),
	}
}

// class returns the size class whose buffers have room for n bytes, or -1 when n is past the
// largest.
func class(n int) int {
	k := bits.Len(uint(max(n, 1) - 1))
	switch {
	case k <= minClass:
		return 0
	case k > maxClass:
		return -1
	}
	return k - minClass
}

// getBuf returns an empty buffer with room for at least n bytes.
func (s *Shared) getBuf(n int) []byte {
	k := class(n)
	if k < 0 {
		return s.getLarge(n)
	}
	if l := s.bufs[k]; len(l) > 0 {
		b := l[len(l)-1]
		l[len(l)-1] = nil
		s.bufs[k] = l[:len(l)-1]
		return b[:0]
	}
	return make([]byte, 0, 1<<(k+minClass))
}

// getLarge is getBuf past the largest class.
func (s *Shared) getLarge(n int) []byte {
	for i, b := range slices.Backward(s.large) { // the last is the one that may still be in the processor's cache
		if cap(b) >= n && cap(b) <= 4*n {
			s.large = slices.Delete(s.large, i, i+1)
			s.inLarge -= cap(b)
			return b[:0]
		}
	}
	if n > largeMax {
		if b := s.getHuge(); cap(b) >= n && cap(b) <= 2*n {
			return b
		}
	}
	return s.makeLarge(n)
}

// putBuf gives back a buffer that getBuf made. If the pool is full, the buffer is left to the
// garbage collector.
func (s *Shared) putBuf(b []byte) {
	k := class(cap(b))
	switch {
	case k < 0:
		if cap(b) <= largeMax {
			s.putLarge(b)
		} else {
			s.putHuge(b)
		}
	case cap(b) == 1<<(k+minClass) && len(s.bufs[k])<<(k+minClass) < poolBytes:
		s.bufs[k] = append(s.bufs[k], b)
	}
}

// DropPools leaves the buffers that nobody holds to the garbage collector. It is for the loop, when
// memory is scarce.
func (s *Shared) DropPools() {
	s.bufs = [numClasses][][]byte{}
	s.large, s.inLarge = nil, 0
	s.huge = sync.Pool{}
	s.queues = nil
}

// getHuge takes some buffer past largeMax out of its pool, and returns nil when there is none.
func (s *Shared) getHuge() []byte {
	box, _ := s.huge.Get().(*[]byte)
	if box == nil {
		return nil
	}
	b := *box
	*box = nil
	if len(s.boxes) < poolBoxes {
		s.boxes = append(s.boxes, box)
	}
	return b
}

// putHuge is putBuf past largeMax. A sync.Pool takes pointers; what they point to is used again.
func (s *Shared) putHuge(b []byte) {
	var box *[]byte
	if n := len(s.boxes); n > 0 {
		box, s.boxes = s.boxes[n-1], s.boxes[:n-1]
	} else {
		box = new([]byte)
	}
	*box = b[:0]
	s.huge.Put(box)
}

// putLarge is putBuf past the largest class. It drops what has waited longest, so that what is kept
// follows what is asked for.
func (s *Shared) putLarge(b []byte) {
	s.large = append(s.large, b)
	for s.inLarge += cap(b); s.inLarge > poolLarge; {
		s.inLarge -= cap(s.large[0])
		s.large = slices.Delete(s.large, 0, 1)
	}
}
