package main

import (
	"io"

	"github.com/seed4930a636/mangusta/http"
)

// A body is that of a request, on its way from the client to a server: an http.Source. A piece that
// comes is offered to the server's connection at once, and copied only if there is no room for it.
// If more than config.buffer waits, the client has to wait.
type body struct {
	x        *passage
	b        []byte // from off on not taken yet
	off      int
	piece    []byte // comes after b; it is the client's connection's, and must be taken before its event is over
	asked    bool   // a server has been asked for: the body cannot go to another one
	ended    bool   // the last byte is here
	trailers []http.Field
}

// offer begins the event of a piece that the client has sent.
func (b *body) offer(k *http.Chunk) {
	b.piece = k.Data
	if k.Last {
		b.ended = true
		for _, f := range k.Trailers() {
			b.trailers = append(b.trailers, http.Field{Name: append([]byte(nil), f.Name...), Value: append([]byte(nil), f.Value...)})
		}
	}
}

// keep ends it: what the server has not taken is copied.
func (b *body) keep() {
	if len(b.piece) > 0 {
		if b.b == nil {
			b.b = b.x.p.room()
		}
		b.b = append(b.b, b.piece...)
	}
	b.piece = nil
}

// waiting is how many bytes have not been taken.
func (b *body) waiting() int { return len(b.b) - b.off + len(b.piece) }

// Next implements http.Source. The passage calls Call.Wake, so wake is not needed.
func (b *body) Next(room int, _ func() error) (p []byte, err error) {
	if !b.asked {
		b.asked = true
		b.x.serverAsks()
	}
	if b.off == len(b.b) {
		b.b, b.off = b.b[:0], 0
		n := min(room, len(b.piece))
		p, b.piece = b.piece[:n], b.piece[n:]
	} else {
		p = b.b[b.off:][:min(room, len(b.b)-b.off)]
		b.off += len(p)
	}
	b.x.taken()
	switch {
	case b.waiting() > 0:
		return p, nil
	case b.ended:
		return p, io.EOF
	}
	return p, http.ErrWait
}

// Trailers implements http.TrailerSource.
func (b *body) Trailers() []http.Field { return b.trailers }

// Close implements http.Source. The attempt is over; a body that was not asked for can still go to
// another server.
func (b *body) Close() {}

// maxRooms bounds how many buffers of bodies are kept.
const maxRooms = 16

// room returns a buffer for what waits of a body.
func (p *proxy) room() []byte {
	if n := len(p.rooms); n > 0 {
		b := p.rooms[n-1]
		p.rooms = p.rooms[:n-1]
		return b
	}
	return make([]byte, 0, p.cfg.buffer+64<<10)
}

// drop gives the buffer of a body back.
func (b *body) drop() {
	if b.b != nil && len(b.x.p.rooms) < maxRooms {
		b.x.p.rooms = append(b.x.p.rooms, b.b[:0])
	}
	b.b, b.off, b.piece = nil, 0, nil
}
