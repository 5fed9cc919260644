package owner

import (
	"hash/maphash"
	"net/netip"
	"time"
)

// A limit slows failures down: each address may fail some times, then it waits, twice as long after
// each further failure. So does each name, whatever addresses the attempts come from, but only up
// to some seconds. All addresses and names together are bounded by the one worker that computes
// digests: only a few calls may wait for it.
type limit struct {
	failed map[netip.Prefix]failures

	// names are those of users and those that nobody has, which must look the same: so the place of
	// a name is found by its hash, and some names share one. The local link has a half of its own:
	// an attack from outside does not keep the owner at home out.
	names [2][256]failures
	seed  maphash.Seed
}

type failures struct {
	n     int
	until time.Time
	name  uint64 // the hash of the one name that all of them were for
	mixed bool   // they were for several
}

const (
	freeFailures = 5
	maxDelay     = 5 * time.Minute
	maxFailed    = 4096 // addresses
	forget       = time.Hour

	freeOfName     = 20
	maxDelayOfName = 30 * time.Second
)

// networkOf returns the network that counts as one address: a household has a whole /64 of IPv6. Unlike
// conn.Owner it takes all link-local addresses for one: a neighbour has as many of them as it likes.
func networkOf(a netip.Addr) netip.Prefix {
	a = a.Unmap().WithZone("")
	bits := 64
	if a.Is4() {
		bits = 32
	}
	p, _ := a.Prefix(bits) // an address that is not valid has the zero prefix
	return p
}

func (l *limit) hash(name string) uint64 {
	if l.seed == (maphash.Seed{}) {
		l.seed = maphash.MakeSeed()
	}
	return maphash.String(l.seed, name)
}

// ofName returns the failures of a name.
func (l *limit) ofName(name string, local bool) *failures {
	half := &l.names[0]
	if local {
		half = &l.names[1]
	}
	return &half[l.hash(name)%uint64(len(half))]
}

// wait returns how long an address has to wait.
func (l *limit) wait(a netip.Addr, now time.Time) time.Duration {
	return l.failed[networkOf(a)].until.Sub(now)
}

// waitOfName returns how long a name has to wait.
func (l *limit) waitOfName(name string, local bool, now time.Time) time.Duration {
	return l.ofName(name, local).until.Sub(now)
}

// count counts a failure, of which some are free.
func (f *failures) count(now time.Time, free int, most time.Duration) {
	if now.Sub(f.until) > forget {
		*f = failures{}
	}
	f.n++
	f.until = now
	if over := f.n - free; over >= 0 {
		f.until = now.Add(min(time.Second<<min(over, 20), most))
	}
}

// fail counts a failure of an address that was for a name; "" is none.
func (l *limit) fail(a netip.Addr, name string, now time.Time) {
	if l.failed == nil {
		l.failed = map[netip.Prefix]failures{}
	}
	l.sweep(now)
	f := l.failed[networkOf(a)]
	f.count(now, freeFailures, maxDelay)
	h := l.hash(name)
	f.mixed = f.mixed || f.n > 1 && f.name != h
	f.name = h
	l.failed[networkOf(a)] = f
}

// failOfName counts a failure for a name.
func (l *limit) failOfName(name string, local bool, now time.Time) {
	l.ofName(name, local).count(now, freeOfName, maxDelayOfName)
}

// sweep forgets the addresses that have not failed for long, if there are many.
func (l *limit) sweep(now time.Time) {
	if len(l.failed) < maxFailed {
		return
	}
	for p, f := range l.failed {
		if now.Sub(f.until) > forget {
			delete(l.failed, p)
		}
	}
	if len(l.failed) >= maxFailed { // all of them are recent: the whole net attacks
		clear(l.failed)
	}
}

// succeed forgets the failures of an address if all of them were for the name that has logged in.
// Otherwise a user could guess the password of another for ever, with a login of his own in between.
func (l *limit) succeed(a netip.Addr, name string) {
	if f := l.failed[networkOf(a)]; !f.mixed && f.name == l.hash(name) {
		delete(l.failed, networkOf(a))
	}
}
