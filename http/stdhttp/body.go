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
	paused   bool // the connection is, because of size
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
	}
}

// Read waits for bytes of the body. It returns ErrConnection, wrapped, when there will be none because the connection has
// ended, and os.ErrDeadlineExceeded, wrapped, after the read deadline.
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
			n := b.take(p)
			b.more()
			return n, nil
		case b.complete:
			b.showTrailers()
			return 0, io.EOF
		case x.ended != nil:
			return 0, x.ended
		}
		x.changed.Wait()
	}
}

// more has the loop resume the connection when it is time.
func (b *body) more() {
	if b.mayResume() {
		b.x.ring()
	}
}

// take moves bytes to p.
func (b *body) take(p []byte) int {
	n := copy(p, b.parts[0])
	if b.parts[0] = b.parts[0][n:]; len(b.parts[0]) == 0 {
		b.parts[0] = nil
		b.parts = b.parts[1:]
	}
	b.size -= n
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

// Close makes later Reads fail. What is still to come is thrown away.
func (b *body) Close() error {
	b.x.mu.Lock()
	defer b.x.mu.Unlock()
	b.drop()
	b.more()
	return nil
}

// drop forgets what was not read.
func (b *body) drop() {
	b.closed = true
	b.parts, b.size = nil, 0
	b.x.changed.Broadcast()
}
