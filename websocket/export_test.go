package websocket

import (
	"time"
	"unsafe"

	"github.com/seed4930a636/mangusta/conn"
)

// This file is what the tests of package websocket_test see of the inside.

const (
	DefaultMaxMessage       = defaultMaxMessage
	DefaultCloseTimeout     = defaultCloseTimeout
	DefaultPingInterval     = defaultPingInterval
	DefaultPongTimeout      = defaultPongTimeout
	DefaultHandshakeTimeout = defaultHandshakeTimeout

	InflateWindow = inflateWindow
	MaxHead       = maxHead
	MaxRefusal    = maxRefusal
	SessionSize   = unsafe.Sizeof(session{})
)

var (
	AcceptKey = acceptKey
	ValidKey  = validKey

	AppendHeader = appendHeader
	Masked       = masked
	FirstBad     = firstBad
	UTF8Texts    = utf8Texts
)

// Interval is how long c may be silent before it is sent a ping.
func Interval(c *conn.Conn) time.Duration { return of(c).interval(c) }

// Agreed returns what c has agreed on, nil without compression.
func Agreed(c *conn.Conn) *Agreement { return of(c).agreed }

// Running reports whether c has neither sent a Close frame nor ended.
func Running(c *conn.Conn) bool { return of(c).phase == running }

// Parts returns a function that tells whether the WebSocket on c, which may be over by then, has an
// assembly, and how many bytes that holds.
func Parts(c *conn.Conn) func() (held int, any bool) {
	s := of(c)
	return func() (int, bool) {
		if s.part == nil {
			return 0, false
		}
		return cap(s.part.buf) + cap(s.part.chunk), true
	}
}

// FreshPart gives c an assembly that has no buffer of an earlier message.
func FreshPart(c *conn.Conn) { of(c).part = new(assembly) }

// Deflated returns the frame of the compressed message, nil if none has been made.
func (p *Prepared) Deflated() []byte { return p.deflated }

// Place is where the next bytes of a large frame are read to, nil if to the buffer of the loop.
func Place(c *conn.Conn) []byte { return of(c).InputPlace() }
