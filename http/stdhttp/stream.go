package stdhttp

import (
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// begin sends the head of an answer that is longer than a buffer. RFC 9110 6.4.1: some have no body.
func (x *exchange) begin(s *step) error {
	contentType := x.setFields(s.fields)
	if !s.hasBody {
		x.replied = true
		return http.ReplyBytes(x.c, s.status, contentType, nil)
	}
	return http.BeginLength(x.c, s.status, contentType, s.length)
}

// finish sends the end of an answer.
func (x *exchange) finish(s *step) error {
	if x.replied {
		return nil
	}
	err := http.End(x.c, fieldsOf(s.fields)...)
	if err == http.ErrBadHeader {
		x.warn("trailers left out", err)
		err = http.End(x.c)
	}
	return err
}

// interim sends an interim answer. Fields that belong to the answer itself are left out of it.
func (x *exchange) interim(s *step) error {
	s.fields = slices.DeleteFunc(s.fields, func(f field) bool {
		return f.name == "Connection" || f.name == "Date" || f.name == "Content-Length" || f.name == "Transfer-Encoding"
	})
	err := http.SendInterim(x.c, s.status, fieldsOf(s.fields)...)
	if err == http.ErrBadHeader {
		x.warn("interim answer left out", err)
		return nil
	}
	return err
}

func fieldsOf(fields []field) []http.Field {
	out := make([]http.Field, 0, len(fields))
	for _, f := range fields {
		out = append(out, http.Field{Name: []byte(f.name), Value: []byte(oneLine.Replace(f.value))})
	}
	return out
}

// stream begins to handle a request whose body comes in Chunk events. The loop calls it in the Head event.
func (h *Handler) stream(c *conn.Conn, m *http.Head) {
	r, err := copyRequest(c, &m.Request)
	if err != nil {
		http.Error(c, 400)
		return
	}
	if r.ContentLength > h.opts.MaxBody {
		http.Error(c, 413)
		return
	}
	if http.SetMaxBody(c, h.opts.MaxBody) != nil || http.Stream(c) != nil {
		return // some other handler has answered
	}
	h.start(h.newExchange(c, r))
}

// feed takes a piece of the body. It pauses the connection while the handler has much to read.
func (x *exchange) feed(k *http.Chunk) {
	x.mu.Lock()
	defer x.mu.Unlock()
	b := &x.body
	b.add(k.Data)
	if k.Last {
		b.complete = true
		b.trailers = copyFields(k.Trailers())
	} else if b.size >= x.h.opts.Buffer && !b.paused {
		b.paused = true
		x.c.Pause()
	}
	x.changed.Broadcast()
}

// resume ends the pause of feed, when the handler has read half of what there was. The loop calls it.
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

// mayResume reports whether a paused body is to go on: because there is room, or because nobody wants it. It is called with
// mu held.
func (b *body) mayResume() bool {
	return b.paused && (b.closed || b.x.ended != nil || b.size <= b.x.h.opts.Buffer/2)
}
