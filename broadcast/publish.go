package broadcast

import "bytes"

// A Receipt says what became of a published message.
type Receipt struct {
	Offset      uint64
	Subscribers int // see Hub.Subscribers
}

// Publish sends a copy of data to all who have subscribed to a pattern that matches topic, and keeps it for those who come
// back. It waits for nobody: a loop that is busy has it queued, and so has, up to its limit, a subscriber that is slow.
// The messages of one goroutine arrive in their order, and each subscriber sees the offsets rise.
//
// It returns ErrBadTopic, ErrFull or ErrClosed, and nobody gets the message then. Safe for concurrent use, from handlers too.
func (h *Hub) Publish(topic string, data []byte) (Receipt, error) {
	return h.publish(topic, data, 0)
}

// PublishExcept is Publish for all but the connection numbered id, such as the one that the message came from. The message is
// kept, so that connection's successor may get it. Safe for concurrent use.
func (h *Hub) PublishExcept(id uint64, topic string, data []byte) (Receipt, error) {
	return h.publish(topic, data, id)
}

func (h *Hub) publish(name string, data []byte, except uint64) (Receipt, error) {
	if !ValidTopic(name) {
		return Receipt{}, ErrBadTopic
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.reserve(name, len(data))
	if err != nil {
		return Receipt{}, err
	}
	h.seq++
	receipt := Receipt{Offset: h.seq, Subscribers: n}
	t := h.topic(name, h.tracking)
	if t != nil {
		t.published++
		t.last = h.seq
	}
	if n == 0 && !h.tracking {
		return receipt, nil
	}
	m := &message{Message: Message{name, h.seq, bytes.Clone(data)}, hub: h, topic: t, at: h.seq, except: except}
	if h.tracking {
		m.when = h.clock()
		h.keep(m)
	}
	h.queue(m)
	return receipt, nil
}

// PublishTo is Publish for the connection numbered id alone, if it has subscribed to a pattern that matches topic. The message
// is not kept and has no offset. Safe for concurrent use.
func (h *Hub) PublishTo(id uint64, topic string, data []byte) error {
	if !ValidTopic(topic) {
		return ErrBadTopic
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	n, err := h.reserve(topic, len(data))
	if err == nil && n > 0 {
		h.queue(&message{Message: Message{topic, 0, bytes.Clone(data)}, hub: h, at: h.seq, only: id})
	}
	return err
}

// reserve finds the patterns that match topic, in h.found, and makes sure that each loop with subscribers takes a message of
// size bytes: all of them, or none. It returns how many subscriptions there are.
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
	case l.waiting() >= h.opts.Queue, l.waiting() > 0 && l.bytes+size > h.opts.QueueBytes:
		return ErrFull
	}
	return l.wake()
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
