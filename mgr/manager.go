package mgr

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

var (
	// ErrClosed is returned by what is called after Close, or after Shutdown has finished.
	ErrClosed = errors.New("mgr: closed")
	// ErrDeaf is returned by Do, Wakeup and Broadcast while the system call that would wake the
	// loop keeps failing.
	ErrDeaf = errors.New("mgr: the doorbell of the loop fails")
	// ErrFull is returned by Do, Wakeup and Broadcast when Options.Queue messages wait for the loop
	// already.
	ErrFull = errors.New("mgr: the queue of the loop is full")

	// ErrNoListener is returned by Run and Poll when the last listener has ended because of an
	// error, if Options.NeedListener is set. The connections live on: call Shutdown.
	ErrNoListener = errors.New("mgr: no listener is left")
)

// Options are the settings of a Manager. The zero value works.
type Options struct {
	Poller Poller // Auto, Epoll or Select
	// MaxConns is how many connections may be open at a time. Then the connection that has rested
	// longest between two requests makes room for a new one; if there is none, the new peer is
	// refused. By default it follows the descriptors that the process may have (RLIMIT_NOFILE, and
	// FD_SETSIZE with select), less a reserve; 1<<20 at most. The managers of a Loops count
	// together, others of one process do not know of each other's.
	MaxConns int
	// MaxConnsPerAddr is how many of the connections that were accepted one address may have at a
	// time; further ones are refused. A /64 of IPv6 is one address, but each link-local address is.
	// 0 and less are no limit.
	MaxConnsPerAddr int
	// Trusted are networks that MaxConnsPerAddr does not hold for: proxies, above all.
	Trusted []netip.Prefix

	// Memory is how many bytes the connections may hold in all: unread input, what is queued to
	// send, bodies, WebSocket messages that are being put together, and what TLS takes, 3 to 7 KB
	// for an idle connection. From 7/8 of it on, those
	// that hold most are not read from until less than 3/4 are held. If that takes longer than 10
	// seconds, or if Memory is used up, they end with conn.MemoryLimit: an HTTP request that waits
	// for its reply gets 503, a WebSocket code 1013. The default is a quarter of the memory of the
	// machine, or of the cgroup if that has less, but at least 4 MiB; no limit where the machine
	// does not tell. Negative is none.
	Memory int
	// Budget, if it is not nil, is used in place of Memory. Several managers may share one.
	Budget *conn.Budget

	// Resolver finds the addresses of the host names that Connect is given: a *dns.Resolver, or the
	// program's own. Without it Connect takes addresses and localhost alone.
	Resolver Resolver

	// Inherit, if it is not nil, has listening sockets that Listen takes instead of opening its
	// own: a *handoff.Process, or *systemd.Sockets.
	Inherit Inherit

	Queue        int         // messages of other goroutines that may wait for the loop; default ctlpair.DefaultLimit
	Limits       conn.Limits // of connections whose listener sets none
	Log          conn.Logger // such as a *slog.Logger; nil: errors go to stderr, warnings nowhere; see also Silent
	CrashOnPanic bool        // a handler's panic ends the program, instead of the connection
	NeedListener bool        // Run and Poll return ErrNoListener when the last listener has ended because of an error
	Checked      bool        // panic when something is called off the loop; always on under -race
}

// A Manager is a poll loop with its connections, listeners and timers. Only Do, Wakeup, SendMsg,
// Broadcast and Shutdown are safe for concurrent use; all else belongs to the goroutine that calls
// Poll or Run, and to the handlers that it calls.
type Manager struct {
	opts    Options
	limits  *conn.Limits
	sh      *conn.Shared
	log     conn.Logger            // of errors; never nil
	sock    conn.Transport         // of sockets
	grams   conn.DatagramTransport // of datagram sockets; nil before there is one
	bound   []Listening            // datagram sockets: see Listeners
	sockets sockets
	poller  poller
	pair    *ctlpair.Pair[message]
	clock   func() int64

	mu    sync.Mutex    // held by the goroutine inside Poll or Run
	owner atomic.Uint64 // that goroutine's number, 0 when there is none

	member membership // of Loops; nil for a manager that stands alone
	table
	listeners map[int]*listener   // by descriptor
	open      int                 // connections in conns, without listeners
	refusing  map[*conn.Conn]bool // connections over MaxConns that are being told so
	leaving   map[*conn.Conn]bool // closed to make room, and no longer in open
	hidden    map[*conn.Conn]bool // see Hide
	races     racing              // of the connections that have no descriptor yet; nil before there is one
	doomed    []int               // descriptors to close at the end of the turn
	locals    map[any]any         // see Local
	shares    shares
	spares    spares
	budget    *conn.Budget
	rations                // what is done while memory is scarce
	touched   []*conn.Conn // to settle at the end of this turn
	settling  []*conn.Conn // the batch being settled
	polls     []*conn.Conn // who asked for Poll events
	timers    timerHeap
	timerSeq  uint64 // of the timer set last
	reserve   int    // an idle descriptor to give up when there are no others; -1 when even that is gone
	nextSweep int64
	stats     Stats

	turn     turn
	handled  uint64        // messages, since New
	lost     error         // why a listener ended, as ErrNoListener
	pollRest time.Duration // the last rest of the present failure of the poller
	misses   uint64        // strokes of the doorbell that are known to have failed
	wakeup   conn.Wakeup   // the event, reused
	deaf     bool          // the doorbell is closed
	shutting bool
	closing  bool
	asked    atomic.Uint32 // see ask
	draining atomic.Bool   // see Draining
	done     chan struct{} // closed when all is over
}

// New makes a manager. Close gives back its descriptors: the poller's, a socketpair and one in
// reserve.
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
		opts.MaxConns = defaultMaxConns(softLimit(), p.maxFD())
	}
	m := &Manager{opts: opts, listeners: make(map[int]*listener), refusing: make(map[*conn.Conn]bool),
		leaving: make(map[*conn.Conn]bool), shares: newShares(&opts),
		sock: new(conn.Socket), sockets: kernel{}, reserve: -1,
		poller: p, clock: clock, done: make(chan struct{})}
	if opts.Inherit != nil {
		m.sockets = inherited{m.sockets, opts.Inherit}
	}
	l := opts.Limits.WithDefaults()
	m.limits = &l
	m.sh = conn.NewShared(m)
	m.sh.Log = opts.Log
	if m.budget = opts.Budget; m.budget == nil {
		m.budget = conn.NewBudget(memoryLimit(opts.Memory))
	}
	if m.log = opts.Log; m.log == nil {
		m.log = stderr{}
	}
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
	m.sh.JoinBudget(m.budget, m.pair.Ring)
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
	if fd := c.FD(); fd >= 0 {
		m.oust(fd)
	}
	m.table.place(c)
}

// oust makes way for a new file with the descriptor fd. If a connection or an attempt has it, that
// one has lost its own: the kernel gives a number anew only when it is free, so other code has
// closed the old descriptor. The poller's entry for it must not stand in the way. The kernel's
// epoll has forgotten it: ENOENT.
func (m *Manager) oust(fd int) {
	if old := m.at(fd); old != nil {
		m.poller.set(fd, old.Driver().Lose(), 0)
		old.Driver().Watched(0)
	}
	if m.races != nil {
		m.races.lost(fd)
	}
}

// find returns the open connection numbered id, or nil.
func (m *Manager) find(id uint64) *conn.Conn {
	c := m.numbered(id)
	if c == nil || c.IsClosed() || c.IsListener() {
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

// closeFD closes a descriptor that has not become a connection.
func (m *Manager) closeFD(fd int) { m.closeFailed(m.sock.Close(fd)) }

// closeFailed logs err, the outcome of a close. Nothing else can be done: the descriptor is gone.
func (m *Manager) closeFailed(err error) {
	if err != nil && m.sh.Log != nil {
		m.sh.Log.Warn("close failed", "err", err)
	}
}

func (m *Manager) openReserve() {
	fd, err := m.sockets.openReserve()
	if err != nil {
		fd = -1
	}
	m.reserve = fd
}

// Close closes all connections and listeners, with their Close events, and gives everything back.
// Functions accepted by Do, Wakeup and Broadcast before are still run. From a handler, it happens
// at the end of the turn; called while another goroutine is in Poll or Run, Close waits until that
// one has done it. It returns ErrClosed the second time.
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
	m.pair.Close(m.handle)
	for m.open > 0 || len(m.listeners) > 0 || len(m.refusing) > 0 || len(m.leaving) > 0 || len(m.touched) > 0 || len(m.doomed) > 0 {
		m.cut()
		m.settle()
	}
	m.poller.close()
	if m.reserve >= 0 {
		m.sockets.closeReserve(m.reserve)
	}
	m.sh.LeaveBudget()
	if m.member != nil {
		m.member.turned()
	}
	unregister(m)
	close(m.done)
}

// cut marks every connection and listener for closing.
func (m *Manager) cut() {
	for _, c := range m.conns {
		if c != nil && !c.IsClosed() {
			if !m.refusing[c] {
				c.Layer().SetReason(conn.ShuttingDown)
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
	BellMisses  uint64 // system calls that were to wake the loop and failed; each is made up for
	Wakeups     uint64 // Wakeup events fired
	LostWakeups uint64 // Wakeups and SendMsg to connections that were gone, or did not take it
	Refused     uint64 // peers turned away because of MaxConns or MaxConnsPerAddr
	Crowded     uint64 // of Refused: those because of MaxConnsPerAddr
	Held        int    // bytes that connections hold, of what Options.Memory bounds
	Rationed    int    // connections that are not read from because memory is scarce
	Rations     uint64 // how often that was done to one
	MadeRoom    uint64 // connections closed between two requests because of MaxConns
	Exhausted   uint64 // peers turned away because the process or system was out of descriptors
	// AcceptErrors counts failed attempts to accept: peers that were gone before, and listeners
	// that rest because of ENOMEM and its like.
	AcceptErrors uint64
	PollErrors   uint64 // passing failures of the poller
	EmptyAccepts uint64 // accepts that found no peer: one ends each batch, others were in vain
	HandedOver   uint64 // connections that were accepted here for another of Loops
	Yields       uint64 // rests of a listener because its loop had more than its share: see AcceptExclusive
}

// Budget returns what Options.Budget has given, or what was made of Options.Memory. Safe for
// concurrent use.
func (m *Manager) Budget() *conn.Budget { return m.budget }

// Stats returns the manager's figures.
func (m *Manager) Stats() Stats {
	m.check("Stats")
	s := m.figures()
	s.Queued += m.pair.Len()
	return s
}

// figures is Stats without the messages that the loop has not taken yet.
func (m *Manager) figures() Stats {
	s := m.stats
	s.Stats = m.sh.Stats
	s.BellMisses = m.pair.Misses()
	s.Held, s.Rationed = m.sh.Held(), len(m.rationed)
	s.Conns, s.Listeners, s.Queued = m.open, len(m.listeners), m.pair.Left()
	return s
}

// Now returns the time of the turn on the manager's monotonic clock, in nanoseconds.
func (m *Manager) Now() int64 { return m.sh.Now }
