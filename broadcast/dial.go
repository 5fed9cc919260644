package broadcast

import (
	"bytes"
	"errors"
	"slices"
	"strconv"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A Remote is a hub of another process, to which the program subscribes through its Door: what
// mangusta.js is for a page. The link comes back by itself, and goes on after the last message that
// came: each message comes once, or is told as Missed. Dial makes one. It belongs to the loop of
// its manager, as all its methods do.
type Remote struct {
	opts  DialOptions
	m     *mgr.Manager
	link  *websocket.Reconnector
	wants []*want
	last  uint64 // offset up to which the settled wants have everything

	// The link:
	asked   []string // patterns that the server has heard of
	batches []batch  // each will be answered with "live"
	live    bool     // it has been, since the link came up
	deaf    bool     // the Door has sent what makes no sense: the link is about to end
	renewal *mgr.Timer
	number  uint64
	replies map[uint64]func(Receipt, error)
}

// A batch is what one subscribe message has asked for.
type batch []*want

// A want is a pattern of a Remote. After it is settled it has had everything after from, up to
// Remote.last. Until then since is its own offset, and seen has those of messages after it that
// came through another pattern.
type want struct {
	pattern string
	from    uint64
	since   uint64 // as SubscribeOptions has it
	latest  bool   // it is of Latest: beside another one, and over when it is settled
	settled bool
	seen    map[uint64]bool
}

// isNew reports whether w is of a newcomer, which gets what the hub retains whoever has it already.
func (w *want) isNew() bool { return !w.settled && w.since == 0 }

// DialOptions are the settings of Dial. The functions are called on the loop; each may be nil. They
// may call the methods of the Remote.
type DialOptions struct {
	// Link are the options of the WebSocket, and of the times between two attempts.
	Link websocket.ReconnectOptions

	// Token returns the token for the Door: for each attempt, and when four fifths of its time are
	// over. It must not wait. An error fails the attempt.
	Token func() (string, error)

	// Message gets each message, valid until it returns. Data that was published as a JSON string
	// is the text of that string, like other text. A Deleted topic has no data. A Message with From
	// is a patch: only a hub with Options.Subscribe.Delta sends it.
	Message func(m *Message)

	// Missed is told how many messages are missing at this place, at most. With Reset the server
	// has another stream, and all that it keeps comes next.
	Missed func(m Missed)

	// Live is called when what was missed has come, after each time that the link has come up.
	Live func()

	// State is called when the link changes: see websocket.State. It is valid until State returns.
	State func(s *websocket.State)

	// Refused is called when the server does not allow a pattern, or no longer, which is dropped
	// then.
	Refused func(pattern, why string)
}

// ErrNotLive is returned by Remote.Publish while there is no link. It is also what done gets when
// the link breaks before the reply: the message may be published or not.
var ErrNotLive = errors.New("broadcast: the link to the hub is down")

// Dial begins a link to the Door at url, ws://HOST[:PORT]/PATH or wss://. Call Subscribe before the
// link is up or later.
func Dial(m *mgr.Manager, url string, opts DialOptions) (*Remote, error) {
	r := &Remote{opts: opts, m: m, replies: make(map[uint64]func(Receipt, error))}
	link := opts.Link
	fatal := link.Fatal
	link.Fatal = func(s *websocket.State) bool {
		return s.Code == CloseToken && opts.Token == nil || fatal != nil && fatal(s)
	}
	var err error
	r.link, err = websocket.Reconnect(m, url, r.event, &link)
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Close ends the link.
func (r *Remote) Close() { r.link.Close() }

// Offset returns the offset up to which everything has come, for Subscribe in another run. It is 0
// before anything has.
func (r *Remote) Offset() uint64 { return r.last }

// IsLive reports whether what was missed has come, and messages come as they are published.
func (r *Remote) IsLive() bool { return r.live }

// Conn returns the WebSocket, for its addresses or to end it, or nil while there is none.
func (r *Remote) Conn() *conn.Conn { return r.link.Conn() }

// Hurry ends a wait between two attempts.
func (r *Remote) Hurry() { r.link.Hurry() }

// Subscribe wants the messages of pattern: from now on where since is 0, or those after that offset
// that the hub keeps, or All of them. A pattern that the Remote has already stays as it is. It
// returns ErrBadPattern.
func (r *Remote) Subscribe(pattern string, since uint64) error {
	switch {
	case !ValidPattern(pattern):
		return ErrBadPattern
	case r.want(pattern) != nil:
		return nil
	}
	w := &want{pattern: pattern, from: since, since: since, seen: make(map[uint64]bool)}
	r.wants = append(r.wants, w)
	if r.live { // else it goes out when it is
		r.ask(batch{w})
	}
	return nil
}

// Latest has the last message of each topic come again, of a pattern that the Remote has, if the hub
// retains them: for a part of the program that comes later. For another pattern it is Subscribe
// without an offset. It returns ErrBadPattern.
func (r *Remote) Latest(pattern string) error {
	if r.want(pattern) == nil {
		return r.Subscribe(pattern, 0)
	}
	w := &want{pattern: pattern, latest: true, seen: make(map[uint64]bool)}
	r.wants = append(r.wants, w)
	if r.live {
		r.ask(batch{w})
	}
	return nil
}

// Unsubscribe ends a subscription, and reports whether there was such a pattern.
func (r *Remote) Unsubscribe(pattern string) bool {
	w := r.want(pattern)
	if w == nil {
		return false
	}
	r.drop(pattern)
	if i := slices.Index(r.asked, pattern); i >= 0 {
		r.asked = slices.Delete(r.asked, i, i+1)
		r.send(append(appendQuoted([]byte(`{"unsubscribe":[`), pattern), "]}"...))
	}
	return true
}

// want returns the subscription to pattern, or nil.
func (r *Remote) want(pattern string) *want {
	for _, w := range r.wants {
		if w.pattern == pattern && !w.latest {
			return w
		}
	}
	return nil
}

func (r *Remote) drop(pattern string) {
	r.wants = slices.DeleteFunc(r.wants, func(w *want) bool { return w.pattern == pattern })
}

// Publish publishes data through the Door, if that allows it, and calls done with the receipt or an
// error. It returns ErrNotLive, ErrBadTopic, and the errors of websocket.Send; done is not called
// then. Nothing waits for the link.
func (r *Remote) Publish(topic string, data []byte, done func(Receipt, error)) error {
	if !ValidTopic(topic) {
		return ErrBadTopic
	}
	if !r.live {
		return ErrNotLive
	}
	b := appendQuoted([]byte(`{"publish":`), topic)
	if done != nil {
		r.number++
		b = strconv.AppendUint(append(b, `,"id":`...), r.number, 10)
	}
	err := websocket.Send(r.link.Conn(), websocket.Binary, append(append(b, "}\n"...), data...))
	if err == nil && done != nil {
		r.replies[r.number] = done
	}
	return err
}

// send sends a text on the link, if there is one. One that cannot take it is about to end.
func (r *Remote) send(b []byte) {
	if x := r.link.Conn(); x != nil {
		websocket.Send(x, websocket.Text, b)
	}
}

// ask subscribes.
func (r *Remote) ask(list batch) {
	b, latest := []byte(`{"subscribe":{`), []byte(nil)
	for _, w := range list {
		if w.latest {
			latest = append(appendQuoted(latest, w.pattern), ',')
			continue
		}
		r.asked = append(r.asked, w.pattern)
		b = append(appendQuoted(b, w.pattern), ':')
		switch since := r.sinceOf(w); since {
		case 0:
			b = append(b, "null,"...)
		case All:
			b = append(b, "0,"...)
		default:
			b = append(strconv.AppendUint(b, since, 10), ',')
		}
	}
	r.batches = append(r.batches, list)
	b = append(bytes.TrimSuffix(b, []byte(",")), '}')
	if latest != nil {
		b = append(append(b, `,"latest":[`...), bytes.TrimSuffix(latest, []byte(","))...)
		b = append(b, ']')
	}
	r.send(append(b, '}'))
}

// sinceOf returns the Since with which w goes on.
func (r *Remote) sinceOf(w *want) uint64 {
	switch {
	case !w.settled:
		return w.since
	case r.last == 0: // after a reset
		return All
	}
	return r.last
}

// event is the handler of the link.
func (r *Remote) event(x *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *websocket.Open:
		r.opened(x)
	case *websocket.Message:
		r.message(ev)
	case *websocket.State:
		if ev.Phase != websocket.PhaseOpen {
			r.down()
		}
		if r.opts.State != nil {
			r.opts.State(ev)
		}
	}
}

// opened subscribes on a new link.
func (r *Remote) opened(x *conn.Conn) {
	r.down()
	if r.opts.Token != nil && !r.sendToken(x) {
		return
	}
	r.ask(slices.Clone(r.wants))
}

func (r *Remote) sendToken(x *conn.Conn) bool {
	token, err := r.opts.Token()
	if err != nil {
		websocket.CloseWith(x, websocket.CloseGoingAway, firstBytes(err.Error(), 123))
		return false
	}
	websocket.Send(x, websocket.Text, append(appendQuoted([]byte(`{"token":`), token), '}'))
	return true
}

// down forgets the link.
func (r *Remote) down() {
	if r.renewal != nil {
		r.renewal.Stop()
		r.renewal = nil
	}
	r.live, r.deaf, r.asked, r.batches = false, false, nil, nil
	replies := r.replies
	r.replies = make(map[uint64]func(Receipt, error))
	for _, done := range replies {
		r.m.Try(func() { done(Receipt{}, ErrNotLive) })
	}
}
