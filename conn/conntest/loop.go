package conntest

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A Loop is the double of a manager: it carries connections over Wires, and turns when the test
// says so. Its clock begins at one hour, and moves with Advance only.
type Loop struct {
	Shared *conn.Shared
	Turns  int // that found something to do

	carried []*carried
	slots   []*carried // by the slots of their IDs; nil for those that are gone
	touched []*conn.Conn
	spare   []*conn.Conn // the array of the batch before
	polls   []*conn.Conn

	mu   sync.Mutex
	jobs []func() // of Do
}

// carried is a connection of the loop and what its poller watches.
type carried struct {
	c    *conn.Conn
	wire *Wire
	box  *Box // of a datagram socket, in place of wire
	want conn.Interest
}

// NewLoop returns a loop without connections.
func NewLoop() *Loop {
	l := &Loop{}
	l.Shared = conn.NewShared(l)
	l.Shared.Now = int64(time.Hour)
	return l
}

// Add makes a connection over w. The caller puts a layer on, calls Driver().Begin and fires Accept
// or Connect.
func (l *Loop) Add(w *Wire, limits *conn.Limits, h conn.Handler) *conn.Conn {
	return l.carry(w, conn.New(l.Shared, l.nextFD(), l.nextID(), w, limits, h))
}

// carry has the loop look after c, which is over w.
func (l *Loop) carry(w *Wire, c *conn.Conn) *conn.Conn {
	k := &carried{c: c, wire: w}
	if c.FD() >= 0 {
		k.want = conn.In
	}
	l.carried = append(l.carried, k)
	l.slots = append(l.slots, k)
	return c
}

func (l *Loop) nextFD() int { return 3 + len(l.slots) }

func (l *Loop) nextID() uint64 { return conn.NewID(len(l.slots)) }

// find returns what carries c, nil if nothing does any more.
func (l *Loop) find(c *conn.Conn) *carried {
	if slot := conn.SlotOfID(c.ID()); slot < len(l.slots) && l.slots[slot] != nil && l.slots[slot].c == c {
		return l.slots[slot]
	}
	return nil
}

// Touch is for connections.
func (l *Loop) Touch(c *conn.Conn) { l.touched = append(l.touched, c) }

// SetPoll is for connections.
func (l *Loop) SetPoll(c *conn.Conn, on bool) {
	if on {
		l.polls = append(l.polls, c)
	} else {
		l.polls = slices.DeleteFunc(l.polls, func(p *conn.Conn) bool { return p == c })
	}
}

// Do has f run in the next Turn. Safe for concurrent use.
func (l *Loop) Do(f func()) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.jobs = append(l.jobs, f)
	return nil
}

// Complete implements conn.Completer. Safe for concurrent use.
func (l *Loop) Complete(f func()) error { return l.Do(f) }

// runJobs runs what Do was given, and reports whether there was anything.
func (l *Loop) runJobs() bool {
	l.mu.Lock()
	jobs := l.jobs
	l.jobs = nil
	l.mu.Unlock()
	for _, f := range jobs {
		f()
	}
	return len(jobs) > 0
}

// Advance moves the clock.
func (l *Loop) Advance(d time.Duration) { l.Shared.Now += int64(d) }

// Watched returns what the poller watches c for.
func (l *Loop) Watched(c *conn.Conn) conn.Interest {
	if k := l.find(c); k != nil {
		return k.want
	}
	return 0
}

// ErrBusy is returned by Turn and Settle when the connections keep each other busy.
var ErrBusy = errors.New("conntest: the loop does not come to rest")

// mostTurns is after how many the loop is busy.
const mostTurns = 10_000

// Turn turns the loop until nothing is left to do without waiting: no wire has anything to report,
// and no connection is to be settled. It allocates nothing of its own. Timeouts that are due come,
// each once. It returns ErrBusy after 10,000 turns.
func (l *Loop) Turn() error {
	l.expire()
	for _, c := range slices.Clone(l.polls) {
		c.Driver().Fire(&conn.Poll{})
	}
	for range mostTurns {
		ready := l.dispatch()
		ready = l.runJobs() || ready
		if len(l.touched) == 0 && !ready {
			return nil
		}
		l.Turns++
		l.settle()
	}
	return ErrBusy
}

// Settle is the end of a turn, and of those that it brings about: connections are settled until
// none is left to be. The poller reports nothing, no timeout comes, and what Do was given waits. It
// is for tests that are the poller themselves, and call Driver.Readable and Writable. It returns
// ErrBusy after 10,000 turns.
func (l *Loop) Settle() error {
	for range mostTurns {
		if len(l.touched) == 0 {
			return nil
		}
		l.Turns++
		l.settle()
	}
	return ErrBusy
}

// expire has all connections look at their timeouts, if one of them may be due.
func (l *Loop) expire() {
	if l.Shared.Now < l.Shared.NextDeadline {
		return
	}
	l.Shared.NextDeadline = math.MaxInt64
	for i := 0; i < len(l.carried); i++ { // a handler may add connections
		k := l.carried[i]
		if !k.c.Driver().Finished() {
			at := k.c.Driver().Expire() // which may bring NextDeadline forward
			l.Shared.NextDeadline = min(l.Shared.NextDeadline, at)
		}
	}
}

// dispatch reports what the wires have to say, and whether they had anything.
func (l *Loop) dispatch() bool {
	found := false
	for i := 0; i < len(l.carried); i++ {
		k := l.carried[i]
		if k.c.Driver().Finished() {
			continue
		}
		if k.box != nil {
			found = k.datagrams() || found
			continue
		}
		if k.want&conn.Out != 0 && k.wire.Room != 0 {
			k.c.Driver().Writable()
			found = true
		}
		if k.want&conn.In != 0 && k.wire.readable() {
			k.c.Driver().Readable()
			found = true
		}
	}
	return found
}

// datagrams is dispatch for a datagram socket.
func (k *carried) datagrams() bool {
	var got conn.Interest
	if k.want&conn.Out != 0 && k.box.Room != 0 {
		got |= conn.Out
	}
	if k.want&conn.In != 0 && k.box.readable() {
		got |= conn.In
	}
	if got != 0 {
		k.c.Driver().Ready(got)
	}
	return got != 0
}

// settle settles those that are touched now. Those that it touches are for the next turn.
func (l *Loop) settle() {
	batch := l.touched
	l.touched, l.spare = l.spare[:0], nil
	for _, c := range batch {
		over := c.Driver().Finished()
		next := c.Driver().Settle()
		if over && next != (conn.Next{}) {
			panic(fmt.Sprintf("conntest: connection %d is over, and is to be watched or closed again: %+v", c.ID(), next))
		}
		if k := l.find(c); k != nil {
			k.want = next.Want
		}
		if next.Done {
			l.finish(c)
		}
	}
	l.spare = batch
	l.Shared.Settled()
}

func (l *Loop) finish(c *conn.Conn) {
	for !c.Driver().Finished() {
		c.Driver().Finish()
	}
	c.Driver().CloseFD()
	if k := l.find(c); k != nil {
		l.slots[conn.SlotOfID(c.ID())] = nil
		l.carried = slices.DeleteFunc(l.carried, func(other *carried) bool { return other == k })
	}
}
