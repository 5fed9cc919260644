package main

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A tunnel is the bytes after 101 (Switching Protocols), as they come, in both directions.
type tunnel struct {
	p              *proxy
	client, server *conn.Conn
	ends           int // directions that have ended
}

// switchProtocols makes a tunnel of both connections. In it the server has agreed to the upgrade
// that the client has asked for.
func (x *passage) switchProtocols(c *conn.Conn, h *http.ResponseHead) {
	asked := x.later.Message()
	upgrade := string(h.Header("Upgrade"))
	if !asked.HasToken("Upgrade", upgrade) {
		x.to.fails(x.p.m.Now(), &x.p.upstreams)
		x.fail(502) // the client of package http refuses bytes that no handler takes
		return
	}
	b := append([]byte(nil), "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "...)
	b = append(append(b, upgrade...), "\r\n"...)
	for _, f := range h.Headers() {
		if passes(h, f) {
			b = append(append(b, f.Name...), ": "...)
			b = append(append(b, f.Value...), "\r\n"...)
		}
	}
	b = append(append(b, "Via: "...), viaOf(h.Minor, x.p.via)...)
	b = append(b, "\r\n\r\n"...)

	x.replied = true
	if x.later.Hijack() != nil {
		x.c.Close()
		return // and the server's connection, which no handler has taken, ends too
	}
	http.Detach(c)
	x.p.figures.tunnels++
	x.p.figures.openTunnels++
	t := &tunnel{p: x.p, client: x.c, server: c}
	for _, c := range [...]*conn.Conn{t.client, t.server} {
		c.SetHandler(t.handle)
		c.SetHalfOpen(true)
		c.SetIdleTimeout(x.p.cfg.tunnelIdle)
		// A connection above its high mark reads nothing. Here that would have one direction wait
		// for the other, for ever if a peer does not read before it has sent. Pause bounds both.
		l := c.Limits()
		l.HighWater = l.Send
		c.SetLimits(&l)
	}
	t.client.Write(b)
}

// handle gets the events of both connections.
func (t *tunnel) handle(c *conn.Conn, ev conn.Event) {
	other := t.client
	if c == t.client {
		other = t.server
	}
	switch ev := ev.(type) {
	case *conn.Read:
		other.Write(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
		if other.Pending() >= t.p.cfg.buffer {
			c.Pause()
		}
	case *conn.Write:
		if c.Pending() <= t.p.cfg.buffer/2 {
			other.Resume()
		}
	case *conn.EOF:
		if t.ends++; t.ends == 2 {
			t.client.Drain()
			t.server.Drain()
			return
		}
		other.CloseWrite()
	case *conn.Shutdown:
		c.Drain()
	case *conn.Error:
		if ev.Reason != conn.Idle {
			other.Close()
		}
	case *conn.Close:
		if c == t.client {
			t.p.figures.openTunnels--
		}
		other.Drain()
	}
}
