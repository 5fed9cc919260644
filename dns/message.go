package dns

import (
	"errors"
	"net/netip"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

// question is what a name server is asked, and the key of the cache.
type question struct {
	name string // canonical
	kind dnsmessage.Type
}

// udpPayload is how long a datagram we take, as EDNS0 tells the server (RFC 6891 §6.2.3): no
// datagram of that length is cut into fragments anywhere.
const udpPayload = 1232

// mostHops bounds a chain of CNAMEs.
const mostHops = 16

// appendQuery appends a query with recursion desired (RFC 1035 §4.1.1), with EDNS0 or without.
func appendQuery(b []byte, id uint16, q question, edns bool) ([]byte, error) {
	name, err := dnsmessage.NewName(q.name + ".")
	if err != nil {
		return nil, err
	}
	m := dnsmessage.NewBuilder(b, dnsmessage.Header{ID: id, RecursionDesired: true})
	m.StartQuestions()
	if err := m.Question(dnsmessage.Question{Name: name, Type: q.kind, Class: dnsmessage.ClassINET}); err != nil {
		return nil, err
	}
	if edns {
		var h dnsmessage.ResourceHeader
		h.SetEDNS0(udpPayload, dnsmessage.RCodeSuccess, false)
		m.StartAdditionals()
		m.OPTResource(h, dnsmessage.OPTResource{})
	}
	return m.Finish()
}

// reply is what a server has said to one question.
type reply struct {
	addrs []netip.Addr // A, AAAA
	srv   []SRV
	texts []string // TXT, PTR
	ttl   uint32   // the least of the records used, in seconds; of a negative reply, how long it may be kept
	chase string   // the end of a chain of CNAMEs without records: to be asked for
}

var (
	// errForeign says that a message is no answer to our question: another server's, a forger's, or
	// an old one. It is passed over.
	errForeign   = errors.New("no answer to this question")
	errTruncated = errors.New("the answer is truncated") // TC: ask by TCP
	errNoEDNS    = errors.New("the server does not know EDNS0")
	errLame      = errors.New("the server answers with neither records nor an authority")
	errLoop      = errors.New("a chain of CNAMEs has no end")
	errClosed    = errors.New("the server closed the connection without an answer")
	errRefused   = errors.New("the server refuses")
)

// readReply reads the answer to q, which was asked with id, into r. It returns errForeign for what
// is none, ErrNoName and ErrNoData for negative answers, whose r.ttl is set, and other errors for
// what the server could not or would not say.
func readReply(msg []byte, id uint16, q question, edns bool, r *reply) error {
	*r = reply{addrs: r.addrs[:0]}
	var p dnsmessage.Parser
	h, err := p.Start(msg)
	if err != nil || h.ID != id || !h.Response || h.OpCode != 0 {
		return errForeign
	}
	asked, err := p.Question()
	if err != nil {
		// RFC 6891 §7: a server that does not know EDNS0 may send the header alone.
		if err == dnsmessage.ErrSectionDone && edns && (h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented) {
			return errNoEDNS
		}
		return errForeign
	}
	if asked.Type != q.kind || asked.Class != dnsmessage.ClassINET || !sameName(&asked.Name, q.name) {
		return errForeign
	}
	if _, err := p.Question(); err != dnsmessage.ErrSectionDone {
		return errForeign
	}
	switch {
	case h.RCode == dnsmessage.RCodeNameError:
	case edns && (h.RCode == dnsmessage.RCodeFormatError || h.RCode == dnsmessage.RCodeNotImplemented):
		return errNoEDNS
	case h.RCode == dnsmessage.RCodeRefused:
		return errRefused
	case h.RCode != dnsmessage.RCodeSuccess:
		return ErrServer
	case h.Truncated:
		return errTruncated
	}
	end, err := r.readAnswers(&p, q)
	if err != nil {
		return err
	}
	if h.RCode == dnsmessage.RCodeSuccess && (len(r.addrs) > 0 || len(r.srv) > 0 || len(r.texts) > 0) {
		return nil
	}
	chain := r.ttl
	soa, err := r.readAuthority(&p, end)
	r.ttl = min(r.ttl, chain)
	switch {
	case err != nil:
		return err
	case h.RCode == dnsmessage.RCodeNameError:
		return ErrNoName
	case end == "":
		return ErrNoData // an alias of the root
	case end != q.name && !soa:
		r.chase, r.ttl = end, chain // RFC 1034 §5.3.3, step 4c
		return nil
	case !soa && !h.Authoritative && !h.RecursionAvailable:
		return errLame
	}
	return ErrNoData
}

// readAnswers collects the records of q, which may come after a chain of CNAMEs in any order, and
// returns the name at the end of that chain.
func (r *reply) readAnswers(p *dnsmessage.Parser, q question) (end string, err error) {
	r.ttl = ^uint32(0)
	// The links of a chain mostly come in order. If not, each pass gets one link farther; the last one
	// begins at the end of the chain.
	start := *p
	end = q.name
	for range mostHops + 1 {
		*p = start
		r.addrs, r.srv, r.texts = r.addrs[:0], nil, nil
		next, hops, err := r.pass(p, end, q.kind)
		switch {
		case err != nil:
			return "", err
		case next == end && hops > 0:
			return "", errLoop
		case next == end:
			return end, nil
		}
		end = next
	}
	return "", errLoop
}

// pass goes over the answers once. It collects the records of name, and follows its CNAME, which
// may lead on within the same pass. It returns the name at which it has arrived, and
// after how many links.
func (r *reply) pass(p *dnsmessage.Parser, name string, kind dnsmessage.Type) (end string, hops int, err error) {
	for {
		h, err := p.AnswerHeader()
		if err == dnsmessage.ErrSectionDone {
			return name, hops, nil
		}
		if err != nil {
			return "", 0, err
		}
		if h.Class != dnsmessage.ClassINET || h.Type != kind && h.Type != dnsmessage.TypeCNAME || !sameName(&h.Name, name) {
			if err := p.SkipAnswer(); err != nil {
				return "", 0, err
			}
			continue
		}
		if h.Type == dnsmessage.TypeCNAME && kind != dnsmessage.TypeCNAME {
			rr, err := p.CNAMEResource()
			if err != nil {
				return "", 0, err
			}
			if hops++; hops > mostHops {
				return "", 0, errLoop
			}
			name = canonical(rr.CNAME.String())
			r.ttl = min(r.ttl, seconds(h.TTL))
			continue
		}
		if err := r.record(p, &h); err != nil {
			return "", 0, err
		}
		r.ttl = min(r.ttl, seconds(h.TTL))
	}
}

// seconds reads a TTL: one with the highest bit set is 0 (RFC 2181 §8).
func seconds(ttl uint32) uint32 {
	if ttl > 1<<31-1 {
		return 0
	}
	return ttl
}

// record reads one record of the kind that was asked for. Names in it that are none are left out:
// programs put them into URLs, logs and commands.
func (r *reply) record(p *dnsmessage.Parser, h *dnsmessage.ResourceHeader) error {
	switch h.Type {
	case dnsmessage.TypeA:
		rr, err := p.AResource()
		if err != nil {
			return err
		}
		r.addrs = append(r.addrs, netip.AddrFrom4(rr.A))
	case dnsmessage.TypeAAAA:
		rr, err := p.AAAAResource()
		if err != nil {
			return err
		}
		r.addrs = append(r.addrs, netip.AddrFrom16(rr.AAAA).Unmap())
	case dnsmessage.TypeSRV:
		rr, err := p.SRVResource()
		if err != nil {
			return err
		}
		if target := canonical(rr.Target.String()); target == "" || isName(target) {
			r.srv = append(r.srv, SRV{Target: target, Port: rr.Port, Priority: rr.Priority, Weight: rr.Weight})
		}
	case dnsmessage.TypeTXT:
		rr, err := p.TXTResource()
		if err != nil {
			return err
		}
		r.texts = append(r.texts, strings.Join(rr.TXT, ""))
	case dnsmessage.TypePTR:
		rr, err := p.PTRResource()
		if err != nil {
			return err
		}
		if name := canonical(rr.PTR.String()); isName(name) {
			r.texts = append(r.texts, name)
		}
	default:
		return p.SkipAnswer()
	}
	return nil
}

// readAuthority looks for the SOA of a negative answer, which says how long it may be kept (RFC 2308
// §5).
func (r *reply) readAuthority(p *dnsmessage.Parser, name string) (soa bool, err error) {
	r.ttl = 0
	for {
		h, err := p.AuthorityHeader()
		if err == dnsmessage.ErrSectionDone {
			return soa, nil
		}
		if err != nil {
			return false, err
		}
		if h.Type != dnsmessage.TypeSOA || h.Class != dnsmessage.ClassINET || !under(name, canonical(h.Name.String())) {
			if err := p.SkipAuthority(); err != nil {
				return false, err
			}
			continue
		}
		rr, err := p.SOAResource()
		if err != nil {
			return false, err
		}
		soa = true
		r.ttl = min(seconds(h.TTL), seconds(rr.MinTTL))
	}
}

// sameName compares a name of a message with a canonical one, without regard to case.
func sameName(n *dnsmessage.Name, name string) bool {
	l := int(n.Length)
	if l == 0 || n.Data[l-1] != '.' || l-1 != len(name) {
		return l == 1 && name == "" && n.Data[0] == '.'
	}
	for i := range len(name) {
		b := n.Data[i]
		if 'A' <= b && b <= 'Z' {
			b |= 0x20
		}
		if b != name[i] {
			return false
		}
	}
	return true
}
