package stdhttp

import (
	"fmt"
	nethttp "net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A writer is the ResponseWriter of one request.
type writer struct {
	x  *exchange
	mu sync.Mutex // for handlers that write on several goroutines; it is held while a Write waits

	header  nethttp.Header // the handler's
	head    nethttp.Header // as it was at WriteHeader
	status  int            // 0 before WriteHeader
	length  int64          // what the handler declared, or -1
	written int64
	buf     *[]byte // of buffers; the bytes that are gathered
	begun   bool    // the head is on its way
	done    bool
	why     error // of done, when the handler has not returned

	hijacked bool
}

func newWriter(x *exchange) *writer {
	return &writer{x: x, header: make(nethttp.Header), length: -1}
}

func (w *writer) Header() nethttp.Header { return w.header }

// WriteHeader takes the status and the fields of the reply. An interim status is sent at once, and
// another may follow.
func (w *writer) WriteHeader(status int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writeHeader(status)
}

func (w *writer) writeHeader(status int) {
	if status < 100 || status > 999 {
		panic(fmt.Sprintf("stdhttp: WriteHeader: status %d", status))
	}
	switch {
	case w.done || w.status != 0:
		return
	case status < 200 && status != nethttp.StatusSwitchingProtocols:
		w.x.add(step{kind: stepInterim, status: status, fields: w.fieldsOf(w.header)})
		return
	}
	w.status = status
	w.head = w.header.Clone()
	if v := w.head.Get("Content-Length"); v != "" {
		if n, err := strconv.ParseInt(v, 10, 64); err == nil && n >= 0 {
			w.length = n
		}
		w.head.Del("Content-Length")
	}
}

// hasBody reports whether the status allows a body (RFC 9110 6.4.1, and 15.3.6 for 205, where
// net/http is lenient).
func (w *writer) hasBody() bool {
	return w.status >= 200 && w.status != 204 && w.status != 205 && w.status != 304
}

func (w *writer) isHead() bool { return w.x.request.Method == "HEAD" }

// Write waits while the client has not read what was written before. It returns
// http.ErrBodyNotAllowed, http.ErrContentLength, ErrBusy, or an error that wraps ErrConnection or
// os.ErrDeadlineExceeded.
func (w *writer) Write(p []byte) (int, error) { return write(w, p) }

// WriteString is Write for a string.
func (w *writer) WriteString(s string) (int, error) { return write(w, s) }

func write[T []byte | string](w *writer, p T) (n int, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return 0, w.refusal()
	}
	if w.status == 0 {
		w.writeHeader(nethttp.StatusOK)
	}
	switch {
	case len(p) == 0:
		return 0, nil
	case !w.hasBody():
		return 0, nethttp.ErrBodyNotAllowed
	case w.length >= 0 && w.written+int64(len(p)) > w.length:
		return 0, nethttp.ErrContentLength
	}
	for n < len(p) {
		if w.buf == nil {
			w.buf = buffers.Get().(*[]byte)
		}
		b := *w.buf
		k := copy(b[len(b):cap(b)], p[n:])
		*w.buf = b[:len(b)+k]
		n += k
		w.written += int64(k)
		if len(b)+k == cap(b) && n < len(p) || w.begun && len(b)+k == cap(b) {
			if err := w.push(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// push sends the gathered bytes, and before them the head.
func (w *writer) push() error {
	if !w.begun {
		s := step{kind: stepBegin, status: w.status, fields: w.fields(), length: w.length, hasBody: w.hasBody()}
		if err := w.x.add(s); err != nil {
			return err
		}
		w.begun = true
	}
	s := step{kind: stepData, buf: w.buf}
	if w.buf == nil {
		return nil
	}
	s.data, w.buf = *w.buf, nil
	if w.isHead() {
		s.release()
		return w.x.alive()
	}
	return w.x.add(s)
}

// fields is the head of the reply. If a Content-Type is missing and needed, it is guessed from the
// gathered bytes.
func (w *writer) fields() []field {
	_, typed := w.head["Content-Type"]
	if !typed && w.buf != nil && len(*w.buf) > 0 && w.head.Get("Content-Encoding") == "" {
		w.head.Set("Content-Type", nethttp.DetectContentType(*w.buf))
	}
	return w.fieldsOf(w.head)
}

// fieldsOf lists h without the trailers.
func (w *writer) fieldsOf(h nethttp.Header) []field {
	list := make([]field, 0, len(h))
	for name, values := range h {
		if strings.HasPrefix(name, nethttp.TrailerPrefix) {
			continue
		}
		for _, v := range values {
			list = append(list, field{name, v})
		}
	}
	return list
}

// Flush is FlushError without the error.
func (w *writer) Flush() { w.FlushError() }

// FlushError sends what was written so far. It returns ErrBusy, and the errors of Write.
func (w *writer) FlushError() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return w.refusal()
	}
	if !w.x.h.yield(w.x, streaming) {
		w.refuse()
		return ErrBusy
	}
	if w.status == 0 {
		w.writeHeader(nethttp.StatusOK)
	}
	return w.push()
}

// refusal is the error of methods that are called after the reply has ended.
func (w *writer) refusal() error {
	switch {
	case w.hijacked:
		return nethttp.ErrHijacked
	case w.why != nil:
		return w.why
	}
	return errFinished
}

// refuse ends a reply that would be one stream too many: with 503, or a cut if it has begun.
func (w *writer) refuse() {
	w.done, w.why = true, ErrBusy
	w.drop()
	if w.begun {
		w.x.add(step{kind: stepCut})
	} else {
		w.x.add(step{kind: stepWhole, status: 503, fields: []field{{"Retry-After", "1"}}})
	}
	w.x.cancel()
}

// drop forgets the gathered bytes.
func (w *writer) drop() {
	if w.buf != nil {
		*w.buf = (*w.buf)[:0]
		buffers.Put(w.buf)
		w.buf = nil
	}
}

// SetReadDeadline makes reads of the body fail from t on; the zero time is never.
func (w *writer) SetReadDeadline(t time.Time) error {
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.x.readBy.at(&w.x.changed, t)
	return nil
}

// SetWriteDeadline makes Writes that wait for the client fail from t on, and the reply is then cut;
// the zero time is never.
func (w *writer) SetWriteDeadline(t time.Time) error {
	w.x.mu.Lock()
	defer w.x.mu.Unlock()
	w.x.writeBy.at(&w.x.changed, t)
	return nil
}

// CloseNotify returns a channel that gets true when the client has gone. New programs use the
// request's context.
func (w *writer) CloseNotify() <-chan bool { return w.x.closeNotify() }

// EnableFullDuplex does nothing: a body may always be read while the reply is written.
func (w *writer) EnableFullDuplex() error { return nil }

// finish completes the reply when the handler has returned.
func (w *writer) finish() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	if w.status == 0 {
		w.writeHeader(nethttp.StatusOK)
	}
	w.done = true
	switch {
	case w.length >= 0 && w.written < w.length && w.hasBody() && !w.isHead():
		w.x.add(step{kind: stepCut}) // the reply would be shorter than it says
	case w.begun || w.hasTrailers() || w.isHead() && w.hasBody() && (w.length >= 0 || w.written == 0):
		if w.push() != nil || w.x.add(step{kind: stepEnd, fields: w.trailers()}) != nil {
			w.x.add(step{kind: stepCut})
		}
	default:
		s := step{kind: stepWhole, status: w.status, fields: w.fields(), buf: w.buf}
		if w.buf != nil {
			s.data, w.buf = *w.buf, nil
		}
		if w.x.add(s) != nil {
			w.x.add(step{kind: stepCut})
		}
	}
}

// hasTrailers reports whether the body has to be chunked because trailers follow it.
func (w *writer) hasTrailers() bool {
	if w.length >= 0 || !w.hasBody() || w.x.request.ProtoMinor == 0 {
		return false
	}
	for name := range w.header {
		if strings.HasPrefix(name, nethttp.TrailerPrefix) {
			return true
		}
	}
	return len(w.head["Trailer"]) > 0
}

// trailers are the fields that the handler announced in Trailer, or set with http.TrailerPrefix.
func (w *writer) trailers() (list []field) {
	for _, line := range w.head["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			name = nethttp.CanonicalHeaderKey(strings.TrimSpace(name))
			for _, v := range w.header[name] {
				list = append(list, field{name, v})
			}
		}
	}
	for name, values := range w.header {
		if name, ok := strings.CutPrefix(name, nethttp.TrailerPrefix); ok {
			for _, v := range values {
				list = append(list, field{nethttp.CanonicalHeaderKey(name), v})
			}
		}
	}
	return list
}

// cut ends a reply that must not look complete.
func (w *writer) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.done {
		return
	}
	w.done = true
	w.drop()
	w.x.add(step{kind: stepCut})
}
