package websocket

import (
	"sync"

	"github.com/seed4930a636/mangusta/conn"
)

// Prepared is a message encoded once for many connections. Safe for concurrent use.
type Prepared struct {
	frame []byte
	op    Op
	err   error

	once     sync.Once
	deflated []byte // the frame of the compressed message, nil if that is no smaller
}

// Prepare encodes a copy of p as Send would send it. Safe for concurrent use. What Send would refuse of op and p is told by
// SendPrepared.
func Prepare(op Op, p []byte) *Prepared {
	b := appendHeader(make([]byte, 0, len(p)+maxHeader), finBit|byte(op), len(p))
	return &Prepared{frame: append(b, p...), op: op, err: checkOp(op, len(p))}
}

// Len returns how many bytes are sent of p, when it is not compressed. Safe for concurrent use.
func (p *Prepared) Len() int { return len(p.frame) }

// deflate compresses p, the first time that it is asked for, as the connection that asks does it.
func (p *Prepared) deflate(x *deflation) []byte {
	p.once.Do(func() {
		plain := payload(p.frame)
		z := x.coder.compress(plain, nil, 1<<maxWindowBits)
		if len(z.out) < len(plain) {
			b := make([]byte, 0, len(z.out)+maxHeader)
			p.deflated = append(appendHeader(b, finBit|rsv1|byte(p.op), len(z.out)), z.out...)
		}
		z.release()
	})
	return p.deflated
}

// payload returns what follows the header of an unmasked frame.
func payload(frame []byte) []byte {
	switch frame[1] {
	default:
		return frame[2:]
	case 126:
		return frame[4:]
	case 127:
		return frame[10:]
	}
}

// SendPrepared queues p by reference: connections that send the same p share its bytes. Those that compress share a second
// frame, which is made when the first of them asks; with takeover each has to compress for itself. A client's connection
// gets a masked copy instead, since each of its frames has a key of its own (RFC 6455 §5.3). The errors are those of Send.
func SendPrepared(c *conn.Conn, p *Prepared) error {
	s := of(c)
	switch {
	case s == nil:
		return ErrNotWebSocket
	case p.err != nil:
		return p.err
	}
	if err := s.maySend(c, p.op, 0); err != nil {
		return err
	}
	frame := p.frame
	plain := payload(frame)
	if x := s.deflation; !p.op.isControl() && x.deflates(len(plain)) {
		if x.outKeeps || len(plain) > x.outWindow && x.outWindow < 1<<maxWindowBits {
			return s.sendDeflated(c, finBit|rsv1|byte(p.op), plain)
		}
		if d := p.deflate(x); d != nil {
			frame = d
		}
	}
	if s.keys != nil {
		return s.sendFrame(c, frame[0], payload(frame))
	}
	return c.WriteShared(frame)
}
