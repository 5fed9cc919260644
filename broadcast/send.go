package broadcast

import (
	"errors"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// outcome is what became of a message that was to be sent.
type outcome uint8

const (
	sent  outcome = iota
	later         // the connection takes no more now; it will have a Write event
	never         // the message is none that the connection could take
	gone          // the connection takes nothing any more
)

// send sends m, or a patch that makes m of what the subscriber has.
func (u *subscriber) send(m *message) outcome {
	whole := m
	if u.extra != nil {
		m = u.patched(m)
	}
	if u.events != nil && m.serverSent(u.l) == nil {
		return never
	}
	if !u.c.Layer().Fits(1) { // a Write past the limit could cost the connection
		return later
	}
	var err error
	if u.events != nil {
		err = u.events.SendPreparedEvent(m.serverSent(u.l))
	} else {
		frame := m.webSocket(u.l)
		err = websocket.SendPrepared(u.c, frame)
		if n := frame.DeflatedLen(); n > 0 && !m.zipped.Load() && !m.zipped.Swap(true) {
			u.l.hub.charge(m, n)
		}
	}
	how := u.outcome(err)
	if how == sent {
		u.delivered++
		u.l.stats.delivered++
		u.l.stats.bytes += uint64(len(m.Data))
		if u.extra != nil {
			u.remember(whole)
		}
	}
	return how
}

// outcome tells what an error of sending means.
func (u *subscriber) outcome(err error) outcome {
	switch {
	case err == nil:
		return sent
	case !u.c.IsOpen(), errors.Is(err, conn.ErrClosed), errors.Is(err, websocket.ErrClosed),
		errors.Is(err, websocket.ErrNotWebSocket), errors.Is(err, http.ErrGone):
		return gone
	case errors.Is(err, websocket.ErrBusy), errors.Is(err, conn.ErrSendLimit), errors.Is(err, conn.ErrBacklog):
		return later
	}
	return never
}

// sendMissed tells the subscriber of m. If EncodeMissed panics, nothing is told.
func (u *subscriber) sendMissed(m Missed) outcome {
	var op websocket.Op
	var b []byte
	encoded := false
	u.l.m.Try(func() { op, b = u.l.hub.opts.EncodeMissed(nil, m); encoded = true })
	switch {
	case u.over: // EncodeMissed has ended all subscriptions
		return gone
	case !encoded:
		return sent
	}
	if !u.c.Layer().Fits(len(b)) {
		return later
	}
	var err error
	if u.events != nil {
		err = u.events.SendEvent("", "missed", string(b))
	} else {
		err = websocket.Send(u.c, op, b)
	}
	how := u.outcome(err)
	if how == gone {
		u.dropAll()
	}
	return how
}

// disconnect ends the connection of a subscriber that is too slow. It may come back, and go on from
// where it was.
func (u *subscriber) disconnect() {
	u.l.stats.disconnected++
	var err error
	if u.events != nil {
		err = u.events.End()
	} else {
		err = websocket.CloseSlow(u.c)
	}
	if err != nil { // there is no room even for that
		u.c.Drain()
	}
	u.dropAll()
}
