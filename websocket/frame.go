package websocket

import (
	"encoding/binary"

	"github.com/gobwas/ws"
)

// This file alone knows github.com/gobwas/ws: it gives the opcodes, the status codes and the cipher. Headers are decoded
// in place, because ws.ReadHeader wants an io.Reader, which costs more than the rest of a small frame
// (BenchmarkDecodeHeader).

// An Op is what a frame is, or the message that it belongs to (RFC 6455 §5.2).
type Op uint8

const (
	Continuation = Op(ws.OpContinuation)
	Text         = Op(ws.OpText)
	Binary       = Op(ws.OpBinary)
	Close        = Op(ws.OpClose)
	Ping         = Op(ws.OpPing)
	Pong         = Op(ws.OpPong)
)

func (op Op) String() string {
	switch op {
	case Continuation:
		return "continuation"
	case Text:
		return "text"
	case Binary:
		return "binary"
	case Close:
		return "close"
	case Ping:
		return "ping"
	case Pong:
		return "pong"
	}
	return "reserved opcode"
}

func (op Op) isControl() bool { return op&8 != 0 }

// A Code says why a WebSocket ended (RFC 6455 §7.4). 3000 to 3999 are for libraries, 4000 to 4999 for programs.
type Code uint16

const (
	CloseNormal       = Code(ws.StatusNormalClosure)           // 1000
	CloseGoingAway    = Code(ws.StatusGoingAway)               // 1001: the server stops, or the page was left
	CloseProtocol     = Code(ws.StatusProtocolError)           // 1002
	CloseUnsupported  = Code(ws.StatusUnsupportedData)         // 1003: a kind of data that is not taken here
	CloseNoStatus     = Code(ws.StatusNoStatusRcvd)            // 1005: the Close frame had no code; never sent
	CloseAbnormal     = Code(ws.StatusAbnormalClosure)         // 1006: there was no Close frame; never sent
	CloseInvalidData  = Code(ws.StatusInvalidFramePayloadData) // 1007: text that is not UTF-8
	ClosePolicy       = Code(ws.StatusPolicyViolation)         // 1008
	CloseTooBig       = Code(ws.StatusMessageTooBig)           // 1009
	CloseMandatoryExt = Code(ws.StatusMandatoryExt)            // 1010: sent by clients
	CloseInternal     = Code(ws.StatusInternalServerError)     // 1011
	CloseRestart      = Code(1012)                             // the server restarts
	CloseTryLater     = Code(1013)                             // the server is overloaded
	CloseBadGateway   = Code(1014)                             // the server behind gave no valid answer
)

// valid reports whether c may stand in a Close frame. ws.CheckCloseFrameData refuses 1012 to 1014, which IANA has
// registered since, and lets 5000 and above pass, which RFC 6455 §7.4.2 does not define.
func (c Code) valid() bool {
	s := ws.StatusCode(c)
	switch {
	case s.In(ws.StatusRangeApplication), s.In(ws.StatusRangePrivate):
		return true
	case c >= CloseRestart && c <= CloseBadGateway:
		return true
	case s == ws.StatusNoMeaningYet, s.IsProtocolReserved():
		return false
	}
	return s.IsProtocolDefined()
}

const (
	finBit     = 0x80 // of the first byte
	rsvBits    = 0x70
	opBits     = 0x0f
	maskBit    = 0x80 // of the second byte
	lengthBits = 0x7f

	maxControl = ws.MaxControlFramePayloadSize
	maxReason  = maxControl - 2
	// maxHeader is the longest header of a masked frame; those that a server sends are 4 bytes shorter.
	maxHeader = ws.MaxHeaderSize
)

// header is the header of a frame that came in.
type header struct {
	length int64 // of the payload
	size   int   // of the header itself
	key    [4]byte
	op     Op
	fin    bool
	rsv1   bool // the message is compressed

	// Set before decode.
	bare    bool // the frame must come unmasked, as servers send them
	deflate bool // permessage-deflate has been agreed on
}

// decode reads the header at the start of b. It returns false as long as b is too short for it, and says why when RFC 6455
// §5.2 forbids the frame: what the first two bytes tell is refused without waiting for the rest.
func (h *header) decode(b []byte) (ok bool, why string) {
	if len(b) < 2 {
		return false, ""
	}
	h.op = Op(b[0] & opBits)
	h.fin = b[0]&finBit != 0
	h.rsv1 = h.deflate && b[0]&rsvBits == rsv1 && (h.op == Text || h.op == Binary)
	short := b[1] & lengthBits
	switch {
	case b[0]&rsvBits != 0 && !h.rsv1: // RFC 7692 §6: RSV1 is for the first frame of a message
		return false, "a reserved bit is set"
	case ws.OpCode(h.op).IsReserved():
		return false, "reserved opcode"
	case b[1]&maskBit == 0 && !h.bare: // §5.1
		return false, "a client's frame must be masked"
	case b[1]&maskBit != 0 && h.bare: // §5.1
		return false, "a server's frame must not be masked"
	case h.op.isControl() && short > maxControl: // §5.5
		return false, "control frame of more than 125 bytes"
	case h.op.isControl() && !h.fin: // §5.5
		return false, "fragmented control frame"
	}
	switch short {
	default:
		h.length, h.size = int64(short), 2
	case 126:
		if len(b) < 4 {
			return false, ""
		}
		h.length, h.size = int64(binary.BigEndian.Uint16(b[2:])), 4
		if h.length < 126 {
			return false, "length not in its shortest form"
		}
	case 127:
		if len(b) < 10 {
			return false, ""
		}
		h.length, h.size = int64(binary.BigEndian.Uint64(b[2:])), 10
		switch {
		case h.length < 0:
			return false, "length with its highest bit set"
		case h.length < 1<<16:
			return false, "length not in its shortest form"
		}
	}
	if h.bare {
		return true, ""
	}
	if h.size += 4; len(b) < h.size {
		return false, ""
	}
	h.key = [4]byte(b[h.size-4:])
	return true, ""
}

// unmask unmasks p in place; done is how many bytes of the payload came before it.
func (h *header) unmask(p []byte, done int) {
	if !h.bare {
		mask(p, h.key, done)
	}
}

// mask masks or unmasks p in place (RFC 6455 §5.3); done is how many bytes of the payload came before it.
func mask(p []byte, key [4]byte, done int) { ws.Cipher(p, key, done) }

// appendHeader appends the header of an unmasked frame of n bytes. first is the opcode, with finBit unless more follows.
func appendHeader(b []byte, first byte, n int) []byte {
	switch {
	case n <= 125:
		return append(b, first, byte(n))
	case n < 1<<16:
		return append(b, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(n))
}
