package broadcast

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A guest is a WebSocket that has come in through a Door. It belongs to its loop.
type guest struct {
	d          *Door
	c          *conn.Conn
	l          *loop
	rights     Rights
	term       term          // of rights
	interval   time.Duration // MinInterval of its subscriptions
	delta      bool          // they have Delta, if the hub can
	token      string        // by which it got its rights; "" is none
	in         bool          // its rights are known
	owed       int           // "live" messages that wait until it has its history
	unanswered int           // messages that an engine stores
	limit      *mgr.Timer    // ends the connection, to which no token has come; nil is none
}

// event is the handler of the connection.
func (g *guest) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *websocket.Message:
		g.message(ev)
		return
	case *saving:
		ev.user, ev.ok = g.save()
		return
	case *conn.Close:
		g.forget()
	}
	if g.d.opts.Events != nil {
		g.d.opts.Events(c, ev)
	}
}

// enter gives the guest its rights, from the handshake or from a token that has come later.
func (g *guest) enter(r Rights) {
	g.forget()
	g.rights, g.in = r, true
	g.term.begin(g.l, r.Until, g.expire)
}

// expire ends the connection of a guest whose rights are over.
func (g *guest) expire() { websocket.CloseWith(g.c, CloseToken, errExpired.Error()) }

// forget ends the times that were set for the guest.
func (g *guest) forget() {
	g.term.end()
	if g.limit != nil {
		g.limit.Stop()
		g.limit = nil
	}
}

// An order is what a client has sent: one message may have several parts.
type order struct {
	token, subscribe, latest, unsubscribe []byte // as they came; nil is none
	publish, data, base64, id, interval   []byte
	ping, delta                           bool
}

// parseOrder reads a message of a client. Names that it does not know are passed over: later
// versions may have them.
func parseOrder(b []byte) (o order, ok bool) {
	if !validJSON(b) || skipSpace(b)[0] != '{' {
		return o, false
	}
	for name, value := range members(b) {
		switch name {
		case "token":
			o.token = value
		case "subscribe":
			o.subscribe = value
		case "latest":
			o.latest = value
		case "unsubscribe":
			o.unsubscribe = value
		case "publish":
			o.publish = value
		case "data":
			o.data = value
		case "base64":
			o.base64 = value
		case "id":
			o.id = value
		case "interval":
			o.interval = value
		case "ping":
			o.ping = true
		case "delta":
			o.delta = string(value) == "true"
		}
	}
	return o, true
}

// message does what a message asks for.
func (g *guest) message(m *websocket.Message) {
	b, raw := m.Data, []byte(nil)
	if m.Op == websocket.Binary {
		b, raw = splitFramed(m.Data)
	}
	o, ok := parseOrder(b)
	if !ok {
		websocket.CloseWith(g.c, websocket.CloseUnsupported, "the message is not understood")
		return
	}
	if o.token != nil && !g.renew(o.token) {
		return
	}
	if !g.in {
		websocket.CloseWith(g.c, CloseToken, "a token has to come first")
		return
	}
	if !g.rights.Until.IsZero() && g.rights.expired(g.d.hub.wall()) { // the clock was set
		g.expire()
		return
	}
	if o.unsubscribe != nil {
		g.unsubscribe(o.unsubscribe)
	}
	if o.interval != nil {
		g.pace(o.interval)
	}
	g.delta = g.delta || o.delta
	if o.subscribe != nil || o.latest != nil {
		g.subscribe(o.subscribe, o.latest)
	}
	if o.publish != nil {
		if m.Op == websocket.Text {
			raw = o.payload()
		}
		g.publish(&o, raw)
	}
	if o.ping {
		g.pong()
	}
}

// renew takes a token. It returns false if that has ended the WebSocket.
func (g *guest) renew(token []byte) bool {
	rights, err := g.authorize(token)
	if err != nil {
		websocket.CloseWith(g.c, CloseToken, firstBytes(err.Error(), 123))
		return false
	}
	g.enter(rights)
	b := append([]byte(nil), `{"token":{`...)
	if !rights.Until.IsZero() {
		b = strconv.AppendInt(append(b, `"expires":`...), g.d.hub.left(rights.Until).Milliseconds(), 10)
	}
	g.say(append(b, "}}"...))
	for _, pattern := range g.patterns() {
		if !rights.maySubscribe(pattern) {
			g.d.hub.Unsubscribe(g.c, pattern)
			g.refused(pattern, errNoSubscribe)
		}
	}
	return true
}

// pace takes the interval, in ms, at which a client wants the messages of each topic at most.
func (g *guest) pace(ms []byte) {
	g.interval = max(parseInterval(ms), g.d.hub.opts.Subscribe.MinInterval)
	g.d.hub.SetMinInterval(g.c, g.interval)
}

// parseInterval reads an interval in ms. It returns 0 for anything that is no number.
func parseInterval(ms []byte) time.Duration {
	n, _ := parseNumber(ms)
	return time.Duration(min(n, maxInterval)) * time.Millisecond
}

// maxInterval is in ms.
const maxInterval = 3600_000

// firstBytes returns s, or its first n bytes or fewer, cut between two characters.
func firstBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}

func (g *guest) patterns() []string {
	info, _ := g.d.hub.Subscriber(g.c)
	return info.Patterns
}

// say sends a text. A client whose queue is full is closed, whatever Limits.OnFull says: it would
// wait for a reply that has been dropped.
func (g *guest) say(b []byte) {
	if err := websocket.Send(g.c, websocket.Text, b); errors.Is(err, conn.ErrSendLimit) {
		g.c.Drain()
	}
}

var (
	errNoSubscribe = errors.New("this client may not subscribe to it")
	errNoPublish   = errors.New("this client may not publish to it")
)

// subscribe reads {"a/+":12,"b":null}: patterns, and the offsets of the last messages that the
// client has of them; null is a newcomer, 0 asks for all that is kept. Their histories come as one.
// latest is a list of patterns of which the client has subscriptions, and whose last messages it
// wants again: another part of it has subscribed.
func (g *guest) subscribe(list, latest []byte) {
	h := g.d.hub
	if g.owed == maxOwed {
		websocket.CloseWith(g.c, websocket.ClosePolicy, "too many subscribe messages before the history has come")
		return
	}
	have, n := len(g.patterns()), 0
	for pattern, since := range members(list) {
		if n++; n > 2*g.d.opts.MaxPatterns { // no more replies to one message than that
			websocket.CloseWith(g.c, websocket.ClosePolicy, "too many patterns")
			return
		}
		err := ErrTooManyPatterns
		switch {
		case have >= g.d.opts.MaxPatterns:
		case ValidPattern(pattern) && !g.rights.maySubscribe(pattern):
			err = errNoSubscribe
		default:
			err = g.join(pattern, parseWireSince(since))
		}
		if err != nil {
			g.refused(pattern, err)
			continue
		}
		have++
	}
	for p := range elements(latest) {
		pattern, _ := unquote(p)
		if u := h.subscriber(g.c); u == nil || u.subscription(pattern) == nil {
			continue
		}
		if n++; n > 2*g.d.opts.MaxPatterns || g.join(pattern, 0) != nil {
			websocket.CloseWith(g.c, websocket.ClosePolicy, "too many patterns")
			return
		}
	}
	if u := h.subscriber(g.c); u != nil {
		g.owed++
		u.whenCaughtUp(func() {
			g.owed--
			g.say(appendLive(nil, u.sentUpTo()))
		})
	} else {
		g.say(appendLive(nil, h.Offset()))
	}
}

// join subscribes. A pattern that the guest has already brings its last messages again.
func (g *guest) join(pattern string, since uint64) error {
	o := SubscribeOptions{Since: since, TellMissed: true, MinInterval: g.interval, Delta: g.delta, Greet: true}
	err := g.d.hub.Subscribe(g.c, pattern, o)
	if errors.Is(err, ErrDelta) {
		o.Delta = false
		err = g.d.hub.Subscribe(g.c, pattern, o)
	}
	return err
}

// maxOwed bounds the subscribe messages of a client that does not take its history: each needs a
// reply, which waits for that.
const maxOwed = 1024

// parseWireSince reads an offset of a subscribe message.
func parseWireSince(b []byte) uint64 {
	if string(b) == "null" {
		return 0
	}
	return ParseSince(b)
}

// appendLive says that all history has come, and that the client has everything up to the offset.
func appendLive(b []byte, at uint64) []byte {
	return append(strconv.AppendUint(append(b, `{"live":`...), at, 10), '}')
}

// refused says that the client has no subscription to pattern, and why.
func (g *guest) refused(pattern string, why error) {
	g.say(appendRefused(nil, pattern, why))
}

func appendRefused(b []byte, pattern string, why error) []byte {
	b = appendQuoted(append(b, `{"refused":`...), pattern)
	return append(appendQuoted(append(b, `,"error":`...), why.Error()), '}')
}

func (g *guest) unsubscribe(list []byte) {
	for p := range elements(list) {
		if pattern, ok := unquote(p); ok {
			g.d.hub.Unsubscribe(g.c, pattern)
		}
	}
}

// pong answers a ping: the client has everything up to the offset, or 0 if it has not.
func (g *guest) pong() {
	at := uint64(0)
	if u := g.d.hub.subscriber(g.c); u != nil && !u.busy && len(u.caught) == 0 {
		at = u.sentUpTo()
	}
	g.say(append(strconv.AppendUint(append([]byte(nil), `{"pong":`...), at, 10), '}'))
}

// payload returns what a text message publishes: "data" as it stands there, or what "base64" says.
// It returns nil if there is neither.
func (o *order) payload() []byte {
	if o.base64 != nil {
		data, _ := decodeBase64(o.base64)
		return data
	}
	return o.data
}

func (g *guest) publish(o *order, data []byte) {
	topic, _ := unquote(o.publish)
	id := bytes.Clone(o.id)
	switch {
	case !ValidTopic(topic):
		g.published(id, Receipt{}, ErrBadTopic)
	case !g.rights.mayPublish(topic):
		g.published(id, Receipt{}, errNoPublish)
	case data == nil:
		g.published(id, Receipt{}, errNoData)
	default:
		g.unanswered++
		g.d.publish(g.l.m, topic, data, func(r Receipt, err error) {
			g.unanswered--
			g.published(id, r, err)
		})
	}
}

// publish publishes, and calls done on the loop: at once, or, with an engine, when that has stored
// the message.
func (d *Door) publish(m *mgr.Manager, topic string, data []byte, done func(Receipt, error)) {
	if d.hub.link == nil {
		done(d.hub.Publish(topic, data))
		return
	}
	d.hub.PublishLater(topic, data, func(r Receipt, err error) {
		m.Complete(func() { done(r, err) }) // the engine bounds how many are on their way
	})
}

// published tells the client what became of its message, if it gave it an id.
func (g *guest) published(id []byte, receipt Receipt, err error) {
	if id == nil {
		return
	}
	b := append(append([]byte(nil), `{"reply":`...), id...)
	if err != nil {
		b = appendQuoted(append(b, `,"error":`...), err.Error())
	} else {
		b = appendReceipt(append(b, ','), receipt)
	}
	g.say(append(b, '}'))
}

var errNoData = errors.New("broadcast: there is neither data nor base64")

func appendReceipt(b []byte, r Receipt) []byte {
	b = strconv.AppendUint(append(b, `"offset":`...), r.Offset, 10)
	return strconv.AppendInt(append(b, `,"subscribers":`...), int64(r.Subscribers), 10)
}
