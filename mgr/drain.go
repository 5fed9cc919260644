package mgr

// BeginDrain announces that the program is about to end: from now on Draining reports true, and
// nothing else changes. A program behind a load balancer calls it some seconds before Shutdown, so
// that its health check fails while it still takes connections. Safe for concurrent use.
func (m *Manager) BeginDrain() { m.draining.Store(true) }

// Draining reports whether BeginDrain or Shutdown has been called, or the manager been closed. Safe
// for concurrent use.
func (m *Manager) Draining() bool { return m.draining.Load() || m.isDone() }
