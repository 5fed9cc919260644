package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

const rsv1 = 0x40 // of the first byte: the message is compressed (RFC 7692 §6)

// scratch holds a compressed message until it is queued.
type scratch struct{ b []byte }

var scratchPool = sync.Pool{New: func() any { return new(scratch) }}

// giveBack puts the scratch into the pool, with the buffer b that it has grown to.
func (r *scratch) giveBack(b []byte) {
	if cap(b) <= keepAssembly {
		r.b = b[:0]
	}
	scratchPool.Put(r)
}

// sendDeflated is sendFrame for a frame of a compressed message. first has rsv1 in the first frame
// of a message.
func (s *session) sendDeflated(c *conn.Conn, first byte, p []byte) error {
	z := s.agreed.Codec
	room := scratchPool.Get().(*scratch)
	out, smaller := z.Append(room.b[:0], p, first&rsv1 != 0, first&finBit != 0)
	var err error
	if smaller {
		if err = s.sendFrame(c, first, out); err == nil { // otherwise the peer does not get p
			z.Sent(p)
		}
	} else {
		err = s.sendFrame(c, first&^rsv1, p)
	}
	room.giveBack(out)
	return err
}
