package dns

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/mgr"
)

const (
	typeA    = dnsmessage.TypeA
	typeAAAA = dnsmessage.TypeAAAA
	typeSRV  = dnsmessage.TypeSRV
	typeTXT  = dnsmessage.TypeTXT
	typePTR  = dnsmessage.TypePTR
)

// loop is what a Resolver has for one manager. Nothing in it holds on to the manager while no
// question is under way.
type loop struct {
	r       *Resolver
	conf    config
	hosts   hosts
	cache   *cache
	pending map[question]*query
	lists   map[string][]string // candidates of names that the search list is for
	next    int                 // the server that the next question begins with, with "rotate"
	lookAt  int64               // when to look at the files again
	files   [2]file
	stats   Stats
	order   order
	joined  []netip.Addr // scratch of give
	room    []byte       // for a datagram
	reply   reply        // the last one
}

const (
	cacheSize  = 1024
	maxQueries = 256
	lookEvery  = 5 * time.Second
	mostLists  = 1024
)

func (r *Resolver) loop(m *mgr.Manager) *loop {
	return m.Local(r, func() any { return newLoop(r) }).(*loop)
}

func newLoop(r *Resolver) *loop {
	o := &r.opts
	l := &loop{r: r, pending: map[question]*query{}, lists: map[string][]string{}, order: order{source: o.source}}
	size := o.CacheSize
	if size == 0 {
		size = cacheSize
	}
	l.cache = newCache(size)
	l.files[0].path, l.files[1].path = o.Conf, o.Hosts
	if o.Conf == "" {
		l.files[0].path = "/etc/resolv.conf"
	}
	if o.Hosts == "" {
		l.files[1].path = "/etc/hosts"
	}
	l.configure("")
	return l
}

// refresh looks whether the files have changed, now and then.
func (l *loop) refresh(m *mgr.Manager) {
	now := m.Now()
	if now < l.lookAt {
		return
	}
	l.lookAt = now + int64(lookEvery)
	if len(l.r.opts.Servers) == 0 {
		if text, changed := l.files[0].changed(); changed {
			l.configure(text)
			l.cache.clear() // another network may have other answers
		}
	}
	if text, changed := l.files[1].changed(); changed {
		l.hosts = parseHosts(text)
	}
}

// configure takes the settings of a resolv.conf, and those of the options, which go before.
func (l *loop) configure(text string) {
	o := &l.r.opts
	l.conf = parseConfig(text)
	if len(o.Servers) > 0 {
		l.conf = defaultConfig()
		l.conf.servers = o.Servers[:min(len(o.Servers), mostServers)]
	}
	if o.Search != nil {
		l.conf.search = searchList(o.Search)
	}
	if o.Timeout > 0 {
		l.conf.timeout = o.Timeout
	}
	if o.Attempts > 0 {
		l.conf.attempts = min(o.Attempts, mostAttempts)
	}
	clear(l.lists)
}

func (l *loop) maxQueries() int {
	if n := l.r.opts.MaxQueries; n > 0 {
		return n
	}
	return maxQueries
}

// candidates returns the names to ask for when a program asks for name, or nil if it is none.
func (l *loop) candidates(name string) []string {
	if list, ok := l.lists[name]; ok {
		return list
	}
	full := canonical(name)
	var list []string
	if isName(full) {
		list = l.conf.candidates(full, len(name) > 0 && name[len(name)-1] == '.')
	}
	if len(l.lists) >= mostLists {
		clear(l.lists)
	}
	l.lists[name] = list
	return list
}

var loopback = []netip.Addr{netip.IPv6Loopback(), netip.AddrFrom4([4]byte{127, 0, 0, 1})}

// known returns what can be said about the addresses of name without a question to a server.
func (l *loop) known(name string) (addrs []netip.Addr, err *Error, ok bool) {
	if name == "" {
		return nil, &Error{Name: name, Err: ErrBadName}, true
	}
	if strings.Contains(name, ":") || strings.Trim(name, "0123456789.") == "" {
		if a, err := netip.ParseAddr(name); err == nil {
			return []netip.Addr{a}, nil, true
		}
	}
	full := canonical(name)
	if addrs := l.hosts.addrs[full]; len(addrs) > 0 {
		return addrs, nil, true
	}
	switch {
	case under(full, "localhost"):
		return loopback, nil, true
	case under(full, "invalid"), under(full, "onion"):
		return nil, &Error{Name: name, Err: ErrNoName}, true
	}
	return nil, nil, false
}

// resolve is Resolver.Resolve.
func (l *loop) resolve(m *mgr.Manager, name string, found func(mgr.Resolved)) (cancel func()) {
	l.refresh(m)
	l.stats.Lookups++
	if addrs, err, ok := l.known(name); ok {
		x := mgr.Resolved{}
		if err != nil {
			x.Err = err
		}
		l.give(m, addrs, nil, x, found)
		return nil
	}
	if local := l.r.opts.Local; local != nil && under(canonical(name), "local") {
		return local.Resolve(m, name, found)
	}
	list := l.candidates(name)
	if list == nil {
		found(mgr.Resolved{Err: &Error{Name: name, Err: ErrBadName}})
		return nil
	}
	now := m.Now()
	for i, full := range list {
		v6 := l.cache.get(question{full, typeAAAA}, now)
		v4 := l.cache.get(question{full, typeA}, now)
		if v6 == nil || v4 == nil {
			return l.lookup(m, name, list[i:], found)
		}
		l.stats.Hits += 2
		if len(v6.addrs)+len(v4.addrs) > 0 {
			found(mgr.Resolved{Addrs: l.both(v6, v4, now)})
			return nil
		}
		if i == len(list)-1 {
			found(mgr.Resolved{Err: worse(v6.err, v4.err).of(name)})
		}
	}
	return nil
}

// give calls found with x and the addresses of a and b, in the order in which they should be tried.
func (l *loop) give(m *mgr.Manager, a, b []netip.Addr, x mgr.Resolved, found func(mgr.Resolved)) {
	switch {
	case len(a)+len(b) > 1: // they are the cache's, or those of the hosts file
		all := append(append(l.joined[:0], a...), b...)
		l.joined = nil // found may ask for another name
		l.order.sort(all, m.Now())
		x.Addrs = all
		found(x)
		l.joined = all
		return
	case len(a) > 0:
		x.Addrs = a
	default:
		x.Addrs = b
	}
	found(x)
}

// both returns the addresses of two entries of the cache in the order in which they should be
// tried. The result never changes; it is made anew when that order has to be found out again.
func (l *loop) both(v6, v4 *entry, now int64) []netip.Addr {
	switch {
	case len(v6.addrs)+len(v4.addrs) > 1:
	case len(v6.addrs) > 0:
		return v6.addrs
	default:
		return v4.addrs
	}
	if v6.with != v4 || now >= v6.until {
		v6.both, v6.with = slices.Concat(v6.addrs, v4.addrs), v4
		v6.until = l.order.sort(v6.both, now)
	}
	return v6.both
}

// worse returns the error that says more about why there is no address: that of a server which has
// failed, since there may be one.
func worse(a, b *Error) *Error {
	switch {
	case a == nil:
		return b
	case b == nil, a.Err != ErrNoName && a.Err != ErrNoData:
		return a
	case b.Err != ErrNoName && b.Err != ErrNoData:
		return b
	case a.Err == ErrNoData: // the name exists
		return a
	}
	return b
}

// of returns e for the name that the program has asked for.
func (e *Error) of(name string) *Error {
	if e == nil || e.Name == name {
		return e
	}
	return &Error{Name: name, Server: e.Server, Err: e.Err}
}

// orderSRV returns the records in the order of RFC 2782: by priority, and within one by chance,
// weighted.
func orderSRV(list []SRV) []SRV {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return min(int(a.Weight), 1) - min(int(b.Weight), 1) // those of weight 0 first
	})
	for i := 0; i < len(list); i++ {
		sum, end := 0, i
		for ; end < len(list) && list[end].Priority == list[i].Priority; end++ {
			sum += int(list[end].Weight)
		}
		at := rand.IntN(sum + 1)
		for k := i; k < end; k++ {
			if at -= int(list[k].Weight); at <= 0 {
				chosen := list[k]
				copy(list[i+1:k+1], list[i:k])
				list[i] = chosen
				break
			}
		}
	}
	return list
}
