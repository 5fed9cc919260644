package http

import (
	"errors"
	"io"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
)

// A txState is how far the last call that has begun is sent.
type txState uint8

const (
	txDone   txState = iota // wholly queued; the next one may begin
	txAsking                // the head is queued, and the body waits for 100 (Continue)
	txBody                  // the body is being queued
	txOver                  // nothing more is sent: the body is not wanted any more, or cannot be had
)

// A txEvent is what moves a txState.
type txEvent uint8

const (
	txBegins txEvent = iota // the head of a request with a body is queued
	txAsks                  // the same, with Expect: 100-continue
	txGoesOn                // the server wants the body, or has not said for too long
	txEnds                  // the last byte is queued
	txStops                 // the rest is not wanted
)

// txStates has the next state for each state and event. Cells that stand for what cannot happen
// have txNever.
var txStates = [...][txStops + 1]txState{
	txDone:   {txBegins: txBody, txAsks: txAsking, txGoesOn: txNever, txEnds: txDone, txStops: txDone},
	txAsking: {txBegins: txNever, txAsks: txNever, txGoesOn: txBody, txEnds: txNever, txStops: txOver},
	txBody:   {txBegins: txNever, txAsks: txNever, txGoesOn: txBody, txEnds: txDone, txStops: txOver},
	txOver:   {txBegins: txNever, txAsks: txNever, txGoesOn: txOver, txEnds: txNever, txStops: txOver},
}

const txNever txState = 0xff

// on moves the machine.
func (tx *txState) on(ev txEvent) {
	next := txStates[*tx][ev]
	if next == txNever {
		panic("http: a request was sent in an impossible order")
	}
	*tx = next
}

// sending is the state of the side that sends.
type sending struct {
	tx     txState
	body   *clientCall // that is in txAsking or txBody
	asking bool        // Source.Next is running
}

// push sends what may be sent now.
func (k *clientConn) push() {
	for k.c.IsOpen() {
		switch {
		case k.asking:
			return // the program sends another request from Source.Next: the body's bytes go first
		case k.tx == txBody && k.body.req.Source != nil && !k.connected:
			return // while nothing was taken from it, the request can go on another connection
		case k.tx == txBody:
			k.pump()
			if k.tx != txDone {
				return
			}
		case k.tx != txDone, k.toSend == nil, k.closing, k.flying >= max(k.side.opts.Pipeline, 1), k.flying > 0 && k.first.tunnel:
			return
		default:
			k.begin(k.toSend)
		}
	}
}

// begin queues the head of a, and the body if it is short.
func (k *clientConn) begin(a *clientCall) {
	k.toSend = a.next
	k.flying++
	a.asked = true
	if k.via != nil && !a.target.Secure && !k.side.opts.Tunnel {
		a.absolute, a.proxyAuth = true, k.via.auth
	}
	var b []byte
	if a.tunnel {
		b = k.via.appendConnect(k.c.AvailableBuffer(), a.target.HostPort())
	} else {
		b = a.appendHead(k.c.AvailableBuffer(), k.side)
	}
	if a.req.close {
		k.closing = true
	}
	short := a.req.Body
	if a.bodyless || a.expects() || len(short) > k.sendRoom()-len(b) {
		short = nil
	}
	queued := k.c.Pending()
	if len(short) > 0 && len(short) <= cap(b)-len(b) {
		b, a.off = append(b, short...), a.length
		short = nil
	}
	_, err := k.c.Write(b)
	if err == nil && len(short) > 0 {
		a.off = a.length
		queued += len(b) + len(short)
		_, err = k.c.WriteThrough(short)
		a.left = k.c.Pending() < queued
	}
	switch {
	case err != nil:
		k.unsendable(err)
	case a.expects():
		k.tx.on(txAsks)
		k.body = a
	case a.bodyless || a.off == a.length:
	default:
		k.tx.on(txBegins)
		k.body = a
	}
}

// sendRoom is how many bytes may be queued without the connection being congested: it would stop
// reading, and not hear a server that does not want the body.
func (k *clientConn) sendRoom() int {
	l, pending := k.c.Limits(), k.c.Pending()
	room := min(l.HighWater, l.Send/2) - 1 - pending
	if pending == 0 {
		room = max(room, 2*chunkFrame)
	}
	return room
}

// unsendable ends the connection because what follows of a request cannot be sent.
func (k *clientConn) unsendable(err error) {
	r := conn.IOError
	if errors.Is(err, conn.ErrSendLimit) {
		r = conn.SendLimit
	}
	k.tx = txOver
	k.fail(r, err)
}

// wrote goes on after bytes have gone out.
func (k *clientConn) wrote() {
	for a := k.first; a != nil && a.asked; a = a.next {
		a.left = true
	}
	if k.tx == txBody && k.c.IsOpen() {
		k.push()
	}
}

// pump queues as much of the body as there is room for.
func (k *clientConn) pump() {
	a := k.body
	var err error
	switch {
	case a.req.File != nil:
		err = k.sendFile(a)
	case a.req.Source != nil:
		err = k.feed(a)
	default:
		for err == nil && a.off < a.length {
			room := k.sendRoom()
			if room <= 0 {
				return // a Write event comes
			}
			n := min(int64(room), a.length-a.off)
			_, err = k.c.Write(a.req.Body[a.off : a.off+n])
			a.off += n
		}
		if err == nil {
			k.sent()
		}
	}
	if err != nil {
		k.unsendable(err)
	}
}

// sent is the end of a body.
func (k *clientConn) sent() {
	a := k.body
	k.tx.on(txEnds)
	k.body = nil
	a.dropBody() // in which the program may send another request
	k.arm()
}

func (k *clientConn) sendFile(a *clientCall) error {
	if a.off == 0 {
		if err := k.c.SendFile(a.req.File, a.req.Offset, a.length, nil); err != nil {
			return err
		}
		a.off = a.length
	}
	if k.c.FilePending() == 0 {
		k.sent()
	}
	return nil
}

var errSourceLength = errors.New("http: the Source of a request and its Length do not agree")

// feed queues what a Source has.
func (k *clientConn) feed(a *clientCall) error {
	if a.wakes == nil {
		a.wakes = k.waker(a)
	}
	for k.c.IsOpen() {
		room := k.sendRoom() - chunkFrame
		if a.length >= 0 {
			room = int(min(int64(room), a.length-a.off))
		}
		if room <= 0 && a.off != a.length {
			return nil // a Write event comes
		}
		p, err := k.next(a, max(room, 1))
		if !k.c.IsOpen() {
			return nil // it was given up in Next, and a may be another call by now
		}
		a.idle++
		if len(p) > 0 {
			a.idle = 0
			if a.length >= 0 && int64(len(p)) > a.length-a.off {
				return errSourceLength
			}
			if err := k.writePiece(a, p); err != nil {
				return err
			}
			a.off += int64(len(p))
		}
		switch {
		case err == nil && a.idle > maxIdle:
			return io.ErrNoProgress
		case err == nil && a.off != a.length:
		case err == ErrWait:
			return nil
		case err != nil && err != io.EOF:
			return err
		case a.length >= 0 && a.off < a.length:
			return errSourceLength
		default:
			if a.length < 0 {
				b, err := appendLastChunk(k.c.AvailableBuffer(), trailersOf(a.req.Source))
				if err != nil {
					return err
				}
				if _, err := k.c.Write(b); err != nil {
					return err
				}
			}
			k.sent()
			return nil
		}
	}
	return nil
}

// next asks the Source of a.
func (k *clientConn) next(a *clientCall, room int) ([]byte, error) {
	a.spoiled, k.asking = true, true
	defer func() { k.asking = false }() // even if it panics
	return a.req.Source.Next(room, a.wakes)
}

// writePiece queues p as it is sent.
func (k *clientConn) writePiece(a *clientCall, p []byte) error {
	switch {
	case a.length >= 0:
		return k.through(a, p)
	case len(p) < largePiece:
		_, err := k.c.Write(appendChunk(k.c.AvailableBuffer(), p))
		return err
	}
	b := append(strconv.AppendInt(k.c.AvailableBuffer(), int64(len(p)), 16), "\r\n"...)
	_, err := k.c.Write(b)
	if err == nil {
		err = k.through(a, p)
	}
	if err == nil {
		_, err = k.c.WriteString("\r\n")
	}
	return err
}

// through is writeLarge, and notes whether bytes of a have left.
func (k *clientConn) through(a *clientCall, p []byte) error {
	queued := k.c.Pending() + len(p)
	err := writeLarge(k.c, p)
	a.left = a.left || k.c.Pending() < queued
	return err
}

// appendChunk appends p as one chunk (RFC 9112 7.1).
func appendChunk(b, p []byte) []byte {
	b = append(strconv.AppendInt(b, int64(len(p)), 16), "\r\n"...)
	return append(append(b, p...), "\r\n"...)
}

// waker returns the function by which the Source of a has the loop go on.
func (k *clientConn) waker(a *clientCall) func() error {
	loop, _ := k.c.Layer().Shared().Loop.(doer)
	turn := a.turn
	return func() error {
		if loop == nil {
			return errNoDo
		}
		return loop.Do(func() {
			if a.turn == turn && a.on == k {
				k.wake(a)
			}
		})
	}
}

// wake asks the Source of a again.
func (k *clientConn) wake(a *clientCall) {
	if k.body == a && k.tx == txBody {
		k.push()
		k.arm()
	}
}
