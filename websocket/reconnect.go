package websocket

import (
	"errors"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// ReconnectOptions are the options of Reconnect. The zero value works, and so does a nil
// *ReconnectOptions. They must not be changed once they are in use.
type ReconnectOptions struct {
	// ClientOptions are those of each connection. PingInterval and PongTimeout say how soon a dead
	// server is noticed.
	ClientOptions

	// MinDelay and MaxDelay bound the wait before a new attempt, by default to 1 s and 1 min. After
	// the n-th attempt in a row that has failed, the wait is a random time up to MinDelay·2ⁿ⁻¹,
	// MaxDelay at most ("full jitter"), so that the clients of a server do not come back together.
	MinDelay, MaxDelay time.Duration

	// Stable is how long a WebSocket must have been open for the attempts to be counted from the
	// beginning; default 10 s.
	Stable time.Duration

	// RestartMin and RestartMax bound the wait, which is random, after the close codes 1012
	// (Service Restart) and 1013 (Try Again Later); by default 5 s and 30 s, as the registry of the
	// codes asks. If the wait that MinDelay leads to is longer, it counts.
	RestartMin, RestartMax time.Duration

	// MaxRetryAfter bounds the wait that the server asks for with Retry-After; default 1 h.
	MaxRetryAfter time.Duration

	// MaxQueue and MaxQueueBytes bound the messages that wait: for a WebSocket to be open, or for a
	// slow server to take what was sent before. The defaults are 1,000 messages and 1 MiB. With a
	// negative MaxQueue none wait: while there is no WebSocket, Send returns ErrNotOpen.
	MaxQueue, MaxQueueBytes int

	// DropOldest drops the messages that have waited longest if there is no room for another one.
	// Otherwise Send returns ErrQueueFull.
	DropOldest bool

	// Confirm is how long a message may be in doubt. After that the Reconnector sends a ping, and
	// the pong shows that the server has received all messages before it. The default is 10 s;
	// negative is never.
	Confirm time.Duration

	// Fatal, if not nil, is called before each wait, and reports whether to give up; ev has the
	// phase PhaseWaiting. RefusedForGood is one. Without it every end leads to another attempt.
	Fatal func(ev *State) bool

	// Before, if not nil, is called before each attempt, and may change it: a fresh token, or a URL
	// that says where to go on. With an error the attempt has failed.
	Before func(a *Attempt) error
}

// An Attempt is what is about to be tried.
type Attempt struct {
	Number int      // the attempts in a row, this one included
	URL    string   // that was given to Reconnect
	Header []Header // ClientOptions.Header: replaced, not changed in place
}

var (
	// ErrNotOpen is returned by Reconnector.Send if no WebSocket is open, and none waits for one.
	ErrNotOpen = errors.New("websocket: not open")
	// ErrQueueFull is returned by Reconnector.Send if there is no room for another message.
	ErrQueueFull = errors.New("websocket: too much waits to be sent")
)

// A Phase is what a Reconnector is doing.
type Phase uint8

const (
	PhaseConnecting Phase = iota // an attempt is under way
	PhaseOpen                    // there is a WebSocket
	PhaseWaiting                 // for the next attempt
	PhaseClosed                  // for good
)

func (p Phase) String() string { return [...]string{"connecting", "open", "waiting", "closed"}[p] }

// State says that a Reconnector has gone into another phase. It comes without a connection: the
// handler's c is nil.
type State struct {
	Phase   Phase
	Attempt int // attempts in a row, with the current or failed one; 0 in PhaseOpen

	// In PhaseWaiting and PhaseClosed:

	Delay      time.Duration // until the next attempt
	Err        error         // why the attempt failed or the WebSocket ended; nil after Close
	Status     int           // of the server's response, if that is why
	Code       Code          // with which the WebSocket has ended; 0 if there was none
	Reason     string        // of the server, with Code
	RetryAfter time.Duration // that the server has asked for, with Status

	// DoubtFrom and DoubtTo are the numbers of the messages, both included, that were handed to the
	// ended WebSocket and that the server has not confirmed; 0 for none. They are not sent again.
	// Numbers that DropOldest has dropped may lie between.
	DoubtFrom, DoubtTo uint64

	// In all phases:

	Queued  int    // messages that wait. In PhaseClosed: that are dropped
	Dropped uint64 // messages that DropOldest has dropped since the last State
}

// EventName implements conn.Event.
func (*State) EventName() string { return "websocket.State" }

// RefusedForGood is a ReconnectOptions.Fatal: it gives up when the server has refused the handshake
// with a status that another attempt would not change: 400, 401, 403, 404, 405, 410, 426, or 501.
func RefusedForGood(ev *State) bool {
	switch ev.Status {
	case 400, 401, 403, 404, 405, 410, 426, 501:
		return true
	}
	return false
}

// A Reconnector keeps a WebSocket open: when it ends, or an attempt fails, it tries again, later
// and later. Reconnect makes one. It belongs to the loop of its manager, as all its methods do.
//
// A message is sent once at most. The Reconnector keeps it until it is handed to a WebSocket; then
// it is the connection's, and is not sent again. If that WebSocket ends, *State says which messages
// are in doubt.
type Reconnector struct {
	world world
	url   string
	h     conn.Handler
	opts  ReconnectOptions

	phase    Phase
	closing  bool // Close was called
	ending   bool // the manager shuts down
	c        *conn.Conn
	failures int   // attempts in a row that have not led to a stable WebSocket
	openedAt int64 // on the loop's clock
	timer    timer // of the next attempt; nil if there is none
	state    State // the event

	err    error // why c ends
	code   Code  // with which the WebSocket on c has ended
	reason string

	box     outbox
	last    uint64 // number of the last message
	dropped uint64 // since the last State

	// The open WebSocket:
	first, handed uint64 // numbers of the first and the last message that it was given; 0 for none
	confirmed     uint64 // up to which the server has shown to have them
	asks          timer  // of the next ping; nil if there is none
}

// A world is what a Reconnector needs of a manager.
type world interface {
	connect(url string, h conn.Handler, o *ClientOptions) (*conn.Conn, error)
	after(d time.Duration, f func()) timer
	now() int64
	random(n int64) int64   // from 0 to n-1
	forGood(err error) bool // whether an error of connect would come again
}

// A timer is a *mgr.Timer.
type timer interface{ Stop() bool }

func newReconnector(w world, url string, h conn.Handler, opts *ReconnectOptions) (*Reconnector, error) {
	r := &Reconnector{world: w, url: url, h: h}
	if opts != nil {
		r.opts = *opts
	}
	if r.h == nil {
		r.h = func(*conn.Conn, conn.Event) {}
	}
	d, err := newDial(url, &r.opts.ClientOptions)
	if err == nil && d.target.Secure && r.opts.TLS == nil {
		err = d.wrap(errTLS)
	}
	if err != nil {
		return nil, err
	}
	o := &r.opts
	orElse(&o.MinDelay, time.Second)
	orElse(&o.MaxDelay, time.Minute)
	orElse(&o.Stable, 10*time.Second)
	orElse(&o.RestartMin, 5*time.Second)
	orElse(&o.RestartMax, 30*time.Second)
	orElse(&o.MaxRetryAfter, time.Hour)
	if o.Confirm == 0 {
		o.Confirm = 10 * time.Second
	}
	r.box = outbox{most: o.MaxQueue, mostBytes: o.MaxQueueBytes}
	if r.box.most == 0 {
		r.box.most = 1000
	}
	if r.box.mostBytes <= 0 {
		r.box.mostBytes = 1 << 20
	}
	r.timer = w.after(0, r.attempt)
	return r, nil
}

func orElse(d *time.Duration, standard time.Duration) {
	if *d <= 0 {
		*d = standard
	}
}

// Phase returns what r is doing.
func (r *Reconnector) Phase() Phase { return r.phase }

// Conn returns the connection of the WebSocket that is open, nil if none is.
func (r *Reconnector) Conn() *conn.Conn {
	if r.phase != PhaseOpen {
		return nil
	}
	return r.c
}

// Queued returns how many messages wait, and their bytes.
func (r *Reconnector) Queued() (messages, bytes int) { return len(r.box.list), r.box.bytes }

// Hurry ends the wait: the next attempt begins with the next turn of the loop. It is for a program
// that knows that the network is back. In another phase it does nothing.
func (r *Reconnector) Hurry() {
	if r.phase == PhaseWaiting && r.timer != nil {
		r.timer.Stop()
		r.timer = r.world.after(0, r.attempt)
	}
}

// Close ends r, whatever it is doing, with the close code 1000 if a WebSocket is open. Messages
// that wait are dropped. The last event is a *State with PhaseClosed, after Close has returned. A
// second call does nothing.
func (r *Reconnector) Close() {
	if r.closing || r.phase == PhaseClosed {
		return
	}
	r.closing = true
	switch {
	case r.c == nil: // it waits
		r.stop()
		r.timer = r.world.after(0, func() { r.closed(State{}) })
	case r.phase != PhaseOpen:
		r.c.Close()
	default:
		if err := CloseWith(r.c, CloseNormal, ""); err != nil && err != ErrClosed {
			r.c.Close()
		}
	}
}
