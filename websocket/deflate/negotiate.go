package deflate

import (
	"errors"

	"github.com/seed4930a636/mangusta/websocket"
)

var (
	errInvalid    = errors.New("the server chose parameters of permessage-deflate that are not valid")
	errOpenBits   = errors.New("the response has client_max_window_bits without a value")
	errNoTakeover = errors.New("the response lacks server_no_context_takeover")
	errServerBits = errors.New("the response lacks server_max_window_bits, or its value is too large")
)

// Accept implements websocket.Compressor. It declines an offer whose parameters are not valid.
func (z *Compressor) Accept(b []byte, offer websocket.Parameters) ([]byte, *websocket.Agreement) {
	p, ok := parse(offer)
	if !ok {
		return b, nil
	}
	reply, x := z.accept(p)
	return reply.append(b), &x.agreement
}

// accept replies to an offer (RFC 7692 §7.1). The reply decides on takeover and windows for both
// sides. A server may refuse takeover even if the client did not offer that; it may ask for a
// smaller client window only if the client offered that.
func (z *Compressor) accept(offer parameters) (reply parameters, x *codec) {
	bits := uint8(z.opts.MaxWindowBits)
	out, in := bits, uint8(maxWindowBits)
	if offer.serverBits != 0 { // §7.1.2.1: the reply must have it then
		out = min(out, offer.serverBits)
		reply.serverBits = out
	}
	if offer.clientBitsOpen || offer.clientBits != 0 {
		if in = bits; offer.clientBits != 0 {
			in = min(in, offer.clientBits)
		}
	}
	x = z.agree(z.opts.ServerTakeover && !offer.serverNoTakeover, z.opts.ClientTakeover && !offer.clientNoTakeover, out, in)
	reply.serverNoTakeover, reply.clientNoTakeover = !x.outKeeps, !x.inKeeps
	if x.inKeeps && in < maxWindowBits { // without takeover a smaller window would save nothing
		reply.clientBits = in
	}
	return reply, x
}

// AppendOffer implements websocket.Compressor. Takeover and windows are offered as the Options say;
// the server chooses the client's own window.
func (z *Compressor) AppendOffer(b []byte) []byte {
	p := z.offer()
	return p.append(b)
}

func (z *Compressor) offer() parameters {
	p := parameters{
		serverNoTakeover: !z.opts.ServerTakeover,
		clientNoTakeover: !z.opts.ClientTakeover,
		clientBitsOpen:   true,
	}
	if z.opts.MaxWindowBits < maxWindowBits {
		p.serverBits = uint8(z.opts.MaxWindowBits)
	}
	return p
}

// Confirm implements websocket.Compressor.
func (z *Compressor) Confirm(response websocket.Parameters) (*websocket.Agreement, error) {
	p, ok := parse(response)
	if !ok {
		return nil, errInvalid
	}
	x, err := z.confirm(p)
	if err != nil {
		return nil, err
	}
	return &x.agreement, nil
}

// confirm judges a server's response: RFC 7692 §7.1 has the client fail if it does not fit the
// offer.
func (z *Compressor) confirm(response parameters) (*codec, error) {
	offer := z.offer()
	switch {
	case response.clientBitsOpen: // §7.1.2.2
		return nil, errOpenBits
	case offer.serverNoTakeover && !response.serverNoTakeover: // §7.1.1.1
		return nil, errNoTakeover
	case offer.serverBits != 0 && (response.serverBits == 0 || response.serverBits > offer.serverBits): // §7.1.2.1
		return nil, errServerBits
	}
	out, in := uint8(z.opts.MaxWindowBits), uint8(maxWindowBits)
	if response.clientBits != 0 {
		out = min(out, response.clientBits)
	}
	if response.serverBits != 0 {
		in = response.serverBits
	}
	x := z.agree(z.opts.ClientTakeover && !response.clientNoTakeover, false, out, in)
	if !response.serverNoTakeover { // the server may refer to messages before, even if MaxTakeover is spent by now
		if !x.outKeeps {
			x = z.newCodec(out, in) // x is shared
		}
		x.inKeeps = true
		x.held += x.inWindow
		z.held.Add(int64(x.inWindow))
	}
	return x, nil
}

// agree returns the codec for one connection, with takeover as far as MaxTakeover allows.
// Connections without takeover share one.
func (z *Compressor) agree(outKeeps, inKeeps bool, outBits, inBits uint8) *codec {
	x := z.newCodec(outBits, inBits)
	if n := min(x.outWindow, sentLimit); outKeeps && z.reserve(n) {
		x.outKeeps, x.held = true, n
		x.agreement.Alike = -1
	}
	if inKeeps && z.reserve(x.inWindow) {
		x.inKeeps = true
		x.held += x.inWindow
	}
	if x.outKeeps || x.inKeeps {
		return x
	}
	if shared := z.shared[outBits].Load(); shared != nil {
		return shared
	}
	again := parameters{serverNoTakeover: true, clientNoTakeover: true, serverBits: outBits}
	x.agreement.Again = string(again.append(nil))
	z.shared[outBits].Store(x)
	return x
}
