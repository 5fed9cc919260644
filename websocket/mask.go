package websocket

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// keySources make the keys that mask a client's frames. RFC 6455 §5.3 wants each key to be fresh, from a strong source of
// entropy, and no help in guessing the next: otherwise a page's script could have the client write what a proxy on the
// way takes for a request. ChaCha8 is a cryptographic generator; seeded with 256 bits of the system's entropy, one key costs
// a few nanoseconds, where crypto/rand costs a few hundred. A source is for one goroutine at a time, and loops run on
// several: hence the pool. Seeding again after a garbage collection is welcome.
var keySources = sync.Pool{New: func() any {
	var seed [32]byte
	crand.Read(seed[:]) // never fails: it ends the program where the system has no entropy
	return rand.NewChaCha8(seed)
}}

// newKey returns the key for one frame. Safe for concurrent use.
func newKey() (key [4]byte) {
	src := keySources.Get().(*rand.ChaCha8)
	binary.LittleEndian.PutUint32(key[:], uint32(src.Uint64()))
	keySources.Put(src)
	return key
}

// sendMasked is sendFrame for a client. The copy that it queues is masked piece by piece in the queue's own memory, so that
// p stays as it is and nothing is allocated.
func (s *session) sendMasked(c *conn.Conn, first byte, p []byte) error {
	// A header whose payload is then refused would break the stream.
	if l := c.Limits(); l.OnFull == conn.RefuseOnFull && c.Pending()+maxHeader+len(p) > l.Send {
		return conn.ErrSendLimit
	}
	key := s.keys()
	b := appendHeader(c.AvailableBuffer(), first, len(p))
	b[1] |= maskBit
	b = append(b, key[:]...)
	for done := 0; ; {
		n := min(cap(b)-len(b), len(p)-done)
		b = append(b, p[done:done+n]...)
		mask(b[len(b)-n:], key, done)
		if _, err := c.Write(b); err != nil {
			return err
		}
		if done += n; done == len(p) {
			return nil
		}
		b = c.AvailableBuffer()
	}
}
