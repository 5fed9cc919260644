// Package deflate compresses the messages of package websocket with permessage-deflate (RFC 7692):
//
//	websocket.Upgrade(c, m, &websocket.Options{Compress: z})
//
// with one Compressor for all connections:
//
//	var z = deflate.New()
//
// It is a package of its own so that programs that do not compress are linked without it: it takes
// some 130 KB.
//
// A message with both a secret and text that an attacker may choose should not be compressed: its
// length tells whether they are alike.
//
// # Negotiation
//
// A server accepts the first valid offer. A client offers what its Options say. Both honour all
// parameters of RFC 7692 §7.1: takeover either way, and windows of 8 to 15 bits.
//
// # Takeover
//
// By default each message is compressed by itself, and a connection holds no memory for compression
// between two messages. With takeover messages refer to those before. That makes small ones
// smaller, by a third for telemetry of 1 KB, and costs each connection memory until it ends: 4 KiB
// for the messages it sends, because they refer no farther back, and 32 KiB for those it receives,
// less with a smaller window.
package deflate

import (
	"sync/atomic"

	"github.com/seed4930a636/mangusta/websocket"
)

// Options are the settings of a Compressor. The zero value works.
type Options struct {
	// Level is 1, the fastest, to 9, the smallest; 1 when 0. If the window has less than 15 bits,
	// messages larger than the window are compressed as at level 5.
	Level int

	// Threshold is the size in bytes from which on messages are compressed; 256 when 0, negative
	// compresses all. Compressing smaller messages costs more than it saves.
	Threshold int

	// ServerTakeover and ClientTakeover let the server's and the client's messages refer to those
	// before, unless the peer refuses.
	ServerTakeover, ClientTakeover bool

	// MaxWindowBits is the base-2 logarithm of how many bytes back messages may refer, both ways, 8
	// to 15; 15 when 0. A server can ask it of a client only if the client offers
	// client_max_window_bits, as browsers do.
	MaxWindowBits int

	// MaxTakeover bounds the bytes that takeover costs all connections of the Compressor together;
	// 64 MiB when 0. Once they are spent, new connections get no takeover.
	MaxTakeover int64
}

const (
	defaultThreshold   = 256
	defaultMaxTakeover = 64 << 20

	minWindowBits = 8
	maxWindowBits = 15
)

// withDefaults returns o with each field in its range.
func (o Options) withDefaults() Options {
	o.Level = max(1, min(o.Level, 9))
	if o.Threshold == 0 {
		o.Threshold = defaultThreshold
	}
	if o.MaxWindowBits == 0 {
		o.MaxWindowBits = maxWindowBits
	}
	o.MaxWindowBits = max(minWindowBits, min(o.MaxWindowBits, maxWindowBits))
	if o.MaxTakeover == 0 {
		o.MaxTakeover = defaultMaxTakeover
	}
	return o
}

// A Compressor is a websocket.Compressor. It is safe for concurrent use, so all loops of a program
// may share one.
//
// The writers that compress are pooled, and remember no messages. One takes 16 KiB at level 1
// without takeover, otherwise 0.8 to 1.1 MiB; each loop uses one at a time.
type Compressor struct {
	opts   Options
	held   atomic.Int64              // of MaxTakeover
	shared [16]atomic.Pointer[codec] // without takeover, by window bits of what is sent
}

var _ websocket.Compressor = (*Compressor)(nil)

// New makes a Compressor. Fields of Options that are out of range count as the nearest valid value.
func New(opts ...Options) *Compressor {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	return &Compressor{opts: o.withDefaults()}
}

// reserve takes n bytes of MaxTakeover, if that many are left.
func (z *Compressor) reserve(n int) bool {
	if z.held.Add(int64(n)) <= z.opts.MaxTakeover {
		return true
	}
	z.giveBack(n)
	return false
}

// giveBack returns n bytes that reserve took.
func (z *Compressor) giveBack(n int) { z.held.Add(-int64(n)) }
