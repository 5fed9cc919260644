package stdhttp

import (
	"context"
	nethttp "net/http"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// Options are the settings of a Handler. Zero fields mean the defaults.
type Options struct {
	Workers int   // requests handled at a time; default 64
	Queue   int   // requests that wait for a worker, else 503; default 256, negative is none
	MaxBody int64 // bytes of a body that Handle streams, else 413; default 1 GiB. Serve has http.Options.MaxBody
	Buffer  int   // bytes of a body, and of a reply, in memory between loop and handler, each; default 256 KiB
}

func (o Options) withDefaults() Options {
	if o.Workers <= 0 {
		o.Workers = 64
	}
	if o.Queue == 0 {
		o.Queue = 256
	}
	if o.MaxBody == 0 {
		o.MaxBody = 1 << 30
	}
	if o.Buffer <= 0 {
		o.Buffer = 256 << 10
	}
	return o
}

// A Handler gives requests to a handler of net/http. Serve and Handle belong to the goroutine of the loop; Running and
// Wait are safe for concurrent use.
type Handler struct {
	m       *mgr.Manager
	handler nethttp.Handler
	opts    Options
	server  *nethttp.Server // what handlers find under http.ServerContextKey; it serves nothing

	mu      sync.Mutex
	waiting []*exchange
	running int
	idle    chan struct{} // closed when running falls to 0; nil when nobody waits for that
}

// New makes a handler for connections of m. A nil handler is http.DefaultServeMux.
func New(m *mgr.Manager, handler nethttp.Handler, o Options) *Handler {
	if handler == nil {
		handler = nethttp.DefaultServeMux
	}
	return &Handler{m: m, handler: handler, opts: o.withDefaults(), server: &nethttp.Server{Handler: handler}}
}

// Serve is for Mux.Handle, or a program's own routing: it answers m, whose body is there already. Until the
// answer is complete it has c's handler wrapped: SetHandler must not be called meanwhile.
func (h *Handler) Serve(c *conn.Conn, m *http.Message) {
	r, err := copyRequest(c, &m.Request)
	if err != nil {
		http.Error(c, 400)
		return
	}
	x := h.newExchange(c, r)
	x.body.setWhole(m)
	h.start(x)
}

// start gives x to a worker, to the queue, or a 503 to the client.
func (h *Handler) start(x *exchange) {
	h.mu.Lock()
	switch {
	case h.running < h.opts.Workers:
		h.running++
		go h.work(x)
	case len(h.waiting) < h.opts.Queue:
		h.waiting = append(h.waiting, x)
	default:
		h.mu.Unlock()
		x.cancel()
		http.SetHeader(x.c, "Retry-After", "1")
		http.Error(x.c, 503)
		return
	}
	h.mu.Unlock()
	x.install()
}

// work handles x and then what waits. A worker ends when there is nothing left to do: goroutines are cheap to start.
func (h *Handler) work(x *exchange) {
	for x != nil {
		x.serve()
		x = h.next()
	}
}

// next returns a request for a worker to go on with, or nil, and then that worker no longer counts.
func (h *Handler) next() *exchange {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.waiting) > 0 {
		x := h.waiting[0]
		h.waiting[0] = nil
		h.waiting = h.waiting[1:]
		return x
	}
	h.running--
	if h.running == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
	return nil
}

// forget takes x out of the queue, when its connection has ended before its turn came.
func (h *Handler) forget(x *exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, y := range h.waiting {
		if x == y {
			h.waiting = append(h.waiting[:i:i], h.waiting[i+1:]...)
			return
		}
	}
}

// Running returns the number of requests that are being handled and that wait for a worker.
func (h *Handler) Running() (running, waiting int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.running, len(h.waiting)
}

// Wait returns when no handler is running, or ctx's error when that is done first. Manager.Shutdown waits for the answers of
// open connections; handlers whose clients have gone may run on, and a program that wants these to finish, too, calls Wait
// behind it.
func (h *Handler) Wait(ctx context.Context) error {
	h.mu.Lock()
	if h.running == 0 {
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

// Handle is an http.Handler, for http.Listen and Mux.HandleEvents: it answers all requests, and streams their bodies.
func (h *Handler) Handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		if ev.Header("Content-Length") != nil || ev.Header("Transfer-Encoding") != nil {
			h.stream(c, ev)
		}
	case *http.Message:
		h.Serve(c, ev)
	}
}
