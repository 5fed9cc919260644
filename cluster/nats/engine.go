package nats

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	client "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/seed4930a636/mangusta/broadcast"
)

const (
	startTimeout  = 10 * time.Second // of the embedded server
	askTimeout    = 5 * time.Second  // for what is asked about the stream
	pingInterval  = 2 * time.Second  // a link that is silent for maxPings of them is dead
	maxPings      = 2
	reconnectWait = 250 * time.Millisecond
	headerRoom    = 4 << 10 // for the headers of a message, beside MaxMessage
	maxID         = 1 << 10 // bytes of Entry.ID, which takes up to three times as many
)

var (
	// ErrClosed is wrapped by the errors after Close.
	ErrClosed = broadcast.ErrEngineClosed
	// ErrNotSent is given to the callback of Publish, and returned by it, for a message that did
	// not reach the server: it is not stored.
	ErrNotSent = fmt.Errorf("nats: no server is reached: %w", broadcast.ErrDown)
	// ErrUnknown is given to the callback of Publish when the acknowledgement did not come: the
	// server or the way to it failed after the message was sent. The message may be stored, and
	// delivered, or not. Publishing it again with the same Entry.ID does not store it twice.
	ErrUnknown = fmt.Errorf("nats: the message was not acknowledged: %w", broadcast.ErrDown)
	// ErrTooLarge is returned by Publish for a message of more than Options.MaxMessage bytes, or
	// more than the server takes.
	ErrTooLarge = fmt.Errorf("nats: %w", broadcast.ErrTooLarge)
)

// An Engine keeps the messages of a hub in a stream of NATS JetStream, and gives them to all nodes
// in one order. Its methods are safe for concurrent use.
type Engine struct {
	opts      Options
	server    *server.Server // nil: it stands elsewhere
	temporary string         // the directory of the embedded server, to be removed
	token     string         // Options.Secret, or one that only this engine knows
	nc        *client.Conn
	js        jetstream.JetStream
	prefix    string // of the subjects, with the dot
	out       publisher

	ctx    context.Context // until Close
	cancel context.CancelFunc
	again  chan struct{} // a connection has been made, or broke

	mu      sync.Mutex
	closed  bool
	running chan struct{} // closed when Run ends; nil when there is none
}

// Open starts the embedded server, or connects to another one. It does not wait until a server can
// be reached: until then Publish returns ErrNotSent. The errors are of the Options, of the embedded
// server's addresses and of its directory.
func Open(opts Options) (*Engine, error) {
	opts, err := opts.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{opts: opts, token: opts.Secret, prefix: opts.Name + ".", again: make(chan struct{}, 1)}
	e.ctx, e.cancel = context.WithCancel(context.Background())
	if len(opts.URLs) == 0 {
		err = e.embed()
	}
	if err == nil {
		err = e.connect()
	}
	if err != nil {
		e.Close()
		return nil, err
	}
	return e, nil
}

func (e *Engine) connect() error {
	o := client.GetDefaultOptions()
	o.Name = "mangusta"
	o.Servers = e.opts.URLs
	o.Token = e.token
	o.MaxReconnect = -1
	o.ReconnectWait, o.ReconnectJitter = reconnectWait, reconnectWait
	o.RetryOnFailedConnect = true
	o.ReconnectBufSize = -1 // a message is refused while there is no server: its outcome would stay unknown
	o.PingInterval, o.MaxPingsOut = pingInterval, maxPings
	o.FlusherTimeout = askTimeout
	o.IgnoreAuthErrorAbort = true
	if e.server != nil {
		o.InProcessServer = e.server
	}
	o.ConnectedCB = func(*client.Conn) { e.turned(true) }
	o.ReconnectedCB = func(*client.Conn) { e.turned(true) }
	o.DisconnectedErrCB = func(_ *client.Conn, err error) { e.turned(false) }
	o.AsyncErrorCB = func(*client.Conn, *client.Subscription, error) {} // what is lost is found by its number
	if e.opts.Client != nil {
		e.opts.Client(&o)
	}
	nc, err := o.Connect()
	if err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	e.nc = nc
	if e.js, err = jetstream.New(nc); err != nil {
		return fmt.Errorf("nats: %w", err)
	}
	return e.out.start(e)
}

// turned hears that the connection was made or has broken.
func (e *Engine) turned(up bool) {
	if !up {
		e.out.cut()
	}
	select {
	case e.again <- struct{}{}:
	default:
	}
}

// Address returns where the embedded server takes other nodes: Options.Listen, with the port that
// the system has chosen. It is empty if it takes none.
func (e *Engine) Address() string {
	if e.server == nil || e.opts.Listen == "" {
		return ""
	}
	if at, ok := e.server.Addr().(*net.TCPAddr); ok {
		return at.String()
	}
	return ""
}

// Info returns what the stream has: the offsets of its first and last message, and its epoch. It
// waits for the server's answer, and returns an error that wraps broadcast.ErrDown if there is
// none.
func (e *Engine) Info() (broadcast.Info, error) {
	ctx, cancel := context.WithTimeout(e.ctx, askTimeout)
	defer cancel()
	s, err := e.findStream(ctx)
	if err != nil {
		return broadcast.Info{}, e.why(err)
	}
	return s.info, nil
}

// why joins the errors that say that the log cannot be reached.
func (e *Engine) why(err error) error {
	switch {
	case e.ctx.Err() != nil:
		return ErrClosed
	case errors.Is(err, broadcast.ErrDown):
		return err
	}
	return fmt.Errorf("%w: %w", broadcast.ErrDown, err)
}

// Close ends Run and waits for it, and gives ErrClosed to the callbacks of messages that are not
// acknowledged. Then the embedded server stops, and with it the stream of the nodes that use it.
func (e *Engine) Close() error {
	e.mu.Lock()
	closed := e.closed
	e.closed = true
	e.mu.Unlock()
	err := e.stop()
	if !closed && err == nil && e.server != nil && e.mayLose() {
		err = e.noteEnd()
	}
	return err
}

// stop is Close, without a note of it.
func (e *Engine) stop() error {
	e.cancel()
	if e.nc != nil {
		e.nc.Close()
	}
	e.out.stop()
	e.mu.Lock()
	running := e.running
	e.mu.Unlock()
	if running != nil {
		<-running
	}
	if e.server != nil {
		e.server.Shutdown()
		e.server.WaitForShutdown()
	}
	if e.temporary != "" {
		return os.RemoveAll(e.temporary)
	}
	return nil
}
