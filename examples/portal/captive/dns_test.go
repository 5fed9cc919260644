package captive

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

var both = DNSOptions{IPv4: netip.MustParseAddr("192.168.4.1"), IPv6: netip.MustParseAddr("fd00::1"), TTL: 5}

// query makes one question; edit changes the message.
func query(t testing.TB, name string, typ dnsmessage.Type, edit func(*dnsmessage.Message)) []byte {
	t.Helper()
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: 0x1234, RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: dnsmessage.MustNewName(name), Type: typ, Class: dnsmessage.ClassINET}},
	}
	if edit != nil {
		edit(&m)
	}
	b, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func opt(version uint32) func(*dnsmessage.Message) {
	return func(m *dnsmessage.Message) {
		m.Additionals = []dnsmessage.Resource{{
			Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName("."), Type: dnsmessage.TypeOPT, Class: 4096, TTL: version << 16},
			Body:   &dnsmessage.OPTResource{},
		}}
	}
}

// said returns a reply as text: code, answers, the code of OPT.
func said(t testing.TB, b []byte) string {
	t.Helper()
	if len(b) == 0 {
		return "nothing"
	}
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		t.Fatalf("% x: %v", b, err)
	}
	if !m.Response || m.ID != 0x1234 || !m.RecursionDesired || !m.RecursionAvailable || m.Truncated {
		t.Errorf("header %+v", m.Header)
	}
	s := strings.TrimPrefix(m.RCode.String(), "RCode")
	for _, q := range m.Questions {
		s += " ?" + q.Name.String()
	}
	for _, a := range m.Answers {
		switch body := a.Body.(type) {
		case *dnsmessage.AResource:
			s += " " + a.Header.Name.String() + netip.AddrFrom4(body.A).String()
		case *dnsmessage.AAAAResource:
			s += " " + a.Header.Name.String() + netip.AddrFrom16(body.AAAA).String()
		}
		if a.Header.TTL != 5 {
			t.Errorf("TTL %d", a.Header.TTL)
		}
	}
	for _, a := range m.Additionals {
		s += " OPT" + strings.TrimPrefix(a.Header.ExtendedRCode(m.RCode).String(), "RCode")
	}
	return s
}

func TestAnswers(t *testing.T) {
	for _, tt := range []struct {
		name string
		typ  dnsmessage.Type
		edit func(*dnsmessage.Message)
		o    DNSOptions
		want string
	}{
		{"connectivitycheck.gstatic.com.", dnsmessage.TypeA, nil, both, "Success ?connectivitycheck.gstatic.com. connectivitycheck.gstatic.com.192.168.4.1"},
		{"CaPtIvE.apple.com.", dnsmessage.TypeA, nil, both, "Success ?CaPtIvE.apple.com. CaPtIvE.apple.com.192.168.4.1"}, // the case is repeated: a resolver may check it
		{"a.b.", dnsmessage.TypeAAAA, nil, both, "Success ?a.b. a.b.fd00::1"},
		{"a.b.", dnsmessage.TypeAAAA, nil, AnswerWith(both.IPv4), "Success ?a.b."},
		{"a.b.", dnsmessage.TypeA, nil, AnswerWith(both.IPv6), "Success ?a.b."},
		{"a.b.", dnsmessage.TypeALL, nil, both, "Success ?a.b. a.b.192.168.4.1"},
		{"a.b.", dnsmessage.TypeMX, nil, both, "Success ?a.b."},
		{"a.b.", 65, nil, both, "Success ?a.b."}, // HTTPS
		{".", dnsmessage.TypeA, nil, both, "Success ?. .192.168.4.1"},
		{"use-application-dns.net.", dnsmessage.TypeA, nil, both, "NameError ?use-application-dns.net."},
		{"MASK.icloud.com.", dnsmessage.TypeA, nil, both, "NameError ?MASK.icloud.com."},
		{"x.mask-h2.icloud.com.", dnsmessage.TypeA, nil, both, "NameError ?x.mask-h2.icloud.com."},
		{"unmask.icloud.com.", dnsmessage.TypeA, nil, both, "Success ?unmask.icloud.com. unmask.icloud.com.192.168.4.1"},
		{"a.b.", dnsmessage.TypeA, opt(0), both, "Success ?a.b. a.b.192.168.4.1 OPTSuccess"},
		{"a.b.", dnsmessage.TypeA, opt(1), both, "Success ?a.b. OPT16"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions[0].Class = dnsmessage.ClassCHAOS }, both, "Refused ?a.b."},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Response = true }, both, "nothing"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.OpCode = 5 }, both, "NotImplemented"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = nil }, both, "FormatError"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) { m.Questions = append(m.Questions, m.Questions[0]) }, both, "FormatError"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) {
			opt(0)(m)
			m.Additionals = append(m.Additionals, m.Additionals[0])
		}, both, "FormatError"},
		{"a.b.", dnsmessage.TypeA, func(m *dnsmessage.Message) {
			m.Answers = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: 1}, Body: &dnsmessage.AResource{}}}
		}, both, "FormatError"},
	} {
		tt.o.TTL = 5
		q := query(t, tt.name, tt.typ, tt.edit)
		got := tt.o.answer(nil, q)
		if s := said(t, got); s != tt.want {
			t.Errorf("%s %v: %s, want %s", tt.name, tt.typ, s, tt.want)
		}
		for i := range q { // cut off anywhere
			if out := tt.o.answer(nil, q[:i]); len(out) > len(q)+39 {
				t.Errorf("%d bytes for %d", len(out), i)
			}
		}
	}
}

// hostile are datagrams that are made to cost much: names that point at themselves and at each
// other, names at every limit, counts that promise 65,535 records.
func hostile() map[string][]byte {
	head := func(qd, an, ns, ar uint16) []byte {
		return []byte{0x12, 0x34, 1, 0, byte(qd >> 8), byte(qd), byte(an >> 8), byte(an), byte(ns >> 8), byte(ns), byte(ar >> 8), byte(ar)}
	}
	pad := func(b []byte, with string) []byte {
		return append(b, strings.Repeat(with, (maxQuery-len(b))/len(with))...)
	}
	chain := head(1, 0, 0, 0)
	for i := range 200 { // each points to the next
		chain = append(chain, 0xc0, byte(14+2*i))
	}
	return map[string][]byte{
		"points to itself":    append(head(1, 0, 0, 0), 0xc0, 12, 0, 1, 0, 1),
		"a chain of pointers": chain,
		"many questions":      pad(head(65535, 0, 0, 0), "\x00\x00\x01\x00\x01"),
		"many records":        pad(append(head(1, 0, 0, 65535), 0, 0, 1, 0, 1), "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"),
		"many answers":        pad(append(head(1, 65535, 0, 0), 0, 0, 1, 0, 1), "\x00\x00\x01\x00\x01\x00\x00\x00\x00\x00\x00"),
		"labels without end":  pad(head(1, 0, 0, 0), "\x01a"),
		"a label too long":    append(append(head(1, 0, 0, 0), 64), strings.Repeat("a", 64)...),
		"reserved label":      append(head(1, 0, 0, 0), 0x80, 0, 0, 1, 0, 1),
		"an option too long":  append(append(head(1, 0, 0, 1), 0, 0, 1, 0, 1), 0, 0, 41, 16, 0, 0, 0, 0, 0, 0xff, 0xff),
		"a pointer ahead":     append(head(1, 0, 0, 0), 0xc0, 0xff, 0, 1, 0, 1),
	}
}

func TestHostileQueriesCostLittle(t *testing.T) {
	b := make([]byte, 0, 1024)
	good := query(t, strings.Repeat("a.", 126)+"a.", dnsmessage.TypeA, opt(0))
	per := testing.AllocsPerRun(100, func() { both.answer(b, good) })
	for name, q := range hostile() {
		if out := both.answer(b, q); len(out) > 12+len(q) {
			t.Errorf("%s: %d bytes for %d", name, len(out), len(q))
		} else if len(out) > 0 && out[3]&15 == 0 {
			t.Errorf("%s: it has an answer", name)
		}
		if n := testing.AllocsPerRun(100, func() { both.answer(b, q) }); n > per+2 {
			t.Errorf("%s: %v allocations; a good query has %v", name, n, per)
		}
	}
}

// A flood of all of it, and of random bytes, leaves the answerer as it was.
func TestListenDNS(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			defer m.Close()
			s, err := ListenDNS(m, "udp://127.0.0.1:0", AnswerWith(both.IPv4))
			if err != nil {
				t.Fatal(err)
			}
			replies := map[string]int{}
			c, err := m.Connect("udp://"+s.LocalAddr().String(), func(c *conn.Conn, ev conn.Event) {
				if d, ok := ev.(*conn.Datagram); ok {
					replies[said(t, d.Data)]++
				}
			})
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range hostile() {
				c.Write(q)
				m.Poll(0)
			}
			c.Write(nil)
			c.Write(bytes.Repeat([]byte{0xff}, 5000))
			long := query(t, "a.b.", dnsmessage.TypeA, nil)
			c.Write(append(long, make([]byte, maxQuery)...)) // cut off: not answered
			c.Write(query(t, "good.example.", dnsmessage.TypeA, opt(0)))
			for range 1000 {
				if replies["Success ?good.example. good.example.192.168.4.1 OPTSuccess"] == 1 {
					break
				}
				m.Poll(20_000_000)
			}
			if replies["Success ?good.example. good.example.192.168.4.1 OPTSuccess"] != 1 || replies["Success ?a.b. a.b.192.168.4.1"] != 0 {
				t.Errorf("replies %v", replies)
			}
		})
	}
}

func FuzzAnswer(f *testing.F) {
	for _, q := range hostile() {
		f.Add(q)
	}
	f.Add(query(f, "a.example.", dnsmessage.TypeAAAA, opt(0)))
	f.Fuzz(func(t *testing.T, q []byte) {
		out := both.answer(nil, q)
		if len(out) == 0 {
			return
		}
		if len(q) > 2 && q[2]&0x80 != 0 {
			t.Fatal("a reply to a reply")
		}
		var m dnsmessage.Message
		if err := m.Unpack(out); err != nil {
			t.Fatalf("% x to % x: %v", out, q, err)
		}
		if len(out) > 12+255+4+28+11 || len(m.Answers) > 1 {
			t.Fatalf("%d bytes to %d", len(out), len(q))
		}
		if both.answer(nil, out) != nil {
			t.Fatal("it answers itself")
		}
	})
}
