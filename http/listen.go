package http

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
	"github.com/seed4930a636/mangusta/mgr"
)

// Refusal is the reply to a client if the manager has MaxConns connections already, or its address
// MaxConnsPerAddr: status 503. It has no Date: RFC 9110 6.6.1 allows that for 5xx.
var Refusal = []byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

// ErrNoTLS is wrapped by the error of Listen for an https:// URL without Options.TLS.
var ErrNoTLS = errors.New("an https:// URL needs Options.TLS, such as a *tlsconn.Server")

// Accept is how the loops of a mgr.Loops share a listener: see mgr.Accept.
type Accept = mgr.Accept

// Listen opens a listener whose connections speak HTTP, and gives their events to h. url is one of
// mgr.Manager.Listen, or http://HOST:PORT for tcp://, or https://HOST:PORT (wss:// means the same)
// with Options.TLS. It returns the connection of the listener: LocalAddr has its port, and Close
// ends it. At most one Options may be given.
//
// g is a *mgr.Manager, or *mgr.Loops. Of Loops, h runs on all loops at once: what it shares must be
// locked. A Mux, middleware, and what Options hold may be used by all.
func Listen(g mgr.Group, url string, h conn.Handler, opts ...Options) (*conn.Conn, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if !validValue(o.Server) {
		return nil, fmt.Errorf("http: listen %s: Options.Server: %w", url, ErrBadHeader)
	}
	if _, err := newHostCheck(o.Hosts, o.HostFunc); err != nil {
		return nil, fmt.Errorf("http: listen %s: %w", url, err)
	}
	at, err := listenURL(url, o.TLS != nil)
	if err != nil {
		return nil, fmt.Errorf("http: listen %s: %w", url, err)
	}
	listen := mgr.ListenOptions{Socket: o.Socket, Limits: o.Limits, Refusal: Refusal}
	if o.TLS != nil {
		o.HTTPS = true
		listen.TLS = o.TLS
	}
	of := serversFor(g, o)
	listen.Setup = func(c *conn.Conn) { Attach(c, of(c)) }
	if o.TLS != nil {
		listen.Setup = func(c *conn.Conn) { of(c).attach(c) } // a PROXY header comes before TLS
		if len(o.ProxyFrom) > 0 {
			listen.Preface = func(c *conn.Conn, b []byte) (int, error) { return of(c).proxyBeforeTLS(c, b) }
		}
	}
	listen.Accept = o.Accept
	l, err := g.ListenStream(at, h, listen)
	if err != nil {
		return nil, fmt.Errorf("http: listen: %w", err)
	}
	return l, nil
}

// serversFor makes a Server for each loop of g, and returns what finds that of a connection.
func serversFor(g mgr.Group, o Options) func(*conn.Conn) *Server {
	all := g.Managers()
	if len(all) == 1 {
		s := NewServer(o)
		return func(*conn.Conn) *Server { return s }
	}
	servers := make(map[conn.Loop]*Server, len(all))
	for _, m := range all {
		servers[m] = NewServer(o)
	}
	return func(c *conn.Conn) *Server { return servers[c.Layer().Shared().Loop] }
}

// listenURL makes a URL for mgr.Manager.Listen from one of http or https.
func listenURL(url string, protected bool) (string, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	rest = strings.TrimSuffix(rest, "/")
	is := func(s string) bool { return wire.FoldEqual([]byte(scheme), s) }
	switch {
	case is("https"), is("wss"):
		if !protected {
			return "", ErrNoTLS
		}
		return "tls://" + rest, nil
	case is("http"), is("ws"):
		return "tcp://" + rest, nil
	}
	return url, nil
}

// proxyBeforeTLS reads the PROXY header of a connection from one of Options.ProxyFrom, which comes
// before TLS.
func (s *Server) proxyBeforeTLS(c *conn.Conn, b []byte) (int, error) {
	if !InNetworks(c.RemoteAddr().Addr(), s.opts.ProxyFrom) {
		return -1, nil
	}
	h, n, err := ParseProxy(b)
	if err == nil && n > 0 && h.Source.IsValid() {
		c.Driver().SetRemote(conn.PeerOf(h.Source))
	}
	return n, err
}
