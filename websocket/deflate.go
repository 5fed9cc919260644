package websocket

import (
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
)

// Deflate turns on permessage-deflate (RFC 7692): a server agrees to it when the client offers it, a client offers it. The zero
// value works. It may be shared, also among loops, and must not be copied or changed once it is in use.
//
// Without takeover, which is the default, each message is compressed for itself, and a connection holds no memory for it
// while no message is under way. With takeover messages refer to those before, which makes small ones smaller, by a third for
// telemetry of 1 KB. Each direction then costs each connection memory until it ends: what this side sends 4 KiB, because
// it refers no farther back than that, what it receives 32 KiB, and less with a smaller window.
//
// Compressors are pooled, and remember nothing. At level 1 without takeover one takes 16 KiB, otherwise 0.8 to 1.1 MiB; as many
// are in use as there are loops.
type Deflate struct {
	// Level is 1, the fastest, to 9, the smallest; 1 when 0. Messages larger than a window of less than 15 bits are compressed as
	// at level 5.
	Level int

	// Threshold is the size in bytes from which on messages are compressed; 256 when 0, negative compresses all. Smaller ones
	// save less than it costs.
	Threshold int

	// ServerTakeover and ClientTakeover let the server's and the client's messages refer to those before, unless the
	// peer does not want it.
	ServerTakeover, ClientTakeover bool

	// MaxWindowBits is the base-2 logarithm of how far back messages may refer, both ways, 8 to 15; 15 when 0. For what
	// the client sends it can only be asked for if the client offers client_max_window_bits, as browsers do.
	MaxWindowBits int

	// MaxTakeover is how many bytes takeover may cost all connections that share this Deflate; 64 MiB when 0. New connections
	// go without takeover once they are spent.
	MaxTakeover int64

	held   atomic.Int64                  // of MaxTakeover
	shared [16]atomic.Pointer[deflation] // without takeover, by window bits of what is sent
}

const (
	defaultThreshold   = 256
	defaultMaxTakeover = 64 << 20
)

func (d *Deflate) level() int { return max(1, min(d.Level, 9)) }

func (d *Deflate) threshold() int {
	if d.Threshold == 0 {
		return defaultThreshold
	}
	return d.Threshold
}

func (d *Deflate) windowBits() uint8 {
	if d.MaxWindowBits == 0 {
		return maxWindowBits
	}
	return uint8(max(minWindowBits, min(d.MaxWindowBits, maxWindowBits)))
}

// reserve takes n bytes of MaxTakeover, if they are left.
func (d *Deflate) reserve(n int) bool {
	limit := d.MaxTakeover
	if limit == 0 {
		limit = defaultMaxTakeover
	}
	if d.held.Add(int64(n)) <= limit {
		return true
	}
	d.giveBack(n)
	return false
}

// giveBack ends what reserve began.
func (d *Deflate) giveBack(n int) { d.held.Add(-int64(n)) }

// deflation is permessage-deflate as it was agreed on for a connection. Connections without takeover share theirs.
type deflation struct {
	coder     coder
	threshold int  // bytes from which on messages are compressed
	outWindow int  // bytes
	inWindow  int  // bytes; what the inflater needs of the messages before, if they are kept at all
	outKeeps  bool // takeover for what this side sends
	inKeeps   bool // and for what it receives
	held      int
	sent      []byte // with outKeeps: the end of what was sent, for messages to refer to
	history   []byte // with inKeeps: the end of what came
}

// accept answers an offer (RFC 7692 §7.1). What the answer says of takeover and windows holds for both sides: a server may
// ask for no takeover whether or not that was offered, but for a smaller client window only if it was.
func (d *Deflate) accept(offer params) (answer params, agreed *deflation) {
	bits := d.windowBits()
	out, in := bits, uint8(maxWindowBits)
	if offer.serverBits != 0 { // §7.1.2.1: the answer must have it then
		out = min(out, offer.serverBits)
		answer.serverBits = out
	}
	if offer.clientBitsOpen || offer.clientBits != 0 {
		if in = bits; offer.clientBits != 0 {
			in = min(in, offer.clientBits)
		}
	}
	agreed = d.agree(d.ServerTakeover && !offer.serverNoTakeover, d.ClientTakeover && !offer.clientNoTakeover, out, in)
	answer.serverNoTakeover, answer.clientNoTakeover = !agreed.outKeeps, !agreed.inKeeps
	if agreed.inKeeps && in < maxWindowBits { // without takeover it would save nothing
		answer.clientBits = in
	}
	return answer, agreed
}

// reply appends the header field of the answer to an offer, and returns what was agreed on with it. Like request and answered it
// takes a nil d for none.
func (d *Deflate) reply(b []byte, offer params) ([]byte, *deflation) {
	if d == nil {
		return b, nil
	}
	answer, agreed := d.accept(offer)
	b = answer.append(append(b, "Sec-WebSocket-Extensions: "...))
	return append(b, "\r\n"...), agreed
}

// agree returns the deflation for one connection, with takeover as far as MaxTakeover allows.
func (d *Deflate) agree(outKeeps, inKeeps bool, outBits, inBits uint8) *deflation {
	// zlib takes 8 bits for 9: what such a peer sends may need 512 bytes of history.
	x := deflation{coder: d, threshold: d.threshold(), outWindow: 1 << outBits, inWindow: 1 << max(inBits, minWindowBits+1)}
	if n := min(x.outWindow, sentLimit); outKeeps && d.reserve(n) {
		x.outKeeps, x.held = true, n
	}
	if inKeeps && d.reserve(x.inWindow) {
		x.inKeeps = true
		x.held += x.inWindow
	}
	if x.outKeeps || x.inKeeps {
		return &x
	}
	if p := d.shared[outBits].Load(); p != nil {
		return p
	}
	d.shared[outBits].Store(&x)
	return &x
}

// offer returns what a client offers: takeover and windows as the options say, the client's own window for the server to
// choose.
func (d *Deflate) offer() params {
	p := params{
		serverNoTakeover: !d.ServerTakeover,
		clientNoTakeover: !d.ClientTakeover,
		clientBitsOpen:   true,
	}
	if bits := d.windowBits(); bits < maxWindowBits {
		p.serverBits = bits
	}
	return p
}

// request appends the header field of what a client offers.
func (d *Deflate) request(b []byte) []byte {
	if d == nil {
		return b
	}
	offer := d.offer()
	return append(offer.append(append(b, "Sec-WebSocket-Extensions: "...)), "\r\n"...)
}

// answered takes the parameters of a server's answer, or says what is wrong with them: §7.1 has the client fail then.
func (d *Deflate) answered(a params) (agreed *deflation, wrong string) {
	if d == nil {
		return nil, notOffered
	}
	offer := d.offer()
	switch {
	case a.clientBitsOpen: // §7.1.2.2
		return nil, "the server answered client_max_window_bits without a value"
	case offer.serverNoTakeover && !a.serverNoTakeover: // §7.1.1.1
		return nil, "the server did not answer server_no_context_takeover"
	case offer.serverBits != 0 && (a.serverBits == 0 || a.serverBits > offer.serverBits): // §7.1.2.1
		return nil, "the server did not answer server_max_window_bits"
	}
	out, in := d.windowBits(), uint8(maxWindowBits)
	if a.clientBits != 0 {
		out = min(out, a.clientBits)
	}
	if a.serverBits != 0 {
		in = a.serverBits
	}
	agreed = d.agree(d.ClientTakeover && !a.clientNoTakeover, false, out, in)
	if !a.serverNoTakeover { // the server may refer to messages before, whatever MaxTakeover says by now
		if !agreed.outKeeps {
			own := *agreed
			agreed = &own
		}
		agreed.inKeeps = true
		agreed.held += agreed.inWindow
		d.held.Add(int64(agreed.inWindow))
	}
	return agreed, ""
}

// keep makes p the history.
func (x *deflation) keep(p []byte) {
	if cap(x.history) < len(p) {
		x.history = make([]byte, 0, min(x.inWindow, max(len(p), 2*cap(x.history))))
	}
	x.history = append(x.history[:0], p...)
}

// remember adds what was sent to what later messages may refer to.
func (x *deflation) remember(p []byte) {
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

// drop gives back what a connection that ends holds.
func (x *deflation) drop() {
	if x.held > 0 {
		x.coder.giveBack(x.held)
		x.held = 0
	}
	if x.outKeeps || x.inKeeps { // else x is shared
		x.sent, x.history = nil, nil
	}
}

// deflates reports whether a message of n bytes is to be compressed.
func (x *deflation) deflates(n int) bool { return x != nil && n >= x.threshold }

const rsv1 = 0x40 // of the first byte: the message is compressed (RFC 7692 §6)

// sendDeflated is sendFrame for a frame of a compressed message. first has rsv1 when the frame is its first.
func (s *session) sendDeflated(c *conn.Conn, first byte, p []byte) error {
	x := s.deflation
	z := x.coder.compress(p, x.sent, x.outWindow)
	defer z.release()
	if first&(finBit|rsv1) == finBit|rsv1 && len(z.out) >= len(p) && !x.outKeeps {
		return s.sendFrame(c, first&^rsv1, p) // it got no smaller, and no later message is to refer to it
	}
	if first&finBit == 0 {
		z.out = append(z.out, tailBytes...) // §7.2.1 strips it off the end of the message only
	}
	err := s.sendFrame(c, first, z.out)
	if err == nil && x.outKeeps { // else the peer does not get it
		x.remember(p)
	}
	return err
}
