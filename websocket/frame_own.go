//go:build nogobwas

package websocket

import "encoding/binary"

const (
	Continuation Op = 0
	Text         Op = 1
	Binary       Op = 2
	Close        Op = 8
	Ping         Op = 9
	Pong         Op = 10
)

func (op Op) isReserved() bool { return op > Binary && op < Close || op > Pong }

const (
	CloseNormal       Code = 1000
	CloseGoingAway    Code = 1001 // the server stops, or the page was left
	CloseProtocol     Code = 1002
	CloseUnsupported  Code = 1003 // a kind of data that this side does not take
	CloseNoStatus     Code = 1005 // the Close frame had no code; never sent
	CloseAbnormal     Code = 1006 // there was no Close frame; never sent
	CloseInvalidData  Code = 1007 // text that is not UTF-8
	ClosePolicy       Code = 1008
	CloseTooBig       Code = 1009
	CloseMandatoryExt Code = 1010 // sent by clients
	CloseInternal     Code = 1011
	CloseRestart      Code = 1012 // the server restarts
	CloseTryLater     Code = 1013 // the server is overloaded
	CloseBadGateway   Code = 1014 // a gateway got no valid response from its server
)

// valid reports whether c may stand in a Close frame (RFC 6455 §7.4): the registered codes, those
// of libraries and those of programs.
func (c Code) valid() bool {
	switch {
	case c >= 3000 && c < 5000, c >= CloseInvalidData && c <= CloseBadGateway:
		return true
	}
	return c >= CloseNormal && c <= CloseUnsupported
}

const (
	maxControl = 125 // RFC 6455 §5.5
	// maxHeader is the longest header of a masked frame; those that a server sends are 4 bytes
	// shorter.
	maxHeader = 14
)

// mask masks or unmasks p in place (RFC 6455 §5.3); done is how many bytes of the payload came
// before it.
func mask(p []byte, key [4]byte, done int) {
	var turned [4]byte // key as it meets p
	for i := range turned {
		turned[i] = key[(done+i)&3]
	}
	word := uint64(binary.LittleEndian.Uint32(turned[:]))
	word |= word << 32
	for len(p) >= 32 {
		b := p[:32]
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		binary.LittleEndian.PutUint64(b[8:], binary.LittleEndian.Uint64(b[8:])^word)
		binary.LittleEndian.PutUint64(b[16:], binary.LittleEndian.Uint64(b[16:])^word)
		binary.LittleEndian.PutUint64(b[24:], binary.LittleEndian.Uint64(b[24:])^word)
		p = p[32:]
	}
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, binary.LittleEndian.Uint64(p)^word)
		p = p[8:]
	}
	for i := range p {
		p[i] ^= turned[i&3]
	}
}
