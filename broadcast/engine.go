package broadcast

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"
)

var (
	// ErrDown is wrapped by the errors of what is published while the engine does not answer. A
	// message that was on its way to the engine may have been stored all the same.
	ErrDown = errors.New("broadcast: the engine is down")
	// ErrStale is returned by Inject for an offset that is not higher than the last one.
	ErrStale = errors.New("broadcast: the offset is not higher than the last one")
	// ErrTooLarge is wrapped by an engine's error for a message that is larger than it will ever
	// take: publishing it again is useless.
	ErrTooLarge = errors.New("broadcast: the message is too large for the engine")
	// ErrOffset is returned for an offset above MaxOffset. For a hub whose engine has come to such
	// an offset it is the reason for ErrDown, until the engine begins with a new Epoch.
	ErrOffset = errors.New("broadcast: the offset is higher than browsers can count")
	// ErrEngineClosed is the reason for ErrDown after Engine.Close.
	ErrEngineClosed = errors.New("broadcast: the engine is closed")
)

// MaxOffset is the highest offset: numbers above it are not exact in JavaScript (RFC 8259 §6), so a
// page would take one message for another.
const MaxOffset uint64 = 1<<53 - 1

// An Engine puts the messages of several hubs into one order, and stores them. Hubs that share an
// engine are nodes: each publishes to it, and delivers what comes back. So all nodes have the same
// messages, in the same order, with the same offsets, and a client that comes back may come to any
// of them. The packages cluster/nats and cluster/redis have engines; enginetest has one for tests.
//
// The program makes the engine, gives it to one hub by Options.Engine, and closes it.
type Engine interface {
	// Publish stores e. It never blocks, and it keeps e. If it returns nil, it calls done exactly
	// once, from any goroutine and maybe before it returns: with the offset when e is stored, or
	// with an error. After an error e may be stored or not. If it returns an error, e is not
	// stored, and done is not called. ErrFull says that too many are on their way. An entry with
	// the ID of one that was stored shortly before is not stored again, and has its offset. Entries
	// that one goroutine publishes are stored in its order.
	Publish(e *Entry, done func(offset uint64, err error)) error

	// Run gives sink all entries, until Close, when it returns nil. It reconnects by itself. The
	// hub calls it once, on a goroutine of its own. All methods of sink are called from one
	// goroutine: Begin, entries in the order of their offsets, Down; then Begin again.
	Run(sink Sink) error

	// Close ends Run, and waits for it. Entries that have no offset yet get an error. It must not
	// be called on a loop of the hub, for which Run may be waiting.
	Close() error
}

// A Sink takes what an engine has. The hub's is its own.
type Sink interface {
	// Begin says that the engine is connected, and to which stream. It returns the offset after
	// which the entries should be delivered, those that are stored and then the new ones. It may
	// come again without Down, when the engine has had to ask for the entries anew.
	Begin(Info) (after uint64)
	// Deliver takes an entry, and copies of it what it needs. An entry that the sink has already is
	// ignored. One above MaxOffset ends the connection of the hub, as Down with ErrOffset does.
	// Offsets may have holes: a node need not see every topic. Deliver may block for a while, when
	// the hub's loops have too much to do.
	Deliver(*Entry)
	// Down says that the connection is lost. Messages that are on their way get the error.
	Down(error)
}

// Info says what an engine's stream has.
type Info struct {
	// Epoch is the offset before the first one that the stream has ever given. A stream that was
	// made anew, or has lost messages at its end, has another Epoch: see NewEpoch.
	Epoch uint64
	First uint64 // offset of the oldest entry that is stored; when there is none, the one after Last
	Last  uint64 // offset of the newest entry; Epoch when there has been none

	// Now is the store's clock when it said this, by which it gives entries their Time: History.Age
	// counts by it, whatever the clock of the node says. The zero Time says that entries have the
	// time of this node's clock.
	Now time.Time
}

// NewEpoch returns an Epoch for a new stream: its high bits are random, and offsets that follow it
// are exact numbers in JavaScript, for the first 2^52 of them.
func NewEpoch() uint64 { return epoch() }

// An Entry is a message as engines store it.
type Entry struct {
	Offset uint64 // 0 until it is stored
	Topic  string // when it is empty, this is no message: the engine has nothing else up to Offset
	Data   []byte
	Time   time.Time // it was published, by the clock of Info.Now
	ID     string    // no two entries have the same one
	Delete bool      // the topic is deleted: the engine may drop what it has of it, but not this entry

	// Lost is how many entries right before this one the engine has no more, at most. Those that it
	// dropped because their topic was deleted need not count.
	Lost uint64
}

// EngineState is how a hub stands with its engine.
type EngineState struct {
	Up       bool
	Err      error  // why it is not up; nil before the first Begin
	Epoch    uint64 // of the stream
	Offset   uint64 // of the last entry delivered
	Behind   uint64 // entries that are known to be stored and were not delivered yet, at most
	InFlight int    // messages published here and not acknowledged yet
	Begins   uint64 // how many times the engine has connected
	Resets   uint64 // how many times the stream was new, but for the first
}

// link is a hub's half of its engine: the sink, and what was published and not acknowledged.
// Hub.mu guards it.
type link struct {
	hub    *Hub
	engine Engine
	info   Info
	goal   uint64    // the last offset that was stored at the first Begin
	last   uint64    // the highest offset that is known to be stored
	began  time.Time // the last Begin, by this node's clocks
	up     bool
	err    error
	begins uint64

	flights map[uint64]*flight // by number
	number  uint64
	bytes   int               // of flights
	excepts map[string]uint64 // by Entry.ID: the connection that does not get the message
	prefix  string            // of Entry.ID
	level   bool              // the hub has caught up once
	caught  chan struct{}     // closed when the hub has delivered what was stored at the first Begin
}

// flight is a message on its way to the engine.
type flight struct {
	topic, id string
	size      int
	run       uint64 // Hub.runs when it was launched
	done      func(Receipt, error)
}

func newLink(h *Hub, e Engine) *link {
	return &link{hub: h, engine: e, flights: make(map[uint64]*flight), excepts: make(map[string]uint64),
		prefix: strconv.FormatUint(rand.Uint64(), 36) + "-", caught: make(chan struct{})}
}

// run has the engine deliver until it is closed.
func (k *link) run() {
	err := k.engine.Run(k)
	if err == nil {
		err = ErrEngineClosed
	}
	k.Down(err)
}

// Engine returns how the hub stands with its engine; the zero value when it has none. Safe for
// concurrent use.
func (h *Hub) Engine() EngineState {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := h.link
	if k == nil {
		return EngineState{}
	}
	s := EngineState{Up: k.up, Err: k.err, Epoch: k.info.Epoch, InFlight: len(k.flights), Begins: k.begins}
	if k.begins > 0 {
		s.Offset = h.seq - h.shift
		s.Resets = h.runs - 1
		s.Behind = max(k.last, s.Offset) - s.Offset
	}
	return s
}

// CaughtUp waits until the hub has what its engine had stored when they connected first, so that
// subscribers get their history from it. Without an engine it returns at once. It returns the error
// of ctx. Safe for concurrent use; not for a loop of the hub, which it would block.
func (h *Hub) CaughtUp(ctx context.Context) error {
	if h.link == nil {
		return nil
	}
	select {
	case <-h.link.caught:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// publish gives a message to the engine. done may be nil. If it returns an error, done is not
// called.
func (k *link) publish(topic string, data []byte, o *PublishOptions, done func(Receipt, error)) error {
	e := &Entry{Topic: topic, Data: data, Time: time.Now(), ID: o.ID, Delete: o.Delete}
	n, err := k.launch(e, o.Except, done)
	if err != nil {
		return err
	}
	err = k.engine.Publish(e, func(offset uint64, err error) { k.landed(n, offset, err) })
	if err == nil {
		return nil
	}
	f, err := k.land(n, 0, err)
	if f == nil {
		return nil // Down was faster, and has called done
	}
	return err
}

// launch notes that e is going to be published, and returns its number.
func (k *link) launch(e *Entry, except uint64, done func(Receipt, error)) (uint64, error) {
	h := k.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	size := len(e.Data)
	switch {
	case !k.up:
		h.stats.refused++
		return 0, k.down(k.err)
	case len(k.flights) >= h.opts.Queue, len(k.flights) > 0 && k.bytes+size > h.opts.QueueBytes:
		h.stats.refused++
		return 0, ErrFull
	}
	k.number++
	if e.ID == "" {
		e.ID = k.prefix + strconv.FormatUint(k.number, 36)
	}
	if except != 0 {
		if len(k.excepts) >= h.opts.Queue { // messages that never came back, as from a node that does not see all topics
			clear(k.excepts)
		}
		k.excepts[e.ID] = except
	}
	k.flights[k.number] = &flight{e.Topic, e.ID, size, h.runs, done}
	k.bytes += size
	return k.number, nil
}

// down returns an ErrDown with its reason. The errors of engines may say it themselves.
func (k *link) down(why error) error {
	switch {
	case why == nil:
		return fmt.Errorf("%w: it has not connected yet", ErrDown)
	case errors.Is(why, ErrDown):
		return why
	}
	return fmt.Errorf("%w: %w", ErrDown, why)
}

// land takes the flight number n out; nil when another has. It returns the error of the flight.
func (k *link) land(n, offset uint64, err error) (*flight, error) {
	h := k.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	f := k.flights[n]
	if f == nil {
		return nil, nil
	}
	delete(k.flights, n)
	k.bytes -= f.size
	if err == nil && offset > MaxOffset {
		err = ErrOffset
	}
	switch {
	case err != nil:
		h.stats.refused++
	case f.run == h.runs: // else it may be an offset of the stream before
		k.last = max(k.last, offset)
	}
	if err != nil || offset+h.shift <= h.seq { // it does not come any more, or has come
		delete(k.excepts, f.id)
	}
	return f, err
}

// landed ends the flight number n.
func (k *link) landed(n, offset uint64, err error) {
	if f, err := k.land(n, offset, err); f != nil {
		k.tell(f, offset, err)
	}
}

// tell says what became of f.
func (k *link) tell(f *flight, offset uint64, err error) {
	switch {
	case err == nil && f.done != nil:
		f.done(Receipt{Offset: offset, Subscribers: k.hub.Subscribers(f.topic)}, nil)
	case err != nil && f.done != nil:
		f.done(Receipt{}, err)
	case err != nil && k.hub.opts.PublishFailed != nil:
		k.hub.opts.PublishFailed(f.topic, err)
	}
}

// Begin is the Sink's.
func (k *link) Begin(info Info) (after uint64) {
	h := k.hub
	if max(info.Epoch, info.Last) > MaxOffset {
		k.Down(ErrOffset)
		return info.Last
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	k.up, k.err = true, nil
	first := k.begins == 0
	k.begins++
	fresh := first || info.Epoch != k.info.Epoch || info.Last < h.seq-h.shift
	k.info, k.last, k.began = info, info.Last, time.Now()
	if first {
		k.goal = info.Last
	}
	if fresh {
		h.restart(info.Epoch, info.Last)
	}
	switch n := h.seq - h.shift; {
	case first && !h.tracking: // no subscriber can get the messages that are stored already
		h.seq = info.Last + h.shift
	case info.First > n+1:
		h.lose(info.First-1+h.shift, info.First-1-n)
	}
	k.catchUp()
	return h.seq - h.shift
}

// catchUp sees whether the hub has caught up.
func (k *link) catchUp() {
	if h := k.hub; !k.level && (h.seq-h.shift >= k.goal || h.runs > 1) {
		k.level = true
		close(k.caught)
	}
}

// Deliver is the Sink's.
func (k *link) Deliver(e *Entry) {
	if e.Offset > MaxOffset {
		k.overflow()
		return
	}
	h := k.hub
	h.mu.Lock()
	defer h.mu.Unlock()
	at := e.Offset + h.shift
	if e.Offset <= k.info.Epoch || at <= h.seq {
		h.stats.stale++
		return
	}
	except := k.excepts[e.ID]
	delete(k.excepts, e.ID)
	if e.Lost > 0 {
		h.lose(at-1, min(e.Lost, at-1-h.seq))
	}
	k.last = max(k.last, e.Offset)
	if ValidTopic(e.Topic) {
		for age := k.age(e); h.inject(at, e, except, age) == ErrFull; {
			h.awaitRoom()
		}
	} else {
		h.seq = at
		if e.Topic != "" { // it is of a program that has no hub
			h.stats.refused++
		}
	}
	k.catchUp()
}

// age returns how long ago e was published. The clocks of nodes may differ, and be set, so only the
// store's counts, and of ours the time since Begin: what the store did not have then is no older.
func (k *link) age(e *Entry) time.Duration {
	if e.Time.IsZero() {
		return 0
	}
	since := time.Since(k.began)
	age := time.Since(e.Time)
	if !k.info.Now.IsZero() {
		age = k.info.Now.Add(since).Sub(e.Time)
	}
	if e.Offset > k.info.Last {
		age = min(age, since)
	}
	return max(age, 0)
}

// overflow gets an entry that has no offset for clients. It is refused, as are those after it; the
// subscribers are told that one is missing.
func (k *link) overflow() {
	h := k.hub
	h.mu.Lock()
	up := k.up
	h.stats.refused++
	if up {
		h.lose(max(h.seq, MaxOffset+h.shift), 1)
	}
	h.mu.Unlock()
	if up {
		k.Down(ErrOffset)
	}
}

// Down is the Sink's.
func (k *link) Down(err error) {
	h := k.hub
	h.mu.Lock()
	flights := k.flights
	k.up, k.err = false, err
	k.flights, k.bytes = make(map[uint64]*flight), 0
	clear(k.excepts)
	h.stats.refused += uint64(len(flights))
	h.mu.Unlock()
	for _, n := range slices.Sorted(maps.Keys(flights)) {
		k.tell(flights[n], 0, k.down(err))
	}
}
