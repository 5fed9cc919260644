package stdhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

var errBegun = errors.New("stdhttp: hijack: the reply has begun, or the body has not been read to its end")

// Hijack gives the connection to the handler, as http.Hijacker says. It returns http.ErrHijacked,
// ErrBusy, an error that wraps ErrConnection, or another error if the reply has begun or the
// request's body has not come to its end.
func (w *writer) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.hijacked:
		return nil, nil, nethttp.ErrHijacked
	case w.done || w.status != 0:
		return nil, nil, errBegun
	case !w.x.h.yield(w.x, streaming):
		return nil, nil, ErrBusy
	}
	c, err := w.x.hijack()
	if err != nil {
		return nil, nil, err
	}
	w.done, w.hijacked = true, true
	return c, bufio.NewReadWriter(bufio.NewReader(c), bufio.NewWriter(c)), nil
}

// hijack has the loop take the connection from package http.
func (x *exchange) hijack() (*hijacked, error) {
	var taken *hijacked
	var failed error
	err := x.post(func() {
		c, err := x.hijackNow()
		x.mu.Lock()
		defer x.mu.Unlock()
		if taken, failed = c, err; err == nil {
			x.ended = nethttp.ErrHijacked
		}
		x.changed.Broadcast()
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrConnection, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	for taken == nil && failed == nil && x.ended == nil {
		x.changed.Wait()
	}
	switch {
	case taken != nil:
		return taken, nil
	case failed != nil:
		return nil, failed
	}
	return nil, x.ended
}

// hijackNow is hijack's part on the loop.
func (x *exchange) hijackNow() (*hijacked, error) {
	if !x.installed || !x.c.IsOpen() {
		return nil, ErrConnection
	}
	x.replying = true // so that OnEnd does not take the end of the request for another's reply
	if err := x.later.Hijack(); err != nil {
		x.replying = false
		return nil, fmt.Errorf("%w: %w", errBegun, err)
	}
	x.installed = false
	x.stopBodyTime()
	c := x.c
	y := &hijacked{h: x.h, c: c, wrapped: x.wrapped, local: localAddr(c), remote: remoteAddr(c), eof: c.Layer().PeerDone()}
	y.changed.L = &y.mu
	c.SetHalfOpen(true)
	c.SetHandler(y.handle)
	if c.Recv.Len() > 0 {
		y.receive()
	}
	return y, nil
}

func remoteAddr(c *conn.Conn) net.Addr {
	if a := c.RemoteAddr(); a.IsValid() {
		return net.TCPAddrFromAddrPort(a)
	}
	return &net.UnixAddr{Name: "@", Net: "unix"}
}

// hijacked is a net.Conn over a connection of the loop. All its methods are safe for concurrent
// use. The manager's limits and timeouts stay in force, and Manager.Shutdown drains it.
type hijacked struct {
	h             *Handler
	c             *conn.Conn   // the loop's
	wrapped       conn.Handler // the handler of c before
	local, remote net.Addr

	mu      sync.Mutex
	changed sync.Cond // signals any change of what follows
	in      []byte
	out     []byte
	posted  bool // run is on its way to the loop
	paused  bool // the connection is, because of in
	eof     bool
	shut    bool // CloseWrite
	closed  bool // Close
	ended   error
	readBy  deadline
	writeBy deadline
}

// handle is the connection's handler.
func (y *hijacked) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Read:
		y.receive()
		return
	case *conn.Write:
		y.run()
	case *conn.EOF:
		y.mu.Lock()
		y.eof = true
		y.changed.Broadcast()
		y.mu.Unlock()
	case *conn.Close:
		y.end(fmt.Errorf("%w: %s", ErrConnection, ev.Reason))
	}
	if y.wrapped != nil {
		y.wrapped(c, ev)
	}
}

// receive moves the bytes that have arrived to in, and pauses the connection when in is long.
func (y *hijacked) receive() {
	y.mu.Lock()
	defer y.mu.Unlock()
	p := y.c.Recv.Bytes()
	if !y.closed {
		y.in = append(y.in, p...)
	}
	y.c.Recv.Discard(len(p))
	if len(y.in) >= y.h.opts.Buffer && !y.paused {
		y.paused = true
		y.c.Pause()
	}
	y.changed.Broadcast()
}

func (y *hijacked) end(err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.ended == nil {
		y.ended = err
	}
	y.out = nil
	y.changed.Broadcast()
}

// ring asks the loop to call run. It is called with mu held, and releases it for a moment.
func (y *hijacked) ring() {
	if y.posted || y.ended != nil {
		return
	}
	y.posted = true
	y.mu.Unlock()
	err := post(mgr.Of(y.c), y.run)
	y.mu.Lock()
	if err != nil && y.ended == nil {
		y.ended = fmt.Errorf("%w: %w", ErrConnection, err)
		y.changed.Broadcast()
	}
}

// run does on the loop what Read, Write and Close need there.
func (y *hijacked) run() {
	y.mu.Lock()
	defer y.mu.Unlock()
	y.posted = false
	c := y.c
	if y.ended != nil || !c.IsOpen() {
		return
	}
	if y.paused && (y.closed || len(y.in) <= y.h.opts.Buffer/2) {
		y.paused = false
		c.Resume()
	}
	if n := min(len(y.out), y.h.roomOn(c)); n > 0 {
		if _, err := c.Write(y.out[:n]); err != nil {
			y.ended = fmt.Errorf("%w: %w", ErrConnection, err)
			c.Close()
		}
		if y.out = y.out[n:]; len(y.out) == 0 {
			y.out = nil
		}
		y.changed.Broadcast()
	}
	switch {
	case len(y.out) > 0:
	case y.closed:
		c.Drain()
	case y.shut:
		c.CloseWrite()
	}
}

func (y *hijacked) error(op string, err error) error {
	return &net.OpError{Op: op, Net: y.local.Network(), Source: y.local, Addr: y.remote, Err: err}
}

// Read implements net.Conn.
func (y *hijacked) Read(p []byte) (int, error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for {
		switch {
		case y.closed:
			return 0, y.error("read", net.ErrClosed)
		case y.readBy.passed:
			return 0, y.error("read", os.ErrDeadlineExceeded)
		case len(p) == 0:
			return 0, nil
		case len(y.in) > 0:
			n := copy(p, y.in)
			if y.in = y.in[n:]; len(y.in) == 0 {
				y.in = nil
			}
			if y.paused && len(y.in) <= y.h.opts.Buffer/2 {
				y.ring()
			}
			return n, nil
		case y.eof:
			return 0, io.EOF
		case y.ended != nil:
			return 0, y.error("read", y.ended)
		}
		y.changed.Wait()
	}
}

// Write implements net.Conn. It waits while Options.Buffer bytes are on their way to the loop.
func (y *hijacked) Write(p []byte) (n int, err error) {
	y.mu.Lock()
	defer y.mu.Unlock()
	for {
		switch {
		case y.closed || y.shut:
			return n, y.error("write", net.ErrClosed)
		case y.writeBy.passed:
			return n, y.error("write", os.ErrDeadlineExceeded)
		case y.ended != nil:
			return n, y.error("write", y.ended)
		case len(p) == 0:
			return n, nil
		}
		k := min(len(p), y.h.opts.Buffer-len(y.out))
		if k <= 0 {
			y.changed.Wait()
			continue
		}
		y.out = append(y.out, p[:k]...)
		n, p = n+k, p[k:]
		y.ring()
	}
}

// Close implements net.Conn. It sends what was written first.
func (y *hijacked) Close() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.closed {
		return y.error("close", net.ErrClosed)
	}
	y.closed = true
	y.in = nil
	y.readBy.stop()
	y.writeBy.stop()
	y.changed.Broadcast()
	y.ring()
	return nil
}

// CloseWrite ends the stream towards the client after what was written, as that of net.TCPConn
// does.
func (y *hijacked) CloseWrite() error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.closed || y.shut {
		return y.error("close", net.ErrClosed)
	}
	y.shut = true
	y.ring()
	return nil
}

// LocalAddr implements net.Conn.
func (y *hijacked) LocalAddr() net.Addr { return y.local }

// RemoteAddr implements net.Conn.
func (y *hijacked) RemoteAddr() net.Addr { return y.remote }

// SetDeadline implements net.Conn.
func (y *hijacked) SetDeadline(t time.Time) error { return y.setDeadline(t, &y.readBy, &y.writeBy) }

// SetReadDeadline implements net.Conn.
func (y *hijacked) SetReadDeadline(t time.Time) error { return y.setDeadline(t, &y.readBy) }

// SetWriteDeadline implements net.Conn.
func (y *hijacked) SetWriteDeadline(t time.Time) error { return y.setDeadline(t, &y.writeBy) }

func (y *hijacked) setDeadline(t time.Time, which ...*deadline) error {
	y.mu.Lock()
	defer y.mu.Unlock()
	if y.closed {
		return y.error("set", net.ErrClosed)
	}
	for _, d := range which {
		d.at(&y.changed, t)
	}
	return nil
}

// post has the loop run f. While the loop's queue is full it waits, so that nothing is lost. After
// the manager has been closed f is not run, and post returns ErrClosed.
func post(m *mgr.Manager, f func()) error {
	for {
		err := m.Do(f)
		if err != mgr.ErrFull {
			return err
		}
		time.Sleep(time.Millisecond)
	}
}
