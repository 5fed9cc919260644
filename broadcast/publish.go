package broadcast

import (
	"bytes"
	"strings"
	"time"
)

// A Receipt says what became of a published message.
type Receipt struct {
	Offset      uint64 // 0 when it is not known yet: see Publish
	Subscribers int    // of this hub: see Hub.Subscribers
}

// Publish sends a copy of data to all connections that have subscribed to a pattern that matches
// topic, and keeps it for those that come back. It never waits: it queues the message for a busy
// loop and, up to its limit, for a slow subscriber. The messages of one goroutine arrive in their
// order, and each subscriber sees the offsets rise.
//
// With Options.Engine it gives the message to the engine, and subscribers get it when it comes back
// with its offset: the Receipt has none. It returns an error that wraps ErrDown while the engine is
// down. If the engine fails later, Options.PublishFailed is called; PublishLater tells both.
//
// It returns ErrBadTopic, ErrFull or ErrClosed, and no subscriber gets the message then. ErrFull
// also says that Options.Queue messages, or Options.QueueBytes, are on their way to the engine.
// Safe for concurrent use, from handlers too.
func (h *Hub) Publish(topic string, data []byte) (Receipt, error) {
	return h.publish(topic, data, &PublishOptions{})
}

// PublishExcept is Publish for all but the connection numbered id, such as the one that the message
// came from. The message is kept, so that connection's successor may get it. Safe for concurrent
// use.
func (h *Hub) PublishExcept(id uint64, topic string, data []byte) (Receipt, error) {
	return h.publish(topic, data, &PublishOptions{Except: id})
}

// PublishPatch is Publish of a JSON object whose changes the caller knows: patch is the JSON merge patch
// (RFC 7396) that makes data of the message with the offset from, on the same topic. Subscribers with
// SubscribeOptions.Delta that have this message are sent patch, which the hub does not check; for all
// others, and if from is 0, the hub makes a patch by itself. With Options.Engine, patch is not used.
// Safe for concurrent use, from handlers too.
func (h *Hub) PublishPatch(topic string, data, patch []byte, from uint64) (Receipt, error) {
	return h.publish(topic, data, &PublishOptions{patch: patch, from: from})
}

// PublishOptions are those of one message.
type PublishOptions struct {
	Except uint64 // the number of the connection that does not get it: see PublishExcept

	Delete bool // the topic is deleted, as by Delete; there is no data

	// ID, when not empty, is unique to the message. An engine that has stored a message a short
	// while ago stores no second one with the same ID. So a message can be published again after an
	// error that leaves open whether it is stored. Without an engine ID has no effect.
	ID string

	patch []byte // see PublishPatch
	from  uint64
}

// PublishLater is Publish with a Receipt that comes later. done is called exactly once: with the
// offset when the message is stored, or with an error. After ErrBadTopic, ErrFull, ErrClosed, or
// ErrDown at once, the message is certainly not stored; after any other error it may be. Without an
// engine, and for errors that are known at once, done is called before PublishLater returns;
// otherwise on a goroutine of the engine, maybe after subscribers got the message. done must not
// block. It can use Manager.Do to reach a loop. Safe for concurrent use, from handlers too.
func (h *Hub) PublishLater(topic string, data []byte, done func(Receipt, error), opts ...PublishOptions) {
	var o PublishOptions
	if len(opts) > 0 {
		o = opts[0]
	}
	if o.Delete {
		data = nil
	}
	switch {
	case h.link == nil:
		done(h.publish(topic, data, &o))
	case !ValidTopic(topic):
		done(Receipt{}, ErrBadTopic)
	default:
		if err := h.link.publish(strings.Clone(topic), bytes.Clone(data), &o, done); err != nil {
			done(Receipt{}, err)
		}
	}
}

// Delete is Publish for the end of a topic: what is kept of it is dropped, the last message too,
// and its subscribers are told, as Options.EncodeDeleted says. A deletion takes an offset, so a
// subscriber that comes back later learns it too, as long as it is kept as the last message of the
// topic; History.Age ends that even with Retain. The messages before a deletion do not count as
// Missed then. The topic may be published to again. Safe for concurrent use.
func (h *Hub) Delete(topic string) (Receipt, error) {
	return h.publish(topic, nil, &PublishOptions{Delete: true})
}

func (h *Hub) publish(name string, data []byte, o *PublishOptions) (Receipt, error) {
	if !ValidTopic(name) {
		return Receipt{}, ErrBadTopic
	}
	if h.link != nil {
		if err := h.link.publish(strings.Clone(name), bytes.Clone(data), o, nil); err != nil {
			return Receipt{}, err
		}
		return Receipt{Subscribers: h.Subscribers(name)}, nil
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.seq >= MaxOffset { // without an engine a place is its offset
		h.stats.refused++
		return Receipt{}, ErrOffset
	}
	n, err := h.reserve(name, len(data))
	if err != nil {
		return Receipt{}, err
	}
	h.store(h.seq+1, name, data, o, n, 0)
	return Receipt{Offset: h.seq - h.shift, Subscribers: n}, nil
}

// store makes a message at that place of a copy of data, keeps it, and queues it for the loops with
// subscribers, of which reserve has found n. It is of that age.
func (h *Hub) store(at uint64, name string, data []byte, o *PublishOptions, n int, age time.Duration) {
	h.seq = at
	t := h.topic(name, h.tracking)
	if t != nil {
		h.history.note(t, at)
		name = t.name // one string for all messages of the topic
	}
	if n == 0 && !h.tracking && h.opts.Tap == nil {
		return
	}
	m := &message{Message: Message{Topic: name, Offset: at - h.shift, Data: bytes.Clone(data), Deleted: o.Delete}, hub: h, topic: t, at: at, except: o.Except}
	if o.from != 0 {
		m.given = &givenPatch{o.from + h.shift, bytes.Clone(o.patch)}
	}
	if h.tracking {
		if o.Delete {
			h.history.erase(t, at)
		}
		m.when = h.clock() - int64(age)
		h.keep(m)
	}
	h.queue(m)
	if h.opts.Tap != nil {
		h.opts.Tap(&m.Message, o.ID)
	}
}

// PublishTo is Publish for the connection numbered id alone, if it has subscribed to a pattern that
// matches topic. The message is not kept and has no offset; no engine sees it. Safe for concurrent
// use.
func (h *Hub) PublishTo(id uint64, topic string, data []byte) error {
	if !ValidTopic(topic) {
		return ErrBadTopic
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.reserve(topic, len(data))
	if err == nil && n > 0 {
		h.queue(&message{Message: Message{Topic: topic, Data: bytes.Clone(data)}, hub: h, at: h.seq, only: id})
	}
	return err
}

// reserve finds the patterns that match topic, in h.found, and makes sure that each loop with
// subscribers takes a message of size bytes: all of them, or none. It returns how many
// subscriptions there are.
func (h *Hub) reserve(topic string, size int) (int, error) {
	h.found = h.root.match(h.found[:0], topic)
	n := countOf(h.found)
	if n > 0 {
		for _, l := range h.loops {
			if err := h.reserveOn(l, size); err != nil {
				h.stats.refused++
				return 0, err
			}
		}
	}
	h.stats.published++
	return n, nil
}

func (h *Hub) reserveOn(l *loop, size int) error {
	switch {
	case !h.wanted(l):
		return nil
	case l.full(size):
		return ErrFull
	}
	return l.wake()
}

// full reports whether a message of size bytes is too much for the queue of l.
func (l *loop) full(size int) bool {
	o := &l.hub.opts
	return l.waiting() >= o.Queue || l.waiting() > 0 && l.bytes+size > o.QueueBytes
}

// wanted reports whether one of the patterns in h.found has a subscriber on l.
func (h *Hub) wanted(l *loop) bool {
	for _, x := range h.found {
		if len(x.subs[l.index]) > 0 {
			return true
		}
	}
	return false
}

// queue gives m to the loops with subscribers.
func (h *Hub) queue(m *message) {
	for _, l := range h.loops {
		if h.wanted(l) {
			l.push(m)
		}
	}
}
