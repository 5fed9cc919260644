//go:build !nogobwas

package websocket

import "github.com/gobwas/ws"

// This file alone imports github.com/gobwas/ws, for the opcodes, the status codes and the cipher.
// With the build tag nogobwas, frame_own.go takes its place: gobwas/ws brings net/http and
// crypto/tls into the program, 1.4 MB.

const (
	Continuation = Op(ws.OpContinuation)
	Text         = Op(ws.OpText)
	Binary       = Op(ws.OpBinary)
	Close        = Op(ws.OpClose)
	Ping         = Op(ws.OpPing)
	Pong         = Op(ws.OpPong)
)

func (op Op) isReserved() bool { return ws.OpCode(op).IsReserved() }

const (
	CloseNormal       = Code(ws.StatusNormalClosure)           // 1000
	CloseGoingAway    = Code(ws.StatusGoingAway)               // 1001: the server stops, or the page was left
	CloseProtocol     = Code(ws.StatusProtocolError)           // 1002
	CloseUnsupported  = Code(ws.StatusUnsupportedData)         // 1003: a kind of data that this side does not take
	CloseNoStatus     = Code(ws.StatusNoStatusRcvd)            // 1005: the Close frame had no code; never sent
	CloseAbnormal     = Code(ws.StatusAbnormalClosure)         // 1006: there was no Close frame; never sent
	CloseInvalidData  = Code(ws.StatusInvalidFramePayloadData) // 1007: text that is not UTF-8
	ClosePolicy       = Code(ws.StatusPolicyViolation)         // 1008
	CloseTooBig       = Code(ws.StatusMessageTooBig)           // 1009
	CloseMandatoryExt = Code(ws.StatusMandatoryExt)            // 1010: sent by clients
	CloseInternal     = Code(ws.StatusInternalServerError)     // 1011
	CloseRestart      = Code(1012)                             // the server restarts
	CloseTryLater     = Code(1013)                             // the server is overloaded
	CloseBadGateway   = Code(1014)                             // a gateway got no valid response from its server
)

// valid reports whether c may stand in a Close frame. ws.CheckCloseFrameData refuses 1012 to 1014,
// which IANA has registered since, and lets 5000 and above pass, which RFC 6455 §7.4.2 does not
// define.
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
	maxControl = ws.MaxControlFramePayloadSize
	// maxHeader is the longest header of a masked frame; those that a server sends are 4 bytes
	// shorter.
	maxHeader = ws.MaxHeaderSize
)

// mask masks or unmasks p in place (RFC 6455 §5.3); done is how many bytes of the payload came
// before it.
func mask(p []byte, key [4]byte, done int) { ws.Cipher(p, key, done) }
