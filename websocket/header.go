package websocket

import "encoding/binary"

// Headers are decoded in place: ws.ReadHeader wants an io.Reader, which costs more than all other
// work for a small frame (BenchmarkDecodeHeader).

// An Op is the kind of a frame or of a message (RFC 6455 §5.2).
type Op uint8

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

// A Code says why a WebSocket ended (RFC 6455 §7.4). 3000 to 3999 are for libraries, 4000 to 4999
// for programs.
type Code uint16

const (
	finBit     = 0x80 // of the first byte
	rsvBits    = 0x70
	opBits     = 0x0f
	maskBit    = 0x80 // of the second byte
	lengthBits = 0x7f

	maxReason = maxControl - 2
)

// header is the header of a received frame.
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

// decode reads the header at the start of b. It returns false if b is too short, and false with a
// reason if RFC 6455 §5.2 forbids the frame. A mistake in the first two bytes is found without the
// bytes after them.
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
	case h.op.isReserved():
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

// appendHeader appends the header of an unmasked frame of n bytes. first is the opcode, with finBit
// unless more follows.
func appendHeader(b []byte, first byte, n int) []byte {
	switch {
	case n <= 125:
		return append(b, first, byte(n))
	case n < 1<<16:
		return append(b, first, 126, byte(n>>8), byte(n))
	}
	return binary.BigEndian.AppendUint64(append(b, first, 127), uint64(n))
}
