package main

import (
	"net/netip"

	"golang.org/x/net/dns/dnsmessage"
)

// services is the name whose PTR records are the kinds of services on the network (RFC 6763 §9).
var services = dnsmessage.MustNewName("_services._dns-sd._udp.local.")

// unicast is the bit of the class of a question that asks for an answer to the asker alone (RFC 6762
// §5.4).
const unicast = 1 << 15

// askMDNS is the question for all services. It comes from a port other than 5353, so the answer is
// an ordinary one to that port (RFC 6762 §6.7).
func askMDNS(netip.AddrPort) []byte {
	m := dnsmessage.Message{Questions: []dnsmessage.Question{{Name: services, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET | unicast}}}
	b, err := m.Pack()
	if err != nil {
		panic(err) // a constant
	}
	return b
}

// readMDNS returns the names that the PTR records of an answer give.
func readMDNS(b []byte) (texts []string) {
	var p dnsmessage.Parser
	h, err := p.Start(b)
	if err != nil || !h.Response || p.SkipAllQuestions() != nil {
		return nil
	}
	for len(texts) < 64 {
		r, err := p.AnswerHeader()
		if err != nil {
			return texts
		}
		if r.Type != dnsmessage.TypePTR {
			if p.SkipAnswer() != nil {
				return texts
			}
			continue
		}
		ptr, err := p.PTRResource()
		if err != nil {
			return texts
		}
		texts = append(texts, visible(ptr.PTR.String()))
	}
	return texts
}
