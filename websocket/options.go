package websocket

import (
	"math"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Options of an upgrade, and in ClientOptions those of a client. The zero value works, and so does a nil *Options.
// Connections keep the pointer: share one Options among all of a listener's connections, and do not change it once it is in
// use.
type Options struct {
	// Protocols are the subprotocols spoken here, the preferred first. The first one that the client offers too is chosen.
	Protocols []string

	// Origins are the origins that may connect besides the request's own host. A pattern with "://" is compared with the
	// whole origin ("https://*.example.com"), any other with its host and port ("*.example.com", "localhost:*"); "*"
	// stands for any run of bytes, and alone for every origin. Case is ignored. A request without an Origin header does
	// not come from a browser's page and is always let in.
	Origins []string

	// Header is added to the 101 reply; by a client to its request.
	Header []Header

	// Check, when not nil, is asked last. An error refuses the upgrade: with the status of a *HandshakeError, else with 403.
	// Headers set with http.SetHeader go out with the refusal.
	Check func(c *conn.Conn, m *http.Message) error

	// MaxMessage is the largest message taken, in bytes; 1 MiB when 0. The connection's receive limit is raised to fit. A
	// program that echoes messages of that size has to raise its send limit too.
	MaxMessage int

	// Stream has messages delivered as *Chunk, piece by piece as they come, instead of as *Message. Nothing is put together,
	// so MaxMessage is then a limit only when it is not 0. A handler that cannot keep up calls c.Pause and later c.Resume.
	Stream bool

	// Deflate turns on permessage-deflate, with a *Deflate; without one, or with a nil one, messages are not compressed.
	Deflate Compression

	// CloseTimeout is how long the peer may take to answer our Close frame, and to close its side after the last frame;
	// 5 s when 0. After a clean end a server waits for one second at most.
	CloseTimeout time.Duration

	// PingInterval is how long a peer may be silent before it is sent a ping; 30 s when 0, negative is never. Any byte that
	// comes ends the silence.
	PingInterval time.Duration

	// PongTimeout is how long the silence may go on behind the ping before the peer counts as dead; 20 s when 0, negative is
	// for ever.
	PongTimeout time.Duration
}

// A Header is one field of the reply to a handshake.
type Header struct {
	Name, Value string
}

const (
	defaultMaxMessage   = 1 << 20
	defaultCloseTimeout = 5 * time.Second
	defaultPingInterval = 30 * time.Second
	defaultPongTimeout  = 20 * time.Second
)

var defaults Options

func (o *Options) maxMessage() int {
	if o.MaxMessage > 0 {
		return min(o.MaxMessage, math.MaxInt/4) // sums of sizes stay inside an int
	}
	return defaultMaxMessage
}

func (o *Options) closeTimeout() time.Duration {
	if o.CloseTimeout > 0 {
		return o.CloseTimeout
	}
	return defaultCloseTimeout
}

func (o *Options) pingInterval() time.Duration {
	if o.PingInterval == 0 {
		return defaultPingInterval
	}
	return o.PingInterval
}

func (o *Options) pongTimeout() time.Duration {
	if o.PongTimeout == 0 {
		return defaultPongTimeout
	}
	return o.PongTimeout
}
