package http

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// Flags are facts about an exchange that do not depend on each other.
type flags uint16

const (
	busy          flags = 1 << iota // a handler is running on behalf of the exchange
	entered                         // a function given to Later.With is running
	closing                         // the connection closes after the reply
	holding                         // Hold is in force
	isHead                          // the method is HEAD
	asStream                        // the handler wants the body as it comes: StreamBody or SaveBody was called
	ownLimit                        // SetMaxBody was called
	events                          // the reply is a stream of server-sent events
	upgrades                        // Connection: Upgrade goes with the reply
	accepts                         // the client takes the coding of Options.Compress
	heldWeak                        // its If-None-Match names a weak tag; known with Options.Compress only
	encoded                         // the reply is in that coding
	varies                          // the reply depends on Accept-Encoding
	holdsContinue                   // HoldContinue is in force: the client has not been told to send the body
	fileFields                      // extra has lines of ServeFS and its like alone: none that appendHead looks for
)

// An exchange is one request and its reply. It lasts from the first byte of the one to the last of
// the other, and then goes back to the free list of its server.
type exchange struct {
	srv  *Server
	turn uint64 // counts the requests that this object has been
	head Head
	msg  Message

	// These are emptied, and keep their room.
	p       wire.RequestHead
	fields  []Field
	path    []byte    // a decoded path
	extra   []byte    // lines of SetHeader
	routed  []routing // of each Mux that has seen the request
	rulings []ruling  // of each Guard

	round
}

// A round is the part of an exchange that each request gets fresh.
type round struct {
	c     *conn.Conn
	later *Later // nil until somebody asks for it
	tally *tally // nil when requests are not counted
	in    intake
	out   outlet
	flags flags

	// intake
	f       wire.RequestFraming
	dec     wire.ChunkDecoder
	n       int   // length of the head
	w, r    int   // of a chunked body: where the data ends, and what has been read
	total   int   // bytes of the whole request in c.Recv
	left    int64 // of a streamed body with a Content-Length: the bytes still to come
	maxBody int64
	base    []byte // c.Recv when the head was looked at
	nhead   int    // fields of the head; after them come the trailers
	clock   clock
	sink    sink // takes the body instead of the handler; nil without one

	// outlet
	due       int64   // when the handler must have replied, or a source goes on; 0 is never
	lastEvent int64   // when the last server-sent event was queued
	owed      int64   // of a reply that has begun: the bytes still to come, or untold
	src       pumped  // of a reply that is pumped
	enc       Encoder // of a chunked reply in the coding of Options.Compress; nil without one
	note      replyNote
}

func (x *exchange) is(f flags) bool { return x.flags&f != 0 }

// maxFree bounds the free list, and maxKept the buffers of each exchange in it.
const (
	maxFree = 1024
	maxKept = 4 << 10
)

// open gives the connection an exchange.
func (s *Server) open(c *conn.Conn) *exchange {
	var x *exchange
	if n := len(s.free); n > 0 {
		x = s.free[n-1]
		s.free = s.free[:n-1]
	} else {
		x = &exchange{srv: s}
		x.head.x = x
	}
	x.c = c
	c.Layer().SetSpare(false)
	x.tally, _ = c.Layer().ProtocolState().(*tally)
	x.maxBody = s.opts.MaxBody
	c.Layer().SetProtocolState(x)
	return x
}

// release takes the exchange off the connection and makes it ready for another.
func (x *exchange) release(c *conn.Conn) {
	if x.tally != nil {
		c.Layer().SetProtocolState(x.tally)
	} else {
		c.Layer().SetProtocolState(x.srv)
	}
	x.recycle()
}

// recycle puts x on the free list.
func (x *exchange) recycle() {
	note, later := x.noted(), x.later
	x.dropSource()
	x.dropSink(errCut)
	x.dropEncoder()
	x.round = round{}
	x.turn++
	x.p.Reset()
	x.extra, x.path = x.extra[:0], x.path[:0]
	x.routed, x.rulings = x.routed[:0], x.rulings[:0]
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
	if later != nil {
		later.end()
	}
}

// noted completes and returns the note of an exchange that is over.
func (x *exchange) noted() replyNote {
	n := x.note
	x.note = replyNote{}
	switch {
	case x.out == outHijacked:
		n.status, n.size = 101, 0
	case x.out == outWaiting:
		n.status, n.size = 0, 0
	}
	if x.src != nil { // cut
		n.size -= x.src.unsent()
	}
	return n
}

// dropSource closes what pumps the reply. Like the other drop functions it finds nothing the second
// time.
func (x *exchange) dropSource() {
	if s := x.src; s != nil {
		x.src = nil
		s.close()
	}
}

// dropSink tells the sink that the rest of the body will not come, because of err.
func (x *exchange) dropSink(err error) {
	if k := x.sink; k != nil {
		x.sink = nil
		k.drop(err)
	}
}

// dropEncoder gives back the encoder of a chunked reply.
func (x *exchange) dropEncoder() {
	if x.enc != nil {
		x.enc.Drop()
		x.enc = nil
	}
}
