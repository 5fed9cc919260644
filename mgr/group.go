package mgr

import "github.com/seed4930a636/mangusta/conn"

// A Group is one Manager, or several as Loops. Packages that work on any number of loops take one:
// http.Listen, broadcast.New and stdhttp.New, for example.
type Group interface {
	Listen(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error)
	ListenStream(url string, h conn.Handler, opts ...ListenOptions) (*conn.Conn, error)
	// Managers returns the managers of the group. The slice must not be changed.
	Managers() []*Manager
}

// Managers returns m alone. Safe for concurrent use.
func (m *Manager) Managers() []*Manager { return []*Manager{m} }

// Of returns the manager of c, or nil if c belongs to the double of a test. A handler that runs on
// several loops sets timers and opens connections there.
func Of(c *conn.Conn) *Manager {
	m, _ := c.Layer().Shared().Loop.(*Manager)
	return m
}
