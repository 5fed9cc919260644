package stdhttp

import (
	"io"
	nethttp "net/http"

	"github.com/seed4930a636/mangusta/http"
)

// A body is what a handler reads of its request. The mutex of its exchange guards it.
type body struct {
	x        *exchange
	parts    [][]byte
	size     int // of parts
	complete bool
	paused   bool // the connection is paused, because size is high
	closed   bool // by the handler, or because it has returned
	trailers []field
}

// setWhole makes a copy of m's body the whole of b.
func (b *body) setWhole(m *http.Message) {
	b.complete = true
	if len(m.Body) == 0 && len(m.Trailers()) == 0 {
		b.x.request.Body = nethttp.NoBody
		return
	}
	b.add(m.Body)
	b.trailers = copyFields(m.Trailers())
}

func copyFields(in []http.Field) (out []field) {
	for _, f := range in {
		out = append(out, field{nethttp.CanonicalHeaderKey(string(f.Name)), string(f.Value)})
	}
	return out
}

// add puts a copy of p behind what is there.
func (b *body) add(p []byte) {
	if len(p) > 0 && !b.closed {
		b.parts = append(b.parts, append([]byte(nil), p...))
		b.size += len(p)
		b.x.h.hold(len(p))
	}
}

// Read waits for bytes of the body. If the connection has ended before the body, it returns an
// error that wraps ErrConnection. After the read deadline it returns one that wraps
// os.ErrDeadlineExceeded.
func (b *body) Read(p []byte) (int, error) {
	x := b.x
	x.mu.Lock()
	defer x.mu.Unlock()
	for {
		switch {
		case b.closed:
			return 0, nethttp.ErrBodyReadAfterClose
		case len(p) == 0:
			return 0, nil
		case x.readBy.passed:
			return 0, errReadDeadline
		case len(b.parts) > 0:
			n := b.moveTo(p)
			b.more()
			return n, nil
		case b.complete:
			b.showTrailers()
			return 0, io.EOF
		case x.readErr != nil:
			return 0, x.readErr
		case x.ended != nil:
			return 0, x.ended
		}
		if err := x.wait(); err != nil {
			x.readErr = err
		}
	}
}

// more has the loop resume a paused connection, if there is room again.
func (b *body) more() {
	if b.mayResume() {
		b.x.ring()
	}
}

// moveTo moves bytes of the first part to p, and returns how many.
func (b *body) moveTo(p []byte) int {
	n := copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts[0] = nil
		b.parts = b.parts[1:]
	}
	b.size -= n
	b.x.h.hold(-n)
	return n
}

// showTrailers fills in the Trailer of the request, on the goroutine that reads the body.
func (b *body) showTrailers() {
	r := b.x.request
	for _, t := range b.trailers {
		if r.Trailer == nil {
			r.Trailer = make(nethttp.Header)
		}
		r.Trailer[t.name] = append(r.Trailer[t.name], t.value)
	}
	b.trailers = nil
}

// Close makes later Reads fail. Bytes of the body that still arrive are thrown away.
func (b *body) Close() error {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	b.drop()
	b.more()
	return nil
}

// drop forgets the bytes that the handler has not read.
func (b *body) drop() {
	b.closed = true
	b.x.h.hold(-b.size)
	b.parts, b.size = nil, 0
	b.x.changed.Broadcast()
}

// tooLong ends a body that has not come in time.
func (x *exchange) tooLong() {
	x.mu.Lock()
	if x.body.complete || x.ended != nil {
		x.mu.Unlock()
		return
	}
	x.readErr = errBodyDeadline
	x.changed.Broadcast()
	x.mu.Unlock()
	if x.gathering {
		x.uninstall()
		x.later.SetHeader("Connection", "close")
		x.later.Error(408)
		x.end(errBodyDeadline)
		x.h.forget(x)
	}
}

// feed adds a piece to the body. It pauses the connection if the handler has much to read already.
func (x *exchange) feed(k *http.Chunk) {
	x.mu.Lock()
	b := &x.body
	b.add(k.Data)
	if k.Last {
		b.complete = true
		b.trailers = copyFields(k.Trailers())
		x.stopBodyTime()
	} else if !b.paused && b.isFull() {
		b.paused = true
		x.c.Pause()
	}
	x.changed.Broadcast()
	start := x.gathering && (b.complete || b.paused)
	x.mu.Unlock()
	if start {
		x.handOver()
	}
}

func (x *exchange) stopBodyTime() {
	if x.bodyBy != nil {
		x.bodyBy.Stop()
		x.bodyBy = nil
	}
}

// isFull reports whether the connection has to pause. It is called with mu held.
func (b *body) isFull() bool {
	return b.size >= b.x.h.opts.Buffer || b.size > 0 && !b.x.h.hasRoom(1)
}

// resume ends the pause that feed has begun, after the handler has read half of the body that was
// there. The loop calls it.
func (x *exchange) resume() {
	x.mu.Lock()
	due := x.body.mayResume()
	if due {
		x.body.paused = false
	}
	x.mu.Unlock()
	if due && x.c.IsOpen() {
		x.c.Resume()
	}
}

// mayResume reports whether a paused connection may go on: there is room, or the handler wants no
// more of the body. It is called with mu held.
func (b *body) mayResume() bool {
	return b.paused && (b.closed || b.x.ended != nil || b.size == 0 || b.size <= b.x.h.opts.Buffer/2 && b.x.h.hasRoom(1))
}
