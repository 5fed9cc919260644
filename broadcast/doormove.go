package broadcast

import (
	"errors"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/websocket"
)

// Save returns what a WebSocket of the Door needs in another process, for handoff.Options.Save: its
// patterns, and the offset up to which it has everything. So nothing is lost and nothing comes
// twice where both hubs have the same Engine; without one the hub of the other process has another
// stream, and the client is told so: Missed with Reset. The bytes have the client's token in them.
//
// It returns false for a client that cannot move: it waits for history or for a reply, or its
// rights come from its handshake and not from a token. The old process closes that one with 1012
// (Service Restart), and it comes back with its offset. Of a connection that is none of the Door's
// nothing is saved. It belongs to the connection's loop.
func (d *Door) Save(c *conn.Conn) (user []byte, ok bool) {
	if !websocket.Is(c) {
		return nil, true
	}
	ask := saving{ok: true}
	c.Layer().Emit(&ask)
	return ask.user, ask.ok
}

// saving asks the handler of a connection whether it is a guest, and what that saves.
type saving struct {
	user []byte
	ok   bool
}

// EventName implements conn.Event.
func (*saving) EventName() string { return "broadcast.saving" }

// save makes the message by which g could ask for what it has.
func (g *guest) save() (user []byte, ok bool) {
	if !g.in {
		return []byte("{}"), true
	}
	u := g.d.hub.subscriber(g.c)
	switch {
	case g.d.opts.Authorize != nil && g.token == "", g.owed > 0, g.unanswered > 0:
		return nil, false
	case u != nil && (len(u.readers) > 0 || u.busy && !u.held()):
		return nil, false
	}
	b := appendQuoted([]byte(`{"token":`), g.token)
	b = strconv.AppendInt(append(b, `,"interval":`...), g.interval.Milliseconds(), 10)
	b = strconv.AppendBool(append(b, `,"delta":`...), g.delta)
	b = append(b, `,"subscribe":{`...)
	if u != nil {
		at := u.sentUpTo()
		if at == 0 {
			return nil, false
		}
		for i, pattern := range g.patterns() {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(append(appendQuoted(b, pattern), ':'), at, 10)
		}
	}
	return append(b, "}}"...), true
}

// Restore makes a client of the Door of a WebSocket that has come from another process, for
// handoff.Options.Restore: state is that of the Record, and user what Save returned. It calls
// websocket.Restore. A client whose token is not good any more is closed with CloseToken. After an
// error the connection cannot go on: fail it. It belongs to the connection's loop.
func (d *Door) Restore(c *conn.Conn, state, user []byte) error {
	l, err := d.hub.loopOf(c)
	if err != nil {
		return err
	}
	o, ok := parseOrder(user)
	if !ok {
		return errSaved
	}
	g := &guest{d: d, c: c, l: l}
	c.SetHandler(g.event)
	if err := websocket.Restore(c, state, &d.opts.WebSocket); err != nil {
		return err
	}
	if o.token == nil {
		g.awaitToken()
		return nil
	}
	rights, err := g.authorize(o.token)
	if err != nil {
		websocket.CloseWith(c, CloseToken, firstBytes(err.Error(), 123))
		return nil
	}
	g.enter(rights)
	g.interval, g.delta = parseInterval(o.interval), o.delta
	for pattern, since := range members(o.subscribe) {
		err := errNoSubscribe
		if !ValidPattern(pattern) || g.rights.maySubscribe(pattern) {
			err = g.join(pattern, ParseSince(since))
		}
		if err != nil {
			g.refused(pattern, err)
		}
	}
	return nil
}

var errSaved = errors.New("broadcast: restore: what was saved is of another version, or malformed")

// awaitToken ends the connection unless a token comes in time.
func (g *guest) awaitToken() {
	g.limit = g.l.m.AfterFunc(g.d.opts.TokenTimeout, func() { websocket.CloseWith(g.c, CloseToken, "no token has come") })
}

// authorize returns the rights of a token that came in a message.
func (g *guest) authorize(token []byte) (Rights, error) {
	if g.d.opts.Authorize == nil {
		return g.d.opts.Rights, nil
	}
	g.token, _ = unquote(token)
	return g.d.valid(g.d.opts.Authorize(nil, g.token))
}
