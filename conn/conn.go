package conn

import (
	"math"
	"net/netip"
	"sync/atomic"
	"time"
)

// A Conn is one connection or one listener on a loop. All its methods but ID belong to the loop's
// goroutine: call them from handlers, timers and functions given to Manager.Do.
type Conn struct {
	// Data is the user's own.
	Data any

	// Recv holds the bytes that have arrived and that no handler has discarded yet. It is a field,
	// so the checked mode (mgr.Options.Checked) does not see that it is used off the loop.
	Recv Buffer

	sh      *Shared
	tr      Transport
	limits  *Limits
	out     *queue // nil while nothing is queued
	handler Handler
	proto   Handler
	pstate  any // of the protocol layer
	rare    *rare

	id         uint64
	lastActive int64 // when the last byte came or went; the clock is Shared.Now
	lastSent   int64 // when the kernel last took bytes, or the queue became non-empty
	stoppedAt  int64 // when reading stopped, with the flag stopped
	deadline   int64 // of SetDeadline, 0 when none

	remote Peer
	fd     int32
	flags  flags
	state  state
	reason Reason
	want   Interest // what the poller watches
	ending ending   // of finish
}

// rare holds what most connections never have.
type rare struct {
	err     error
	dump    func(way string, p []byte) // see SetHexdump
	watcher Watcher
	expect  int    // see ExpectInput
	charged int    // see Layer.Charge
	overdue error  // see Driver.Overdue
	grams   *grams // of a datagram socket: see NewDatagram

	aside  *aside  // see SetAncillary and SetUrgent
	layer  Layered // the transport, with the flag layered
	secure int64   // when the handshake must be over; before it begins, how long it may take

	stepDue    bool     // the handshake has something to do
	acceptDue  bool     // fire Accept when the handshake is over
	connectDue bool     // fire Connect when the handshake is over
	readMuch   bool     // what the transport holds is left to the next turn
	cut        bool     // see Layer.Cut
	endGiven   bool     // the loop has handed in the end of the stream, and nothing is to be read now
	ready      Interest // see NewReady
	given      int32    // bytes in Recv that the loop has handed in, and that no Read has told of
	layerHolds int32    // what the transport holds, as far as it is counted
}

// state is the phase of a connection; phases only ever advance.
type state uint8

const (
	open      state = iota
	draining        // flush what is queued, then close; nothing is read any more
	lingering       // all is flushed and the write side shut; input is thrown away until the peer closes
	closing         // will be closed at the end of the turn
	closed          // the Close event has been fired
)

type flags uint32

const (
	touched     flags = 1 << iota // the loop will look at the connection before it sleeps
	paused                        // Pause: the user wants no input
	held                          // Hold: the protocol layer wants no input
	eof                           // the peer has finished sending
	halfOpen                      // EOF does not drain
	blocked                       // the last write was short: wait for the poller to say writable
	aboveHigh                     // the queue has been above its high-water mark
	congested                     // the queue has reached its high-water mark, and is not down to half of it
	stopped                       // the poller has been told that the gate is shut: see gate.go
	lent                          // Recv is a view of the loop's read buffer
	redeliver                     // fire Read for what is unread already
	polls                         // SetPoll(true)
	listening                     // a listener
	lingerAfter                   // draining leads to lingering
	shutWrite                     // CloseWrite: shut the write side when all is flushed
	wroteAll                      // the write side has been shut
	tracing                       // rare.dump is set
	connecting                    // Dial has begun, and the connection does not stand yet
	watched                       // rare.watcher is set
	noStream                      // no stream of bytes: only watched (rare.ready), or of datagrams (rare.grams)
	lost                          // other code has closed the descriptor: it is not ours to close
	spare                         // see Layer.SetSpare
	rationed                      // Ration: the loop wants no input while memory is scarce
	layered                       // the transport is rare.layer: see layered.go
	holding                       // it holds output: Unsent is not 0
	securing                      // its handshake is not over: no byte is read or sent
	computing                     // the handshake goes on when Layer.Computed is called
	submits                       // writes complete later: see Driver.Submits
	submitted                     // one is under way
	unusable                      // the protocol of the transport has failed: nothing of the queue is sent
	beside                        // news may come beside the bytes: rare.aside reads
)

// Interest is what a poller watches a descriptor for.
type Interest uint8

const (
	In  Interest = 1 << iota // readable, end of file or error
	Out                      // writable
	Pri                      // urgent data, or what poll(2) calls exceptional: POLLPRI
)

// New makes a connection over fd, which must be non-blocking. It is for the loop: programs use
// Manager.Listen, Manager.Connect and Manager.Wrap. tr moves the bytes; h gets the events. With the
// fd -1 there is no descriptor yet: see Driver.Attach.
func New(sh *Shared, fd int, id uint64, tr Transport, limits *Limits, h Handler) *Conn {
	c := &Conn{sh: sh, fd: int32(fd), id: id, tr: tr, limits: limits, handler: h, lastActive: sh.Now}
	c.noteDeadline()
	return c
}

// NewListener makes the object of a listening descriptor, for the loop.
func NewListener(sh *Shared, fd int, id uint64, tr Transport, limits *Limits, h Handler) *Conn {
	c := New(sh, fd, id, tr, limits, h)
	c.flags |= listening
	return c
}

// begin fires Open and has the connection watched from the end of the turn on. The loop calls it
// once.
func (c *Conn) begin() {
	c.touch()
	if c.flags&(securing|connecting) == securing {
		c.beginHandshake()
	}
	c.always(&Open{}) // even when the layer, or Setup, turns the connection away: Close never comes without it
}

// ID returns the connection's number, which is never used again. Safe for concurrent use.
func (c *Conn) ID() uint64 { return c.id }

// FD returns the descriptor, or -1 while an outbound connection has none yet. It stays the loop's:
// do not close it.
func (c *Conn) FD() int { return int(c.fd) }

// IsListener reports whether c is a listener.
func (c *Conn) IsListener() bool { return c.flags&listening != 0 }

// IsOpen reports whether the connection takes Writes: neither draining nor closing.
func (c *Conn) IsOpen() bool { c.check("IsOpen"); return c.state == open }

// IsClosed reports whether Close has been called or the Close event fired: no further event but
// Error and Close comes.
func (c *Conn) IsClosed() bool { c.check("IsClosed"); return c.state >= closing }

// Reason returns why the connection ends, as far as it is known.
func (c *Conn) Reason() Reason { return c.reason }

// SetHandler makes h the user's handler from the next event on.
func (c *Conn) SetHandler(h Handler) { c.check("SetHandler"); c.handler = h }

// SetProtocol puts a protocol layer on the connection: h sees each event before the user's handler,
// and state is what ProtocolState returns to it. A nil h takes the layer off.
func (c *Conn) SetProtocol(h Handler, state any) {
	c.check("SetProtocol")
	c.proto, c.pstate = h, state
	c.flags &^= spare
}

// fire gives ev to the protocol layer, then to the user's handler, unless the connection is
// closing. It is for the loop.
func (c *Conn) fire(ev Event) {
	if c.state >= closing {
		return
	}
	c.sh.Stats.Events++
	if c.flags&watched != 0 {
		c.rare.watcher.Watch(c, ev)
		if c.state >= closing {
			return
		}
	}
	if c.proto != nil {
		c.proto(c, ev)
		if c.state >= closing {
			return
		}
	}
	if c.handler != nil {
		c.handler(c, ev)
	}
}

// SetPoll asks for a Poll event each turn of the loop, or ends that. The connections of a listener
// inherit its choice.
func (c *Conn) SetPoll(on bool) {
	c.check("SetPoll")
	if on == (c.flags&polls != 0) || on && c.state >= closing {
		return
	}
	c.flags ^= polls
	c.sh.Loop.SetPoll(c, on)
}

// touch asks the loop to settle c before it sleeps.
func (c *Conn) touch() {
	if c.flags&touched == 0 && c.state != closed {
		c.flags |= touched
		c.sh.Loop.Touch(c)
	}
}

// check panics in the checked mode when the caller is not on the loop's goroutine.
func (c *Conn) check(op string) {
	if c.sh.Check != nil {
		c.sh.Check(op)
	}
}

func (c *Conn) rarely() *rare {
	if c.rare == nil {
		c.rare = new(rare)
	}
	return c.rare
}

// RemoteAddr returns the peer's address; not valid for unix sockets and listeners, where it prints
// as "invalid AddrPort". Peer prints for all.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote.AddrPort() }

// Peer returns RemoteAddr in a form that prints in each case: a peer on a unix socket is "local".
func (c *Conn) Peer() Peer { return c.remote }

// LocalAddr asks the kernel for the local address (getsockname); not valid for unix sockets and
// closed connections.
func (c *Conn) LocalAddr() netip.AddrPort {
	c.check("LocalAddr")
	if c.state == closed {
		return netip.AddrPort{}
	}
	return LocalAddr(int(c.fd))
}

// Limits bounds what one connection may hold and how long it may take. Zero fields mean the
// defaults, and negative sizes no bound. They hold for one connection: all of a manager may hold
// the product, up to mgr.Options.Memory.
//
// A Write is taken while less than Send is queued, so one message may go past it. Reading, and the
// parsing of what is buffered, stops at HighWater: a peer that sends requests and takes no replies
// gets no more than that and one reply. Two programs that both send more than HighWater, and what
// the kernels buffer, before they read would wait for each other until Stall: one of them needs a
// higher mark.
type Limits struct {
	Recv      int           // bytes unread in Recv; default 3 MiB
	Send      int           // bytes queued to send, at which no further Write is taken; default 16 MiB
	HighWater int           // bytes queued at which reading stops, until half of it is left, and Drained is due; default 64 KiB, Send at most
	Backlog   Backlog       // what broadcasts may leave waiting for a peer that lags; default 1 MiB
	OnFull    SendPolicy    // what a Write does when Send bytes are queued
	Idle      time.Duration // without a byte in either direction; 0 is for ever
	Stall     time.Duration // with bytes queued and none taken by the peer; default 30 s, negative is for ever
}

// SendPolicy says what a Write past the send limit does.
type SendPolicy uint8

const (
	CloseOnFull  SendPolicy = iota // the connection ends with Error{SendLimit}
	RefuseOnFull                   // Write queues nothing and returns ErrSendLimit; the connection lives on
)

// WithDefaults returns l with its zero fields filled in.
func (l Limits) WithDefaults() Limits {
	if l.Recv == 0 {
		l.Recv = 3 << 20
	}
	if l.Send == 0 {
		l.Send = 16 << 20
	}
	if l.HighWater == 0 {
		l.HighWater = 64 << 10
	}
	if l.Backlog.Bytes == 0 {
		l.Backlog.Bytes = backlogBytes
	}
	if l.Backlog.Messages == 0 {
		l.Backlog.Messages = backlogMessages
	}
	for _, size := range [...]*int{&l.Recv, &l.Send, &l.HighWater, &l.Backlog.Bytes, &l.Backlog.Messages} {
		if *size < 0 {
			*size = math.MaxInt
		}
	}
	l.HighWater = min(l.HighWater, l.Send)
	if l.Stall == 0 {
		l.Stall = 30 * time.Second
	}
	return l
}

// complete reports whether WithDefaults would change nothing.
func (l *Limits) complete() bool {
	return min(l.Recv, l.Send, l.HighWater, l.Backlog.Bytes, l.Backlog.Messages) > 0 && l.HighWater <= l.Send && l.Stall != 0
}

// Limits returns the connection's limits.
func (c *Conn) Limits() Limits { return *c.limits }

// SetLimits replaces the connection's limits. It keeps l itself, which many connections may share
// and which must not change any more; zero fields mean the defaults.
func (c *Conn) SetLimits(l *Limits) {
	c.check("SetLimits")
	if !l.complete() {
		full := l.WithDefaults()
		l = &full
	}
	c.limits = l
	c.noteDeadline()
}

// nextID makes connection numbers: a counter above, a slot of the loop's table below, so that a
// number leads to its connection without a map.
var nextID atomic.Uint64

const slotBits = 24

// Slots is how many slots the IDs of one table, or of the tables of several loops, can name.
const Slots = 1 << slotBits

// NewID returns a number for the connection in a slot of its loop's table; the slot is below Slots.
// Numbers rise and are never used twice in a process.
func NewID(slot int) uint64 { return nextID.Add(1)<<slotBits | uint64(slot)&(1<<slotBits-1) }

// SlotOfID returns the slot that NewID was given for id. Another connection may be there by now.
func SlotOfID(id uint64) int { return int(id & (1<<slotBits - 1)) }
