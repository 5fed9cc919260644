package stdhttp

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"net/netip"
	"runtime/debug"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

var (
	// ErrConnection is wrapped by the errors of a handler's Read and Write after the connection has
	// ended, or after the program has replied to the request by other means. net/http has no fixed
	// error for it.
	ErrConnection = errors.New("stdhttp: the connection has ended")
	errFinished   = errors.New("stdhttp: the handler has returned")
)

// An exchange is one request on its way through a worker. The worker puts steps of the reply into a
// list; the loop takes them out as fast as the client reads.
type exchange struct {
	h       *Handler
	request *nethttp.Request
	cancel  context.CancelFunc

	// These fields belong to the loop alone.
	c         *conn.Conn
	later     *http.Later
	stream    *http.Stream // of a reply that has begun
	wrapped   conn.Handler // the handler of c before
	installed bool
	replying  bool // the last step is being done, or Hijack
	replied   bool // the status has no body, so the reply was complete with its head
	gathering bool // the body comes before the handler is called
	bodyBy    *mgr.Timer

	from  netip.Addr // whose share it counts in
	place place      // guarded by Handler.mu

	mu      sync.Mutex
	changed sync.Cond // signals any change of what follows
	steps   []step
	unsent  int   // bytes of data in steps
	posted  bool  // run is on its way to the loop
	ended   error // why nothing can be sent or received any more; nil while it can
	left    bool  // the client has gone, or has finished sending
	gone    chan bool
	body    body
	readBy  deadline
	writeBy deadline
	crowded deadline // see wait
	readErr error    // why Read returns no more of the body
	addErr  error
}

func (h *Handler) newExchange(c *conn.Conn, m *http.Request, r *nethttp.Request) *exchange {
	ctx := context.WithValue(context.Background(), nethttp.ServerContextKey, h.server)
	ctx = context.WithValue(ctx, nethttp.LocalAddrContextKey, localAddr(c))
	ctx, cancel := context.WithCancel(ctx)
	x := &exchange{h: h, c: c, later: m.Later(), cancel: cancel, from: conn.Owner(h.opts.Client(c, m), nil)}
	x.changed.L = &x.mu
	x.body.x = x
	r.Body = &x.body
	x.request = r.WithContext(ctx)
	return x
}

// install lets x see the events of its connection, before the handler that was there. The loop
// calls it.
func (x *exchange) install() {
	x.installed = true
	x.wrapped = x.c.Layer().Handler()
	x.c.SetHandler(x.handle)
	x.later.OnEnd(func() {
		if x.installed && !x.replying && !x.c.IsClosed() { // the program has replied by other means
			x.h.forget(x)
			x.uninstall()
			x.end(fmt.Errorf("%w: %w", ErrConnection, http.ErrGone))
		}
	})
	if x.c.Layer().PeerDone() {
		x.announceLeft()
	}
}

// uninstall undoes install. The loop calls it when the reply is complete or the connection has
// ended.
func (x *exchange) uninstall() {
	if x.installed {
		x.installed = false
		x.stopBodyTime()
		x.c.SetHandler(x.wrapped)
	}
}

// handle is the connection's handler while x lasts.
func (x *exchange) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Chunk:
		x.feed(ev)
		return
	case *conn.Write:
		x.pump()
	case *conn.EOF:
		x.announceLeft()
	case *conn.Close:
		x.lose(fmt.Errorf("%w: %s", ErrConnection, ev.Reason))
	case *http.BadRequest:
		x.lose(fmt.Errorf("%w: %d: %w", ErrConnection, ev.Status, ev.Err))
	}
	x.wrapped(c, ev)
}

// lose takes x off a connection that cannot bring the reply to the client any more. The order
// matters: if the end of its context wakes the handler, its Write must fail already.
func (x *exchange) lose(err error) {
	x.h.forget(x)
	x.uninstall()
	x.end(err)
	x.announceLeft()
}

// announceLeft lets the handler know that its client has gone, or has finished sending. The loop
// calls it.
func (x *exchange) announceLeft() {
	x.cancel()
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.left && x.gone != nil {
		x.gone <- true
	}
	x.left = true
}

// closeNotify returns what http.CloseNotifier does.
func (x *exchange) closeNotify() <-chan bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.gone == nil {
		x.gone = make(chan bool, 1)
		if x.left {
			x.gone <- true
		}
	}
	return x.gone
}

// end tells the worker that no reply can be sent any more. The loop calls it.
func (x *exchange) end(err error) {
	x.mu.Lock()
	if x.ended == nil {
		x.ended = err
	}
	x.dropSteps()
	x.changed.Broadcast()
	x.mu.Unlock()
	x.cancel() // after ended is set: if this wakes the handler, its Write must fail
	x.resume()
}

// dropSteps is called with mu held.
func (x *exchange) dropSteps() {
	for i := range x.steps {
		x.steps[i].release()
	}
	x.h.hold(-x.unsent)
	x.steps, x.unsent = nil, 0
}

// callHandler calls the handler, on a worker.
func (x *exchange) callHandler() {
	w := newWriter(x)
	returned := false
	defer func() {
		v := recover()
		if v != nil && v != nethttp.ErrAbortHandler {
			x.report(v, debug.Stack())
		}
		if returned {
			w.finish()
		} else {
			w.cut()
		}
		x.cancel()
		x.mu.Lock()
		x.readBy.stop()
		x.writeBy.stop()
		x.crowded.stop()
		x.body.drop()
		x.mu.Unlock()
		if f := x.request.MultipartForm; f != nil {
			f.RemoveAll()
		}
		if !returned && v == nil {
			go x.h.work(x.h.next(x)) // runtime.Goexit takes this worker along
		}
	}()
	if x.alive() == nil {
		x.h.handler.ServeHTTP(w, x.request)
	}
	returned = true
}

// alive returns nil while a reply can still be sent.
func (x *exchange) alive() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended
}

// report counts and logs a panic, on the loop: a conn.Logger need not be safe for concurrent use.
func (x *exchange) report(v any, stack []byte) {
	sh := x.c.Layer().Shared()
	log := func() {
		if sh.Log != nil {
			sh.Log.Error("stdhttp: handler panicked", "method", x.request.Method, "target", x.request.RequestURI,
				"panic", fmt.Sprint(v), "stack", string(stack))
		}
	}
	if x.post(func() { sh.Stats.Panics++; log() }) != nil {
		log() // the manager has been closed: there is no loop
	}
}

func (x *exchange) post(f func()) error { return post(mgr.Of(x.c), f) }

// ring asks the loop to call run. It is called with mu held, and releases it for a moment.
func (x *exchange) ring() {
	if x.posted || x.ended != nil {
		return
	}
	x.posted = true
	x.mu.Unlock()
	err := x.post(x.run)
	x.mu.Lock()
	if err != nil && x.ended == nil {
		x.ended = fmt.Errorf("%w: %w", ErrConnection, err)
		x.changed.Broadcast()
	}
}

// run does on the loop what has become possible: it resumes the body, and sends steps.
func (x *exchange) run() {
	x.mu.Lock()
	x.posted = false
	x.mu.Unlock()
	x.resume()
	x.pump()
}

// add puts a step of the reply into the list. It waits while the list holds as much data as it may.
// A cut does not wait, since the handler has returned; the steps before it are still sent, unless
// the write deadline has passed.
func (x *exchange) add(s step) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.kind == stepCut && x.writeBy.passed {
		x.dropSteps()
		s.late = true
	}
	for x.ended == nil && x.addErr == nil && !x.writeBy.passed && s.kind != stepCut && x.isFull() {
		x.addErr = x.wait()
	}
	switch {
	case x.ended != nil:
		s.release()
		return x.ended
	case x.addErr != nil && s.kind != stepCut:
		s.release()
		return x.addErr
	case x.writeBy.passed && s.kind != stepCut:
		s.release()
		return errWriteDeadline
	}
	x.steps = append(x.steps, s)
	x.unsent += len(s.data)
	x.h.hold(len(s.data))
	x.ring()
	return nil
}

// isFull reports whether the reply must wait for the client to take some of it. If the list is
// empty the reply goes on in any case, so that each reply makes progress, if slowly. It is called
// with mu held.
func (x *exchange) isFull() bool {
	return x.unsent >= x.h.opts.Buffer || x.unsent > 0 && !x.h.hasRoom(1)
}
