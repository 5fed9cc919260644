package deflate

import (
	"math"

	"github.com/seed4930a636/mangusta/internal/flate"
	"github.com/seed4930a636/mangusta/websocket"
)

// codec is a websocket.Codec: permessage-deflate as it was agreed on for a connection.
type codec struct {
	agreement websocket.Agreement
	from      *Compressor
	outWindow int    // bytes
	inWindow  int    // bytes of the messages before that a decoder needs
	outKeeps  bool   // takeover for the messages that this side sends
	inKeeps   bool   // and for those that it receives
	held      int    // of MaxTakeover
	sent      []byte // with outKeeps: the last bytes sent, for messages to refer to
	history   []byte // with inKeeps: the last bytes received
}

// newCodec returns a codec without takeover.
func (z *Compressor) newCodec(outBits, inBits uint8) *codec {
	// zlib uses 9 bits if it is told 8: the messages of such a peer may need 512 bytes of history.
	x := &codec{from: z, outWindow: 1 << outBits, inWindow: 1 << max(inBits, minWindowBits+1)}
	x.agreement = websocket.Agreement{Codec: x, Threshold: z.opts.Threshold, Alike: math.MaxInt}
	if outBits < maxWindowBits {
		x.agreement.Alike = x.outWindow
	}
	return x
}

// Append implements websocket.Codec. RFC 7692 §7.2.1 strips the tail off the end of the message
// only.
func (x *codec) Append(dst, p []byte, first, last bool) ([]byte, bool) {
	before := len(dst)
	dst = compress(dst, p, x.sent, x.outWindow, x.from.opts.Level)
	if last {
		dst = dst[:len(dst)-len(flate.Tail)]
	}
	// A message that got no smaller is sent as it is, unless later messages are to refer to it.
	return dst, !first || !last || x.outKeeps || len(dst)-before < len(p)
}

// Sent implements websocket.Codec.
func (x *codec) Sent(p []byte) {
	if x.outKeeps {
		x.remember(p)
	}
}

// remember adds p to the bytes that later messages may refer to.
func (x *codec) remember(p []byte) {
	limit := min(x.outWindow, sentLimit)
	if x.sent == nil {
		x.sent = make([]byte, 0, limit)
	}
	p = p[max(0, len(p)-limit):]
	if over := len(x.sent) + len(p) - limit; over > 0 {
		x.sent = x.sent[:copy(x.sent, x.sent[over:])]
	}
	x.sent = append(x.sent, p...)
}

// Begin implements websocket.Codec.
func (x *codec) Begin(dst []byte) ([]byte, websocket.Decoder) {
	d := decoders.Get().(*decoder)
	d.begin(x)
	return append(dst, x.history...), d
}

// keep makes p the history.
func (x *codec) keep(p []byte) {
	if cap(x.history) < len(p) {
		x.history = make([]byte, 0, min(x.inWindow, max(len(p), 2*cap(x.history))))
	}
	x.history = append(x.history[:0], p...)
}

// Drop implements websocket.Codec. It gives back what takeover has reserved.
func (x *codec) Drop() {
	if x.held > 0 {
		x.from.giveBack(x.held)
		x.held = 0
	}
	if x.outKeeps || x.inKeeps { // otherwise x is shared
		x.sent, x.history = nil, nil
	}
}
