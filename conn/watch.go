package conn

// A Watcher follows a connection without being its handler or its protocol layer. It sees the
// events that the loop fires, each before they do, and those of protocol layers not at all.
type Watcher interface {
	Watch(c *Conn, ev Event)
}

// SetWatcher makes w the connection's watcher; nil ends that. There is one at a time, and that of a
// connection which has subscribed to a broadcast.Hub is the hub's: code that sets one looks first
// whether Watcher is nil.
func (c *Conn) SetWatcher(w Watcher) {
	c.check("SetWatcher")
	if w == nil {
		c.flags &^= watched
		if c.rare != nil {
			c.rare.watcher = nil
		}
		return
	}
	c.flags |= watched
	c.rarely().watcher = w
}

// Watcher returns what SetWatcher was given last.
func (c *Conn) Watcher() Watcher {
	if c.flags&watched == 0 {
		return nil
	}
	return c.rare.watcher
}
