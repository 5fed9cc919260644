package dns

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A packet from off the link, or one that is no message, changes nothing. The records have a bound.
func TestMulticastBounds(t *testing.T) {
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.opts.MaxRecords = 10
	on := &a.ifaces[0]
	give := func(b []byte, from, to string, index int) {
		a.received(&conn.Datagram{Data: b, From: conn.PeerOf(netip.MustParseAddrPort(from)), To: netip.MustParseAddr(to), Interface: index})
	}
	w := newWriter(0, flagResponse)
	for i := range 30 {
		w.record(1, record{nameOf(fmt.Sprintf("h%d.local", i)), kindA, false, 100, "\x7f\x00\x00\x01"})
	}
	port := fmt.Sprint(l.port)
	give(w.b, "127.0.0.2:9", "224.0.0.251", 1)          // another port
	give(w.b, "192.0.2.1:"+port, "127.0.0.1", 1)        // off the link
	give(w.b, "127.0.0.2:"+port, "224.0.0.251", 2)      // another interface
	give(w.b[:99], "127.0.0.2:"+port, "224.0.0.251", 1) // cut
	if a.stats.Bad != 4 || a.heardN != 0 {
		t.Errorf("%+v, %d records", a.stats, a.heardN)
	}
	give(w.b, "127.0.0.2:"+port, "224.0.0.251", 1)
	if a.heardN != 10 || a.stats.Dropped != 20 {
		t.Errorf("%d records, %+v", a.heardN, a.stats)
	}
	for i := range 1000 {
		a.later(on, []record{{nameOf("x.local"), kindA, true, uint32(i), "1234"}}, nil, conn.Peer{}, time.Hour)
	}
	if len(a.waiting) != mostDelayed {
		t.Errorf("%d answers wait", len(a.waiting))
	}
	if n := len(a.said); n != 1 {
		t.Errorf("of those for which there was no room %d were said, want 1: a flood keeps no answer from others", n)
	}
}

// A query with a forged source does not have us send off the link: a plain resolver there has no
// reply, and a question for a reply by unicast (QU) has one by multicast.
func TestForgedSources(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.SetHost("box", a.tell)
	l.until("it stands", func() bool { return a.own[0].kind == standing })
	w := newWriter(7, 0)
	w.ask(asked{nameOf("box.local"), kindA, true})
	for _, tt := range []struct {
		from      string
		bad       uint64
		sent      uint64
		multicast int
	}{
		{"127.0.0.9:1234", 0, 1, 0},
		{"192.0.2.1:1234", 1, 0, 0},
		{"[2001:db8::1]:1234", 1, 0, 0},
		{fmt.Sprint("127.0.0.9:", l.port), 0, 1, 0},
		{fmt.Sprint("192.0.2.1:", l.port), 0, 1, 1},
	} {
		clear(a.said)
		before := a.stats
		a.received(&conn.Datagram{Data: w.b, From: conn.PeerOf(netip.MustParseAddrPort(tt.from)), To: group4, Interface: 1})
		if st := a.stats; st.Bad-before.Bad != tt.bad || st.Sent-before.Sent != tt.sent || min(len(a.said), 1) != tt.multicast {
			t.Errorf("from %s: %d bad, %d sent, said %v", tt.from, st.Bad-before.Bad, st.Sent-before.Sent, a.said)
		}
	}
}

// The cost of a message is bounded: its length, its questions, the pointers of a name.
func TestMessagesThatCostMuch(t *testing.T) {
	t.Parallel()
	l := newLink(t)
	a := l.host(mgr.Auto, "127.0.0.1/8")
	a.SetHost("box", nil)
	l.until("it stands", func() bool { return a.own[0].kind == standing })
	bad := a.stats.Bad
	c, err := net.DialUDP("udp", nil, &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: int(l.port)})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	long := newWriter(1, 0)
	long.ask(asked{nameOf("box.local"), kindA, false})
	c.Write(append(long.b, make([]byte, longestMessage)...))
	l.until("the long message is refused", func() bool { return a.stats.Bad > bad })

	// Each question asks for the next host; ours is the last that is answered, or the first that is not.
	for n, want := range map[int]uint64{mostAsked - 1: 1, mostAsked: 0} {
		w := newWriter(1, 0)
		for i := range n {
			w.ask(asked{nameOf(fmt.Sprint("h", i, ".local")), kindA, false})
		}
		w.ask(asked{nameOf("box.local"), kindA, false})
		clear(a.said)
		sent := a.stats.Sent
		a.received(&conn.Datagram{Data: w.b, From: conn.PeerOf(netip.MustParseAddrPort(fmt.Sprint("127.0.0.9:", l.port))), To: group4, Interface: 1})
		if got := a.stats.Sent - sent; got != want {
			t.Errorf("after %d questions for others: %d replies, want %d", n, got, want)
		}
	}

	b := append(make([]byte, 12), 1, 'a', 0) // a name, and pointers each of which leads to the one before
	to := 12
	for i := 1; i <= maxPointers+1; i++ {
		at := len(b)
		b = append(b, 0xc0|byte(to>>8), byte(to))
		to = at
		name, _, err := readName(b, at)
		if ok := i <= maxPointers; (err == nil) != ok || ok && name != "\x01a" {
			t.Fatalf("%d pointers: %q, %v", i, name, err)
		}
	}
}

func FuzzPacket(f *testing.F) {
	w := newWriter(0, flagResponse|flagMore)
	w.ask(asked{nameOf("_http._tcp.local"), kindPTR, true})
	n := nameOf("_http._tcp.local").in("A. B")
	w.record(1, record{nameOf("_http._tcp.local"), kindPTR, false, 100, string(n) + "\x00"})
	w.record(2, record{n, kindSRV, true, 100, "\x00\x00\x00\x00\x00\x50" + string(nameOf("a.local")) + "\x00"})
	w.record(3, record{nameOf("a.local"), kindA, true, 100, "\x7f\x00\x00\x01"})
	w.record(3, record{n, kindTXT, true, 100, "\x03a=b\x09"})
	w.record(3, nsec(nameOf("a.local"), 100, kindA))
	f.Add(w.b)
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"))
	f.Add([]byte("\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\xc0\x0c\x00\x01\x00\x01"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := readPacket(b)
		if err != nil {
			return
		}
		// A value that was read can be written, and reads the same.
		w := newWriter(p.id, 0)
		for _, q := range p.asked {
			w.ask(q)
		}
		for section, list := range [][]record{1: p.answers, 2: p.claims, 3: p.extra} {
			for _, r := range list {
				r.strings()
				r.denies(kindAAAA)
				if r.kind == kindA || r.kind == kindAAAA {
					r.addr()
				}
				w.record(section, r)
			}
		}
		if len(w.b) > 0xffff {
			return
		}
		again, err := readPacket(w.b)
		if err != nil {
			t.Fatalf("%q: %v", w.b, err)
		}
		same := func(a, b record) bool { return a == b }
		if !slices.Equal(p.asked, again.asked) || !slices.EqualFunc(p.answers, again.answers, same) || !slices.EqualFunc(p.claims, again.claims, same) ||
			!slices.EqualFunc(p.extra, again.extra, same) {
			t.Fatalf("%+v\n%+v", p, again)
		}
	})
}
