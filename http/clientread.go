package http

import (
	"fmt"
	"math"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// An rxState is how far the response to the first call is read.
type rxState uint8

const (
	rxHead   rxState = iota // its head is being read, or nothing has come yet
	rxWhole                 // the body is being read, for one Response
	rxStream                // the body is being read, and handed on as it comes
	rxSkip                  // the body is being read and thrown away: a redirect's
	rxTaken                 // the connection is no longer ours: Detach
)

// An rxEvent is what moves an rxState.
type rxEvent uint8

const (
	rxWantsWhole  rxEvent = iota // the head is there, and the body is wanted whole
	rxWantsStream                // as it comes
	rxWantsNone                  // not at all
	rxEnds                       // the last byte of the response is read
	rxLeaves                     // Detach was called
)

const rxNever rxState = 0xff

// rxStates has the next state for each state and event. Cells that stand for what cannot happen
// have rxNever.
var rxStates = [...][rxLeaves + 1]rxState{
	rxHead:   {rxWantsWhole: rxWhole, rxWantsStream: rxStream, rxWantsNone: rxSkip, rxEnds: rxHead, rxLeaves: rxTaken},
	rxWhole:  {rxWantsWhole: rxNever, rxWantsStream: rxNever, rxWantsNone: rxNever, rxEnds: rxHead, rxLeaves: rxNever},
	rxStream: {rxWantsWhole: rxNever, rxWantsStream: rxNever, rxWantsNone: rxNever, rxEnds: rxHead, rxLeaves: rxNever},
	rxSkip:   {rxWantsWhole: rxNever, rxWantsStream: rxNever, rxWantsNone: rxNever, rxEnds: rxHead, rxLeaves: rxNever},
	rxTaken:  {rxNever, rxNever, rxNever, rxNever, rxTaken},
}

// on moves the machine.
func (rx *rxState) on(ev rxEvent) {
	next := rxStates[*rx][ev]
	if next == rxNever {
		panic("http: a response was received in an impossible order")
	}
	*rx = next
}

// reading is the state of the side that reads.
type reading struct {
	rx     rxState
	inHead bool // the ResponseHead event is being handled
	p      wire.ResponseHead
	f      wire.ResponseFraming
	dec    wire.ChunkDecoder
	spent  int   // bytes of interim responses
	nspans int   // fields of the head; after them come the trailers
	n      int   // length of the head, while c.Recv begins with it
	w, r   int   // of a chunked body that is wanted whole: where the data ends, and what has been read
	left   int64 // of a body with a length that is streamed: the bytes still to come

	// For a body that is decoded as it comes: the first bytes of c.Recv are being decoded.
	decoding  bool
	coded     int  // how many they are; their framing has been read
	fed       int  // of them: that the decoder has used
	codedLast bool // after them the body ends
}

var (
	errUnasked  = &wire.Refusal{Text: "bytes that no request has asked for"}
	errOldHTTP  = &wire.Refusal{Text: "an interim response of HTTP/1.0"}
	errSwitched = &wire.Refusal{Text: "101 (Switching Protocols) that was not asked for, or not taken"}
	errBoth     = &wire.Refusal{Text: "Content-Length together with Transfer-Encoding"}
	errInterims = &wire.Refusal{Text: "too many interim responses"}
)

// read takes what has arrived.
func (k *clientConn) read() {
	for k.c.IsOpen() && !k.c.Layer().Stopped() {
		r := wait
		switch k.rx {
		case rxHead:
			r = k.readHead()
		case rxWhole:
			r = k.readWhole()
		case rxStream:
			r = k.readStream()
		case rxSkip:
			r = k.readSkip()
		}
		if r == wait {
			return
		}
	}
}

// maxBody is the limit of the body of the first response.
func (k *clientConn) maxBody() int64 {
	if m := k.first.req.MaxBody; m != 0 {
		return min(max(m, 0), mostBody)
	}
	return k.side.opts.MaxBody
}

// readHead reads the head of a response, or of an interim one.
func (k *clientConn) readHead() result {
	b, a := k.c.Recv.Bytes(), k.first
	switch {
	case len(b) == 0:
		return wait
	case a == nil || !a.left:
		return k.unasked()
	}
	n, bad := k.p.Parse(b, &k.side.lim)
	if n > 0 {
		if bad = k.f.Read(b, &k.p, a.method); bad == nil && k.f.Ambiguous && k.f.End != wire.NoBody {
			bad = errBoth
		}
	}
	if bad != nil {
		return k.refuse(bad)
	}
	if !a.answered {
		a.answered = true
		k.arm()
	}
	if n == 0 {
		return wait
	}
	k.n, k.nspans = n, len(k.p.Fields)
	if k.p.Status < 200 {
		return k.interim()
	}
	return k.final()
}

// unasked ends a connection on which bytes came before any of a request had left: such
// bytes belong to no request (RFC 9112 9.2 and 9.5). In a pool, a request that was to go on it goes
// on another one.
func (k *clientConn) unasked() result {
	if k.host == nil || k.first == nil {
		return k.refuse(errUnasked)
	}
	k.err = ErrNoResponse
	k.c.Layer().Fail(conn.Protocol, k.first.fail(fmt.Errorf("%w: %s", ErrBadResponse, errUnasked.Text)))
	return wait
}

// interim takes an interim response (RFC 9110 15.2).
func (k *clientConn) interim() result {
	a := k.first
	k.spent += k.n
	switch {
	case k.p.Minor == 0:
		return k.refuse(errOldHTTP)
	case k.p.Status == 101:
		if !a.watches() || !hasField(a.req.lines, "Upgrade") {
			return k.refuse(errSwitched)
		}
		k.keepCookies()
		if k.emitHead(); k.rx == rxTaken || !k.c.IsOpen() {
			return wait
		}
		return k.refuse(errSwitched)
	case k.spent > k.side.lim.Head:
		return k.refuse(errInterims)
	case k.p.Status == 100 && k.tx == txAsking && k.body == a:
		k.tx.on(txGoesOn)
		k.push()
	case k.p.Status != 100 && a.watches():
		k.side.interim.ResponseHead = k.view(k.side.interim.fields)
		a.emit(k.c, &k.side.interim)
		if !k.c.IsOpen() {
			return wait
		}
	}
	k.c.Recv.Discard(k.n)
	k.p.Reset()
	k.f = wire.ResponseFraming{}
	return again
}

// view returns the head that c.Recv begins with. fields has room for Headers.
func (k *clientConn) view(fields []Field) ResponseHead {
	b := k.c.Recv.Bytes()
	h := ResponseHead{Status: k.p.Status, Minor: int(k.p.Minor), Reason: k.p.Reason.Of(b), Length: -1, URL: k.first.target.Text,
		Decoded: k.first.dec != nil, b: b, size: k.n, spans: k.p.Fields[:k.nspans:k.nspans], fields: fields[:0]}
	switch k.f.End {
	case wire.NoBody:
		h.Length = 0
	case wire.ByLength:
		h.Length = k.f.Length
	}
	return h
}

func (k *clientConn) emitHead() {
	a := k.first
	k.side.head = k.view(k.side.head.fields)
	if k.host != nil && k.p.Status == 101 {
		defer func() { // even if the program panics
			if k.rx == rxTaken {
				k.host.client.detached(a, k.side.head)
			}
		}()
	}
	k.inHead = true
	a.emit(k.c, &k.side.head)
	k.inHead = false
}

// final goes on after the head of the response.
func (k *clientConn) final() result {
	a := k.first
	if a.tunnel {
		return k.tunneled()
	}
	k.keepCookies()
	if k.tx == txAsking && k.body == a {
		k.tx.on(txStops) // RFC 9110 10.1.1: the response came in place of 100
	}
	if k.host != nil {
		if r, taken := k.host.client.intercept(k); taken {
			return r
		}
	}
	k.beginDecoding()
	if a.watches() {
		if k.emitHead(); k.rx == rxTaken || !k.c.IsOpen() || k.first != a {
			return wait
		}
	}
	if k.f.End == wire.NoBody {
		k.f.End, k.f.Length = wire.ByLength, 0
	}
	if a.streams {
		k.c.Recv.Discard(k.n)
		k.left = k.f.Length
		k.rx.on(rxWantsStream)
		return again
	}
	if k.f.End == wire.ByLength && k.f.Length > k.maxBody() {
		return k.longBody()
	}
	k.w, k.r = k.n, k.n
	k.rx.on(rxWantsWhole)
	return again
}

func (k *clientConn) longBody() result {
	k.fail(conn.Protocol, ErrLongBody)
	return wait
}

// readWhole waits for the whole body and delivers the response.
func (k *clientConn) readWhole() result {
	b := k.c.Recv.Bytes()
	switch k.f.End {
	case wire.ByLength:
		total := k.n + int(k.f.Length)
		if len(b) < total {
			k.c.Layer().ExpectInput(total)
			return wait
		}
		return k.deliver(total, total)
	case wire.UntilClose:
		switch {
		case int64(len(b)-k.n) > k.maxBody():
			return k.longBody()
		case !k.c.Layer().PeerDone():
			return wait
		}
		return k.deliver(len(b), len(b))
	}
	if !k.dec.Ended() {
		var bad *wire.Refusal
		if k.w, k.r, bad = k.dec.Decode(b, k.w, k.r, k.maxBody()); bad != nil {
			return k.badChunk(bad)
		}
		if !k.dec.Ended() {
			k.c.Recv.Truncate(k.w)
			k.r = k.w
			return wait
		}
		k.p.ResetTrailers(k.r)
	}
	n, bad := k.readTrailers(b, k.r)
	if bad != nil {
		return k.refuse(bad)
	}
	if n == 0 {
		return wait
	}
	return k.deliver(k.w, n)
}

func (k *clientConn) badChunk(bad *wire.Refusal) result {
	if bad == wire.ErrLongBody {
		return k.longBody()
	}
	return k.refuse(bad)
}

// readTrailers parses the trailer section, which begins at the offset. It returns where it ends, or
// 0 for more.
func (k *clientConn) readTrailers(b []byte, offset int) (int, *wire.Refusal) {
	lim := k.side.lim
	lim.Head += offset
	n, bad := k.p.Parse(b, &lim)
	if n > 0 {
		bad = wire.CheckTrailers(b, k.p.Fields[k.nspans:])
	}
	return n, bad
}

// deliver ends the response whose body is b[k.n:end], and whose last byte is before total.
func (k *clientConn) deliver(end, total int) result {
	b, s := k.c.Recv.Bytes(), k.side
	s.resp.ResponseHead = k.view(s.resp.fields)
	s.resp.Body, s.resp.trailers = nil, nil
	if end > k.n {
		s.resp.Body = b[k.n:end:end]
	}
	if len(k.p.Fields) > k.nspans {
		s.fields = appendFields(s.fields[:0], b, k.p.Fields[k.nspans:])
		s.resp.trailers = s.fields
	}
	if k.first.dec != nil {
		var ok bool
		if s.resp.Body, ok = k.decodeWhole(s.resp.Body); !ok {
			return wait
		}
	}
	return k.finish(total)
}

// release takes the first call off the connection after its response, discards the bytes up to
// total, and lets the connection go on. It says by closing whether it can be used again.
func (k *clientConn) release(total int) *clientCall {
	k.c.Recv.Discard(total)
	a := k.drop()
	k.rx.on(rxEnds)
	if k.body == a { // the response came before the request was sent
		k.tx.on(txStops)
		k.body = nil
	}
	unasked := (k.c.Recv.Len() > 0 || k.more && k.c.Layer().InputWaits()) && (k.first == nil || !k.first.asked)
	unsent := k.c.FilePending() > 0 || k.flying == 0 && k.c.Pending() > 0 // of a, which the server may never read
	if k.f.Close || k.tx == txOver || unsent || unasked {
		k.closing = true
	}
	k.served++
	k.progress = k.now()
	p := k.p
	p.Reset()
	k.reading = reading{p: p}
	k.push()
	k.arm()
	return a
}

// finish ends the first call, whose response is in side.resp, and tells the program.
func (k *clientConn) finish(total int) result {
	last := k.f.Close
	a, host := k.release(total), k.host
	if host == nil {
		streamed, events := a.streams, a.req.Events
		k.side.put(a)
		switch {
		case streamed:
		case events != nil:
			events(k.c, &k.side.resp)
		default:
			k.c.Layer().Emit(&k.side.resp)
		}
		switch {
		case !k.closing || !k.c.IsOpen():
		case k.first == nil:
			k.c.Close()
		case last, k.flying == 0 && k.c.Recv.Len() == 0 && !k.c.Layer().InputWaits():
			// RFC 9112 9.6: no response comes for the others. Bytes that none has asked for have an
			// error of their own.
			k.fail(conn.PeerClosed, ErrNoResponse)
		}
		return again
	}
	// Even if the Source of the next call panics, which rest asks.
	defer Call{host.client, a, a.turn}.end(&k.side.resp, nil)
	if k.closing {
		k.c.Close()
		host.lost(k) // another may be made at once
	} else {
		host.rest(k)
	}
	return again
}

// readStream hands on what has come of the body, without moving it. c.Recv begins with bytes of the
// body.
func (k *clientConn) readStream() result {
	if k.decoding {
		return k.passDecoded()
	}
	b := k.c.Recv.Bytes()
	switch k.f.End {
	case wire.ByLength:
		n := int(min(k.left, int64(len(b))))
		if n == 0 && k.left > 0 {
			return wait
		}
		k.left -= int64(n)
		return k.pass(b[:n:n], k.left == 0, n)
	case wire.UntilClose:
		last := k.c.Layer().PeerDone()
		if len(b) == 0 && !last {
			return wait
		}
		return k.pass(b, last, len(b))
	}
	if !k.dec.Ended() {
		start, end, bad := k.dec.Run(b, math.MaxInt64)
		if bad != nil {
			return k.badChunk(bad)
		}
		if end > start {
			return k.pass(b[start:end:end], false, end)
		}
		k.c.Recv.Discard(end)
		if !k.dec.Ended() {
			return wait
		}
		k.restartTrailers()
		b = k.c.Recv.Bytes()
	}
	n, bad := k.readTrailers(b, 0)
	if bad != nil {
		return k.refuse(bad)
	}
	if n == 0 {
		return wait
	}
	k.side.fields = appendFields(k.side.fields[:0], b, k.p.Fields[k.nspans:])
	return k.pass(nil, true, n)
}

// restartTrailers has the trailer section parsed from the beginning of c.Recv.
func (k *clientConn) restartTrailers() {
	k.p.Fields = k.p.Fields[:k.nspans]
	k.p.ResetTrailers(0)
}

// pass hands on a piece of the body, the last of the n bytes that have been read for it.
func (k *clientConn) pass(data []byte, last bool, n int) result {
	if k.first.dec != nil {
		k.c.Recv.Discard(n - len(data)) // the framing before data
		k.decoding, k.coded, k.fed, k.codedLast = true, len(data), 0, last
		return k.passDecoded()
	}
	k.c.Recv.Discard(n) // the bytes stay where they are until the handler returns
	if !k.hand(data, last) {
		return wait
	}
	if last {
		return k.finishStream()
	}
	return again
}

// hand gives the program a piece. It returns false if the response cannot go on.
func (k *clientConn) hand(data []byte, last bool) bool {
	a, s := k.first, k.side
	s.chunk = Chunk{Data: data, Last: last}
	if last && k.f.End == wire.ByChunks { // else s.fields are those of another response
		s.chunk.trailers = s.fields
	}
	a.emit(k.c, &s.chunk)
	return k.c.IsOpen() && k.first == a
}

func (k *clientConn) finishStream() result {
	head := ResponseHead{Status: k.p.Status, Minor: int(k.p.Minor), URL: k.first.target.Text, Length: -1, Decoded: k.first.dec != nil}
	k.side.resp = Response{ResponseHead: head}
	return k.finish(0)
}

// maxSkipped is how long the body of a redirect may be for the connection to be kept.
const maxSkipped = 64 << 10

// readSkip throws the body of a redirect away.
func (k *clientConn) readSkip() result {
	b := k.c.Recv.Bytes()
	switch k.f.End {
	case wire.ByLength:
		n := int(min(k.left, int64(len(b))))
		k.c.Recv.Discard(n)
		if k.left -= int64(n); k.left > 0 {
			return wait
		}
		return k.redirected(0)
	case wire.ByChunks:
		if !k.dec.Ended() {
			_, r, bad := k.dec.Decode(b, 0, 0, maxSkipped)
			if bad != nil {
				return k.badChunk(bad)
			}
			k.c.Recv.Discard(r)
			if !k.dec.Ended() {
				return wait
			}
			k.restartTrailers()
			b = k.c.Recv.Bytes()
		}
		n, bad := k.readTrailers(b, 0)
		if bad != nil {
			return k.refuse(bad)
		}
		if n == 0 {
			return wait
		}
		return k.redirected(n)
	}
	return wait
}

// StreamResponse, called in the handler of *ResponseHead, asks for the body as it comes: *Chunk
// events, one at least, the last of which is Last, and no body in *Response. MaxBody does not bound
// it then. While the connection is paused no Chunk comes, and the server has to wait: with c.Pause
// and c.Resume a body comes no faster than it is used; StallTimeout does not count that time. With
// Send the last Chunk is the end of the response. It returns ErrNoResponseHead elsewhere.
func StreamResponse(c *conn.Conn) error {
	k := clientOf(c)
	if k == nil || !k.inHead || k.p.Status < 200 {
		return ErrNoResponseHead
	}
	k.first.streams = true
	return nil
}

// Detach, called in the handler of *ResponseHead, takes the connection away from the client: after
// 101 (Switching Protocols) it speaks another protocol. c.Recv then begins with the bytes after the
// head, which come again with a Read event. The caller calls SetHandler or SetProtocol. The request
// has ended: its done gets the response without a body. Requests that Send was given after it are
// dropped. Detach returns ErrNoResponseHead elsewhere, and for another status.
func Detach(c *conn.Conn) error {
	k := clientOf(c)
	if k == nil || !k.inHead || k.p.Status != 101 {
		return ErrNoResponseHead
	}
	a := k.first
	k.rx.on(rxLeaves)
	c.Recv.Discard(k.n)
	k.drop()
	c.SetProtocol(nil, nil)
	c.Layer().SetDeadline(0)
	if c.Recv.Len() > 0 {
		c.Layer().Redeliver()
	}
	if k.host == nil {
		k.side.put(a)
		for k.first != nil {
			k.side.put(k.drop())
		}
		return nil
	}
	k.host.lost(k) // emitHead tells done
	return nil
}
