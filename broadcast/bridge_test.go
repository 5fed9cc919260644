package broadcast

import (
	"net"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

// The tests of engines are of package broadcast_test: enginetest imports this package. They take
// the rig from here.
type (
	Rig    = rig
	Client = client
)

func Pollers(t *testing.T, f func(t *testing.T, p mgr.Poller)) { pollers(t, f) }

func NewRig(t *testing.T, p mgr.Poller, opts Options, change ...func(*rig)) *rig {
	return newRig(t, p, opts, change...)
}

func TellMissed(r *rig) { r.sub.TellMissed = true }

func (r *rig) Hub() *Hub                      { return r.hub }
func (r *rig) Manager() *mgr.Manager          { return r.m }
func (r *rig) Do(f func())                    { r.t.Helper(); r.do(f) }
func (r *rig) WS(query string) *client        { r.t.Helper(); return r.ws(query) }
func (r *rig) SSE(query, last string) *client { r.t.Helper(); return r.sse(query, last) }
func (c *client) Want(messages ...string)     { c.t.Helper(); c.want(messages...) }
func (r *rig) Until(what string, ok func(Stats) bool) Stats {
	r.t.Helper()
	return r.until(what, ok)
}

// Read returns the next message.
func (c *client) Read() (string, error) { return c.read() }

// Stop stops the loop, and closes the manager.
func (r *rig) Stop() { r.stop() }

// NewestID is the ID of the connection opened last.
func (r *rig) NewestID() (id uint64) {
	r.do(func() { id = r.newest })
	return id
}

// NewDoorRig is NewRig with a Door at /hub.
func NewDoorRig(t *testing.T, p mgr.Poller, hub Options, door DoorOptions) *rig {
	return newDoorRig(t, p, hub, door)
}

// Enter opens a WebSocket at the Door.
func (r *rig) Enter() *client { r.t.Helper(); return r.enter("") }

func (r *rig) Dial() net.Conn { r.t.Helper(); return r.dial() }

func (c *client) Say(text string) { c.t.Helper(); c.say(text) }

// Excepts is how many messages are on their way that a connection shall not get.
func (h *Hub) Excepts() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.link.excepts)
}
