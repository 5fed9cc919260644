package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// link is a link with several hosts on it: the loopback interface, and a port of the test's own.
type link struct {
	t    *testing.T
	port uint16
	all  []*mhost
}

// mhost is one host: a manager of its own.
type mhost struct {
	*Multicast
	m    *mgr.Manager
	told []string
}

func newLink(t *testing.T) *link {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return &link{t: t, port: uint16(c.LocalAddr().(*net.UDPAddr).Port)}
}

func onBoth(t *testing.T, f func(t *testing.T, p mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { t.Parallel(); f(t, p) })
	}
}

// host adds a host with an address.
func (l *link) host(p mgr.Poller, addr string) *mhost {
	l.t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { m.Close() })
	d, err := NewMulticast(m, MulticastOptions{port: l.port, hurry: 10, Interfaces: []Interface{{Index: 1, Addrs: []netip.Prefix{netip.MustParsePrefix(addr)}}}})
	if err != nil {
		l.t.Skipf("no multicast on the loopback interface: %v", err)
	}
	if len(l.all) == 0 && !hearsItself(d) {
		l.t.Skip("no multicast on the loopback interface, or (as under qemu) its datagrams do not tell the interface")
	}
	h := &mhost{Multicast: d, m: m}
	l.all = append(l.all, h)
	return h
}

// hearsItself reports whether what d multicasts comes back by the interface.
func hearsItself(d *Multicast) bool {
	on := -1
	d.c.SetHandler(func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Datagram); ok {
			on = ev.Interface
		}
	})
	defer d.c.SetHandler(d.handle)
	for i := 0; i < 20 && on < 0; i++ {
		d.multicast(&d.ifaces[0], []byte("hello"))
		d.m.Poll(100 * time.Millisecond)
	}
	return on == d.ifaces[0].Index
}

func (h *mhost) tell(name string) { h.told = append(h.told, name) }

// until turns all loops until done.
func (l *link) until(what string, done func() bool) {
	l.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); {
		for _, h := range l.all {
			if err := h.m.Poll(time.Millisecond); err != nil && err != mgr.ErrClosed {
				l.t.Fatal(err)
			}
		}
		if time.Now().After(end) {
			l.t.Fatalf("still not: %s", what)
		}
	}
}

// fromPlainResolver sends queries from a port of its own, and returns the answer that comes back
// there.
func (l *link) fromPlainResolver(queries ...[]byte) *packet {
	l.t.Helper()
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(l.port)})
	if err != nil {
		l.t.Fatal(err)
	}
	defer c.Close()
	for _, q := range queries {
		c.Write(q)
	}
	got := make(chan []byte, 1)
	go func() {
		b := make([]byte, 2000)
		c.SetReadDeadline(time.Now().Add(time.Minute))
		n, _ := c.Read(b)
		got <- b[:n]
	}()
	l.until("answered", func() bool { return len(got) > 0 })
	p, err := readPacket(<-got)
	if err != nil {
		l.t.Fatal(err)
	}
	return p
}

func (l *link) addrs(h *mhost, name string) (got string) {
	l.t.Helper()
	done := false
	h.Resolve(h.m, name, func(x mgr.Resolved) { done, got = true, fmt.Sprint(x.Addrs, x.Err) })
	l.until(name, func() bool { return done })
	return got
}

func TestAnnounceAndBrowse(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a, b := l.host(p, "127.0.0.1/8"), l.host(p, "127.0.0.2/8")
		var found []*Found
		stop, err := b.Browse("_http._tcp", func(f *Found) { found = append(found, f) })
		if err != nil {
			t.Fatal(err)
		}
		if err := a.SetHost("Boiler", a.tell); err != nil {
			t.Fatal(err)
		}
		withdraw, err := a.Announce(Service{Name: "Boiler v1.2, cellar", Type: "_http._tcp", Port: 8080, TXT: []string{"path=/", "x=\xff"}}, a.tell)
		if err != nil {
			t.Fatal(err)
		}
		l.until("found", func() bool { return len(found) == 1 })
		f := found[0]
		if f.Name != "Boiler v1.2, cellar" || f.Type != "_http._tcp" || f.Port != 8080 || f.Host != "Boiler.local" ||
			!slices.Equal(f.TXT, []string{"path=/", "x=\xff"}) || fmt.Sprint(f.Addrs) != "[127.0.0.1]" || f.Gone {
			t.Errorf("%+v", f)
		}
		if !slices.Equal(a.told, []string{"Boiler", "Boiler v1.2, cellar"}) {
			t.Errorf("told %q", a.told)
		}
		if got := l.addrs(b, "boiler.LOCAL."); got != "[127.0.0.1] <nil>" {
			t.Errorf("boiler.local: %s", got)
		}
		// One who comes later finds it too, by asking.
		c := l.host(p, "127.0.0.3/8")
		var late []*Found
		c.Browse("_http._tcp", func(f *Found) { late = append(late, f) })
		if got := l.addrs(c, "boiler.local"); got != "[127.0.0.1] <nil>" {
			t.Errorf("boiler.local: %s", got)
		}
		l.until("found late", func() bool { return len(late) == 1 })

		withdraw()
		l.until("gone", func() bool { return len(found) == 2 && len(late) == 2 })
		if f := found[1]; !f.Gone || f.Name != "Boiler v1.2, cellar" {
			t.Errorf("%+v", f)
		}
		stop()
		if len(b.asking) != 0 {
			t.Errorf("%d questions go on", len(b.asking))
		}
		a.Close()
		l.until("closed", func() bool { return a.m.Stats().Conns == 0 && len(b.live(nameOf("boiler.local"), kindA)) == 0 })
	})
}

// Two hosts want one name, at the same time and one after the other.
func TestNamesAreProbedAndDefended(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l := newLink(t)
		a, b := l.host(p, "127.0.0.1/8"), l.host(p, "127.0.0.2/8")
		a.SetHost("device", a.tell)
		b.SetHost("device", b.tell)
		a.Announce(Service{Name: "Sensor", Type: "_x._udp", Port: 1}, a.tell)
		b.Announce(Service{Name: "Sensor", Type: "_x._udp", Port: 2}, b.tell)
		l.until("all names stand", func() bool { return len(a.told) >= 2 && len(b.told) >= 2 })
		got := append(slices.Clone(a.told), b.told...)
		slices.Sort(got)
		if want := []string{"Sensor", "Sensor (2)", "device", "device-2"}; !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		c := l.host(p, "127.0.0.3/8")
		c.SetHost("DEVICE", c.tell)
		l.until("the third", func() bool { return len(c.told) == 1 })
		if c.told[0] != "DEVICE-3" {
			t.Errorf("the third is %q", c.told[0])
		}
		if len(a.told)+len(b.told) != 4 {
			t.Errorf("the others changed: %q, %q", a.told, b.told)
		}
	})
}

func TestNoSuchLocalName(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits 3.5 s")
	}
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	if got, want := l.addrs(a, "nobody.local"), "[] dns: nobody.local: no such name"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if len(a.asking) != 0 || len(a.resolves) != 0 {
		t.Error("something is left")
	}
	for name, want := range map[string]string{"x.test": "[] dns: x.test: not a host name", "local": "[] dns: local: not a host name"} {
		if got := l.addrs(a, name); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

// A Resolver gives names in .local to Multicast, and Connect takes them.
func TestConnectToLocalName(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.SetHost("box", nil)
	r := New(Options{Local: a.Multicast, Servers: []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:1")}})
	got := ""
	r.Resolve(a.m, "box.local", func(x mgr.Resolved) { got = fmt.Sprint(x.Addrs, x.Err) })
	l.until("resolved", func() bool { return got != "" })
	if got != "[127.0.0.1] <nil>" {
		t.Error(got)
	}
}

// A plain resolver asks from a port of its own, and is answered there (RFC 6762 §6.7).
func TestLegacyQuery(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.SetHost("box", a.tell)
	l.until("it stands", func() bool { return len(a.told) > 0 })
	q := newWriter(0x4321, 0)
	q.ask(asked{name: nameOf("box.local"), kind: kindA})
	p := l.fromPlainResolver(q.b)
	if p.id != 0x4321 || !p.response || len(p.asked) != 1 || len(p.answers) != 1 {
		t.Fatalf("%+v", p)
	}
	if r := p.answers[0]; r.flush || r.ttl > 10 || r.addr().String() != "127.0.0.1" {
		t.Errorf("%+v", r)
	}
}

func TestAnnounceRefuses(t *testing.T) {
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	if _, err := a.Announce(Service{Name: "x", Type: "_http._tcp"}, nil); err == nil {
		t.Error("a service without a host")
	}
	for _, host := range []string{"", "a.b", "a b", strings.Repeat("x", 64)} {
		if err := a.SetHost(host, nil); err == nil {
			t.Errorf("host %q", host)
		}
	}
	a.SetHost("a", nil)
	if err := a.SetHost("b", nil); err == nil {
		t.Error("two hosts")
	}
	for _, s := range []Service{{Name: "", Type: "_http._tcp"}, {Name: strings.Repeat("x", 64), Type: "_http._tcp"}, {Name: "x", Type: "http"},
		{Name: "x", Type: "_http._sctp"}, {Name: "x", Type: "_http._tcp", TXT: []string{strings.Repeat("x", 256)}},
		{Name: "x", Type: "_http._tcp", TXT: slices.Repeat([]string{strings.Repeat("x", 200)}, 6)}} {
		if _, err := a.Announce(s, nil); err == nil {
			t.Errorf("%+v", s)
		}
	}
	if _, err := a.Browse("http", nil); err == nil {
		t.Error("a type that is none")
	}
}

func TestNames(t *testing.T) {
	long := strings.Repeat("a", 63)
	for text, want := range map[string]string{"a.b": "\x01a\x01b", "a.b.": "\x01a\x01b", "": "", ".": "", "a..b": "", long: "\x3f" + long, long + "a": ""} {
		if got := nameOf(text); string(got) != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if n := nameOf("B.local").in("A. É"); n.key() != nameOf("b.local").in("a. É") || n.String() != "A. É.B.local" {
		t.Errorf("%q", n)
	}
}

// query gives a query to h, as from another host.
func (h *mhost) query(flags uint16, fill func(w *writer)) {
	w := newWriter(0, flags)
	fill(w)
	h.received(&conn.Datagram{Data: w.b, From: conn.PeerOf(netip.AddrPortFrom(netip.MustParseAddr("127.0.0.9"), h.opts.port)),
		To: group4, Interface: 1})
}

// Of two who probe for a name at the same time, the one whose records come later in order wins; the
// other one tries again after a second, with the same name (RFC 6762 §8.2).
func TestTieBreak(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.5/8")
	a.SetHost("box", a.tell)
	k := a.host
	l.until("it probes", func() bool { return k.sent == 1 })
	for _, tc := range []struct {
		addr string
		wins bool
	}{{"\x7f\x00\x00\x04", true}, {"\x7f\x00\x00\x05", true}, {"\x7f\x00\x00\x06", false}} {
		k.kind, k.sent = probing, 1
		a.query(0, func(w *writer) {
			w.ask(asked{nameOf("BOX.local"), kindAny, true})
			w.record(2, record{nameOf("BOX.local"), kindA, false, 120, tc.addr})
		})
		if (k.sent == 1) != tc.wins || k.kind != probing || k.n != 1 {
			t.Errorf("against %q: sent %d, state %d, number %d", tc.addr, k.sent, k.kind, k.n)
		}
	}
	l.until("it stands after all", func() bool { return len(a.told) > 0 && k.kind == standing })
	if a.told[0] != "box" {
		t.Errorf("as %q", a.told[0])
	}
}

// Answers are left out that the asker knows, that come from it later if it has said so (TC), and
// that everybody was told a moment ago (RFC 6762 §6, §7.1, §7.2).
func TestAnswersThatNobodyNeeds(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.5/8")
	a.SetHost("box", nil)
	a.Announce(Service{Name: "One", Type: "_x._udp", Port: 1}, a.tell)
	l.until("it stands", func() bool { return len(a.own) == 2 && a.own[0].kind == standing && a.own[1].kind == standing })
	kind := nameOf("_x._udp.local")
	ptr := record{kind, kindPTR, false, otherTTL, string(kind.in("one")) + "\x00"}
	ask := func(w *writer) { w.ask(asked{kind, kindPTR, false}) }
	a.query(0, ask)
	if len(a.waiting) != 1 {
		t.Fatalf("%d answers wait", len(a.waiting))
	}
	l.until("it is said", func() bool { return len(a.waiting) == 0 })

	for left, wants := range map[uint32]int{otherTTL: 0, otherTTL / 2: 0, otherTTL/2 - 1: 1} {
		a.query(0, func(w *writer) {
			r := ptr
			r.ttl = left
			ask(w)
			w.record(1, r)
		})
		if len(a.waiting) != wants {
			t.Errorf("known for %d s: %d answers wait, want %d", left, len(a.waiting), wants)
		}
		for _, w := range a.waiting {
			w.timer.Stop()
		}
		a.waiting = nil
	}
	a.query(flagMore, ask)
	if len(a.waiting) != 1 || len(a.waiting[0].answers) != 1 {
		t.Fatal("no answer waits for the rest of the query")
	}
	a.query(0, func(w *writer) { w.record(1, ptr) })
	if len(a.waiting[0].answers) != 0 {
		t.Error("an answer is kept that the asker knows")
	}
	sent := a.stats.Sent
	key := said{1, kindPTR, ptr.name, ptr.data}
	a.said[key] = a.m.Now()
	a.say(&a.ifaces[0], []record{ptr}, nil, false)
	if a.stats.Sent != sent {
		t.Error("said twice within a second")
	}
	a.said[key] -= int64(300 * time.Millisecond)
	a.say(&a.ifaces[0], []record{ptr}, nil, true)
	if a.stats.Sent != sent+1 {
		t.Error("a prober is not told")
	}
}

// Records that are no longer true go when others come with the cache-flush bit, a second later (RFC
// 6762 §10.2).
func TestCacheFlush(t *testing.T) {
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.5/8")
	name := nameOf("box.local")
	give := func(addr string) { a.keep(&a.ifaces[0], record{name, kindA, true, 120, addr}) }
	give("aaaa")
	give("bbbb")
	list := a.live(name, kindA)
	if len(list) != 2 || list[0].expires < a.m.Now()+int64(100*time.Second) {
		t.Fatalf("two of one message: %+v", list)
	}
	list[0].at -= int64(2 * time.Second)
	give("bbbb")
	if soon := a.m.Now() + int64(time.Second); list[0].expires != soon || list[1].expires <= soon {
		t.Errorf("expire at %d and %d, now %d", list[0].expires, list[1].expires, a.m.Now())
	}
}

func TestMulticastAddrChoosesWhatIsAnnounced(t *testing.T) {
	list := func(of ...string) (list []Interface) {
		for i, addrs := range of {
			on := Interface{Index: i + 1}
			for a := range strings.FieldsSeq(addrs) {
				on.Addrs = append(on.Addrs, netip.MustParsePrefix(a))
			}
			list = append(list, on)
		}
		return list
	}
	all := list("192.0.2.1/24 fe80::1/64", "198.51.100.1/24 2001:db8::1/64")
	for _, tt := range []struct{ addr, want string }{
		{"", fmt.Sprint(all)},
		{"::", fmt.Sprint(all)},
		{"0.0.0.0", fmt.Sprint(list("192.0.2.1/24", "198.51.100.1/24"))},
		{"192.0.2.1", fmt.Sprint(list("192.0.2.1/24"))},
		{"::ffff:192.0.2.1", fmt.Sprint(list("192.0.2.1/24"))},
		{"fe80::1%eth0", fmt.Sprint(list("fe80::1/64"))},
		{"203.0.113.1", "[]"},
	} {
		o := MulticastOptions{}
		if tt.addr != "" {
			o.Addr = netip.MustParseAddr(tt.addr)
		}
		if got := fmt.Sprint(o.announced(all)); got != tt.want {
			t.Errorf("%q: %s, want %s", tt.addr, got, tt.want)
		}
	}
	if got := fmt.Sprint(all); !strings.Contains(got, "fe80::1") {
		t.Errorf("the list itself has changed: %s", got)
	}
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	d, err := NewMulticast(m, MulticastOptions{port: newLink(t).port, Addr: netip.MustParseAddr("127.0.0.5"),
		Interfaces: []Interface{{Index: 1, Addrs: []netip.Prefix{netip.MustParsePrefix("127.0.0.5/8"), netip.MustParsePrefix("127.0.0.6/8")}}}})
	if err != nil {
		t.Skipf("no multicast on the loopback interface: %v", err)
	}
	if len(d.ifaces) != 1 || fmt.Sprint(d.ifaces[0].Addrs) != "[127.0.0.5/8]" {
		t.Errorf("in use are %+v", d.ifaces)
	}
	d.look() // at the interfaces of this machine, which are others
	if len(d.ifaces) != 0 {
		t.Errorf("after a look in use are %+v", d.ifaces)
	}
}
