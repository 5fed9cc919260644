package owner

import (
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A socket is a WebSocket, or a stream of events, that stays open until the right of its user ends
// or changes.
type socket struct {
	m     *mgr.Manager
	right right
	role  device.Role
	end   func()     // ends it, on its loop
	timer *mgr.Timer // nil when the right has no end
}

// Opened returns the function for device.Options.Opened: a WebSocket is closed, with code 1008,
// when the session or the token by which it was opened has ended, or its role has changed; and a
// WebSocket that was opened without either, when the device gets its owner.
func (o *Owner) Opened(scope string) func(c *conn.Conn, r *http.Request) (ended func()) {
	return func(c *conn.Conn, r *http.Request) func() {
		m, id := mgr.Of(c), c.ID()
		s := o.follow(c, r, scope, func() {
			if c := m.Lookup(id); c != nil {
				websocket.CloseWith(c, websocket.ClosePolicy, "log in again")
			}
		})
		return func() { o.leave(s) }
	}
}

// follow has end called, on the loop of c, when the right by which r was sent ends or changes. The
// caller calls leave at the end of the socket.
func (o *Owner) follow(c *conn.Conn, r *http.Request, scope string, end func()) *socket {
	s := &socket{m: mgr.Of(c), end: end}
	o.mu.Lock()
	defer o.mu.Unlock()
	who, right := o.identify(c, r, scope)
	s.right, s.role = right, who.Role
	if o.sockets == nil {
		o.sockets = map[*socket]struct{}{}
	}
	o.sockets[s] = struct{}{}
	if !right.ends.IsZero() {
		s.timer = s.m.AfterFunc(max(min(right.ends.Sub(o.opts.now()), o.opts.look), time.Millisecond), func() { o.look(s) })
	}
	return s
}

// look ends s if its right has ended. It looks again and again, since the clock may be set: a device
// that was started without the time learns it later.
func (o *Owner) look(s *socket) {
	left := s.right.ends.Sub(o.opts.now())
	if left <= 0 {
		s.end()
		return
	}
	s.timer = s.m.AfterFunc(min(left, o.opts.look), func() { o.look(s) })
}

// leave is called on the loop of the socket.
func (o *Owner) leave(s *socket) {
	if s.timer != nil {
		s.timer.Stop()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.sockets, s)
}

// closeOverdue ends the sockets whose right is no longer what it was. It is called with mu
// held.
func (o *Owner) closeOverdue() {
	for s := range o.sockets {
		if o.roleBy(s.right) != s.role {
			delete(o.sockets, s)
			s.m.Complete(s.end)
		}
	}
}

// roleBy returns the role that a right gives.
func (o *Owner) roleBy(r right) device.Role {
	switch {
	case o.code != "" && r == right{}:
		return device.Viewer
	case r.session != "":
		for _, s := range o.state.Sessions {
			if s.Key == r.session {
				return o.state.role(s.User)
			}
		}
	case r.token != "":
		for i, t := range o.state.Tokens {
			if t.Key == r.token {
				return o.state.roleOf(&o.state.Tokens[i])
			}
		}
	}
	return device.Nobody
}
