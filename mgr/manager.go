package mgr

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

var (
	// ErrClosed is returned by what is called after Close, or after Shutdown has finished.
	ErrClosed = ctlpair.ErrClosed
	// ErrFull is returned by Do, Wakeup and Broadcast when Options.Queue messages wait for the loop already.
	ErrFull = ctlpair.ErrFull

	errTooManyConns = errors.New("mgr: MaxConns connections are open")
)

// Options are the settings of a Manager. The zero value works.
type Options struct {
	Poller       Poller      // Auto, Epoll or Select
	MaxConns     int         // connections open at a time, over which none is accepted; default 1<<20
	Queue        int         // messages of other goroutines that may wait for the loop; default ctlpair.DefaultLimit
	Limits       conn.Limits // of connections whose listener sets none
	Log          conn.Logger // such as a *slog.Logger; nil is silent, and costs nothing
	CrashOnPanic bool        // a handler's panic ends the program, instead of the connection
	Checked      bool        // panic when something is called off the loop; always on under -race
}

// A Manager is a poll loop with its connections, listeners and timers. Only Do, Wakeup, Broadcast and Shutdown are safe
// for concurrent use; all else belongs to the goroutine that calls Poll or Run, and to the handlers that it calls.
type Manager struct {
	opts   Options
	limits *conn.Limits
	sh     *conn.Shared
	sock   conn.Transport // of sockets
	poller poller
	pair   *ctlpair.Pair[message]
	clock  func() int64

	mu    sync.Mutex    // held by the goroutine inside Poll or Run
	owner atomic.Uint64 // that goroutine's number, 0 when there is none

	conns     []*conn.Conn        // by descriptor
	listeners map[int]*listener   // by descriptor
	open      int                 // connections in conns, without listeners
	refusing  map[*conn.Conn]bool // connections over MaxConns that are being told so
	touched   []*conn.Conn        // to settle at the end of this turn
	settling  []*conn.Conn        // the batch being settled
	polls     []*conn.Conn        // who asked for Poll events
	timers    timerHeap
	timerSeq  uint64 // of the timer set last
	reserve   int    // an idle descriptor to give up when there are no others; -1 when even that is gone
	nextSweep int64
	stats     Stats

	turn     turn
	handled  uint64      // messages, since New
	current  *conn.Conn  // whose handler is running
	wakeup   conn.Wakeup // the event, reused
	shutting bool
	closing  bool
	asked    atomic.Uint32 // see ask
	done     chan struct{} // closed when all is over
}

// New makes a manager. Close gives back its descriptors: the poller's, a socketpair and one in reserve.
func New(opts Options) (*Manager, error) {
	p, err := newPoller(opts.Poller)
	if err != nil {
		return nil, err
	}
	m, err := newManager(opts, p, monotonic)
	if err != nil {
		p.close()
		return nil, fmt.Errorf("mgr: %w", err)
	}
	return m, nil
}

// newManager makes a manager over p and clock, which the simulation test has its own of.
func newManager(opts Options, p poller, clock func() int64) (*Manager, error) {
	if opts.MaxConns == 0 {
		opts.MaxConns = 1 << 20
	}
	m := &Manager{opts: opts, listeners: make(map[int]*listener), refusing: make(map[*conn.Conn]bool),
		sock: new(conn.Socket), reserve: -1,
		poller: p, clock: clock, done: make(chan struct{})}
	l := opts.Limits.WithDefaults()
	m.limits = &l
	m.sh = conn.NewShared(m)
	m.sh.Log = opts.Log
	m.sh.Now = m.clock()
	if opts.Checked || raceEnabled {
		m.sh.Check = m.checkOwner
	}
	var err error
	if m.pair, err = ctlpair.New[message](opts.Queue); err != nil {
		return nil, err
	}
	if err = m.poller.set(m.pair.FD(), 0, conn.In); err != nil {
		m.pair.Close(nil)
		return nil, err
	}
	m.openReserve()
	register(m)
	return m, nil
}

var clockBase = time.Now()

func monotonic() int64 { return int64(time.Since(clockBase)) }

// Poller returns the name of the poller in use: "epoll" or "select".
func (m *Manager) Poller() string { return m.poller.String() }

// Touch is for connections: it is how they ask to be settled before the loop sleeps.
func (m *Manager) Touch(c *conn.Conn) { m.touched = append(m.touched, c) }

// SetPoll is for connections: see conn.Conn.SetPoll.
func (m *Manager) SetPoll(c *conn.Conn, on bool) {
	if on {
		m.polls = append(m.polls, c)
		return
	}
	for i, x := range m.polls {
		if x == c {
			m.polls[i] = nil // the turn may be running over the list: it drops the holes
			return
		}
	}
}

// place puts c into the table of connections.
func (m *Manager) place(c *conn.Conn) {
	fd := c.FD()
	if n := fd + 1 - len(m.conns); n > 0 {
		m.conns = append(m.conns, make([]*conn.Conn, n)...)
	}
	m.conns[fd] = c
}

// find returns the open connection numbered id, or nil.
func (m *Manager) find(id uint64) *conn.Conn {
	fd := conn.FDOfID(id)
	if fd >= len(m.conns) {
		return nil
	}
	c := m.conns[fd]
	if c == nil || c.ID() != id || c.IsClosed() || c.IsListener() {
		return nil
	}
	return c
}

// Lookup returns the open connection numbered id, or nil when it is gone.
func (m *Manager) Lookup(id uint64) *conn.Conn {
	m.check("Lookup")
	return m.find(id)
}

// fits returns an error when the poller cannot watch fd.
func (m *Manager) fits(fd int) error {
	if max := m.poller.maxFD(); fd > max {
		return fmt.Errorf("mgr: %s: descriptor %d is over its limit of %d", m.poller, fd, max)
	}
	return nil
}

func (m *Manager) openReserve() {
	fd, err := unix.Open("/dev/null", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		fd = -1
	}
	m.reserve = fd
}

// Close closes all connections and listeners, with their Close events, and gives everything back. Functions accepted by Do,
// Wakeup and Broadcast before are still run. From a handler, it happens at the end of the turn; called while another
// goroutine is in Poll or Run, Close waits until that one has done it. It returns ErrClosed the second time.
func (m *Manager) Close() error {
	switch {
	case m.isDone():
		return ErrClosed
	case m.onLoop():
		m.closing = true
		return nil
	}
	m.ask(askClose)
	m.mu.Lock() // until the one in Poll has done it, or has left
	defer m.mu.Unlock()
	m.own(goroutine())
	defer m.own(0)
	m.finish()
	return nil
}

// finish ends the manager.
func (m *Manager) finish() {
	if m.isDone() {
		return
	}
	m.closing = true
	m.pair.Close(func(msg message) { m.guard(func() { m.handle(msg) }) })
	for m.open > 0 || len(m.listeners) > 0 || len(m.refusing) > 0 {
		m.cut()
		m.guard(m.settle)
	}
	m.poller.close()
	if m.reserve >= 0 {
		unix.Close(m.reserve)
	}
	unregister(m)
	close(m.done)
}

// cut marks every connection and listener for closing.
func (m *Manager) cut() {
	for _, c := range m.conns {
		if c != nil && !c.IsClosed() {
			if !m.refusing[c] {
				c.SetReason(conn.ShuttingDown)
			}
			c.Close()
		}
	}
}

// ending reports whether the manager takes no new connections any more.
func (m *Manager) ending() bool { return m.isDone() || m.shutting || m.closing }

func (m *Manager) isDone() bool {
	select {
	case <-m.done:
		return true
	default:
		return false
	}
}

// Stats are the figures of a manager. Counters count since New.
type Stats struct {
	conn.Stats
	Conns       int    // connections open
	Listeners   int    // listeners open
	Queued      int    // messages waiting for the loop
	Accepts     uint64 // connections accepted
	Turns       uint64 // of the loop
	Wakeups     uint64 // Wakeup events fired
	LostWakeups uint64 // Wakeups to connections that were gone
	Refused     uint64 // peers turned away because of MaxConns
	Exhausted   uint64 // peers turned away because the process or system was out of descriptors
}

// Stats returns the manager's figures.
func (m *Manager) Stats() Stats {
	m.check("Stats")
	s := m.stats
	s.Stats = m.sh.Stats
	s.Conns, s.Listeners, s.Queued = m.open, len(m.listeners), m.pair.Len()+m.pair.Left()
	return s
}

// Now returns the time of the turn on the manager's monotonic clock, in nanoseconds.
func (m *Manager) Now() int64 { return m.sh.Now }
