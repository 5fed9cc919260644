package stdhttp

import (
	"errors"
	"net/netip"
	"time"
)

// ErrBusy is what Read, Write, Flush and Hijack of a handler return if it has to wait for its
// client, or wants to stream, and there is no room in Options.Streams, in all or for its client's
// address.
var ErrBusy = errors.New("stdhttp: too many handlers wait for their clients")

// patience is how long a handler that waits for its client may keep a worker if there is no room in
// Options.Streams.
const patience = time.Second

// A place says where a request counts. Handler.mu guards it.
type place uint8

const (
	nowhere   place = iota
	queued          // waits for a worker
	working         // its handler has a worker
	waiting         // its handler waits for the client, and has no worker meanwhile
	streaming       // its handler has flushed or hijacked, and has no worker until it returns
)

// A share is a number of places. One address may have a part of them.
type share struct {
	limit, part, used int
	by                map[netip.Addr]int
}

func newShare(limit, percent int) share {
	limit = max(limit, 0)
	return share{limit: limit, part: (limit*percent + 99) / 100, by: make(map[netip.Addr]int)}
}

// admit gives the address a place, if there is one. An address that is not valid, as that of a unix
// socket, is not limited to a part.
func (s *share) admit(a netip.Addr) bool {
	if s.used >= s.limit || a.IsValid() && s.by[a] >= s.part {
		return false
	}
	s.admitAnyway(a)
	return true
}

// admitAnyway gives it a place even if there is none.
func (s *share) admitAnyway(a netip.Addr) {
	s.used++
	if a.IsValid() {
		s.by[a]++
	}
}

func (s *share) dismiss(a netip.Addr) {
	s.used--
	if a.IsValid() {
		if s.by[a]--; s.by[a] == 0 {
			delete(s.by, a)
		}
	}
}

// start gives x to a worker, or to the queue. It reports false when there is no room in either.
func (h *Handler) start(x *exchange) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.workers.admit(x.from):
		x.place = working
		go h.work(x)
	case h.queue.admit(x.from):
		x.place = queued
		h.queued = append(h.queued, x)
	default:
		return false
	}
	return true
}

// work calls the handler of x, and then those of queued requests. A worker ends when none is left:
// goroutines are cheap to start.
func (h *Handler) work(x *exchange) {
	for x != nil {
		x.callHandler()
		x = h.next(x)
	}
}

// next ends the place of x, whose handler has returned, and returns the next request for this
// worker, or nil.
func (h *Handler) next(x *exchange) *exchange {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.vacate(x)
	y := h.pick()
	if h.workers.used+h.streams.used == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
	return y
}

// vacate ends the place of x. It is called with mu held.
func (h *Handler) vacate(x *exchange) {
	switch x.place {
	case queued:
		h.queue.dismiss(x.from)
	case working:
		h.workers.dismiss(x.from)
	case waiting, streaming:
		h.streams.dismiss(x.from)
	}
	x.place = nowhere
}

// pick gives a worker to the first request in the queue whose address may have one. It is called
// with mu held.
func (h *Handler) pick() *exchange {
	if h.workers.used >= h.workers.limit {
		return nil
	}
	for i, y := range h.queued {
		if h.workers.admit(y.from) {
			h.unqueue(i)
			h.queue.dismiss(y.from)
			y.place = working
			return y
		}
	}
	return nil
}

func (h *Handler) unqueue(i int) {
	copy(h.queued[i:], h.queued[i+1:])
	h.queued[len(h.queued)-1] = nil
	h.queued = h.queued[:len(h.queued)-1]
}

// yield moves x from its worker to the streams, to the place to, and gives the worker to the next
// request. It reports false if there is no room.
func (h *Handler) yield(x *exchange, to place) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case x.place == waiting: // another goroutine of the handler waits
		x.place = to
		return true
	case x.place != working: // it streams already, or has returned and left a goroutine running
		return true
	case !h.streams.admit(x.from):
		return false
	}
	h.vacate(x)
	x.place = to
	if y := h.pick(); y != nil {
		go h.work(y)
	}
	return true
}

// comeBack gives a handler that has waited for its client a worker again. It does so at once, even
// if that makes more than Options.Workers: the handler may hold locks that the others wait for.
func (h *Handler) comeBack(x *exchange) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if x.place == waiting {
		h.vacate(x)
		h.workers.admitAnyway(x.from)
		x.place = working
	}
}

// forget takes x out of the queue if its connection has ended before its turn. The loop calls it.
func (h *Handler) forget(x *exchange) {
	h.mu.Lock()
	var found bool
	for i, y := range h.queued {
		if found = x == y; found {
			h.unqueue(i)
			h.vacate(x)
			break
		}
	}
	h.mu.Unlock()
	if found || x.gathering {
		x.gathering = false
		x.mu.Lock()
		x.body.drop()
		x.mu.Unlock()
	}
}

// wait waits for a change that the client has to bring about. It is called with mu held, and
// returns ErrBusy if the handler must not wait any longer. x.crowded runs from the first time that
// there was no room, whatever the client does meanwhile: a client that sends a byte now and then
// must not keep a worker for ever.
func (x *exchange) wait() error {
	if x.h.yield(x, waiting) {
		x.crowded.at(&x.changed, time.Time{})
		x.changed.Wait()
		x.h.comeBack(x)
		return nil
	}
	if x.crowded.passed {
		return ErrBusy
	}
	if x.crowded.timer == nil {
		x.crowded.at(&x.changed, time.Now().Add(x.h.patience))
	}
	x.changed.Wait()
	return nil
}
