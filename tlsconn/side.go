package tlsconn

import (
	"crypto/tls"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Limits bounds the handshakes of a Server or Client. The zero value means the defaults, and
// negative numbers no bound.
type Limits struct {
	// HandshakeTimeout is how long a handshake may take, from when the connection was accepted or
	// connected; default 10 s.
	HandshakeTimeout time.Duration
	// MaxHandshakes is how many may be under way at once, not counting peers that have not sent a
	// whole record yet; default 1,024. If there are so many, a Server ends the oldest that waits for
	// its peer, to make room for a new one. If none does, or on a Client, the new one ends.
	MaxHandshakes int
	// HandshakeBytes is how much the peer may send in a handshake; default 32 KB, 280 KB where it
	// sends certificates.
	HandshakeBytes int
	// Rate is how many handshakes may begin in a second; default no bound. A connection over it
	// ends.
	Rate int
	// RatePerAddr is Rate for the connections of one address, or of one /64 of IPv6; default no
	// bound. Those over it take nothing of Rate. 4,096 addresses are kept track of in a second: if
	// there are more, the others have no bound but Rate.
	RatePerAddr int
	// Trusted are networks of proxies, which have connections of many clients: RatePerAddr does not
	// count them. A client whom a proxy names before TLS (http.Options.ProxyFrom) counts with its
	// own address.
	Trusted []netip.Prefix
}

// side is what the connections of a Server or Client have in common. Several loops may share it.
type side struct {
	limits         Limits
	handshakeBytes int
	synchronous    bool
	redirect       bool
	compact        bool
	log            conn.Logger

	// newConn makes the TLS connection over nc, with a peer of this name for a client. prepare is
	// called before each handshake. Both are safe for concurrent use.
	newConn func(nc net.Conn, name string) *tls.Conn
	prepare func()

	stats    counters
	inFlight atomic.Int32

	flights   flights
	makesRoom bool
	rates     rates
}

func (s *side) init(l Limits, certificates bool) {
	if l.HandshakeTimeout == 0 {
		l.HandshakeTimeout = 10 * time.Second
	}
	if l.MaxHandshakes == 0 {
		l.MaxHandshakes = 1024
	}
	if l.HandshakeBytes == 0 {
		if l.HandshakeBytes = 32_000; certificates {
			l.HandshakeBytes = 280_000
		}
	}
	l.Trusted = slices.Clone(l.Trusted)
	s.limits, s.rates.now = l, time.Now
	if s.handshakeBytes = l.HandshakeBytes; s.handshakeBytes < 0 {
		s.handshakeBytes = 1<<31 - 1
	}
}

// put puts TLS beneath c, which has not begun.
func (s *side) put(c *conn.Conn, first phase, name string) *handshake {
	l := &layer{c: c, below: c.Layer().Transport(), side: s}
	l.hs = &handshake{l: l, phase: first, name: name}
	c.Layer().SetTransport(l, s.limits.HandshakeTimeout)
	return l.hs
}

// of returns the layer of c.
func of(c *conn.Conn) *layer {
	l, _ := c.Layer().Transport().(*layer)
	return l
}

// State returns what crypto/tls knows of c: the certificates of the peer, the version, the protocol
// of ALPN. It returns false when c is not protected by TLS, or its handshake is not over. The
// *Handshake event has the same.
func State(c *conn.Conn) (tls.ConnectionState, bool) {
	if l := of(c); l != nil && l.hs == nil && l.tls != nil {
		return l.tls.ConnectionState(), true
	}
	return tls.ConnectionState{}, false
}

// Truncated reports whether the peer's stream ended without close_notify. Somebody on the way may
// have cut it then: what has no length of its own may be incomplete.
func Truncated(c *conn.Conn) bool {
	l := of(c)
	return l != nil && l.flags&truncated != 0
}
