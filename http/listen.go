package http

import (
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Refusal is what a client is sent when the manager has MaxConns connections already: a whole reply with status 503.
// It has no Date, which RFC 9110 6.6.1 leaves open for 5xx.
var Refusal = []byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

// Listen opens a listener whose connections speak HTTP, and gives their events to h. url is one of mgr.Manager.Listen, or
// http://HOST:PORT for tcp://. The connection returned is the listener's: LocalAddr tells its port, Close ends it.
// At most one Options may be given.
func Listen(m *mgr.Manager, url string, h conn.Handler, opts ...Options) (*conn.Conn, error) {
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if !validValue(o.Server) {
		return nil, fmt.Errorf("http: listen %s: Options.Server: %w", url, ErrBadHeader)
	}
	if rest, ok := strings.CutPrefix(url, "http://"); ok {
		url = "tcp://" + strings.TrimSuffix(rest, "/")
	}
	s := NewServer(o)
	l, err := m.Listen(url, h, mgr.ListenOptions{
		Socket:  o.Socket,
		Limits:  o.Limits,
		Setup:   func(c *conn.Conn) { Attach(c, s) },
		Refusal: Refusal,
	})
	if err != nil {
		return nil, fmt.Errorf("http: listen: %w", err)
	}
	return l, nil
}
