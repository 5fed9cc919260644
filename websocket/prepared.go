package websocket

import (
	"sync"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
)

// Prepared is a message encoded once for many connections. Safe for concurrent use.
type Prepared struct {
	frame []byte
	op    Op
	err   error

	once     sync.Once
	deflated []byte       // the frame of the compressed message, nil if it would be no smaller
	zipped   atomic.Int64 // its length
}

// Prepare encodes a copy of p as Send would send it. Safe for concurrent use. If Send would refuse
// op or p, SendPrepared returns the error.
func Prepare(op Op, p []byte) *Prepared {
	b := appendHeader(make([]byte, 0, len(p)+maxHeader), finBit|byte(op), len(p))
	return &Prepared{frame: append(b, p...), op: op, err: checkOp(op, len(p))}
}

// Len returns the size of the frame in bytes, uncompressed. Safe for concurrent use.
func (p *Prepared) Len() int { return len(p.frame) }

// DeflatedLen returns the size of the compressed frame in bytes, which p holds in addition; 0 if
// there is none yet. Safe for concurrent use.
func (p *Prepared) DeflatedLen() int { return int(p.zipped.Load()) }

// deflate returns the frame of the compressed message, or nil. The first connection that asks
// compresses it, with its Codec.
func (p *Prepared) deflate(z Codec) []byte {
	p.once.Do(func() {
		room := scratchPool.Get().(*scratch)
		out, ok := z.Append(room.b[:0], payload(p.frame), true, true)
		if ok {
			b := make([]byte, 0, len(out)+maxHeader)
			p.deflated = append(appendHeader(b, finBit|rsv1|byte(p.op), len(out)), out...)
			p.zipped.Store(int64(len(p.deflated)))
		}
		room.giveBack(out)
	})
	return p.deflated
}

// payload returns the payload of an unmasked frame.
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

// SendPrepared queues p by reference: connections that send the same p share its bytes. Connections
// that compress share a second frame, which is made when the first of them sends p. A connection
// with takeover has to compress for itself, and a client has to mask a copy, since each of its
// frames has its own key (RFC 6455 §5.3).
//
// conn.Limits.Backlog bounds what waits for a peer that reads slowly. Past it the Policy decides: p
// is skipped, or the oldest messages are dropped, or the connection ends with Options.LagCode.
// Connections with takeover and clients skip p where others would drop the oldest. The errors are
// those of Send, and conn.ErrBacklog.
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
	var err error
	if s.agreed == nil && s.keys == nil {
		err = c.Layer().WriteBroadcast(p.frame)
	} else {
		err = s.sendPrepared(c, p)
	}
	if err == conn.ErrBacklog && c.Limits().Backlog.Policy == conn.Disconnect && CloseSlow(c) != nil {
		c.Drain() // the queue has no room even for the Close frame
	}
	return err
}

// sendPrepared is SendPrepared for a connection that compresses or masks.
func (s *session) sendPrepared(c *conn.Conn, p *Prepared) error {
	frame := p.frame
	plain := payload(frame)
	if a := s.agreed; !p.op.isControl() && a.wants(len(plain)) {
		if len(plain) > a.Alike {
			if err := c.Layer().CatchUp(); err != nil {
				return err
			}
			return s.sendDeflated(c, finBit|rsv1|byte(p.op), plain)
		}
		if d := p.deflate(a.Codec); d != nil {
			frame = d
		}
	}
	if s.keys != nil {
		if err := c.Layer().CatchUp(); err != nil {
			return err
		}
		return s.sendFrame(c, frame[0], payload(frame))
	}
	return c.Layer().WriteBroadcast(frame)
}

// CloseSlow is CloseWith for a peer that takes broadcasts too slowly, with Options.LagCode.
func CloseSlow(c *conn.Conn) error {
	s := of(c)
	if s == nil {
		return ErrNotWebSocket
	}
	return CloseWith(c, s.opts.lagCode(), "too slow")
}
