package deflate

import (
	"errors"
	"sync"

	"github.com/seed4930a636/mangusta/internal/flate"
)

// decoder is a websocket.Decoder. It comes from a pool.
type decoder struct {
	codec    *codec
	tail     int // bytes of flate.Tail that have been inflated
	inflater flate.Inflater
}

var decoders = sync.Pool{New: func() any { return new(decoder) }}

var tail = []byte(flate.Tail)

// begin begins a message on a connection with x.
func (d *decoder) begin(x *codec) {
	d.codec, d.tail = x, 0
	d.inflater.Reset()
}

// Inflate implements websocket.Decoder.
func (d *decoder) Inflate(dst, src []byte, last bool) (out []byte, n int, more bool, err error) {
	// src is empty once the tail has begun, but a match may still be waiting for room.
	dst, n, err = d.inflater.Inflate(dst, src)
	for err == nil && last && d.wantsTail() {
		var k int
		dst, k, err = d.inflater.Inflate(dst, tail[d.tail:])
		d.tail += k
	}
	switch {
	case errors.Is(err, flate.ErrRoom):
		return dst, n, true, nil
	case err != nil || !last:
		return dst, n, false, err
	case !d.inflater.Whole():
		return dst, n, false, flate.ErrCorrupt
	}
	if x := d.codec; x.inKeeps {
		x.keep(dst[max(0, len(dst)-x.inWindow):])
	}
	return dst, n, false, nil
}

// wantsTail reports whether the tail has to be inflated before the message ends (RFC 7692 §7.2.2).
// A message that ends with a last block needs no tail; with §7.2.3.4 one more byte follows it.
func (d *decoder) wantsTail() bool {
	return d.tail < len(tail) && (d.tail > 0 || !d.inflater.Ended())
}

// Drop implements websocket.Decoder.
func (d *decoder) Drop() {
	d.codec = nil
	decoders.Put(d)
}
