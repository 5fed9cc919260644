package dns

import (
	"slices"
	"strconv"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// A claim is a name that is ours, or is to be, with its records (RFC 6762 §8, §9).
//
//	probing     three questions, 250 ms apart, whether somebody has the name
//	announcing  it is told twice, a second apart
//	standing    questions are answered
//	idle        the service waits for the host's name
//
// A conflict while it is probed makes it take another name; one later has it probed again.
type claim struct {
	d      *Multicast
	base   string // the label that was asked for
	n      int    // of the suffix; 1 is none
	in     wname  // "local", or the type
	kind   claimState
	sent   int // probes or announcements
	timer  *mgr.Timer
	unique func(on *Interface) []record // of the present name
	shared func() []record
	others func(on *Interface) []record // no other host's, of names that are not probed for
	told   func(label string)
	fresh  bool // told is due

	lost []int64 // when there were conflicts lately
}

type claimState uint8

const (
	idle claimState = iota
	probing
	announcing
	standing
	gone
)

// add begins to claim a name.
func (d *Multicast) add(k *claim) {
	d.own = append(d.own, k)
	k.probe(jitter(0, 250*time.Millisecond)) // RFC 6762 §8.1
}

// label returns the present label.
func (k *claim) label() string {
	if k.n == 1 {
		return k.base
	}
	suffix := " (" + strconv.Itoa(k.n) + ")"
	if k == k.d.host {
		suffix = "-" + strconv.Itoa(k.n)
	}
	return k.base[:min(len(k.base), 63-len(suffix))] + suffix
}

func (k *claim) name() wname { return k.in.in(k.label()) }

// stop ends a claim without a word.
func (k *claim) stop() {
	k.kind = gone
	if k.timer != nil {
		k.timer.Stop()
	}
}

func (k *claim) after(d time.Duration, f func()) {
	if k.timer != nil {
		k.timer.Stop()
	}
	if k.d.opts.hurry > 1 {
		d /= time.Duration(k.d.opts.hurry)
	}
	k.timer = k.d.m.AfterFunc(d, f)
}

// probe begins to probe after a while. A service waits until the host's name stands, which is in
// its records.
func (k *claim) probe(wait time.Duration) {
	if k.kind == gone {
		return
	}
	k.sent = 0
	k.fresh = true
	if k != k.d.host && (k.d.host.kind == probing || k.d.host.kind == idle) {
		k.kind = idle
		return
	}
	k.kind = probing
	k.after(wait, k.next)
}

// next sends the next probe or announcement.
func (k *claim) next() {
	switch {
	case k.kind == probing && k.sent < 3: // RFC 6762 §8.1
		unicast := k.sent == 0
		k.sent++
		k.d.everywhere(func(on *Interface) [][]byte {
			list := k.unique(on)
			if len(list) == 0 {
				return nil
			}
			w := newWriter(0, 0)
			w.ask(asked{k.name(), kindAny, unicast})
			for _, r := range list {
				r.flush = false // §18.13
				if w.fits(r) {
					w.record(2, r)
				}
			}
			return [][]byte{w.b}
		})
		k.after(250*time.Millisecond, k.next)
	case k.kind == probing:
		k.kind, k.sent = announcing, 0
		k.stands()
		k.next()
	case k.kind == announcing: // §8.3
		k.sent++
		k.announce(true)
		if k.sent < 2 {
			k.after(time.Second, k.next)
			return
		}
		k.kind = standing
	}
}

// stands tells the program that the name is ours, and has the services go on that waited for it.
func (k *claim) stands() {
	if k == k.d.host {
		for _, o := range k.d.own {
			if o != k && o.kind == idle {
				o.probe(0)
			} else if o != k && k.fresh {
				o.probe(jitter(0, 250*time.Millisecond)) // its SRV names the host
			}
		}
	}
	if k.fresh {
		k.fresh = false
		if k.told != nil {
			k.told(k.label())
		}
	}
}

// announce sends all records everywhere, or withdraws them (§10.1).
func (k *claim) announce(live bool) {
	k.d.everywhere(func(on *Interface) [][]byte {
		list := slices.Concat(k.unique(on), k.others(on), k.shared())
		if !live {
			// The type itself may have other services.
			list = slices.DeleteFunc(list, func(r record) bool { return r.name == typesName })
			for i := range list {
				list[i].ttl = 0
			}
			return pack(list, nil)
		}
		return pack(list, k.denials(on, 0))
	})
}

func (k *claim) goodbye() {
	if k.kind == announcing || k.kind == standing {
		k.announce(false)
	}
}

// is reports whether r is one of our records, on any interface: a packet of our own, or of ours by
// another interface to the same link.
func (k *claim) is(r *record) bool {
	for i := range k.d.ifaces {
		for _, o := range k.unique(&k.d.ifaces[i]) {
			if o.sameAs(r) {
				return true
			}
		}
	}
	return false
}

// denials returns the NSEC record that says of which kinds our name has no records, if kind, or
// with 0 an address of one family, is among them (RFC 6762 §6.1, §6.2).
func (k *claim) denials(on *Interface, kind uint16) []record {
	var kinds []uint16
	ttl := uint32(hostTTL)
	for _, r := range k.unique(on) {
		if !slices.Contains(kinds, r.kind) {
			kinds = append(kinds, r.kind)
		}
		ttl = r.ttl
	}
	switch {
	case len(kinds) == 0, kind == kindAny, slices.Contains(kinds, kind):
		return nil
	case kind == 0 && (k != k.d.host || len(kinds) != 1):
		return nil
	}
	return []record{nsec(k.name(), ttl, kinds...)}
}

// contest looks whether r, which somebody else has, is against a claim.
func (k *claim) contest(r *record) {
	if k.kind == gone || k.kind == idle || r.ttl == 0 || r.kind == kindNSEC || r.name.key() != k.name().key() || k.is(r) {
		return
	}
	kinds := k.kinds()
	if k.kind != probing && !slices.Contains(kinds, r.kind) {
		return
	}
	k.d.stats.Conflicts++
	now := k.d.m.Now()
	k.lost = slices.DeleteFunc(append(k.lost, now), func(t int64) bool { return t < now-int64(10*time.Second) })
	wait := time.Duration(0)
	if len(k.lost) >= 15 { // §8.1
		k.lost = k.lost[1:]
		wait = 5 * time.Second
	}
	if k.kind == probing {
		k.n++
	}
	k.probe(wait)
}

func (k *claim) kinds() []uint16 {
	if k == k.d.host {
		return []uint16{kindA, kindAAAA}
	}
	return []uint16{kindSRV, kindTXT}
}

// rival decides between us and another who probes for the same name at the same time (§8.2): the
// records that come later in order win.
func (k *claim) rival(on *Interface, p *packet) {
	if k.kind != probing || k.sent == 0 {
		return
	}
	var theirs []record
	for _, r := range p.claims {
		if r.name.key() == k.name().key() {
			theirs = append(theirs, r)
		}
	}
	if len(theirs) == 0 {
		return
	}
	ours := k.unique(on)
	slices.SortFunc(ours, compareRecords)
	slices.SortFunc(theirs, compareRecords)
	if slices.CompareFunc(ours, theirs, compareRecords) < 0 {
		k.d.stats.Conflicts++
		k.probe(time.Second)
	}
}

func compareRecords(a, b record) int {
	if a.kind != b.kind {
		return int(a.kind) - int(b.kind)
	}
	switch {
	case a.data < b.data:
		return -1
	case a.data > b.data:
		return 1
	}
	return 0
}
