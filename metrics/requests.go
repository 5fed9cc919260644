package metrics

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Requests counts HTTP requests. Several loops may share one. Write is safe for concurrent use.
type Requests struct {
	began    atomic.Uint64
	ended    atomic.Uint64
	bad      atomic.Uint64
	cut      atomic.Uint64
	bytes    atomic.Uint64
	statuses [6]atomic.Uint64 // by the first digit of the status
	took     [len(bounds) + 1]atomic.Uint64
	sum      atomic.Int64 // ns
	guard    http.Middleware
}

// bounds are the upper bounds of the histogram, in seconds.
var bounds = [...]float64{.001, .005, .025, .1, .5, 2.5, 10}

// NewRequests returns Requests that have counted nothing.
func NewRequests() *Requests {
	r := new(Requests)
	r.guard = http.Guard(r.note)
	return r
}

// Count returns a handler that counts the requests that go to next. Around the handler of a
// listener it counts all, including those that package http refuses; as middleware of a route or a
// group it counts theirs. It costs one closure for each request.
func (r *Requests) Count(next http.Handler) http.Handler {
	next = r.guard(next)
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.BadRequest); ok {
			r.bad.Add(1)
		}
		next(c, ev)
	}
}

// note is the guard that sees each request once. It lets all pass.
func (r *Requests) note(c *conn.Conn, _ *http.Request) bool {
	began := c.Layer().Shared().Now
	err := http.OnReply(c, func(status int, bytes int64) {
		r.ended.Add(1)
		took := c.Layer().Shared().Now - began
		i := 0
		for i < len(bounds) && float64(took) > bounds[i]*float64(time.Second) {
			i++
		}
		r.took[i].Add(1)
		r.sum.Add(took)
		r.bytes.Add(uint64(bytes))
		if status == 0 {
			r.cut.Add(1)
		} else {
			r.statuses[min(status/100, len(r.statuses)-1)].Add(1)
		}
	})
	if err == nil {
		r.began.Add(1)
	}
	return true
}

// Write is a Source.
func (r *Requests) Write(w *Writer) {
	ended := r.ended.Load() // before began, so that the difference is never negative
	w.Gauge("mangusta_http_requests_running", "Requests whose replies are not complete.", float64(r.began.Load()-ended))
	for i := range r.statuses {
		if i > 0 {
			w.Counter("mangusta_http_requests_total", "Requests by the status of the reply.", float64(r.statuses[i].Load()),
				"status", strconv.Itoa(i)+"xx")
		}
	}
	w.Counter("mangusta_http_requests_cut_total", "Requests whose connections ended before a reply.", float64(r.cut.Load()))
	w.Counter("mangusta_http_bad_requests_total", "Requests that were malformed, too large or too slow.", float64(r.bad.Load()))
	w.Counter("mangusta_http_content_bytes_total", "Bytes of content in replies.", float64(r.bytes.Load()))
	var counts [len(bounds) + 1]uint64
	for i := range counts {
		counts[i] = r.took[i].Load()
	}
	w.Histogram("mangusta_http_request_seconds", "Time from the head of a request until its reply was queued.", bounds[:], counts[:],
		time.Duration(r.sum.Load()).Seconds())
}
