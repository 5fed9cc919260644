// Package enginetest has a broadcast.Engine in memory, whose connections a test can break.
//
//	log := enginetest.NewLog()
//	one := broadcast.NewHub(broadcast.Options{Engine: log.Engine()}, m)
//	other := broadcast.NewHub(broadcast.Options{Engine: log.Engine()}, m2)
package enginetest

import (
	"errors"
	"slices"
	"sync"

	"github.com/seed4930a636/mangusta/broadcast"
)

// ErrCut is the error of what was on its way when Down was called.
var ErrCut = errors.New("enginetest: the connection was cut")

// A Log is the store that engines share. All methods are safe for concurrent use.
type Log struct {
	mu      sync.Mutex
	changed sync.Cond
	epoch   uint64
	last    uint64
	lost    uint64 // entries up to this offset were trimmed
	entries []*broadcast.Entry
	ids     map[string]uint64
}

// NewLog makes an empty store.
func NewLog() *Log {
	l := &Log{}
	l.changed.L = &l.mu
	l.renew()
	return l
}

func (l *Log) renew() {
	for was := l.epoch; l.epoch == was; {
		l.epoch = broadcast.NewEpoch()
	}
	l.last, l.lost, l.entries, l.ids = l.epoch, l.epoch, nil, make(map[string]uint64)
}

// Renew makes the stream anew: it is empty, and has another epoch. Engines that are up begin with
// it.
func (l *Log) Renew() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renew()
	l.changed.Broadcast()
}

// Trim drops the oldest entries but for n.
func (l *Log) Trim(n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.entries) > n {
		l.lost = l.entries[0].Offset
		l.entries = l.entries[1:]
	}
}

// Thin drops the entries for which drop says so, wherever they are in the stream.
func (l *Log) Thin(drop func(*broadcast.Entry) bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.entries = slices.DeleteFunc(l.entries, drop)
}

// Skip leaves n offsets out.
func (l *Log) Skip(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last += n
}

// Last returns the last offset.
func (l *Log) Last() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

func (l *Log) info() broadcast.Info {
	i := broadcast.Info{Epoch: l.epoch, First: l.last + 1, Last: l.last}
	if len(l.entries) > 0 {
		i.First = l.entries[0].Offset
	}
	return i
}

// Engine returns a new engine, which is up. It has its own connection to the store.
func (l *Log) Engine() *Engine { return &Engine{log: l} }

// Engine is one node's connection to a Log. Its methods are safe for concurrent use.
type Engine struct {
	log *Log

	// Filter, if it is set before the hub is made, says which topics the engine delivers.
	Filter func(topic string) bool

	down, held, slow, closed, running bool

	epoch   uint64 // of the stream that was begun; 0 when none was
	after   uint64 // the offset delivered last
	repeat  int    // entries to deliver again
	waiting []flight
	done    sync.WaitGroup
}

type flight struct {
	e    *broadcast.Entry
	done func(uint64, error)
}

// with runs f with the lock, and lets Run see what has changed.
func (e *Engine) with(f func()) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	f()
	e.log.changed.Broadcast()
}

// Down cuts the connection. Publishes that Hold holds fail.
func (e *Engine) Down() {
	var failed []flight
	e.with(func() { e.down = true; failed, e.waiting = e.waiting, nil })
	for _, f := range failed {
		f.done(0, ErrCut)
	}
}

// Up ends Down.
func (e *Engine) Up() { e.with(func() { e.down = false }) }

// Hold has publishes wait: they are neither stored nor acknowledged, until Release.
func (e *Engine) Hold() { e.with(func() { e.held = true }) }

// Release stores what Hold held.
func (e *Engine) Release() {
	var flights []flight
	var offsets []uint64
	e.with(func() {
		e.held = false
		flights, e.waiting = e.waiting, nil
		for _, f := range flights {
			offsets = append(offsets, e.log.store(f.e))
		}
	})
	for i, f := range flights {
		f.done(offsets[i], nil)
	}
}

// Slow has deliveries wait, until Fast.
func (e *Engine) Slow() { e.with(func() { e.slow = true }) }

// Fast ends Slow.
func (e *Engine) Fast() { e.with(func() { e.slow = false }) }

// Repeat delivers the last n entries again.
func (e *Engine) Repeat(n int) { e.with(func() { e.repeat = n }) }

// Info says what the store has. broadcast.Engine needs no such method.
func (e *Engine) Info() (broadcast.Info, error) {
	e.log.mu.Lock()
	defer e.log.mu.Unlock()
	if e.down {
		return broadcast.Info{}, ErrCut
	}
	return e.log.info(), nil
}

// Publish is the Engine's.
func (e *Engine) Publish(x *broadcast.Entry, done func(uint64, error)) error {
	offset, err := uint64(0), error(nil)
	e.with(func() {
		switch {
		case e.closed:
			err = broadcast.ErrEngineClosed
		case e.down:
			err = ErrCut
		case e.held:
			e.waiting = append(e.waiting, flight{x, done})
		default:
			offset = e.log.store(x)
		}
	})
	if offset != 0 {
		done(offset, nil)
	}
	return err
}

// store stores an entry, unless its ID is known, and returns its offset.
func (l *Log) store(e *broadcast.Entry) uint64 {
	if at, again := l.ids[e.ID]; again {
		return at
	}
	l.last++
	x := *e
	x.Offset = l.last
	l.ids[x.ID] = l.last
	l.entries = append(l.entries, &x)
	return l.last
}

// Run is the Engine's.
func (e *Engine) Run(sink broadcast.Sink) error {
	l := e.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if e.running || e.closed {
		return errors.New("enginetest: Run can be called once")
	}
	e.running = true
	e.done.Add(1)
	defer e.done.Done()
	for !e.closed {
		if !e.step(sink) {
			l.changed.Wait()
		}
	}
	return nil
}

// step does one thing, without the lock, and reports whether there was one.
func (e *Engine) step(sink broadcast.Sink) bool {
	l := e.log
	switch {
	case e.down && e.epoch != 0:
		e.epoch = 0
		e.unlocked(func() { sink.Down(ErrCut) })
		return true
	case e.down:
		return false
	case e.epoch != l.epoch:
		info := l.info()
		e.epoch = info.Epoch
		e.unlocked(func() { e.after = sink.Begin(info) })
		return true
	case e.slow:
		return false
	}
	i, _ := slices.BinarySearchFunc(l.entries, e.after+1, func(x *broadcast.Entry, at uint64) int {
		return int(int64(x.Offset - at))
	})
	if e.repeat > 0 {
		again := slices.Clone(l.entries[max(0, i-e.repeat):i])
		e.repeat = 0
		e.unlocked(func() {
			for _, x := range again {
				sink.Deliver(x)
			}
		})
		return true
	}
	if i == len(l.entries) {
		return false
	}
	x := *l.entries[i]
	if e.Filter == nil {
		x.Lost = x.Offset - e.after - 1
	}
	e.after = x.Offset
	if e.Filter != nil && !e.Filter(x.Topic) {
		x = broadcast.Entry{Offset: x.Offset}
	}
	e.unlocked(func() { sink.Deliver(&x) })
	return true
}

func (e *Engine) unlocked(f func()) {
	e.log.mu.Unlock()
	defer e.log.mu.Lock()
	f()
}

// Close is the Engine's.
func (e *Engine) Close() error {
	e.Down()
	e.with(func() { e.closed = true })
	e.done.Wait()
	return nil
}
