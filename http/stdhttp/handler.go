package stdhttp

import (
	"context"
	nethttp "net/http"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// Options are the settings of a Handler. Zero fields mean the defaults.
type Options struct {
	// Workers is how many handlers run at a time; default 64. A handler that waits for its client
	// (in a Read of the body, in a Write, or with a hijacked connection) counts in Streams instead.
	Workers int
	// Queue is how many requests may wait for a worker; further ones get 503. Default 256, negative
	// is none.
	Queue int
	// Streams is how many handlers may wait for their clients, or have called Flush or Hijack and
	// not returned; default 512. If there are more, a Flush or Hijack ends the request with 503, or
	// cuts a reply that has begun; a handler that waits for its client keeps its worker for a
	// second, and then gets ErrBusy.
	Streams int
	// Part is the percentage of Workers, of Queue and of Streams that the requests of one client
	// address (with IPv6, one /64) may have; default 75, negative is 100. A program behind a proxy
	// sets Client.
	Part int
	// Client returns the address that Part counts; default c.RemoteAddr().Addr(). An address that
	// is not valid is not limited by Part. It is called on the loop. For a program behind proxies:
	//
	//	func(c *conn.Conn, r *http.Request) netip.Addr { return r.ClientAddr(c, trusted, "X-Forwarded-For") }
	Client func(c *conn.Conn, r *http.Request) netip.Addr
	// MaxBody is how many bytes a body that Handle streams may have, else 413; default 1 GiB. Serve
	// has http.Options.MaxBody.
	MaxBody int64
	// BodyTime is how long a body that Handle streams may take from head to end; default 1 h,
	// negative is for ever. After it the handler's Read fails; if the handler has not been called
	// yet, the client gets 408.
	BodyTime time.Duration
	// Buffer is how many bytes of a body, and how many of a reply, may be in memory between loop
	// and handler; default 256 KiB. If Content-Length says that a body fits, its handler takes a
	// worker only after the body is complete.
	Buffer int
	// Memory is how many bytes of bodies and replies may be in memory between loop and handlers in
	// all; by default 64 MiB, or a quarter of the manager's budget (mgr.Options.Memory) if that is
	// less. It is charged to that budget, and is never more than half of it. At that limit each
	// request keeps what is there and gets little more, and new requests with a body get 503.
	Memory int
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Queue == 0 {
		o.Queue = 256
	}
	if o.Streams <= 0 {
		o.Streams = 512
	}
	switch {
	case o.Part == 0:
		o.Part = 75
	case o.Part < 0 || o.Part > 100:
		o.Part = 100
	}
	if o.Client == nil {
		o.Client = func(c *conn.Conn, _ *http.Request) netip.Addr { return c.RemoteAddr().Addr() }
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 30
	}
	if o.BodyTime == 0 {
		o.BodyTime = time.Hour
	}
	if o.Buffer <= 0 {
		o.Buffer = 256 << 10
	}
	return o
}

// A Handler gives requests to a handler of net/http. Serve and Handle belong to the goroutine of
// the loop of the connection; Running and Wait are safe for concurrent use.
type Handler struct {
	budget   *conn.Budget
	handler  nethttp.Handler
	opts     Options
	server   *nethttp.Server // handlers find it under http.ServerContextKey; it serves nothing
	patience time.Duration
	held     atomic.Int64 // bytes of bodies and replies between loop and handlers

	mu                      sync.Mutex
	workers, queue, streams share
	queued                  []*exchange   // the requests that have a place in queue
	idle                    chan struct{} // closed when no handler runs; nil while no Wait needs it
}

// New makes a handler for connections of g, a *mgr.Manager or *mgr.Loops. Of Loops, the bounds of
// Options hold for the sum. A nil handler is http.DefaultServeMux.
func New(g mgr.Group, handler nethttp.Handler, o Options) *Handler {
	if handler == nil {
		handler = nethttp.DefaultServeMux
	}
	o = o.withDefaults()
	budget := g.Managers()[0].Budget()
	if limit := budget.Limit(); o.Memory <= 0 {
		o.Memory = min(64<<20, limit/4)
	} else {
		o.Memory = min(o.Memory, limit/2)
	}
	return &Handler{budget: budget, handler: handler, opts: o, server: &nethttp.Server{Handler: handler}, patience: patience,
		workers: newShare(o.Workers, o.Part), queue: newShare(o.Queue, o.Part), streams: newShare(o.Streams, o.Part)}
}

// Serve replies to m, whose body is complete. It is for Mux.Handle, or for a program's own routing.
// Until the reply is complete, c's handler is wrapped: SetHandler must not be called meanwhile.
func (h *Handler) Serve(c *conn.Conn, m *http.Message) {
	if isPing(c, &m.Request) {
		return
	}
	r, err := copyRequest(c, &m.Request)
	if err != nil {
		http.Error(c, 400)
		return
	}
	if !h.hasRoom(len(m.Body)) {
		h.refuse(m.Later())
		return
	}
	x := h.newExchange(c, &m.Request, r)
	x.body.setWhole(m)
	x.install()
	x.handOver()
}

// serveHead begins a request whose body comes in Chunk events.
func (h *Handler) serveHead(c *conn.Conn, m *http.Head) {
	r, err := copyRequest(c, &m.Request)
	if err != nil {
		http.Error(c, 400)
		return
	}
	if r.ContentLength > h.opts.MaxBody {
		http.Error(c, 413)
		return
	}
	if !h.hasRoom(int(min(max(r.ContentLength, 1), int64(h.opts.Buffer)))) {
		h.refuse(m.Later())
		return
	}
	if http.SetMaxBody(c, h.opts.MaxBody) != nil || http.StreamBody(c) != nil {
		return // another handler has replied
	}
	x := h.newExchange(c, &m.Request, r)
	x.install()
	if h.opts.BodyTime > 0 {
		x.bodyBy = mgr.Of(c).AfterFunc(h.opts.BodyTime, x.tooLong)
	}
	if r.ContentLength >= 0 && r.ContentLength <= int64(h.opts.Buffer) {
		x.gathering = true
	} else {
		x.handOver()
	}
}

// roomOn returns how many bytes for the client may be queued on c now.
func (h *Handler) roomOn(c *conn.Conn) int {
	return min(h.opts.Buffer, c.Limits().Send/2) - c.Pending()
}

// hold says that n bytes more are held, or fewer if n is negative. It is called on any goroutine.
func (h *Handler) hold(n int) {
	h.held.Add(int64(n))
	h.budget.Charge(n)
}

// hasRoom reports whether n more bytes of a body may be held.
func (h *Handler) hasRoom(n int) bool {
	return n == 0 || h.held.Load()+int64(n) <= int64(h.opts.Memory)
}

// refuse replies that there are too many requests.
func (h *Handler) refuse(later *http.Later) {
	later.SetHeader("Retry-After", "1")
	later.Error(503)
}

// handOver gives x to a worker or to the queue, and refuses it if neither has room. The loop calls
// it.
func (x *exchange) handOver() {
	x.gathering = false
	if x.h.start(x) {
		return
	}
	x.uninstall()
	x.h.refuse(x.later)
	x.end(ErrBusy)
	x.mu.Lock()
	x.body.drop()
	x.mu.Unlock()
}

// isPing replies to OPTIONS *, a question to the server and not to what it serves (RFC 9110 9.3.7).
// The handler does not get it: it would look for a path.
func isPing(c *conn.Conn, r *http.Request) bool {
	if string(r.Path) != "*" {
		return false
	}
	http.ReplyBytes(c, 200, "", nil)
	return true
}

// Running returns how many handlers run, including those that wait for their clients and those that
// stream, and how many requests wait for a worker.
func (h *Handler) Running() (running, waiting int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.workers.used + h.streams.used, len(h.queued)
}

// Wait returns when no handler is running, or with ctx's error if ctx is done first.
// Manager.Shutdown waits for the replies of open connections, but handlers whose clients have gone
// may run on: a program that wants them to finish calls Wait after Shutdown.
func (h *Handler) Wait(ctx context.Context) error {
	h.mu.Lock()
	if h.workers.used+h.streams.used == 0 {
		h.mu.Unlock()
		return nil
	}
	if h.idle == nil {
		h.idle = make(chan struct{})
	}
	idle := h.idle
	h.mu.Unlock()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Handle is an http.Handler, for http.Listen and Mux.HandleEvents. It replies to all requests, and
// streams their bodies.
func (h *Handler) Handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		if isPing(c, &ev.Request) {
			return
		}
		if ev.Header("Content-Length") != nil || ev.Header("Transfer-Encoding") != nil {
			h.serveHead(c, ev)
		}
	case *http.Message:
		h.Serve(c, ev)
	}
}
