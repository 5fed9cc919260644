package http

import (
	"github.com/seed4930a636/mangusta/conn"
)

// A phase is how far an exchange has come.
type phase uint8

const (
	phaseHead   phase = iota // the head is being read
	phaseBody                // the body is being read
	phaseStream              // the body is being read and handed on as it comes
	phaseAnswer              // the request is complete and waits for its answer, or for the end of one that has begun
	phaseFile                // answered; a file is being sent
	phaseSkip                // answered early; the rest of the body is thrown away
	phaseOver                // hijacked
)

type xflags uint16

const (
	live      xflags = 1 << iota // the handler knows of the request, and it has no answer yet
	hasAnswer                    // the answer is queued, but for the rest of a file
	busy                         // a handler is running on behalf of the exchange
	closing                      // the connection closes behind the answer
	holding                      // Hold is in force
	isHead                       // the method is HEAD
	streamed                     // the handler wants the body as it comes: Stream or SaveBody was called
	ownLimit                     // SetMaxBody was called
	begun                        // the head of a reply is queued, and End has not been called
	events                       // that reply is a stream of server-sent events
	upgrades                     // Connection: Upgrade goes with the answer
	accepts                      // the client takes the coding of Options.Compress
	encoded                      // the answer is in that coding
	varies                       // the answer depends on Accept-Encoding
)

// An exchange is one request and its answer. It lasts from the first byte of the one to the last of the other, and then
// goes back to the free list of its server.
type exchange struct {
	srv   *Server
	tally *tally // nil when requests are not counted
	phase phase
	flags xflags

	p   parser
	f   framing
	dec chunkDecoder

	n       int   // length of the head
	w, r    int   // of a chunked body: where the data ends, and what has been read
	total   int   // length of the whole request as it was sent, but for the data that was moved
	left    int64 // phaseStream and phaseSkip: what is still to come of a body with a Content-Length
	maxBody int64
	view    *byte // where c.Recv lay when head and fields were made
	nhead   int   // fields of the head; behind them are the trailers

	got        int64 // bytes that arrived since the body began
	windowGot  int64 // got when the window for the minimum rate began
	windowEnd  int64
	lastArrive int64
	pausedAt   int64 // when the connection was found paused, 0 when it is not
	lastEvent  int64 // when the last server-sent event was queued
	owed       int64 // of an answer that has begun: the bytes still to come, or untold

	head   Head
	msg    Message
	fields []Field
	path   []byte // room for a decoded path
	extra  []byte // lines of SetHeader
	file   transfer
	sink   sink    // takes the streamed body instead of the handler; nil without one
	enc    Encoder // of a chunked reply in the coding of Options.Compress; nil without one
	note   answerNote

	routed   []routing // of each Mux that the request has come to
	verdicts []verdict // of each Guard
}

func (x *exchange) is(f xflags) bool { return x.flags&f != 0 }

// tally counts the requests of a connection, for Options.MaxRequests.
type tally struct {
	srv    *Server
	served int
}

// maxFree bounds the free list, and maxKept the buffers of what is in it.
const (
	maxFree = 1024
	maxKept = 4 << 10
)

// begin gives the connection an exchange.
func (s *Server) begin(c *conn.Conn) *exchange {
	var x *exchange
	if n := len(s.free); n > 0 {
		x = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		x = &exchange{srv: s}
	}
	x.tally, _ = c.ProtocolState().(*tally)
	x.maxBody = s.opts.MaxBody
	c.SetProtocolState(x)
	return x
}

// release takes the exchange off the connection and makes it ready for another.
func (x *exchange) release(c *conn.Conn) {
	if x.tally != nil {
		c.SetProtocolState(x.tally)
	} else {
		c.SetProtocolState(x.srv)
	}
	x.recycle()
}

// recycle puts x on the free list.
func (x *exchange) recycle() {
	note := x.noted()
	x.file.close()
	x.dropSink(errCut)
	x.dropEncoder()
	x.p.reset()
	x.phase, x.flags, x.tally, x.view = phaseHead, 0, nil, nil
	x.dec = chunkDecoder{}
	x.extra, x.path = x.extra[:0], x.path[:0]
	x.routed, x.verdicts = x.routed[:0], x.verdicts[:0]
	x.got, x.windowGot, x.windowEnd, x.lastArrive, x.pausedAt, x.left = 0, 0, 0, 0, 0, 0
	if cap(x.extra) > maxKept {
		x.extra = nil
	}
	if cap(x.path) > maxKept {
		x.path = nil
	}
	if len(x.srv.free) < maxFree {
		x.srv.free = append(x.srv.free, x)
	}
	if note.call != nil {
		note.call(note.status, note.size)
	}
}

// take fills in the request from the head of n bytes that the parser has read.
func (x *exchange) take(b []byte, n int) error {
	x.n, x.w, x.r = n, n, n
	x.nhead = len(x.p.fields)
	r := &x.head.Request
	r.Method = internMethod(x.p.method.of(b))
	if r.Method == "HEAD" {
		x.flags |= isHead
	}
	if err := x.f.read(b, &x.p); err != nil {
		return err
	}
	if err := x.look(b); err != nil {
		return err
	}
	if x.f.close || x.p.minor == 0 && !x.f.keep {
		x.flags |= closing
	}
	if t := x.tally; t != nil {
		if t.served++; t.served >= x.srv.opts.MaxRequests {
			x.flags |= closing
		}
	}
	if e := x.srv.opts.Compress; e != nil && r.AcceptsEncoding(e.Coding()) == e.Coding() {
		x.flags |= accepts
	}
	return nil
}

// look points the slices of the request into b, where the request lies now.
func (x *exchange) look(b []byte) error {
	x.view = &b[0]
	r := &x.head.Request
	r.Target = x.p.target.of(b)
	u, err := parseTarget(r.Method, r.Target)
	if err != nil {
		return err
	}
	if err := u.allowed(&x.srv.opts); err != nil {
		return err
	}
	r.Minor, r.Query, r.raw = int(x.p.minor), u.query, u.path
	if r.Path, x.path, err = decodePath(x.path, u.path); err != nil {
		return err
	}
	if r.Host = u.host; r.Host == nil && x.f.hasHost {
		r.Host = x.f.host.of(b)
	}
	x.fields = x.fields[:0]
	for i := range x.p.fields {
		f := &x.p.fields[i]
		x.fields = append(x.fields, Field{f.name.of(b), f.value.of(b)})
	}
	r.fields = x.fields[:x.nhead:x.nhead]
	return nil
}

// complete makes the Message of the request whose body is b[x.n:end]. Its head has been emitted.
func (x *exchange) complete(b []byte, end int) {
	if &b[0] != x.view || len(x.p.fields) > x.nhead {
		x.look(b) // it was fine the first time
	}
	x.msg.Request = x.head.Request
	x.msg.Body, x.msg.trailers = nil, x.fields[x.nhead:]
	if end > x.n {
		x.msg.Body = b[x.n:end:end]
	}
}
