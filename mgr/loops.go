package mgr

import (
	"context"
	"errors"
	"fmt"
	"math/bits"
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/seed4930a636/mangusta/conn"
)

// Loops are several managers that serve the same listeners, for a program that needs more than one
// processor. Each manager runs its loop in a goroutine of its own.
//
// A connection belongs to the loop that has accepted it, and all its events come there. So nothing
// changes for a handler that only touches its connection. But the same handler now runs on several
// goroutines at once: what it shares with others (maps, counters, c.Data of another connection) is
// the program's to lock. Of gives the manager of a connection, for timers and outbound connections.
//
// # Connections and loops
//
// The three ways to spread connections over the loops are those of Accept. In each of them every
// loop has a listener, that is a *conn.Conn and a descriptor of its own, which gets Open and Close
// events on its loop; if one of them is closed, all are. The number of a connection, Conn.ID, leads
// to its loop: Loops.Wakeup needs no map.
//
// # Limits
//
// Options hold for the sum: MaxConns, MaxConnsPerAddr, and Memory, for which the loops share one
// conn.Budget. If MaxConns connections are open, the loop that accepts one more closes its longest
// idle connection between two requests. If it has none, it asks the other loops for one, and the
// peer waits for the outcome. Options.Queue and Limits hold for each loop, and for each connection.
// Options.Log must be safe for concurrent use, as a *slog.Logger is.
//
// # When a loop dies
//
// A handler that panics ends its connection, on one loop as on several. If a loop itself cannot go
// on, because its poller fails or a handler calls runtime.Goexit, Run ends the other loops too and
// returns the error: connections that nobody serves are worse than a restart.
//
// All methods of Loops are safe for concurrent use, from handlers too. Methods that wait for
// another loop do not wait if a handler calls them.
type Loops struct {
	all     []*Manager
	members []*member
	bits    uint // that the number of a loop takes in an ID
	max     int  // Options.MaxConns

	open      atomic.Int64 // places of connections that are taken
	listeners atomic.Int64
}

// MaxLoops is how many loops Loops may have.
const MaxLoops = 64

// NewLoops makes n managers. If n is 0, there are as many as Go uses processors (GOMAXPROCS), or as
// the quota of the process's cgroup gives time for, rounded up, if that is less. Close gives back
// their descriptors.
func NewLoops(n int, opts Options) (*Loops, error) {
	if n == 0 {
		n = min(runtime.GOMAXPROCS(0), quota(""), MaxLoops)
	}
	if n < 0 || n > MaxLoops {
		return nil, fmt.Errorf("mgr: %d loops: want 1 to %d", n, MaxLoops)
	}
	if opts.Budget == nil {
		opts.Budget = conn.NewBudget(memoryLimit(opts.Memory))
	}
	l := &Loops{bits: uint(bits.Len(uint(n - 1)))}
	for i := range n {
		m, err := New(opts)
		if err != nil {
			l.Close()
			return nil, err
		}
		l.join(m, i)
	}
	l.max = l.all[0].opts.MaxConns
	return l, nil
}

// join makes m, which is new, the loop numbered i.
func (l *Loops) join(m *Manager, i int) {
	b := &member{loops: l, m: m, index: i, most: conn.Slots>>l.bits - spareSlots}
	m.member, m.table.loop, m.table.bits = b, i, l.bits
	l.all, l.members = append(l.all, m), append(l.members, b)
	m.shares.open = l.all[0].shares.open
}

// Managers returns the managers. The slice must not be changed.
func (l *Loops) Managers() []*Manager { return l.all }

// Len returns how many loops there are.
func (l *Loops) Len() int { return len(l.all) }

// Owner returns the manager of the connection numbered id, or, if id is no number of these Loops,
// one of them.
func (l *Loops) Owner(id uint64) *Manager {
	if i := conn.SlotOfID(id) & (1<<l.bits - 1); i < len(l.all) {
		return l.all[i]
	}
	return l.all[0]
}

// Poller returns the name of the poller in use: "epoll" or "select".
func (l *Loops) Poller() string { return l.all[0].Poller() }

// Budget returns the memory budget that the loops share.
func (l *Loops) Budget() *conn.Budget { return l.all[0].Budget() }

// Run runs each loop in a goroutine, and returns when all have ended: with the error of ctx when
// that is done, with nil after Shutdown or Close. If one loop fails, Run ends the others and
// returns that error; their connections stay open: call Shutdown or Close.
func (l *Loops) Run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, len(l.all))
	var running sync.WaitGroup
	for i, m := range l.all {
		running.Add(1)
		go func() {
			defer running.Done()
			errs[i] = errGone // a handler may call runtime.Goexit: Run does not return then
			defer func() {
				if errs[i] != nil {
					cancel()
				}
			}()
			errs[i] = m.Run(inner)
		}()
	}
	running.Wait()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for i, err := range errs {
		if err != nil && !errors.Is(err, context.Canceled) {
			if len(errs) > 1 {
				err = fmt.Errorf("mgr: loop %d: %w", i, err)
			}
			return err
		}
	}
	return nil
}

var errGone = errors.New("mgr: a handler has ended the goroutine of its loop")

// Shutdown is Manager.Shutdown for all loops at once. It returns when the last connection has
// ended, or with the error of ctx. Called from a handler, it returns at once. Safe for concurrent
// use.
func (l *Loops) Shutdown(ctx context.Context) error {
	l.BeginDrain()
	if g := goroutine(); isLoop(g) {
		errs := make([]error, len(l.all))
		for i, m := range l.all {
			if m.owner.Load() == g {
				errs[i] = m.Shutdown(ctx)
			} else {
				errs[i] = m.shutdownSoon(ctx)
			}
		}
		return joined(errs)
	}
	return l.atOnce(func(m *Manager) error { return m.Shutdown(ctx) })
}

// Close closes all connections and listeners, and gives everything back: see Manager.Close. Called
// from a handler, it does not wait for the other loops. Safe for concurrent use.
func (l *Loops) Close() error {
	if g := goroutine(); isLoop(g) {
		for _, m := range l.all {
			if m.owner.Load() != g {
				m.ask(askClose)
			}
		}
		for _, m := range l.all {
			if m.owner.Load() == g {
				m.Close()
			}
		}
		return nil
	}
	return l.atOnce((*Manager).Close)
}

// atOnce calls f for each manager in a goroutine, and waits for all.
func (l *Loops) atOnce(f func(*Manager) error) error {
	errs := make([]error, len(l.all))
	var calls sync.WaitGroup
	for i, m := range l.all {
		calls.Go(func() { errs[i] = f(m) })
	}
	calls.Wait()
	return joined(errs)
}

// joined makes one error of those of the loops.
func joined(errs []error) error {
	var one error
	for _, err := range errs {
		switch {
		case err == nil || err == one:
		case one == nil:
			one = err
		default:
			return errors.Join(errs...)
		}
	}
	return one
}

// BeginDrain is Manager.BeginDrain for all loops. Safe for concurrent use.
func (l *Loops) BeginDrain() {
	for _, m := range l.all {
		m.BeginDrain()
	}
}

// Draining reports whether BeginDrain or Shutdown has been called, or a loop been closed. Safe for
// concurrent use.
func (l *Loops) Draining() bool {
	for _, m := range l.all {
		if m.Draining() {
			return true
		}
	}
	return false
}
