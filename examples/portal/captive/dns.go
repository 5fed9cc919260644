package captive

import (
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// DNSOptions are the settings of the answerer.
type DNSOptions struct {
	IPv4 netip.Addr // the answer to A; none if it is not valid
	IPv6 netip.Addr // the answer to AAAA; none if it is not valid
	TTL  uint32     // in seconds; default 5: soon the phone is elsewhere, and must not have kept our answers
}

// AnswerWith returns the options that answer with a, of either family.
func AnswerWith(a netip.Addr) DNSOptions {
	if a = a.Unmap().WithZone(""); a.Is4() {
		return DNSOptions{IPv4: a}
	}
	return DNSOptions{IPv6: a}
}

// maxQuery is the longest query that is read. A question has 271 bytes at most; the rest is room for
// options (RFC 6891).
const maxQuery = 512

// ListenDNS answers the queries that come to url, such as udp://192.168.4.1:53. It is to listen on
// the portal's own network alone.
func ListenDNS(m *mgr.Manager, url string, o DNSOptions) (*conn.Conn, error) {
	if o.TTL == 0 {
		o.TTL = 5
	}
	var b []byte // one for all replies: the socket copies
	return m.Listen(url, func(_ *conn.Conn, ev conn.Event) {
		if d, ok := ev.(*conn.Datagram); ok && !d.Truncated {
			if b = o.answer(b[:0], d.Data); len(b) > 0 {
				d.Reply(b) // a queue that is full drops it: the phone asks again
			}
		}
	}, mgr.ListenOptions{Socket: conn.SocketOptions{DatagramSize: maxQuery}})
}

// hidden are the names that must not exist: with them, programs decide to use resolvers of their own,
// past the portal. Firefox (DNS over HTTPS), Apple (Private Relay).
var hidden = []string{"use-application-dns.net.", "mask.icloud.com.", "mask-h2.icloud.com."}

// answer appends the reply to a query to b. It appends nothing for what is no query: an answer to
// answers could go round for ever. The reply is the question and at most 39 bytes, so a sender that
// forges its address gains little.
func (o *DNSOptions) answer(b, query []byte) []byte {
	var p dnsmessage.Parser
	h, err := p.Start(query)
	if err != nil || h.Response {
		return b
	}
	reply := dnsmessage.Header{
		ID: h.ID, Response: true, OpCode: h.OpCode, Authoritative: true, RecursionDesired: h.RecursionDesired, RecursionAvailable: true,
	}
	if h.OpCode != 0 { // QUERY
		return finish(b, reply, dnsmessage.RCodeNotImplemented, nil, nil, nil)
	}
	q, err := p.Question()
	if err != nil {
		return finish(b, reply, dnsmessage.RCodeFormatError, nil, nil, nil)
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone { // RFC 9619: there is one
		return finish(b, reply, dnsmessage.RCodeFormatError, nil, nil, nil)
	}
	opt, version, ok := edns(&p)
	switch name := strings.ToLower(q.Name.String()); {
	case !ok:
		return finish(b, reply, dnsmessage.RCodeFormatError, nil, nil, nil)
	case version > 0: // RFC 6891 §6.1.3: BADVERS
		return finish(b, reply, 16, &q, opt, nil)
	case q.Class != dnsmessage.ClassINET && q.Class != dnsmessage.ClassANY:
		return finish(b, reply, dnsmessage.RCodeRefused, &q, opt, nil)
	case isHidden(name):
		return finish(b, reply, dnsmessage.RCodeNameError, &q, opt, nil)
	}
	return finish(b, reply, dnsmessage.RCodeSuccess, &q, opt, o)
}

func isHidden(name string) bool {
	for _, h := range hidden {
		if name == h || strings.HasSuffix(name, "."+h) {
			return true
		}
	}
	return false
}

// edns returns the OPT record of a query, nil if there is none, and its version. A query that has
// anything else after its question is none that a resolver sends, and is refused: so what a datagram
// costs is bounded.
func edns(p *dnsmessage.Parser) (opt *dnsmessage.ResourceHeader, version uint8, ok bool) {
	if p.SkipAllQuestions() != nil {
		return nil, 0, false
	}
	if _, err := p.AnswerHeader(); err != dnsmessage.ErrSectionDone {
		return nil, 0, false
	}
	if _, err := p.AuthorityHeader(); err != dnsmessage.ErrSectionDone {
		return nil, 0, false
	}
	for range maxAdditional {
		h, err := p.AdditionalHeader()
		if err == dnsmessage.ErrSectionDone {
			return opt, version, true
		}
		if err != nil || h.Type == dnsmessage.TypeOPT && opt != nil {
			return nil, 0, false
		}
		if h.Type == dnsmessage.TypeOPT {
			opt, version = &h, uint8(h.TTL>>16)
		}
		if p.SkipAdditional() != nil {
			return nil, 0, false
		}
	}
	return nil, 0, false
}

// maxAdditional is how many records may come with a question: OPT and a signature.
const maxAdditional = 4

// finish appends the reply to b. from, unless nil, has the address.
func finish(b []byte, h dnsmessage.Header, code dnsmessage.RCode, q *dnsmessage.Question, opt *dnsmessage.ResourceHeader, from *DNSOptions) []byte {
	h.RCode = code & 15
	x := dnsmessage.NewBuilder(b, h)
	x.EnableCompression()
	if q != nil {
		if x.StartQuestions() != nil || x.Question(*q) != nil {
			return b
		}
	}
	if from != nil {
		head := dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET, TTL: from.TTL}
		any := q.Type == dnsmessage.TypeALL
		if x.StartAnswers() != nil {
			return b
		}
		if (q.Type == dnsmessage.TypeA || any) && from.IPv4.IsValid() && x.AResource(head, dnsmessage.AResource{A: from.IPv4.As4()}) != nil {
			return b
		}
		if q.Type == dnsmessage.TypeAAAA && from.IPv6.IsValid() && x.AAAAResource(head, dnsmessage.AAAAResource{AAAA: from.IPv6.As16()}) != nil {
			return b
		}
	}
	if opt != nil {
		var head dnsmessage.ResourceHeader
		if head.SetEDNS0(maxQuery, code, false) != nil || x.StartAdditionals() != nil || x.OPTResource(head, dnsmessage.OPTResource{}) != nil {
			return b
		}
	}
	out, err := x.Finish()
	if err != nil {
		return b
	}
	return out
}
