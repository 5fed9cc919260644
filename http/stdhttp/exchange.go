package stdhttp

import (
	"context"
	"errors"
	"fmt"
	nethttp "net/http"
	"runtime/debug"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

var (
	// ErrConnection is what a handler's Read and Write return when the connection has ended, or its request has been answered
	// by somebody else. net/http has no fixed error for it.
	ErrConnection = errors.New("stdhttp: the connection has ended")
	errFinished   = errors.New("stdhttp: the handler has returned")
)

// An exchange is one request on its way through a worker. The worker puts steps of the answer into a list; the loop takes
// them out as fast as the client reads.
type exchange struct {
	h       *Handler
	request *nethttp.Request
	cancel  context.CancelFunc

	// Of the loop alone.
	c         *conn.Conn
	next      conn.Handler // the handler of c that is wrapped
	installed bool
	replied   bool // with a status that has no body

	mu      sync.Mutex
	changed sync.Cond // signals any change of what follows
	steps   []step
	unsent  int   // bytes of data in steps
	posted  bool  // run is on its way to the loop
	ended   error // why nothing can be sent or received any more
	body    body
	readBy  deadline
	writeBy deadline
}

func (h *Handler) newExchange(c *conn.Conn, r *nethttp.Request) *exchange {
	ctx := context.WithValue(context.Background(), nethttp.ServerContextKey, h.server)
	ctx = context.WithValue(ctx, nethttp.LocalAddrContextKey, localAddr(c))
	ctx, cancel := context.WithCancel(ctx)
	x := &exchange{h: h, c: c, cancel: cancel}
	x.changed.L = &x.mu
	x.body.x = x
	r.Body = &x.body
	x.request = r.WithContext(ctx)
	return x
}

// install has x see the events of its connection, before the handler that was there. The loop calls it.
func (x *exchange) install() {
	x.installed = true
	x.next = x.c.Handler()
	x.c.SetHandler(x.handle)
	if x.c.PeerDone() {
		x.cancel()
	}
}

// uninstall ends that. The loop calls it when the answer is complete or the connection has ended.
func (x *exchange) uninstall() {
	if x.installed {
		x.installed = false
		x.c.SetHandler(x.next)
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
	case conn.EOF:
		x.cancel()
	case *conn.Close:
		x.h.forget(x)
		x.uninstall()
		x.end(fmt.Errorf("%w: %s", ErrConnection, ev.Reason))
	case *http.BadRequest:
		x.h.forget(x)
		x.uninstall()
		x.end(fmt.Errorf("%w: %d: %w", ErrConnection, ev.Status, ev.Err))
	}
	x.next(c, ev)
}

// end lets the worker know that there is nobody to answer any more. The loop calls it.
func (x *exchange) end(err error) {
	x.cancel()
	x.mu.Lock()
	if x.ended == nil {
		x.ended = err
	}
	x.dropSteps()
	x.changed.Broadcast()
	x.mu.Unlock()
	x.resume()
}

// dropSteps is called with mu held.
func (x *exchange) dropSteps() {
	for i := range x.steps {
		x.steps[i].release()
	}
	x.steps, x.unsent = nil, 0
}

// serve runs the handler, on a worker.
func (x *exchange) serve() {
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
		x.body.drop()
		x.mu.Unlock()
		if !returned && v == nil {
			go x.h.work(x.h.next()) // runtime.Goexit takes this worker along
		}
	}()
	if x.alive() == nil {
		x.h.handler.ServeHTTP(w, x.request)
	}
	returned = true
}

// alive returns nil while there is somebody to answer.
func (x *exchange) alive() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.ended
}

// report counts and logs a panic, on the loop: a conn.Logger need not be safe for concurrent use.
func (x *exchange) report(v any, stack []byte) {
	sh := x.c.Shared()
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

// post has the loop run f. While the loop's queue is full it waits: what a handler has written is never lost. After the
// manager has been closed f is not run, and post returns ErrClosed.
func (x *exchange) post(f func()) error {
	for {
		err := x.h.m.Do(f)
		if err != mgr.ErrFull {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}

// ring has the loop look at x. It is called with mu held, and gives it up for a moment.
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

// run is what ring has the loop do.
func (x *exchange) run() {
	x.mu.Lock()
	x.posted = false
	x.mu.Unlock()
	x.resume()
	x.pump()
}

// add puts a step of the answer into the list, and waits while there is more data in it than the loop may keep. A cut takes
// the place of what is in the list.
func (x *exchange) add(s step) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if s.kind == stepCut {
		x.dropSteps()
	}
	for x.ended == nil && x.unsent >= x.h.opts.Buffer && !x.writeBy.passed {
		x.changed.Wait()
	}
	switch {
	case x.ended != nil:
		s.release()
		return x.ended
	case x.writeBy.passed && s.kind != stepCut:
		s.release()
		return errWriteDeadline
	}
	x.steps = append(x.steps, s)
	x.unsent += len(s.data)
	x.ring()
	return nil
}
