package dns

import (
	"net/netip"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// Options are the settings of a Resolver. The zero value works.
type Options struct {
	// Servers are the name servers to ask, in place of those of resolv.conf, whose search list and
	// options do not count then.
	Servers []netip.AddrPort
	// Search are domains that names are looked for in, in place of those of resolv.conf.
	Search []string

	// Local resolves names in .local, which are not asked of name servers then (RFC 6762 §3): a
	// *Multicast of the same manager, which also finds the names of link-local addresses. Without it
	// they are names as others.
	Local mgr.Resolver

	Conf  string // the path of resolv.conf; default /etc/resolv.conf
	Hosts string // the path of the hosts file; default /etc/hosts

	// Timeout is how long to wait for a server before the next one is asked; default that of
	// resolv.conf, or 5 s.
	Timeout time.Duration
	// Attempts is how often all servers are asked; default that of resolv.conf, or 2.
	Attempts int

	CacheSize  int // answers that are kept for each manager; default 1024, negative is none
	MaxQueries int // questions under way for each manager; default 256, more are ErrBusy

	source func(to netip.Addr) (netip.Addr, error) // for tests; default sourceOf
}

// A Resolver is a stub resolver. It implements mgr.Resolver, and may serve several managers, for
// each of which it has a cache of its own. Its methods belong to the goroutine of the manager that
// they are given; they return at once.
//
// A name is looked for in this order: an IP address is its own; localhost and names in it are the
// loopback addresses, and names in .invalid and .onion do not exist (RFC 6761, RFC 7686), without a
// question to anybody; then the hosts file; then the name servers, for the name itself and for the
// name in each domain of the search list, as resolv.conf(5) says. Both files are read again when
// they have changed, which is looked at every 5 seconds at most.
//
// Each question goes out from a socket of its own, with a source port of the kernel's choice and a
// random ID. Answers from another address, with another ID, or to another question are passed over
// and counted (Stats.Foreign). A truncated answer is asked for again by TCP.
//
// Addresses come in the order in which they should be tried (RFC 6724 §6, with the default policy
// table): first those that there is a route to. Addresses that the rules do not tell apart come in
// the order of the name server or the hosts file, IPv6 first. A change of routes counts after 5
// seconds at most.
type Resolver struct {
	opts Options
}

// New returns a Resolver. At most one opts may be given.
func New(opts ...Options) *Resolver {
	r := new(Resolver)
	if len(opts) > 0 {
		r.opts = opts[0]
	}
	return r
}

// SRV is where a service is (RFC 2782).
type SRV struct {
	Target   string // in lower case, without a dot at its end; "" says that the service is not there
	Port     uint16
	Priority uint16
	Weight   uint16
}

// Stats count what a Resolver has done for one manager.
type Stats struct {
	Lookups  uint64 // calls of Resolve, Addrs, SRV, TXT and PTR
	Hits     uint64 // questions that the cache has answered
	Shared   uint64 // questions that were under way already
	Queries  uint64 // questions that went to name servers
	Sent     uint64 // messages to name servers, TCP too
	TCP      uint64 // of Sent, by TCP
	Foreign  uint64 // messages that were no answer to the question
	Failures uint64 // questions that no server has answered
	Cached   int    // answers in the cache
	Pending  int    // questions under way
}

// Stats returns what r has done for m.
func (r *Resolver) Stats(m *mgr.Manager) Stats {
	l := r.loop(m)
	s := l.stats
	s.Cached, s.Pending = len(l.cache.entries), len(l.pending)
	return s
}

// Flush forgets all answers that are kept for m, and looks at the files and the routes again.
func (r *Resolver) Flush(m *mgr.Manager) {
	l := r.loop(m)
	l.cache.clear()
	l.order.until = 0
	l.lookAt = 0
}

// Resolve implements mgr.Resolver.
func (r *Resolver) Resolve(m *mgr.Manager, name string, found func(mgr.Resolved)) (cancel func()) {
	return r.loop(m).resolve(m, name, found)
}

// Addrs finds the addresses of name, IPv6 and IPv4, and calls done with all of them, before it
// returns or later, or with an *Error. addrs is valid until done returns. A call of cancel, which
// may be nil if done has been called, keeps done from being called.
func (r *Resolver) Addrs(m *mgr.Manager, name string, done func(addrs []netip.Addr, err error)) (cancel func()) {
	var all []netip.Addr
	l := r.loop(m)
	return l.resolve(m, name, func(x mgr.Resolved) {
		switch {
		case x.More:
			all = append(all, x.Addrs...)
		case len(all) == 0 && len(x.Addrs) == 0:
			done(nil, x.Err)
		case len(all) == 0:
			done(x.Addrs, nil)
		default:
			all = append(all, x.Addrs...)
			l.order.sort(all, m.Now())
			done(all, nil)
		}
	})
}

// SRV finds where a service is: name is such as _mqtt._tcp.example.org. The records are in the
// order in which a client should try them: by priority, and at random by weight (RFC 2782). The
// rest is as with Addrs.
func (r *Resolver) SRV(m *mgr.Manager, name string, done func(srv []SRV, err error)) (cancel func()) {
	l := r.loop(m)
	l.refresh(m)
	return l.records(m, name, l.candidates(name), typeSRV, func(e *entry) {
		if e.err != nil {
			done(nil, e.err)
			return
		}
		done(orderSRV(e.srv), nil)
	})
}

// TXT finds the texts of a name; the strings of one record are joined. The rest is as with Addrs.
func (r *Resolver) TXT(m *mgr.Manager, name string, done func(texts []string, err error)) (cancel func()) {
	l := r.loop(m)
	l.refresh(m)
	return l.records(m, name, l.candidates(name), typeTXT, texts(done))
}

// PTR finds the names of an address, in the hosts file or of the name servers. The owner of an
// address may claim any name for it: ask for the addresses of the name before trusting it. The rest
// is as with Addrs.
func (r *Resolver) PTR(m *mgr.Manager, addr netip.Addr, done func(names []string, err error)) (cancel func()) {
	l := r.loop(m)
	l.refresh(m)
	if names := l.hosts.names[addr.Unmap()]; len(names) > 0 {
		l.stats.Lookups++
		done(append([]string(nil), names...), nil)
		return nil
	}
	// RFC 6762 §4: names of link-local addresses are a matter of the link.
	if local, ok := r.opts.Local.(localPTR); ok && addr.Unmap().IsLinkLocalUnicast() {
		l.stats.Lookups++
		return local.PTR(m, addr, done)
	}
	return l.records(m, addr.String(), []string{reverse(addr)}, typePTR, texts(done))
}

// localPTR is a *Multicast, which a program without one does not link.
type localPTR interface {
	PTR(m *mgr.Manager, addr netip.Addr, done func(names []string, err error)) (cancel func())
}

func texts(done func([]string, error)) func(*entry) {
	return func(e *entry) {
		if e.err != nil {
			done(nil, e.err)
			return
		}
		done(append([]string(nil), e.texts...), nil)
	}
}
