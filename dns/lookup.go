package dns

import (
	"net/netip"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// resolutionDelay is how long IPv4 addresses wait for the IPv6 ones (RFC 8305 §3).
const resolutionDelay = 50 * time.Millisecond

// lookup is one call of Resolve that the cache does not answer: for each candidate of the name two
// questions, AAAA and A, side by side. The first candidate with addresses ends it.
type lookup struct {
	l     *loop
	m     *mgr.Manager
	name  string // as it was asked for
	list  []string
	found func(mgr.Resolved)

	v6, v4   *entry  // the answers that have come
	ask6     *waiter // the questions under way
	ask4     *waiter
	told     bool       // found has been called with addresses
	held     bool       // IPv4 addresses wait for the IPv6 ones
	delay    *mgr.Timer // ends that
	failed   *Error
	starting bool
	over     bool
}

func (l *loop) lookup(m *mgr.Manager, name string, list []string, found func(mgr.Resolved)) (cancel func()) {
	k := &lookup{l: l, m: m, name: name, list: list, found: found}
	k.start()
	if k.over {
		return nil
	}
	return k.cancel
}

// start asks for the first candidate of the list.
func (k *lookup) start() {
	full := k.list[0]
	k.v6, k.v4 = nil, nil
	k.starting = true
	k.ask6 = k.l.ask(k.m, question{full, typeAAAA}, func(e *entry) { k.ask6, k.v6 = nil, e; k.step() })
	k.ask4 = k.l.ask(k.m, question{full, typeA}, func(e *entry) { k.ask4, k.v4 = nil, e; k.step() })
	k.starting = false
	k.step()
}

// step looks at what has come.
func (k *lookup) step() {
	if k.over || k.starting {
		return
	}
	switch {
	case k.v6 != nil && k.v4 != nil:
		k.both()
	case k.v6 != nil && len(k.v6.addrs) > 0:
		k.tell(k.v6.addrs)
	case k.v4 != nil && len(k.v4.addrs) > 0 && !k.held:
		k.held = true
		k.delay = k.m.AfterFunc(resolutionDelay, func() {
			if k.delay = nil; !k.over {
				k.tell(k.v4.addrs)
			}
		})
	}
}

// both ends the lookup, or goes on to the next candidate.
func (k *lookup) both() {
	if k.told { // the addresses of one family; now the others
		rest := k.v4
		if k.held && k.delay == nil {
			rest = k.v6
		}
		k.end(rest.addrs, nil, nil)
		return
	}
	if len(k.v6.addrs)+len(k.v4.addrs) > 0 {
		k.end(k.v6.addrs, k.v4.addrs, nil)
		return
	}
	k.failed = worse(k.failed, worse(k.v6.err, k.v4.err))
	if k.list = k.list[1:]; len(k.list) > 0 {
		k.held = false
		k.start()
		return
	}
	k.end(nil, nil, k.failed.of(k.name))
}

// tell gives found the addresses of one family, with the others to come.
func (k *lookup) tell(addrs []netip.Addr) {
	if !k.told {
		k.told = true
		k.l.give(k.m, addrs, nil, mgr.Resolved{More: true}, k.found)
	}
}

// end ends the lookup with addresses, or an error.
func (k *lookup) end(a, b []netip.Addr, err *Error) {
	k.over = true
	if k.delay != nil {
		k.delay.Stop()
		k.delay = nil
	}
	x := mgr.Resolved{}
	if err != nil {
		x.Err = err
	}
	k.l.give(k.m, a, b, x, k.found)
}

func (k *lookup) cancel() {
	if k.over {
		return
	}
	k.over = true
	if k.delay != nil {
		k.delay.Stop()
	}
	for _, w := range []*waiter{k.ask6, k.ask4} {
		if w != nil {
			w.leave()
		}
	}
}

// records finds the records of one kind, of the first name of list that has some. name is what the
// program has asked for.
func (l *loop) records(m *mgr.Manager, name string, list []string, kind dnsType, done func(*entry)) (cancel func()) {
	l.stats.Lookups++
	if list == nil {
		done(&entry{err: &Error{Name: name, Err: ErrBadName}})
		return nil
	}
	var w *waiter
	over := false
	var failed *Error
	var ask func()
	ask = func() {
		q := question{list[0], kind}
		list = list[1:]
		asked := l.ask(m, q, func(e *entry) {
			w = nil
			switch {
			case over:
			case e.err == nil:
				over = true
				done(e)
			default:
				if failed = worse(failed, e.err); len(list) > 0 {
					ask()
					return
				}
				over = true
				done(&entry{err: failed.of(name)})
			}
		})
		if asked != nil { // else it has been answered, and w may be the question after it
			w = asked
		}
	}
	ask()
	if over {
		return nil
	}
	return func() {
		over = true
		if w != nil {
			w.leave()
			w = nil
		}
	}
}
