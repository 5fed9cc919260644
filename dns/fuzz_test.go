package dns

import (
	"errors"
	"net/netip"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

func mustAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// pointers is a message whose question is name, and whose one answer has the name at owner.
func pointers(name, owner []byte) []byte {
	b := []byte{0x12, 0x34, 0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0}
	b = append(append(b, name...), 0, 1, 0, 1)
	return append(append(b, owner...), 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1)
}

// Names that are compressed with pointers to themselves, to each other, forward, or past the end are
// errors, and end.
func TestCompressionLoops(t *testing.T) {
	x := []byte{1, 'x', 4, 't', 'e', 's', 't', 0}
	q := question{"x.test", dnsmessage.TypeA}
	var r reply
	if err := readReply(pointers(x, []byte{0xc0, 12}), 0x1234, q, false, &r); err != nil || len(r.addrs) != 1 {
		t.Fatalf("a good one: %v, %v", r.addrs, err)
	}
	at := byte(12 + len(x) + 4)
	for what, owner := range map[string][]byte{
		"itself": {0xc0, at}, "each other": {0xc0, at + 2, 0xc0, at}, "forward": {0xc0, at + 4}, "past the end": {0xc3, 0xff},
		"a label and itself": {1, 'x', 0xc0, at}, "reserved": {0x80, 12}, "cut": {63},
	} {
		if err := readReply(pointers(x, owner), 0x1234, q, false, &r); err == nil && len(r.addrs) > 0 {
			t.Errorf("%s: taken", what)
		}
	}
	for what, name := range map[string][]byte{"itself": {0xc0, 12}, "the header": {0xc0, 0}} {
		if err := readReply(pointers(name, []byte{0}), 0x1234, q, false, &r); err != errForeign {
			t.Errorf("a question with a pointer to %s: %v", what, err)
		}
	}
}

// FuzzReply: whatever a server sends, reading it ends, and gives only what was asked for.
func FuzzReply(f *testing.F) {
	q := question{"x.test", dnsmessage.TypeA}
	build := func(change func(*dnsmessage.Message)) []byte {
		n := dnsmessage.MustNewName
		m := dnsmessage.Message{Header: dnsmessage.Header{ID: 1, Response: true, RecursionAvailable: true},
			Questions: []dnsmessage.Question{{Name: n("x.test."), Type: q.kind, Class: dnsmessage.ClassINET}},
			Answers: []dnsmessage.Resource{
				{Header: dnsmessage.ResourceHeader{Name: n("x.test."), Class: dnsmessage.ClassINET, TTL: 5}, Body: &dnsmessage.CNAMEResource{CNAME: n("y.test.")}},
				{Header: dnsmessage.ResourceHeader{Name: n("y.test."), Class: dnsmessage.ClassINET, TTL: 9}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
			}}
		change(&m)
		b, err := m.Pack()
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(build(func(*dnsmessage.Message) {}))
	f.Add(build(func(m *dnsmessage.Message) { m.RCode = dnsmessage.RCodeNameError; m.Answers = nil }))
	f.Add(build(func(m *dnsmessage.Message) { m.Truncated = true }))
	f.Add(build(func(m *dnsmessage.Message) { m.Answers[0], m.Answers[1] = m.Answers[1], m.Answers[0] }))
	f.Add(build(func(m *dnsmessage.Message) { m.Answers[1].Header.Name = m.Answers[0].Header.Name }))
	f.Add(build(func(m *dnsmessage.Message) {
		m.Answers = nil
		soa := m.Questions[0].Name
		m.Authorities = []dnsmessage.Resource{{Header: dnsmessage.ResourceHeader{Name: soa, Class: dnsmessage.ClassINET, TTL: 5},
			Body: &dnsmessage.SOAResource{NS: soa, MBox: soa, MinTTL: 3}}}
	}))
	f.Add(pointers([]byte{1, 'x', 0}, []byte{0xc0, 12}))
	kinds := []dnsmessage.Type{typeA, typeAAAA, typeSRV, typeTXT, typePTR}
	var r reply
	f.Fuzz(func(t *testing.T, msg []byte) {
		for _, kind := range kinds {
			q := question{q.name, kind}
			err := readReply(msg, 1, q, true, &r)
			n := len(r.addrs) + len(r.srv) + len(r.texts)
			switch {
			case err == nil && r.chase == "" && n == 0:
				t.Errorf("%v: success with nothing", kind)
			case err == nil && r.chase != "" && (n > 0 || r.chase == q.name):
				t.Errorf("%v: chase %q with %d records", kind, r.chase, n)
			case errors.Is(err, ErrNoName) || errors.Is(err, ErrNoData):
				if r.ttl > 1<<31-1 {
					t.Errorf("%v: %v for %d s", kind, err, r.ttl)
				}
			}
			if len(r.addrs) > 0 && kind != typeA && kind != typeAAAA || len(r.srv) > 0 && kind != typeSRV {
				t.Errorf("%v: %v, %v", kind, r.addrs, r.srv)
			}
			for _, s := range r.srv {
				if s.Target != "" && !isName(s.Target) {
					t.Errorf("SRV %q", s.Target)
				}
			}
			// An answer to another question or ID is none, whatever else it says.
			if err := readReply(msg, 2, q, true, &r); len(msg) > 1 && msg[0] == 0 && msg[1] == 1 && err != errForeign {
				t.Errorf("another ID: %v", err)
			}
			if err == nil {
				if err := readReply(msg, 1, question{"z.test", kind}, true, &r); err != errForeign {
					t.Errorf("another name: %v", err)
				}
			}
		}
	})
}
