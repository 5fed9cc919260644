package broadcast

import (
	"errors"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/websocket"
)

// A notice is a message of a Door: the values as they stand there, nil for those that are not
// there.
type notice struct {
	topic, offset, data, base64, deleted []byte // of a message
	from, patch                          []byte
	missed, reset                        []byte
	live, pong, refused, expired, token  []byte
	reply, subscribers, fault            []byte
}

func parseNotice(b []byte) (n notice) {
	for name, value := range members(b) {
		switch name {
		case "topic":
			n.topic = value
		case "offset":
			n.offset = value
		case "data":
			n.data = value
		case "base64":
			n.base64 = value
		case "from":
			n.from = value
		case "patch":
			n.patch = value
		case "deleted":
			n.deleted = value
		case "missed":
			n.missed = value
		case "reset":
			n.reset = value
		case "live":
			n.live = value
		case "pong":
			n.pong = value
		case "refused":
			n.refused = value
		case "expired":
			n.expired = value
		case "token":
			n.token = value
		case "reply":
			n.reply = value
		case "subscribers":
			n.subscribers = value
		case "error":
			n.fault = value
		}
	}
	return n
}

// errWireOffset is the Close reason for a Door whose offsets are no numbers up to MaxOffset: without
// them nobody knows which messages are the same.
const errWireOffset = "an offset that is none"

// offset reads an offset of the Door; 0 where there is none. False says that it is malformed, and
// then the link ends.
func (r *Remote) offset(b []byte) (uint64, bool) {
	if b == nil {
		return 0, true
	}
	at, ok := parseNumber(b)
	if ok && at <= MaxOffset {
		return at, true
	}
	r.deaf = true
	if x := r.link.Conn(); x != nil {
		websocket.CloseWith(x, websocket.CloseProtocol, errWireOffset)
	}
	return 0, false
}

// message takes what the Door sends. Names that are not known are passed over.
func (r *Remote) message(m *websocket.Message) {
	if r.deaf {
		return
	}
	head, raw := m.Data, []byte(nil)
	if m.Op == websocket.Binary {
		head, raw = splitFramed(m.Data)
		raw = slices.Clip(raw)
	}
	switch n := parseNotice(head); {
	case n.topic != nil:
		r.deliver(&n, raw)
	case n.missed != nil:
		r.missed(&n)
	case n.live != nil:
		r.caughtUp(&n)
	case n.pong != nil:
		if at, ok := r.offset(n.pong); ok {
			r.advance(at)
		}
	case n.refused != nil:
		why, _ := unquote(n.fault)
		r.refused(n.refused, why)
	case n.expired != nil:
		for pattern := range elements(n.expired) {
			r.refused(pattern, "the rights have expired")
		}
	case n.token != nil:
		r.renewLater(n.token)
	case n.reply != nil:
		r.replied(&n)
	}
}

// deliver gives a message to the program, if it is new to one of the patterns.
func (r *Remote) deliver(n *notice, raw []byte) {
	topic, ok := unquote(n.topic)
	if !ok || !ValidTopic(topic) {
		return
	}
	at, ok := r.offset(n.offset)
	if !ok {
		return
	}
	m := Message{Topic: topic, Offset: at, Data: raw, Deleted: n.deleted != nil}
	switch {
	case n.patch != nil:
		if m.From, ok = r.offset(n.from); !ok {
			return
		}
		m.Data = n.patch
	case n.base64 != nil:
		m.Data, _ = decodeBase64(n.base64)
	case n.data != nil:
		m.Data = n.data
		if n.data[0] == '"' {
			text, _ := unquote(n.data)
			m.Data = []byte(text)
		}
	}
	news, had, settled, greeting := false, false, false, false
	for _, w := range r.wants {
		settled = settled || w.settled && Match(w.pattern, topic)
	}
	for _, w := range r.wants {
		switch {
		case !Match(w.pattern, topic):
		case at == 0: // for this connection alone
			news = true
		case w.settled:
			news = news || at > r.last
			had = had || at > w.from && at <= r.last
		case w.seen[at]:
			had = true
		case at > w.since:
			w.seen[at] = true
			news = true
			greeting = greeting || w.isNew()
			// The history of a pattern comes in order, but what others have live may overtake it.
			if w.since != 0 && !settled {
				w.since = at
			}
		}
	}
	if settled {
		r.advance(at)
	}
	if news && (greeting || !had) && r.opts.Message != nil {
		r.opts.Message(&m)
	}
}

func (r *Remote) advance(at uint64) { r.last = max(r.last, at) }

func (r *Remote) missed(n *notice) {
	x := Missed{Reset: string(n.reset) == "true"}
	x.N, _ = parseNumber(n.missed)
	if x.Reset {
		r.last = 0
		for _, w := range r.wants {
			clear(w.seen)
			w.from = 0
			if w.since != 0 {
				w.since = All
			}
		}
	}
	if r.opts.Missed != nil {
		r.opts.Missed(x)
	}
}

// caughtUp takes "live": the first batch has its history.
func (r *Remote) caughtUp(n *notice) {
	at, ok := r.offset(n.live)
	if !ok {
		return
	}
	if len(r.batches) > 0 {
		for _, w := range r.batches[0] {
			if !w.settled && w.from == 0 {
				w.from = at
			}
			w.settled = true
			clear(w.seen)
		}
		r.batches = r.batches[1:]
		r.wants = slices.DeleteFunc(r.wants, func(w *want) bool { return w.latest && w.settled })
	}
	r.advance(at)
	if r.live {
		return
	}
	r.live = true
	late := slices.DeleteFunc(slices.Clone(r.wants), func(w *want) bool { return w.settled })
	if len(late) > 0 {
		r.ask(late)
	}
	if r.opts.Live != nil {
		r.opts.Live()
	}
}

func (r *Remote) refused(quoted []byte, why string) {
	pattern, _ := unquote(quoted)
	r.asked = slices.DeleteFunc(r.asked, func(p string) bool { return p == pattern })
	r.drop(pattern)
	if r.opts.Refused != nil {
		r.opts.Refused(pattern, why)
	}
}

// renewLater sends another token before this one expires.
func (r *Remote) renewLater(value []byte) {
	for name, v := range members(value) {
		ms, ok := parseNumber(v)
		if name != "expires" || !ok || r.opts.Token == nil || ms > uint64(maxRenewal/time.Millisecond) {
			continue
		}
		if r.renewal != nil {
			r.renewal.Stop()
		}
		r.renewal = r.m.AfterFunc(time.Duration(ms)*time.Millisecond*4/5, func() {
			if x := r.link.Conn(); x != nil {
				r.sendToken(x)
			}
		})
	}
}

// maxRenewal is the longest time that a token's renewal is planned for.
const maxRenewal = 365 * 24 * time.Hour

func (r *Remote) replied(n *notice) {
	id, _ := parseNumber(n.reply)
	done := r.replies[id]
	delete(r.replies, id)
	if done == nil {
		return
	}
	if n.fault != nil {
		why, _ := unquote(n.fault)
		done(Receipt{}, errors.New("broadcast: the hub refuses the message: "+why))
		return
	}
	offset, _ := parseNumber(n.offset)
	count, _ := parseNumber(n.subscribers)
	done(Receipt{Offset: offset, Subscribers: int(count)}, nil)
}
