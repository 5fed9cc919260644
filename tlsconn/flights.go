package tlsconn

import (
	"fmt"
	"net/netip"
	"sync"
)

// errMadeRoom is ErrBusy for a handshake that has begun.
var errMadeRoom = fmt.Errorf("%w: this one waited for its peer, and made room for another", ErrBusy)

// flights are the handshakes that have a place, in the order in which they began. If all places are
// taken, the oldest handshake that waits for its peer loses its place to a new one: peers that fall
// silent within the handshake must not keep honest ones out until their time is over. A peer cannot
// become younger by sending more. Several loops share a flights.
type flights struct {
	mu          sync.Mutex
	first, last *handshake
	taken       int // places
	hungry      int // of these: whose worker waits for the peer
	leaving     int // handshakes that have lost their place, and whose worker has not ended
}

// A place says how a handshake counts. flights.mu guards it.
type place uint8

const (
	noPlace     place = iota
	placed            // the worker computes, or waits for something else than the peer
	placeHungry       // the worker waits for the peer
	placeLost         // another handshake has it
)

// admit gives h a place, or says why it may not begin: ErrBusy or errCrowded. A handshake that has
// lost its place for that is returned: dismiss it.
func (s *side) admit(h *handshake, peer netip.Addr) (lost *handshake, err error) {
	f, most := &s.flights, s.limits.MaxHandshakes
	f.mu.Lock()
	defer f.mu.Unlock()
	full := most > 0 && f.taken >= most
	// Whose worker has not ended still costs memory. There may be as many of those as places, in
	// case their loop is busy.
	if full && (!s.makesRoom || f.hungry == 0 || f.leaving >= most) {
		return nil, ErrBusy
	}
	if err := s.admitNow(peer); err != nil {
		return nil, err
	}
	if full {
		for lost = f.first; lost.place != placeHungry; lost = lost.later {
		}
		f.remove(lost)
		lost.place = placeLost
		f.leaving++
	}
	h.place, h.sooner = placed, f.last
	if f.last == nil {
		f.first = h
	} else {
		f.last.later = h
	}
	f.last = h
	f.taken++
	return lost, nil
}

// remove takes the place of h.
func (f *flights) remove(h *handshake) {
	if h.sooner == nil {
		f.first = h.later
	} else {
		h.sooner.later = h.later
	}
	if h.later == nil {
		f.last = h.sooner
	} else {
		h.later.sooner = h.sooner
	}
	h.sooner, h.later = nil, nil
	if h.place == placeHungry {
		f.hungry--
	}
	h.place = noPlace
	f.taken--
}

// starve says that the worker of h waits for the peer.
func (f *flights) starve(h *handshake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.place == placed {
		h.place = placeHungry
		f.hungry++
	}
}

// feed says that the worker of h goes on. It returns false if h has lost its place.
func (f *flights) feed(h *handshake) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if h.place == placeHungry {
		h.place = placed
		f.hungry--
	}
	return h.place != placeLost
}

// leave says that the worker of h has ended.
func (f *flights) leave(h *handshake) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch h.place {
	case placed, placeHungry:
		f.remove(h)
	case placeLost:
		h.place = noPlace
		f.leaving--
	}
}

// dismiss has the loop of h end it, because it has lost its place.
func (h *handshake) dismiss() {
	l := h.l
	l.c.Layer().Complete(func() { // an error says that the loop has ended, and so has h
		if h.phase == hungry {
			h.dismissed = true
			l.c.Layer().Computed()
		}
	})
}
