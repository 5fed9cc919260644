package dns

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// mostAsked bounds how many questions of one message are answered, and so what a message costs. A
// message as long as a frame of Ethernet has room for some 70 questions that ask for anything.
const mostAsked = 128

// asked handles a query.
func (d *Multicast) asked(on *Interface, p *packet, from conn.Peer, to netip.Addr) {
	local := on.has(from.Addr())
	legacy := from.AddrPort().Port() != d.opts.port
	if legacy && !local { // its reply would leave the link (RFC 6762 §11)
		d.stats.Bad++
		return
	}
	for _, k := range d.own {
		k.rival(on, p)
	}
	// Known answers that come after a query with TC (§7.2).
	for _, w := range d.waiting {
		if w.from == from {
			w.answers = slices.DeleteFunc(w.answers, func(r record) bool { return knows(p.answers, &r) })
		}
	}
	var answers, extra []record
	direct, shared := false, false
	for _, q := range p.asked[:min(len(p.asked), mostAsked)] {
		list, more, some := d.answer(on, q, legacy)
		for _, r := range list {
			if !knows(p.answers, &r) && !slices.ContainsFunc(answers, func(o record) bool { return o.sameAs(&r) }) {
				answers = append(answers, r)
			}
		}
		extra = append(extra, more...)
		direct = direct || q.unicast
		shared = shared || some
	}
	if len(answers) == 0 {
		return
	}
	all := extra
	extra = nil
	for _, r := range all {
		same := func(o record) bool { return o.sameAs(&r) }
		if !slices.ContainsFunc(answers, same) && !slices.ContainsFunc(extra, same) {
			extra = append(extra, r)
		}
	}
	switch {
	case legacy:
		d.answerLegacy(on, p, answers, extra, from, to)
	case direct && local && !shared && !p.more:
		for _, b := range pack(answers, extra) {
			d.stats.Sent++
			d.c.SendTo(b, from, conn.Via{Interface: on.Index})
		}
	case p.more:
		d.later(on, answers, extra, from, jitter(400*time.Millisecond, 500*time.Millisecond))
	case shared: // others may answer too (§6)
		d.later(on, answers, extra, from, jitter(20*time.Millisecond, 120*time.Millisecond))
	default:
		d.say(on, answers, extra, len(p.claims) > 0)
	}
}

// knows reports whether the asker has r already, for more than half of its time (§7.1).
func knows(list []record, r *record) bool {
	return slices.ContainsFunc(list, func(o record) bool { return o.sameAs(r) && o.ttl >= r.ttl/2 })
}

// answer returns our records for one question, and what the asker will want next. shared says that
// others may have records there too.
func (d *Multicast) answer(on *Interface, q asked, legacy bool) (answers, extra []record, shared bool) {
	name := q.name.key()
	for _, k := range d.own {
		if k.kind != announcing && k.kind != standing {
			continue
		}
		host := func() []record {
			if d.host.kind < announcing {
				return nil
			}
			return append(d.host.unique(on), d.host.denials(on, 0)...)
		}
		if k.name().key() == name {
			for _, r := range k.unique(on) {
				if q.kind == r.kind || q.kind == kindAny {
					answers = append(answers, r)
				}
			}
			if !legacy {
				answers = append(answers, k.denials(on, q.kind)...)
			}
			if k == d.host || q.kind != kindTXT {
				extra = append(extra, host()...)
			}
			continue
		}
		for _, r := range k.others(on) {
			if r.name.key() != name {
				continue
			}
			if q.kind == kindPTR || q.kind == kindAny {
				answers, extra = append(answers, r), append(extra, host()...)
			}
		}
		for _, r := range k.shared() {
			if r.name.key() == name && (q.kind == kindPTR || q.kind == kindAny) {
				answers, shared = append(answers, r), true
				if r.name != typesName { // RFC 6763 §12.1
					extra = append(append(extra, k.unique(on)...), host()...)
				}
			}
		}
	}
	return answers, extra, shared
}

// answerLegacy answers a plain resolver, which sends from a port of its own and knows nothing of
// multicast (§6.7).
func (d *Multicast) answerLegacy(on *Interface, p *packet, answers, extra []record, from conn.Peer, to netip.Addr) {
	w := newWriter(p.id, flagResponse)
	for _, q := range p.asked[:min(len(p.asked), mostAsked)] {
		q.unicast = false
		w.ask(q)
	}
	for section, list := range [][]record{1: answers, 3: extra} {
		for _, r := range list {
			if r.kind == kindNSEC { // which would say that there is no other name in the zone
				continue
			}
			r.flush, r.ttl = false, min(r.ttl, 10)
			if w.fits(r) {
				w.record(section, r)
			}
		}
	}
	d.stats.Sent++
	via := conn.Via{Interface: on.Index}
	if to.IsValid() && !to.IsMulticast() {
		via.From = to
	}
	d.c.SendTo(w.b, from, via)
}

// delayed is an answer that waits, so that not all who have one speak at once.
type delayed struct {
	answers, extra []record
	from           conn.Peer
	timer          *mgr.Timer
}

const mostDelayed = 64

func (d *Multicast) later(on *Interface, answers, extra []record, from conn.Peer, wait time.Duration) {
	if len(d.waiting) >= mostDelayed {
		d.say(on, answers, extra, false) // a flood keeps no answer from others: each goes out once a second at most
		return
	}
	w := &delayed{answers: answers, extra: extra, from: from}
	index := on.Index
	w.timer = d.m.AfterFunc(wait, func() {
		d.waiting = slices.DeleteFunc(d.waiting, func(o *delayed) bool { return o == w })
		if on := d.iface(index); on != nil {
			gone := func(r record) bool { return !d.has(on, &r) } // since the question came
			d.say(on, slices.DeleteFunc(w.answers, gone), slices.DeleteFunc(w.extra, gone), false)
		}
	})
	d.waiting = append(d.waiting, w)
}

// has reports whether r is a record of ours that we answer with now.
func (d *Multicast) has(on *Interface, r *record) bool {
	same := func(o record) bool { return o.sameAs(r) }
	for _, k := range d.own {
		if k.kind == announcing || k.kind == standing {
			if r.kind == kindNSEC && r.name.key() == k.name().key() || slices.ContainsFunc(k.unique(on), same) ||
				slices.ContainsFunc(k.others(on), same) || slices.ContainsFunc(k.shared(), same) {
				return true
			}
		}
	}
	return false
}

// said is a record of ours that was multicast on an interface.
type said struct {
	on   int
	kind uint16
	name wname // in lower case
	data string
}

const mostSaid = 256

// say multicasts answers, except those that were said a moment ago: within the last second, or, to
// one who probes, within 250 ms (§6).
func (d *Multicast) say(on *Interface, answers, extra []record, probe bool) {
	now, rest := d.m.Now(), time.Second
	if probe {
		rest = 250 * time.Millisecond
	}
	if len(d.said) > mostSaid {
		maps.DeleteFunc(d.said, func(_ said, at int64) bool { return now-at >= int64(time.Second) })
	}
	answers = slices.DeleteFunc(answers, func(r record) bool {
		key := said{on.Index, r.kind, r.name.key(), r.data}
		if last, ok := d.said[key]; ok && now-last < int64(rest) {
			return true
		}
		d.said[key] = now
		return false
	})
	for _, b := range pack(answers, extra) {
		d.multicast(on, b)
	}
}
