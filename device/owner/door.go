package owner

import (
	"sync"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// Topics are the patterns of a hub that callers of each role may subscribe to. A role has those of
// the roles below it, too.
type Topics map[device.Role][]string

// rights are those of a client with the role. No client publishes.
func (t Topics) rights(role device.Role) broadcast.Rights {
	var allowed []string
	for r, patterns := range t {
		if r <= role {
			allowed = append(allowed, patterns...)
		}
	}
	return broadcast.Rights{Subscribe: func(pattern string) bool {
		for _, a := range allowed {
			if broadcast.Covers(a, pattern) {
				return true
			}
		}
		return false
	}}
}

// A hall is the way to a hub, with one Door for each role.
type hall struct {
	o     *Owner
	scope string
	doors [device.Admin + 1]*broadcast.Door

	mu   sync.Mutex
	open map[*conn.Conn]*socket // the WebSockets
}

// Door returns the handler of a path at which pages come in to a hub, as broadcast.Door has it: by
// WebSocket, or by a stream of events. A caller may subscribe to the topics of its role, and
// publish nothing; one without a role gets 401, or 403 if its token lacks the scope.
//
//	x.MustHandle("GET /hub", o.Door(hub, "hub", owner.Topics{
//		device.Viewer: {"state"},
//		device.Admin:  {"logs"},
//	}))
//
// The WebSocket or the stream ends with the session or the token by which it was opened, or when
// its role changes: a WebSocket with the code broadcast.CloseToken, which mangusta.js reports as
// "denied". Of opts, Rights and Authorize are not used.
func (o *Owner) Door(hub *broadcast.Hub, scope string, topics Topics, opts ...broadcast.DoorOptions) func(c *conn.Conn, m *http.Message) {
	h := &hall{o: o, scope: scope, open: map[*conn.Conn]*socket{}}
	var do broadcast.DoorOptions
	if len(opts) > 0 {
		do = opts[0]
	}
	events := do.Events
	do.Authorize = nil
	do.Events = func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Close); ok {
			h.closed(c)
		}
		if events != nil {
			events(c, ev)
		}
	}
	for r := device.Viewer; r <= device.Admin; r++ {
		do.Rights = topics.rights(r)
		h.doors[r] = broadcast.NewDoor(hub, do)
	}
	return h.serve
}

func (h *hall) serve(c *conn.Conn, m *http.Message) {
	end := func() {}
	s := h.o.follow(c, &m.Request, h.scope, func() { end() })
	if s.role < device.Viewer {
		h.o.leave(s)
		who, _ := h.o.who(c, &m.Request, h.scope)
		refuse(c, &m.Request, who)
		return
	}
	later := m.Later()
	h.doors[s.role].Serve(c, m)
	if websocket.Is(c) {
		id := c.ID()
		end = func() {
			if c := s.m.Lookup(id); c != nil {
				websocket.CloseWith(c, broadcast.CloseToken, "log in again")
			}
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.open[c] = s
		return
	}
	if stream := http.EventStream(c); stream != nil {
		end = func() { stream.End() }
	}
	later.OnEnd(func() { h.o.leave(s) })
}

func (h *hall) closed(c *conn.Conn) {
	h.mu.Lock()
	s := h.open[c]
	delete(h.open, c)
	h.mu.Unlock()
	if s != nil {
		h.o.leave(s)
	}
}
