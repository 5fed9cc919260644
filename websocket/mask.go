package websocket

import (
	crand "crypto/rand"
	"encoding/binary"
	"math/rand/v2"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// keySources make the keys that mask a client's frames. RFC 6455 §5.3 wants a fresh key for each
// frame, from a strong source of entropy, that does not help to guess the next one. Otherwise a
// script could make the client write bytes that a proxy takes for a request. ChaCha8 is a
// cryptographic generator; with a seed of 256 bits from the system a key costs a few nanoseconds,
// and one of crypto/rand a few hundred. A source is for one goroutine at a time, and loops run on
// several goroutines: hence the pool.
var keySources = sync.Pool{New: func() any {
	var seed [32]byte
	crand.Read(seed[:]) // never fails: it ends the program if the system has no entropy
	return rand.NewChaCha8(seed)
}}

// newKey returns the key for one frame. Safe for concurrent use.
func newKey() (key [4]byte) {
	src := keySources.Get().(*rand.ChaCha8)
	binary.LittleEndian.PutUint32(key[:], uint32(src.Uint64()))
	keySources.Put(src)
	return key
}

// sendMasked is sendFrame for a client. It copies p to the queue piece by piece and masks the copy
// there, so p does not change and nothing is allocated.
func (s *session) sendMasked(c *conn.Conn, first byte, p []byte) error {
	// If the queue took the header and then refused the payload, the stream would be broken.
	if err := c.Layer().Reserve(maxHeader + len(p)); err != nil {
		return err
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
