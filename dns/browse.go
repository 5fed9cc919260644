package dns

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// heard is a record of somebody's, in the cache.
type heard struct {
	record
	on      int   // the index of the interface
	at      int64 // when it came
	expires int64
	stage   int // how often it was asked for again before it expires; stages at most
	refresh int64
}

// asking is a question that is asked again and again: after 1 s, 2 s, 4 s, up to an hour (RFC 6762
// §5.2).
type asking struct {
	key   rkey
	name  wname
	wait  time.Duration
	timer *mgr.Timer
}

// A Found is a service that Browse has found, or news of it.
type Found struct {
	Service
	Host  string       // such as boiler.local
	Addrs []netip.Addr // with a zone if they are link-local
	Gone  bool         // it is no longer there: only the name and the type are set
}

// A Browser looks for services of one type.
type Browser struct {
	d    *Multicast
	kind string
	in   wname // the type
	name wname // the type, or a subtype of it
	f    func(*Found)
	told map[wname]*Found // by instance
}

const mostInstances = 1024 // of one Browser

// Browse looks for services of a type, such as _http._tcp, or of a subtype, such as
// _printer._sub._http._tcp, until stop or Close is called. f is called with each service when its
// host, port, texts and an address are known, again when one of these changes, and when it is gone.
// It is called before Browse returns, too, with the services that are known already, and not any
// more after stop or Close. The Found belongs to f.
func (d *Multicast) Browse(kind string, f func(*Found)) (stop func(), err error) {
	sub, of, isSub := strings.Cut(kind, "._sub.")
	if isSub {
		kind = of
	}
	n, err := typeOf(kind)
	if err == nil && isSub && (sub == "" || len(sub) > 63) {
		err = fmt.Errorf("subtype %q: %w", sub, errLabel)
	}
	if err == nil && d.ended {
		err = mgr.ErrClosed
	}
	if err != nil {
		return nil, fmt.Errorf("dns: browse: %w", err)
	}
	b := &Browser{d: d, kind: kind, in: n + d.local, name: n + d.local, f: f, told: map[wname]*Found{}}
	if isSub {
		b.name = b.in.in("_sub").in(sub)
	}
	d.browsers = append(d.browsers, b)
	d.review()
	return func() {
		d.browsers = slices.DeleteFunc(d.browsers, func(o *Browser) bool { return o == b })
		if !d.ended {
			d.review()
		}
	}, nil
}

// heard takes the records of a response.
func (d *Multicast) heard(on *Interface, p *packet) {
	for _, list := range [][]record{p.answers, p.extra} {
		for _, r := range list {
			for _, k := range slices.Clone(d.own) {
				k.contest(&r)
			}
			d.keep(on, r)
		}
	}
}

// keep puts a record into the cache. Only what is asked for, or comes with that, is of use; but the
// answers to the questions of others are kept too, as far as there is room: what is asked for takes
// their place.
func (d *Multicast) keep(on *Interface, r record) {
	switch r.kind {
	case kindA, kindAAAA, kindPTR, kindSRV, kindTXT, kindNSEC:
	default:
		return
	}
	if r.kind == kindSRV && len(r.data) < 8 {
		return
	}
	now := d.m.Now()
	key := rkey{r.name.key(), r.kind}
	list := d.cache[key]
	soon := now + int64(time.Second)
	if r.flush { // §10.2: what was heard more than a second ago, and is not said again, is no longer so
		for _, h := range list {
			if h.on == on.Index && h.at < now-int64(time.Second) && h.expires > soon && !h.sameAs(&r) {
				h.expires, h.refresh = soon, soon
				d.again = true
			}
		}
	}
	for _, h := range list {
		if h.on == on.Index && h.sameAs(&r) {
			if r.ttl == 0 { // §10.1: gone, in a second, and it is in vain to ask for it
				h.expires, h.stage = min(h.expires, soon), stages
			} else {
				h.at, h.ttl, h.stage = now, r.ttl, 0
				h.expires = now + int64(r.ttl)*int64(time.Second)
			}
			h.plan()
			d.again = true
			return
		}
	}
	if r.ttl == 0 {
		return
	}
	if d.heardN >= d.opts.MaxRecords && (d.asking[key] == nil || !d.makeRoom()) {
		d.stats.Dropped++
		return
	}
	h := &heard{record: r, on: on.Index, at: now, expires: now + int64(r.ttl)*int64(time.Second)}
	h.plan()
	d.cache[key] = append(list, h)
	d.heardN++
	d.again = true
}

const stages = 4

// makeRoom drops a record that is neither used nor asked for, if there is one.
func (d *Multicast) makeRoom() bool {
	if d.full {
		return false
	}
	for key, list := range d.cache {
		i := -1
		if d.asking[key] == nil {
			i = slices.IndexFunc(list, func(h *heard) bool { return !d.used[h] })
		}
		if i < 0 {
			continue
		}
		if list = slices.Delete(list, i, i+1); len(list) == 0 {
			delete(d.cache, key)
		} else {
			d.cache[key] = list
		}
		d.heardN--
		d.stats.Dropped++
		return true
	}
	d.full = true
	return false
}

// plan says when the record is asked for again: at 80, 85, 90 and 95 % of its time (§5.2).
func (h *heard) plan() {
	life := h.expires - h.at
	if h.stage >= stages {
		h.refresh = h.expires
		return
	}
	percent := int64(80 + 5*h.stage)
	h.refresh = min(h.at+life/100*percent+rand.Int64N(life/50+1), h.expires)
}

// live returns the records of a name and kind.
func (d *Multicast) live(name wname, kind uint16) []*heard { return d.cache[rkey{name.key(), kind}] }

// lacks reports whether the owner of a name says that it has no records of a kind (§6.1).
func (d *Multicast) lacks(name wname, kind uint16) bool {
	return slices.ContainsFunc(d.live(name, kindNSEC), func(h *heard) bool { return h.denies(kind) })
}

// review finds out what is to be asked, what has expired, and what there is to tell.
func (d *Multicast) review() {
	d.expire()
	wanted := map[rkey]wname{} // asked again and again until there is a record; PTR for ever
	used := map[*heard]bool{}
	d.used, d.full = used, false
	need := func(name wname, kind uint16) []*heard {
		list := d.live(name, kind)
		if kind == kindPTR || len(list) == 0 && !d.lacks(name, kind) {
			wanted[rkey{name.key(), kind}] = name
		}
		for _, h := range list {
			used[h] = true
		}
		return list
	}
	var news []func()
	for _, b := range d.browsers {
		news = append(news, b.review(need)...)
	}
	for _, l := range d.resolves {
		for _, kind := range l.kinds {
			need(l.host, kind)
		}
	}
	for key, name := range wanted {
		if d.asking[key] == nil {
			a := &asking{key: key, name: name}
			d.asking[key] = a
			a.begin(d)
		}
	}
	for key, a := range d.asking {
		if _, ok := wanted[key]; !ok {
			a.timer.Stop()
			delete(d.asking, key)
		}
	}
	d.refresh(used)
	for _, f := range news {
		d.m.Try(f)
	}
	for _, l := range slices.Clone(d.resolves) {
		l.look()
	}
}

// expire drops the records whose time is over.
func (d *Multicast) expire() {
	now := d.m.Now()
	d.drop(func(h *heard) bool { return h.expires <= now })
}

// drop takes out of the cache the records that are over.
func (d *Multicast) drop(over func(h *heard) bool) {
	for key, list := range d.cache {
		n := len(list)
		list = slices.DeleteFunc(list, over)
		if d.heardN -= n - len(list); len(list) == 0 {
			delete(d.cache, key)
		} else {
			d.cache[key] = list
		}
	}
}

// refresh asks for the records in use that are about to expire, and sets the timer for the next,
// and for what expires.
func (d *Multicast) refresh(used map[*heard]bool) {
	now, next := d.m.Now(), int64(1<<63-1)
	due := map[rkey]wname{}
	for key, list := range d.cache {
		for _, h := range list {
			at := h.expires
			if used[h] && h.stage < stages {
				if h.refresh <= now {
					due[key] = h.name
					h.stage++
					h.plan()
				}
				at = min(at, h.refresh)
			}
			next = min(next, at)
		}
	}
	for key, name := range due {
		d.query(key, name)
	}
	if next == d.timerAt && d.timer != nil {
		return
	}
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
	if d.timerAt = next; next < 1<<63-1 {
		d.timer = d.m.AfterFunc(time.Duration(max(next-now, 0)), func() { d.timer = nil; d.review() })
	}
}

// begin asks for the first time, in a moment.
func (a *asking) begin(d *Multicast) {
	first := jitter(20*time.Millisecond, 120*time.Millisecond) // §5.2
	if a.key.kind != kindPTR {
		first = jitter(0, 20*time.Millisecond)
	}
	a.wait = time.Second
	a.timer = d.m.AfterFunc(first, func() { d.askAgain(a) })
}

func (d *Multicast) askAgain(a *asking) {
	d.query(a.key, a.name)
	a.timer = d.m.AfterFunc(a.wait, func() { d.askAgain(a) })
	a.wait = min(2*a.wait, time.Hour)
}

// query asks a question on each interface, with the answers that are known (§7.1).
func (d *Multicast) query(key rkey, name wname) {
	now := d.m.Now()
	d.everywhere(func(on *Interface) [][]byte {
		return askFor(asked{name: name, kind: key.kind}, d.cache[key], on.Index, now)
	})
}

// askFor makes the messages that ask q on an interface, with those of the answers in known that
// came there and are not near their end.
func askFor(q asked, known []*heard, on int, now int64) (list [][]byte) {
	w := newWriter(0, 0)
	w.ask(q)
	for _, h := range known {
		left := uint32(max(h.expires-now, 0) / int64(time.Second))
		if h.on != on || h.kind != kindPTR || left <= h.ttl/2 {
			continue
		}
		r := h.record
		r.flush, r.ttl = false, left
		if !w.fits(r) {
			w.b[2] |= flagMore >> 8 // §7.2
			list = append(list, w.b)
			w = newWriter(0, 0)
		}
		w.record(1, r)
	}
	return append(list, w.b)
}

// review returns what there is to tell.
func (b *Browser) review(need func(wname, uint16) []*heard) (news []func()) {
	seen := map[wname]bool{}
	for _, h := range need(b.name, kindPTR) {
		inst := h.target()
		if len(inst) <= len(b.in) || inst[1+inst[0]:].key() != b.in.key() || seen[inst.key()] || len(seen) >= mostInstances {
			continue
		}
		seen[inst.key()] = true
		if f := b.found(inst, need); f != nil && !f.equal(b.told[inst.key()]) {
			b.told[inst.key()] = f
			news = append(news, func() { b.tell(f.clone()) })
		}
	}
	for key, f := range b.told {
		if !seen[key] {
			delete(b.told, key)
			gone := &Found{Service: Service{Name: f.Name, Type: f.Type}, Gone: true}
			news = append(news, func() { b.tell(gone) })
		}
	}
	return news
}

// tell calls the function, unless an earlier call of it, say, has ended b.
func (b *Browser) tell(f *Found) {
	if slices.Contains(b.d.browsers, b) {
		b.f(f)
	}
}

// found puts together what is known of an instance; nil if something is missing.
func (b *Browser) found(inst wname, need func(wname, uint16) []*heard) *Found {
	srv, txt := need(inst, kindSRV), need(inst, kindTXT)
	if len(srv) == 0 {
		return nil
	}
	host := srv[len(srv)-1].target()
	f := &Found{Service: Service{Name: string(inst[1 : 1+inst[0]]), Type: b.kind, Port: srv[len(srv)-1].port()}, Host: host.String()}
	f.Addrs = b.d.addrs(host, need)
	if len(txt) == 0 || len(f.Addrs) == 0 {
		return nil
	}
	f.TXT = txt[len(txt)-1].strings()
	return f
}

// addrs returns the addresses of a host, IPv6 first.
func (d *Multicast) addrs(host wname, need func(wname, uint16) []*heard) (list []netip.Addr) {
	six, four := need(host, kindAAAA), need(host, kindA)
	for _, h := range slices.Concat(six, four) {
		a := h.addr()
		if a.IsLinkLocalUnicast() && a.Is6() {
			a = a.WithZone(strconv.Itoa(h.on))
		}
		if !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}

func (f *Found) equal(o *Found) bool {
	if o == nil || f.Name != o.Name || f.Port != o.Port || f.Host != o.Host || !slices.Equal(f.TXT, o.TXT) || len(f.Addrs) != len(o.Addrs) {
		return false
	}
	for _, a := range f.Addrs {
		if !slices.Contains(o.Addrs, a) {
			return false
		}
	}
	return true
}

func (f *Found) clone() *Found {
	c := *f
	c.TXT, c.Addrs = slices.Clone(f.TXT), slices.Clone(f.Addrs)
	return &c
}

// localLookup is one call of Multicast.Resolve or PTR.
type localLookup struct {
	d     *Multicast
	name  string // as it was asked for
	host  wname
	kinds []uint16
	tell  func(*Error)
	delay *mgr.Timer // for the other family
	limit *mgr.Timer
	over  bool
}

var (
	addrKinds = []uint16{kindA, kindAAAA}
	ptrKinds  = []uint16{kindPTR}
)

// localWait is how long a name in .local is asked for, with three questions.
const localWait = 3500 * time.Millisecond

// Resolve implements mgr.Resolver, for names in .local. m must be the manager that d belongs to.
// When the host says that it has addresses of one family alone, found is called at once.
func (d *Multicast) Resolve(m *mgr.Manager, name string, found func(mgr.Resolved)) (cancel func()) {
	full := canonical(name)
	if m != d.m || !under(full, "local") || full == "local" || !isName(full) {
		found(mgr.Resolved{Err: &Error{Name: name, Err: ErrBadName}})
		return nil
	}
	host := nameOf(full)
	return d.lookup(name, host, addrKinds, func(err *Error) {
		x := mgr.Resolved{}
		if err != nil {
			x.Err = err
		} else {
			x.Addrs = d.addrs(host, d.live)
			d.order.sort(x.Addrs, d.m.Now())
		}
		found(x)
	})
}

// PTR finds the names in .local of an address on the link. m must be the manager that d belongs to.
// done is called as that of Resolver.PTR, which calls this one for link-local addresses if its
// Options have d as Local.
func (d *Multicast) PTR(m *mgr.Manager, addr netip.Addr, done func(names []string, err error)) (cancel func()) {
	if m != d.m || !addr.IsValid() {
		done(nil, &Error{Name: addr.String(), Err: ErrBadName})
		return nil
	}
	at := nameOf(reverse(addr))
	return d.lookup(addr.String(), at, ptrKinds, func(err *Error) {
		if err != nil {
			done(nil, err)
			return
		}
		var names []string
		for _, h := range d.live(at, kindPTR) {
			if name := canonical(h.target().String()); isName(name) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		if names == nil { // what was said is no name
			done(nil, &Error{Name: addr.String(), Err: ErrNoData})
			return
		}
		done(names, nil)
	})
}

// lookup asks for records of some kinds of host, and calls tell when they are there.
func (d *Multicast) lookup(name string, host wname, kinds []uint16, tell func(*Error)) (cancel func()) {
	if d.ended {
		tell(&Error{Name: name, Err: ErrShutdown})
		return nil
	}
	l := &localLookup{d: d, name: name, host: host, kinds: kinds, tell: tell}
	l.limit = d.m.AfterFunc(localWait, func() { l.end(&Error{Name: name, Err: ErrNoName}) })
	d.resolves = append(d.resolves, l)
	d.review()
	if l.over {
		return nil
	}
	return func() {
		if !l.over {
			l.leave()
			if !d.ended {
				d.review()
			}
		}
	}
}

// look ends a lookup when there are records: at once if all kinds are known, and after a moment if
// some are not. It also ends when the owner of the name says that there are none.
func (l *localLookup) look() {
	some, known := false, true
	for _, kind := range l.kinds {
		here := len(l.d.live(l.host, kind)) > 0
		some = some || here
		known = known && (here || l.d.lacks(l.host, kind))
	}
	switch {
	case l.over:
	case some && known:
		l.end(nil)
	case known:
		l.end(&Error{Name: l.name, Err: ErrNoData})
	case some && l.delay == nil:
		l.delay = l.d.m.AfterFunc(resolutionDelay, func() { l.end(nil) })
	}
}

func (l *localLookup) leave() {
	l.over = true
	l.limit.Stop()
	if l.delay != nil {
		l.delay.Stop()
	}
	l.d.resolves = slices.DeleteFunc(l.d.resolves, func(o *localLookup) bool { return o == l })
}

func (l *localLookup) end(err *Error) {
	if l.over {
		return
	}
	l.leave()
	if !l.d.ended {
		l.d.again = true // the questions are over
	}
	l.d.m.Try(func() { l.tell(err) })
	l.d.settle()
}
