package dns

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// RFC 6762 §6.1: the owner of a name says which kinds of records the name has, so that nobody waits
// for others; but not while it only wants the name.
func TestNegativeAnswers(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a, b := l.host(p, "127.0.0.1/8"), l.host(p, "127.0.0.2/8")
		a.SetHost("Box", a.tell)
		a.Announce(Service{Name: "Lamp", Type: "_x._udp", Port: 1}, a.tell)
		box := nameOf("box.local")
		if list := answersTo(a, box, kindAAAA); len(list) > 0 {
			t.Errorf("before the name is probed: %v", list)
		}
		l.until("it stands", func() bool { return len(a.told) == 2 && a.own[1].kind == standing })
		for kind, want := range map[uint16]string{kindAAAA: "47", kindTXT: "47", kindA: "1", kindAny: "1"} {
			if got := answersTo(a, box, kind); got != want {
				t.Errorf("asked for %d: records %s, want %s", kind, got, want)
			}
		}
		if got := answersTo(a, nameOf("_x._udp.local").in("LAMP"), kindA); got != "47" {
			t.Errorf("the service's addresses: records %s", got)
		}
		if got := answersTo(a, nameOf("other.local"), kindA); got != "" {
			t.Errorf("a name that is another's: records %s", got)
		}

		// A caller that asks for the addresses gets them at once, and does not ask for the other
		// family again.
		if got := l.addrs(b, "box.local"); got != "[127.0.0.1] <nil>" {
			t.Error(got)
		}
		l.until("it is known", func() bool { return b.lacks(box, kindAAAA) })
		if b.lacks(box, kindA) || b.lacks(nameOf("lamp._x._udp.local"), kindA) {
			t.Error("what is there is denied")
		}
		got := ""
		b.Resolve(b.m, "box.local", func(x mgr.Resolved) { got = fmt.Sprint(x.Addrs, x.Err, len(b.asking)) })
		if got != "[127.0.0.1] <nil> 0" {
			t.Errorf("with all known: %q", got)
		}
	})
}

// answersTo lists the kinds of the records that h answers a question with.
func answersTo(h *mhost, name wname, kind uint16) string {
	list, _, _ := h.answer(&h.ifaces[0], asked{name: name, kind: kind}, false)
	s := ""
	for _, r := range list {
		s += fmt.Sprintf(" %d", r.kind)
	}
	return strings.TrimSpace(s)
}

// A host without addresses is no host that does not answer.
func TestHostWithoutAddresses(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	box := nameOf("box.local")
	give := func(r record) {
		w := newWriter(0, flagResponse)
		w.record(1, r)
		a.received(&conn.Datagram{Data: w.b, From: conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), l.port)), To: group4, Interface: 1})
	}
	got := ""
	a.Resolve(a.m, "box.local", func(x mgr.Resolved) { got = fmt.Sprint(errors.Is(x.Err, ErrNoData), x.Err) })
	give(nsec(nameOf("a.local"), 120, kindTXT))
	give(record{box, kindNSEC, true, 120, string(box) + "\x00\x00\x09ABC"})
	if got != "" {
		t.Errorf("after the word of others: %s", got)
	}
	give(nsec(nameOf("BOX.local"), 120, kindTXT))
	if got != "true dns: box.local: "+ErrNoData.Error() {
		t.Errorf("%q", got)
	}
}

func TestDenials(t *testing.T) {
	box := nameOf("box.local")
	r := nsec(box, 120, kindA, kindSRV)
	if want := string(box) + "\x00\x00\x05\x40\x00\x00\x00\x40"; r.data != want || !r.flush || r.ttl != 120 { // RFC 4034 §4.1.2
		t.Errorf("%q, want %q", r.data, want)
	}
	for kind, want := range map[uint16]bool{kindA: false, kindSRV: false, kindAAAA: true, kindTXT: true, 200: true} {
		if r.denies(kind) != want {
			t.Errorf("denies %d: %v", kind, !want)
		}
	}
	w := newWriter(0, flagResponse)
	w.record(1, r)
	p, err := readPacket(w.b)
	if err != nil || len(p.answers) != 1 || !p.answers[0].sameAs(&r) || p.answers[0].denies(kindA) {
		t.Errorf("read again: %+v, %v", p, err)
	}
	for _, data := range []string{"", "\x00", string(box), string(box) + "\x00", string(box) + "\x00\x00", string(box) + "\x00\x00\x00",
		string(box) + "\x00\x00\x02\x40", string(box) + "\x00\x01\x01\x40", string(nameOf("c.local")) + "\x00\x00\x01\x40", "\x3fx"} {
		if (&record{name: box, kind: kindNSEC, data: data}).denies(kindAAAA) {
			t.Errorf("%q denies", data)
		}
	}
}

// The names of an address are asked for on the link, and answered there (RFC 6762 §4).
func TestNamesOfAddresses(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a, b := l.host(p, "127.0.0.1/8"), l.host(p, "127.0.0.2/8")
		a.SetHost("Box", a.tell)
		l.until("it stands", func() bool { return len(a.told) == 1 })
		got := ""
		b.PTR(b.m, netip.MustParseAddr("127.0.0.1"), func(names []string, err error) { got = fmt.Sprint(names, err) })
		l.until("answered", func() bool { return got != "" })
		if got != "[box.local] <nil>" {
			t.Error(got)
		}
		if got := answersTo(a, nameOf("1.0.0.127.in-addr.arpa"), kindPTR); got != "12" {
			t.Errorf("records %s", got)
		}
		if got := answersTo(a, nameOf("2.0.0.127.in-addr.arpa"), kindPTR); got != "" {
			t.Errorf("of the address of another: records %s", got)
		}
		// A Resolver asks the link for link-local addresses.
		r := New(Options{Local: b.Multicast, Hosts: "/nonexistent", Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
		c := l.host(p, "169.254.7.7/16")
		c.SetHost("local7", c.tell)
		l.until("it stands", func() bool { return len(c.told) == 1 })
		got = ""
		r.PTR(b.m, netip.MustParseAddr("169.254.7.7"), func(names []string, err error) { got = fmt.Sprint(names, err) })
		l.until("answered", func() bool { return got != "" })
		if got != "[local7.local] <nil>" {
			t.Error(got)
		}
	})
}

// A plain resolver is not told of what is not there: to it, NSEC speaks of a whole zone.
func TestLegacyQueryGetsNoNSEC(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.SetHost("box", a.tell)
	a.Announce(Service{Name: "Lamp", Type: "_x._udp", Port: 1}, a.tell)
	l.until("it stands", func() bool { return len(a.told) > 1 })
	none, some := newWriter(1, 0), newWriter(2, 0)
	none.ask(asked{name: nameOf("box.local"), kind: kindAAAA})
	some.ask(asked{name: nameOf("_x._udp.local"), kind: kindPTR})
	p := l.fromPlainResolver(none.b, some.b) // to the second alone
	if p.id != 2 || len(p.answers) != 1 || len(p.extra) != 3 {
		t.Fatalf("%+v", p)
	}
	for _, r := range p.extra {
		if r.kind == kindNSEC {
			t.Errorf("%+v", r)
		}
	}
}

// RFC 6763 §7.1: a service is found by its subtypes too.
func TestSubtypes(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a, b := l.host(p, "127.0.0.1/8"), l.host(p, "127.0.0.2/8")
		a.SetHost("box", nil)
		withdraw, err := a.Announce(Service{Name: "Both", Type: "_http._tcp", Port: 1, Subtypes: []string{"_printer", "A. b"}}, a.tell)
		if err != nil {
			t.Fatal(err)
		}
		a.Announce(Service{Name: "Plain", Type: "_http._tcp", Port: 2}, a.tell)
		var seen [3][]string
		for i, kind := range []string{"_Printer._sub._http._tcp", "A. b._sub._http._tcp", "_http._tcp"} {
			if _, err := b.Browse(kind, func(f *Found) { seen[i] = append(seen[i], fmt.Sprint(f.Name, f.Type, f.Port, f.Gone)) }); err != nil {
				t.Fatal(err)
			}
		}
		l.until("found", func() bool { return len(seen[0]) == 1 && len(seen[1]) == 1 && len(seen[2]) == 2 })
		if seen[0][0] != "Both_http._tcp1 false" || seen[1][0] != seen[0][0] {
			t.Errorf("%q", seen)
		}
		withdraw()
		l.until("gone", func() bool { return len(seen[0]) == 2 && len(seen[1]) == 2 && len(seen[2]) == 3 })
		if seen[0][1] != "Both_http._tcp0 true" {
			t.Errorf("%q", seen)
		}
		for _, sub := range [][]string{{""}, {strings.Repeat("x", 64)}, make([]string, 17)} {
			if _, err := a.Announce(Service{Name: "x", Type: "_http._tcp", Subtypes: sub}, nil); err == nil {
				t.Errorf("subtypes %q", sub)
			}
		}
		for _, kind := range []string{"._sub._http._tcp", strings.Repeat("x", 64) + "._sub._http._tcp", "_a._sub._http"} {
			if _, err := b.Browse(kind, nil); err == nil {
				t.Errorf("browsing for %q", kind)
			}
		}
	})
}

// RFC 6762 §6: a record is said once in a second; others of the same name are not held up by it.
func TestRecordsAreHeldUpOneByOne(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.5/8")
	a.SetHost("box", a.tell)
	l.until("it stands", func() bool { return len(a.told) > 0 && a.host.kind == standing })
	sent := a.stats.Sent
	ask := func(name string, kind uint16, want uint64) {
		t.Helper()
		a.query(0, func(w *writer) { w.ask(asked{nameOf(name), kind, false}) })
		if n := a.stats.Sent - sent; n != want {
			t.Errorf("%d answers, want %d", n, want)
		}
	}
	ask("box.local", kindA, 1)
	ask("box.local", kindA, 1)
	ask("BOX.local", kindA, 1)
	ask("box.local", kindAAAA, 2)
	ask("5.0.0.127.in-addr.arpa", kindPTR, 3)
	ask("5.0.0.127.in-addr.arpa", kindPTR, 3)
	for i := range 3 * mostSaid {
		a.said[said{on: i}] = a.m.Now() - int64(2*time.Second)
	}
	a.say(&a.ifaces[0], nil, nil, false)
	if len(a.said) > 10 {
		t.Errorf("%d records are remembered", len(a.said))
	}
}

// An answer that waits is not given if its record has gone meanwhile: it would come after the
// goodbye, and bring the service back.
func TestNoAnswerAfterGoodbye(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.5/8")
	a.SetHost("box", nil)
	withdraw, err := a.Announce(Service{Name: "One", Type: "_x._udp", Port: 1}, a.tell)
	if err != nil {
		t.Fatal(err)
	}
	a.Announce(Service{Name: "Two", Type: "_x._udp", Port: 1}, a.tell)
	l.until("they stand", func() bool { return len(a.told) == 2 && a.own[1].kind == standing && a.own[2].kind == standing })
	a.query(0, func(w *writer) { w.ask(asked{nameOf("_x._udp.local"), kindPTR, false}) })
	if len(a.waiting) != 1 || len(a.waiting[0].answers) != 2 {
		t.Fatalf("%d answers wait", len(a.waiting))
	}
	withdraw()
	l.until("the rest is said", func() bool { return len(a.waiting) == 0 })
	if len(a.said) != 1 {
		t.Errorf("said: %v", a.said)
	}
	for s := range a.said {
		if !strings.Contains(s.data, "Two") {
			t.Errorf("said: %v", s)
		}
	}
}
