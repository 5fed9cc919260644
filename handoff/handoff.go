package handoff

import (
	"errors"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Options are the settings of Begin. All but Path may be left out.
type Options struct {
	// Path is the socket on which a process waits for its successor: a file, or "@name" in Linux's
	// abstract name space. A file is made with mode 0600.
	Path string

	// Patience is how long each side waits for the other until Ready has been called; default 30 s.
	// A new process that takes longer is told that it must not serve, and the old one goes on.
	Patience time.Duration

	// Deadline is how long the old process may take to finish after it has stopped accepting;
	// default 30 s. What is still open then is cut.
	Deadline time.Duration

	// Spread is the longest delay before a connection of the old process is told of the restart;
	// default a sixth of Deadline, negative is none.
	Spread time.Duration

	// Allow says which process may be the other side. By default it must have the same effective
	// user as this one, or be root.
	Allow func(conn.Credentials) bool

	// Move lets idle connections pass to the new process, if both processes have it set. For
	// WebSockets the new process needs Restore. Until half of Deadline the old process waits for
	// those that are busy to become idle.
	Move bool

	// Save returns the program's own bytes for a connection that is about to move, at most 64 KiB,
	// in the process that it leaves, which then sees a *conn.Close with the reason conn.Moved. With
	// false the connection does not move, and is told of the restart within Spread. It runs on the
	// loop of c.
	Save func(c *conn.Conn) (user []byte, ok bool)

	// Restore is called in the process that the connection has come to, on the loop of c, after its
	// Open and Accept. For the kind websocket.MoveKind it calls websocket.Restore. After an error
	// the connection ends. It is called too for a connection that has come back because the new
	// process died. Without it only connections of kind http.MoveKind move, if Save is nil.
	Restore func(c *conn.Conn, r Record) error

	// Log hears of each handoff; nil: nobody does.
	Log conn.Logger
}

// A Record is what came with a connection from another process.
type Record struct {
	Kind  string // of the layer: http.MoveKind, websocket.MoveKind
	State []byte // the layer's, for its Restore
	User  []byte // what Options.Save returned
}

func (o Options) withDefaults() Options {
	if o.Patience <= 0 {
		o.Patience = 30 * time.Second
	}
	if o.Deadline <= 0 {
		o.Deadline = 30 * time.Second
	}
	if o.Spread == 0 {
		o.Spread = o.Deadline / 6
	}
	if o.Allow == nil {
		o.Allow = func(who conn.Credentials) bool { return who.UID == os.Geteuid() || who.UID == 0 }
	}
	if o.Log == nil {
		o.Log = mgr.Silent
	}
	return o
}

var (
	// ErrAborted is wrapped by the error of Ready if the old process has given this one up, and
	// goes on serving.
	ErrAborted = errors.New("handoff: the old process goes on serving")
	// ErrNotAllowed is wrapped by the error of Begin if the process that listens on Options.Path is
	// not one that Options.Allow lets in.
	ErrNotAllowed = errors.New("handoff: the other process has the wrong user")
)

// A Process is this one, in the row of those that replace each other. It is an mgr.Inherit.
type Process struct {
	opts Options

	mu      sync.Mutex
	offered []offered // the listeners of the process before
	before  int       // the socket to it; -1 if there is none
	elder   bool      // another one before that still finishes

	loops    []*mgr.Manager
	host     *mgr.Manager // the loop on which the talk with the other processes goes on
	control  *conn.Conn   // the listener on Options.Path
	giving   *giving      // the handoff that is under way to a successor, or nil
	link     *link        // to the process before, while that one finishes, or nil
	replaced atomic.Bool
}

// offered is a listener of the process before.
type offered struct {
	addr  string
	fd    int
	taken bool
}

// Replaced reports whether a successor has taken over: then Run has ended because of that. Safe for
// concurrent use.
func (p *Process) Replaced() bool { return p.replaced.Load() }

// First reports whether no process was there to be replaced. Safe for concurrent use.
func (p *Process) First() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.offered) == 0
}

// Take implements mgr.Inherit: it gives up a socket of the process before that listens on a. Safe
// for concurrent use.
func (p *Process) Take(a conn.Addr) (fd int, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.offered {
		if o := &p.offered[i]; !o.taken && o.addr == a.String() {
			o.taken = true
			return o.fd, true
		}
	}
	return -1, false
}

// closeRest closes the sockets that nobody has taken.
func (p *Process) closeRest() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.offered {
		if o := &p.offered[i]; !o.taken {
			o.taken = true
			unix.Close(o.fd)
		}
	}
}

// Close gives up what Begin has got and nobody has taken: for a program that cannot go on to Ready.
// The old process goes on serving.
func (p *Process) Close() {
	p.closeRest()
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.before >= 0 {
		unix.Close(p.before)
		p.before = -1
	}
}

// controlURL is the address of Options.Path.
func (p *Process) controlURL() string { return "unix://" + p.opts.Path }
