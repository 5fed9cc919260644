package mgr

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// WatchOptions are the settings of Watch. The zero value works.
type WatchOptions struct {
	For conn.Interest // the readiness that is told: conn.In (the default), conn.Out, conn.Pri (a GPIO's edge in sysfs, say), or several
}

// Watch tells h when the descriptor fd is ready, and reads nothing from it: for what is no stream
// of bytes, such as a pidfd, an eventfd, a timerfd, inotify, or a GPIO line, and for libraries that
// read their own descriptor. h gets Open, then a
// *conn.Ready in each turn in which fd is ready, and at last Close. A handler that does not read until fd is no longer
// ready calls c.Pause, or c.Close, or is called again in the next turn.
//
// fd stays the caller's: the manager neither makes it non-blocking nor closes it. Call c.Close
// first, and close fd in the Close event or later. Writes to c return conn.ErrClosed; Broadcast
// leaves it out; Stats.Conns counts it. Watch refuses the descriptors that cannot be polled, which
// Wrap names. At most one opts may be given.
func (m *Manager) Watch(fd int, h conn.Handler, opts ...WatchOptions) (*conn.Conn, error) {
	m.check("Watch")
	if m.ending() {
		return nil, ErrClosed
	}
	var o WatchOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.For == 0 {
		o.For = conn.In
	}
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, fmt.Errorf("mgr: watch: %w", os.NewSyscallError("fstat", err))
	}
	if err := m.watchable("watch", fd, &st); err != nil {
		return nil, err
	}
	c := conn.NewReady(m.sh, fd, m.newID(), o.For, watchLimits, h)
	m.open++
	m.place(c)
	m.begin(c, nil)
	return c, nil
}

// watchLimits are those of all that is watched: a descriptor may be silent for as long as it likes.
var watchLimits = func() *conn.Limits {
	l := conn.Limits{Stall: -time.Second}.WithDefaults()
	return &l
}()
