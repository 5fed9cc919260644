package websocket

import (
	"math"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Options are the options of an upgrade, and, inside ClientOptions, of a client. The zero value
// works, and so does a nil *Options. Connections keep the pointer: share one Options among all
// connections of a listener, and do not change it once it is in use.
type Options struct {
	// Protocols are the subprotocols that this side speaks, the preferred first. A server chooses
	// the first that the client offers, too.
	Protocols []string

	// Origins are the origins that may connect besides the server's own. Its own origin has the
	// same host and port, and the scheme http or https; only https if http.IsHTTPS. A pattern with
	// "://" is compared with the whole origin ("https://*.example.com"), any other with its host
	// and port ("*.example.com", "localhost:*"). "*" stands for any run of bytes, and alone for
	// every origin but "null", which has to be named. Case is ignored, and the default port of a
	// scheme may be left out. A request without an Origin header does not come from a page in a
	// browser, and is always let in.
	Origins []string

	// Header is added to the 101 reply of a server, and to the request of a client.
	Header []Header

	// Check, if not nil, is called last. If it returns an error, the upgrade is refused, with the
	// status of a *HandshakeError, otherwise with 403. The refusal has the headers set with
	// http.SetHeader.
	Check func(c *conn.Conn, m *http.Message) error

	// MaxMessage is the size of the largest message that is taken, in bytes; 1 MiB when 0. The
	// connection's receive limit is raised to fit. A program that echoes messages of that size has
	// to raise its send limit, too.
	MaxMessage int

	// MaxRatio bounds how many times larger than its compressed bytes a message may become; 0 is no
	// bound. It does not count for the first 64 KiB of a message. A message that goes past it is
	// refused with 1009. It is off by default, because honest messages, such as a picture of one
	// colour, reach every ratio up to the 1,032 of the format, and because MaxMessage bounds one
	// message and mgr.Options.Memory all of them. With Stream, if nothing else bounds the work for
	// a message, 100 is a good value.
	MaxRatio int

	// Stream delivers messages as *Chunk, piece by piece as they come, instead of as *Message. No
	// message is put together, so MaxMessage is a limit only if it is not 0. A handler that cannot
	// keep up calls c.Pause, and later c.Resume.
	Stream bool

	// Compress compresses messages if the peer knows permessage-deflate, with a Compressor of
	// package websocket/deflate; nil is none.
	Compress Compressor

	// LagCode is the Close code for a peer that takes broadcasts too slowly, if the policy of
	// conn.Limits.Backlog or of its subscription to a hub is to disconnect it. The default is
	// CloseTryLater (1013); ClosePolicy (1008) keeps clients away that come back after 1013.
	LagCode Code

	// CloseTimeout is how long the peer's Close frame may take to come after ours, and how long the
	// peer may take to close its side of TCP after the last frame; 5 s when 0. After a clean end a
	// server waits one second at most.
	CloseTimeout time.Duration

	// PingInterval is how long a peer may be silent before it is sent a ping; 30 s when 0, negative
	// is never. Any byte from the peer ends the silence.
	PingInterval time.Duration

	// PongTimeout is how long the silence may go on after the ping before the connection ends; 20 s
	// when 0, negative is for ever.
	PongTimeout time.Duration
}

// A Header is one field of a handshake.
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
		return min(o.MaxMessage, math.MaxInt/4) // sums of sizes must not overflow an int
	}
	return defaultMaxMessage
}

func (o *Options) lagCode() Code {
	if o.LagCode == 0 {
		return CloseTryLater
	}
	return o.LagCode
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
