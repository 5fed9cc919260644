package main

import (
	"errors"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// A passage is one request and its response on their way through the proxy. It begins in Head, and
// ends when the reply is queued or the client's connection has ended, whichever comes first.
type passage struct {
	p     *proxy
	c     *conn.Conn // the client's
	later *http.Later
	head  bool // the method is HEAD
	minor int  // the client speaks HTTP/1.minor

	// towards the server
	r          http.ClientRequest
	body       body
	idempotent bool
	to         *upstream
	tried      []*upstream // if there are several
	call       http.Call

	// towards the client
	stream  *http.Stream // the reply, once it has begun
	replied bool         // the reply is complete, or is none of the proxy's any more
	over    bool
	held    *conn.Conn // the server's connection, while it waits for the client; else nil
}

// send sends the request to the next server.
func (x *passage) send() {
	x.to = x.p.upstreams.next(x.p.m.Now(), x.tried)
	if len(x.p.upstreams.all) > 1 {
		x.tried = append(x.tried, x.to)
	}
	x.r.URL = x.to.url
	x.r.Events = x.event
	x.to.requests++
	call, err := x.p.client.Do(&x.r, x.done)
	switch {
	case err == nil:
		x.call = call
	case errors.Is(err, http.ErrQueueFull):
		x.fail(503)
	default:
		x.fail(502)
	}
}

// requestBody takes a piece of the request's body.
func (x *passage) requestBody(k *http.Chunk) {
	x.body.offer(k)
	x.call.Wake()
	x.body.keep()
	if x.body.waiting() >= x.p.cfg.buffer && !x.over {
		x.c.Pause()
	}
}

// serverAsks is the first time that a server wants bytes of the body.
func (x *passage) serverAsks() {
	if x.r.Expect {
		x.later.SendInterim(100)
	}
}

// taken goes on with a client that has had to wait.
func (x *passage) taken() {
	if x.c.Paused() && x.body.waiting() <= x.p.cfg.buffer/2 {
		x.c.Resume()
	}
}

// event gets the events of the response. c is the connection to the server.
func (x *passage) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Interim:
		x.interim(ev)
	case *http.ResponseHead:
		x.to.works()
		if ev.Status == 101 {
			x.switchProtocols(c, ev)
			return
		}
		http.StreamResponse(c)
		if err := x.reply(ev); err != nil {
			x.abort()
		}
	case *http.Chunk:
		if x.stream != nil {
			x.responseBody(c, ev)
		}
	}
}

func (x *passage) interim(ev *http.Interim) {
	var fields []http.Field
	for _, f := range ev.Headers() {
		if passes(ev, f) {
			fields = append(fields, f)
		}
	}
	x.later.SendInterim(ev.Status, fields...)
}

// reply begins the reply, or makes all of it.
func (x *passage) reply(h *http.ResponseHead) error {
	x.p.copyFields(x.later, h, h.Length < 0 && x.minor > 0)
	length := h.Length
	switch {
	case h.Status == 204 || h.Status == 205 || h.Status == 304:
		x.replied = true
		return x.later.ReplyBytes(h.Status, "", nil)
	case x.head:
		x.replied = true
		length = lengthOf(h)
	}
	stream, err := x.later.BeginLength(h.Status, "", length)
	if err != nil {
		return err
	}
	if x.head {
		return stream.End()
	}
	x.stream = stream
	return nil
}

// lengthOf returns the length that the response to a HEAD request tells, -1 if it tells none.
func lengthOf(h *http.ResponseHead) int64 {
	n, err := strconv.ParseInt(string(h.Header("Content-Length")), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// responseBody passes a piece on.
func (x *passage) responseBody(c *conn.Conn, k *http.Chunk) {
	if _, err := x.stream.Write(k.Data); err != nil {
		x.abort()
		return
	}
	switch {
	case k.Last:
		x.replied = true
		if err := x.stream.End(k.Trailers()...); err != nil {
			x.abort()
		}
	case x.c.Pending() >= x.p.cfg.buffer:
		c.Pause()
		x.held = c
	}
}

// wrote goes on with a server that has had to wait.
func (x *passage) wrote() {
	if x.held != nil && x.c.Pending() <= x.p.cfg.buffer/2 {
		x.held.Resume()
		x.held = nil
	}
}

// done is the end of the response, or of the attempt to get one.
func (x *passage) done(_ *http.Response, err error) {
	x.call = http.Call{}
	switch {
	case x.over:
		x.body.drop()
	case err == nil:
	case x.stream != nil:
		x.p.figures.cut++
		x.to.fails(x.p.m.Now(), &x.p.upstreams)
		x.abort()
	case x.replied: // all that the client wants is there
	case x.mayRetry(err):
		x.p.figures.retries++
		x.to.fails(x.p.m.Now(), &x.p.upstreams)
		x.send()
	default:
		x.to.fails(x.p.m.Now(), &x.p.upstreams)
		x.fail(statusOf(err))
	}
}

// mayRetry reports whether the request goes to another server.
func (x *passage) mayRetry(err error) bool {
	if n := len(x.p.upstreams.all); n == 1 || len(x.tried) == n || x.body.asked {
		return false
	}
	return errors.Is(err, http.ErrUnsent) && !errors.Is(err, http.ErrTimeout) || x.idempotent && errors.Is(err, http.ErrNoResponse)
}

// statusOf returns what the client is told of a server's failure.
func statusOf(err error) int {
	for _, late := range [...]error{http.ErrResolveTimeout, http.ErrConnectTimeout, http.ErrTLSTimeout, http.ErrFirstByteTimeout,
		http.ErrStallTimeout, http.ErrTimeout} {
		if errors.Is(err, late) {
			return 504
		}
	}
	return 502
}

// fail replies with an error of the proxy's own.
func (x *passage) fail(status int) {
	x.replied = true
	x.p.figures.failures[status]++
	if x.later.Error(status) != nil {
		x.abort()
	}
}

// abort cuts the client's connection, so that it sees that the response is incomplete.
func (x *passage) abort() {
	if x.stream == nil || x.stream.Abort() != nil {
		x.c.Close()
	}
}

// ended is the end of the client's request: the reply is queued, or the connection has ended.
func (x *passage) ended() {
	x.over = true
	if x.c.Data == x {
		x.c.Data = nil
	}
	if x.held != nil {
		x.held.Resume() // it may be kept
		x.held = nil
	}
	if x.c.Paused() {
		x.c.Resume()
	}
	if !x.replied {
		x.p.figures.clientGone++
		x.call.Cancel()
		x.call = http.Call{}
	}
	if x.call == (http.Call{}) {
		x.body.drop()
	}
}
