package tlsconn

import (
	"fmt"
	"net/netip"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// errCrowded is ErrBusy for Limits.RatePerAddr.
var errCrowded = fmt.Errorf("%w of one address", ErrBusy)

// mostAddrs bounds how many addresses are kept track of in a second.
const mostAddrs = 4096

// rates counts the handshakes that have begun in this second. Several loops share it.
type rates struct {
	now func() time.Time // tests have a clock of their own

	mu     sync.Mutex
	second int64 // that the rest counts
	begun  int
	of     map[netip.Addr]int // by owner; nil without RatePerAddr
}

// admitNow counts one more handshake, with the peer of this address, or says why it may not begin:
// ErrBusy or errCrowded.
func (s *side) admitNow(peer netip.Addr) error {
	l, r := &s.limits, &s.rates
	if l.Rate <= 0 && l.RatePerAddr <= 0 {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if now := r.now().Unix(); now != r.second {
		r.second, r.begun, r.of = now, 0, nil // a map that was large once would stay so
	}
	if l.RatePerAddr > 0 && !r.take(conn.Owner(peer, l.Trusted), l.RatePerAddr) {
		return errCrowded
	}
	if r.begun++; l.Rate > 0 && r.begun > l.Rate {
		return ErrBusy
	}
	return nil
}

// take counts a handshake of owner, and reports whether it is among the most that it may have.
func (r *rates) take(owner netip.Addr, most int) bool {
	if !owner.IsValid() {
		return true
	}
	n, known := r.of[owner]
	switch {
	case n >= most:
		return false
	case !known && len(r.of) >= mostAddrs:
		return true
	case r.of == nil:
		r.of = make(map[netip.Addr]int)
	}
	r.of[owner] = n + 1
	return true
}
