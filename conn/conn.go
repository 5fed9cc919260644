package conn

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// A Conn is one connection or one listener on a loop. All its methods but ID belong to the loop's goroutine: call them
// from handlers, timers and functions given to Manager.Do.
type Conn struct {
	// Data is the user's own.
	Data any

	// Recv holds the bytes that have arrived and that no handler has discarded yet.
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
	deadline   int64 // of SetDeadline, 0 when none

	remote Peer
	fd     int32
	flags  flags
	state  state
	reason Reason
	want   Interest // what the poller watches
}

// rare holds what most connections never have.
type rare struct {
	err     error
	dump    func(way string, p []byte) // see SetHexdump
	watcher Watcher
	expect  int // see ExpectInput
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
	congested                     // the queue is above half its limit: no input until it is down to a quarter
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
)

// Interest is what a poller watches a descriptor for.
type Interest uint8

const (
	In  Interest = 1 << iota // readable, end of file or error
	Out                      // writable
)

// New makes a connection over fd, which must be non-blocking. It is for the loop: programs use Manager.Listen,
// Manager.Connect and Manager.Wrap. tr moves the bytes; h gets the events.
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

// Begin fires Open and has the connection watched from the end of the turn on. The loop calls it once.
func (c *Conn) Begin() {
	c.touch()
	c.always(Open{}) // even when the layer, or Setup, turns the connection away: Close never comes without it
}

// ID returns the connection's number, which is never used again. Safe for concurrent use.
func (c *Conn) ID() uint64 { return c.id }

// FD returns the descriptor. It stays the loop's: do not close it.
func (c *Conn) FD() int { return int(c.fd) }

// Shared returns what the connections of this loop have in common.
func (c *Conn) Shared() *Shared { return c.sh }

// IsListener reports whether c is a listener.
func (c *Conn) IsListener() bool { return c.flags&listening != 0 }

// IsOpen reports whether the connection takes Writes: neither draining nor closing.
func (c *Conn) IsOpen() bool { return c.state == open }

// IsClosed reports whether Close has been called or the Close event fired: no further event but Error and Close comes.
func (c *Conn) IsClosed() bool { return c.state >= closing }

// Finished reports whether the Close event has been fired.
func (c *Conn) Finished() bool { return c.state == closed }

// Reason returns why the connection ends, as far as it is known.
func (c *Conn) Reason() Reason { return c.reason }

// PeerDone reports whether the peer has finished sending.
func (c *Conn) PeerDone() bool { return c.flags&eof != 0 }

// Handler returns the user's handler.
func (c *Conn) Handler() Handler { return c.handler }

// SetHandler makes h the user's handler from the next event on.
func (c *Conn) SetHandler(h Handler) { c.check("SetHandler"); c.handler = h }

// SetProtocol puts a protocol layer on the connection: h sees each event before the user's handler, and state is what
// ProtocolState returns to it. A nil h takes the layer off.
func (c *Conn) SetProtocol(h Handler, state any) {
	c.check("SetProtocol")
	c.proto, c.pstate = h, state
}

// HasProtocol reports whether a protocol layer sits on the connection.
func (c *Conn) HasProtocol() bool { return c.proto != nil }

// ProtocolState returns the state given to SetProtocol or SetProtocolState.
func (c *Conn) ProtocolState() any { return c.pstate }

// SetProtocolState replaces the protocol layer's state: layers hold one only while they need it.
func (c *Conn) SetProtocolState(state any) { c.check("SetProtocolState"); c.pstate = state }

// Fire gives ev to the protocol layer, then to the user's handler, unless the connection is closing. It is for the loop.
func (c *Conn) Fire(ev Event) {
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

// Emit gives ev, an event of a protocol layer, to the user's handler alone, unless the connection is closing.
func (c *Conn) Emit(ev Event) {
	if c.state >= closing || c.handler == nil {
		return
	}
	c.sh.Stats.Events++
	c.handler(c, ev)
}

// SetPoll asks for a Poll event each turn of the loop, or ends that. The connections of a listener inherit its choice.
func (c *Conn) SetPoll(on bool) {
	c.check("SetPoll")
	if on == (c.flags&polls != 0) || on && c.state >= closing {
		return
	}
	c.flags ^= polls
	c.sh.Loop.SetPoll(c, on)
}

// Polls reports whether SetPoll(true) is in force.
func (c *Conn) Polls() bool { return c.flags&polls != 0 }

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

// RemoteAddr returns the peer's address; not valid for unix sockets and listeners.
func (c *Conn) RemoteAddr() netip.AddrPort { return c.remote.AddrPort() }

// SetRemote records the peer's address, for the loop.
func (c *Conn) SetRemote(p Peer) { c.remote = p }

// LocalAddr asks the kernel for the local address (getsockname); not valid for unix sockets and closed connections.
func (c *Conn) LocalAddr() netip.AddrPort {
	c.check("LocalAddr")
	if c.state == closed {
		return netip.AddrPort{}
	}
	return LocalAddr(int(c.fd))
}

// Limits bounds what one connection may hold and how long it may take. Zero fields mean the defaults.
type Limits struct {
	Recv      int           // bytes unread in Recv; default 3 MiB
	Send      int           // bytes queued to send; default 16 MiB
	HighWater int           // bytes queued after which Drained is due; default 64 KiB
	OnFull    SendPolicy    // what a Write past Send does
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
	if l.Stall == 0 {
		l.Stall = 30 * time.Second
	}
	return l
}

// Limits returns the connection's limits.
func (c *Conn) Limits() Limits { return *c.limits }

// SetLimits replaces the connection's limits. It keeps l itself, which many connections may share and which must not
// change any more; zero fields mean the defaults.
func (c *Conn) SetLimits(l *Limits) {
	c.check("SetLimits")
	if l.Recv == 0 || l.Send == 0 || l.HighWater == 0 || l.Stall == 0 {
		full := l.WithDefaults()
		l = &full
	}
	c.limits = l
	c.noteDeadline()
}

// nextID makes connection numbers: a counter above, the descriptor below, so that a number leads to its connection
// without a map.
var nextID atomic.Uint64

const fdBits = 24

// NewID returns a number for a connection on fd. Numbers rise and are never used twice in a process.
func NewID(fd int) uint64 { return nextID.Add(1)<<fdBits | uint64(fd)&(1<<fdBits-1) }

// FDOfID returns the descriptor that the connection numbered id has, or had.
func FDOfID(id uint64) int { return int(id & (1<<fdBits - 1)) }
