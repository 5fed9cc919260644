package dns_test

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"

	"golang.org/x/net/dns/dnsmessage"
)

// server is a name server of the test, by UDP and TCP on one port. answer is called with each
// query, and returns the messages to send back; nil is silence.
type server struct {
	addr netip.AddrPort
	udp  net.PacketConn
	tcp  net.Listener

	mu     sync.Mutex
	asked  []query
	answer func(q query) [][]byte
}

// query is what a server was asked.
type query struct {
	id   uint16
	name string // with the dot
	kind dnsmessage.Type
	tcp  bool
	edns int // the size that it offers, 0 without
	from string
}

func newServer(t testing.TB, answer func(q query) [][]byte) *server {
	t.Helper()
	s := &server{answer: answer}
	for range 20 {
		udp, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err != nil { // another program has the port
			udp.Close()
			continue
		}
		s.udp, s.tcp = udp, tcp
		break
	}
	s.addr = netip.MustParseAddrPort(s.udp.LocalAddr().String())
	t.Cleanup(func() { s.udp.Close(); s.tcp.Close() })
	go s.serveUDP()
	go s.serveTCP()
	return s
}

func (s *server) serveUDP() {
	b := make([]byte, 4096)
	for {
		n, from, err := s.udp.ReadFrom(b)
		if err != nil {
			return
		}
		for _, msg := range s.reply(b[:n], false, from.String()) {
			s.udp.WriteTo(msg, from)
		}
	}
}

func (s *server) serveTCP() {
	for {
		c, err := s.tcp.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			var l [2]byte
			if _, err := io.ReadFull(c, l[:]); err != nil {
				return
			}
			b := make([]byte, binary.BigEndian.Uint16(l[:]))
			if _, err := io.ReadFull(c, b); err != nil {
				return
			}
			for _, msg := range s.reply(b, true, c.RemoteAddr().String()) {
				c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(msg))), msg...))
			}
		}()
	}
}

// readQuery reads what a server is asked.
func readQuery(b []byte) (q query, err error) {
	var m dnsmessage.Message
	if err := m.Unpack(b); err != nil {
		return q, err
	}
	if len(m.Questions) != 1 {
		return q, fmt.Errorf("%d questions", len(m.Questions))
	}
	q = query{id: m.ID, name: m.Questions[0].Name.String(), kind: m.Questions[0].Type}
	for _, r := range m.Additionals {
		if r.Header.Type == dnsmessage.TypeOPT {
			q.edns = int(r.Header.Class)
		}
	}
	return q, nil
}

func (s *server) reply(b []byte, tcp bool, from string) [][]byte {
	q, err := readQuery(b)
	if err != nil {
		return nil
	}
	q.tcp, q.from = tcp, from
	s.mu.Lock()
	s.asked = append(s.asked, q)
	answer := s.answer
	s.mu.Unlock()
	return answer(q)
}

// queries returns what was asked so far.
func (s *server) queries() []query {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]query(nil), s.asked...)
}

func (s *server) set(answer func(q query) [][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// reply is a message in the making.
type reply struct{ dnsmessage.Message }

// to begins the answer to q.
func to(q query) *reply {
	r := &reply{}
	r.Header = dnsmessage.Header{ID: q.id, Response: true, RecursionDesired: true, RecursionAvailable: true}
	r.Questions = []dnsmessage.Question{{Name: dnsmessage.MustNewName(q.name), Type: q.kind, Class: dnsmessage.ClassINET}}
	return r
}

func (r *reply) code(c dnsmessage.RCode) *reply { r.RCode = c; return r }

func (r *reply) rr(name string, ttl uint32, body dnsmessage.ResourceBody) *reply {
	r.Answers = append(r.Answers, resource(name, ttl, body))
	return r
}

func resource(name string, ttl uint32, body dnsmessage.ResourceBody) dnsmessage.Resource {
	return dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: dnsmessage.MustNewName(name), Class: dnsmessage.ClassINET, TTL: ttl}, Body: body}
}

func (r *reply) ip(name, addr string, ttl uint32) *reply {
	a := netip.MustParseAddr(addr)
	if a.Is4() {
		return r.rr(name, ttl, &dnsmessage.AResource{A: a.As4()})
	}
	return r.rr(name, ttl, &dnsmessage.AAAAResource{AAAA: a.As16()})
}

func (r *reply) cname(name, target string, ttl uint32) *reply {
	return r.rr(name, ttl, &dnsmessage.CNAMEResource{CNAME: dnsmessage.MustNewName(target)})
}

func (r *reply) soa(zone string, ttl, least uint32) *reply {
	n := dnsmessage.MustNewName(zone)
	r.Authorities = append(r.Authorities, resource(zone, ttl, &dnsmessage.SOAResource{NS: n, MBox: n, MinTTL: least}))
	return r
}

func (r *reply) bytes() []byte {
	b, err := r.Pack()
	if err != nil {
		panic(err)
	}
	return b
}

func (r *reply) send() [][]byte { return [][]byte{r.bytes()} }

// zone answers from a table of addresses, and says that other names do not exist.
func zone(table map[string][]string) func(q query) [][]byte {
	return func(q query) [][]byte {
		r := to(q)
		list, ok := table[q.name]
		if !ok {
			return r.code(dnsmessage.RCodeNameError).soa("test.", 60, 60).send()
		}
		for _, s := range list {
			if netip.MustParseAddr(s).Is4() == (q.kind == dnsmessage.TypeA) {
				r.ip(q.name, s, 60)
			}
		}
		if len(r.Answers) == 0 {
			r.soa("test.", 60, 60)
		}
		return r.send()
	}
}
