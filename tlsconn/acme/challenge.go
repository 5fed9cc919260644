package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"

	"golang.org/x/crypto/acme"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// Config returns c, or the zero Config, made ready for m: its GetCertificate asks m first, and with
// TLSALPN01 its NextProtos have the protocol of the challenge. Certificates that c has are for
// clients that ask for another name, and for the time before m has one: tlsconn.SelfSigned takes
// the result too.
func (m *Manager) Config(c ...tlsconn.Config) tlsconn.Config {
	var config tlsconn.Config
	if len(c) > 0 {
		config = c[0]
	}
	next := config.GetCertificate
	config.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if cert, err := m.GetCertificate(hello); cert != nil || err != nil || next == nil {
			return cert, err
		}
		return next(hello)
	}
	if !m.uses(TLSALPN01) {
		return config
	}
	if config.NextProtos == nil {
		config.NextProtos = []string{"http/1.1"}
	}
	config.NextProtos = append(config.NextProtos[:len(config.NextProtos):len(config.NextProtos)], acme.ALPNProto)
	return config
}

func (m *Manager) uses(challenge string) bool {
	for _, c := range m.o.Challenges {
		if c == challenge {
			return true
		}
	}
	return false
}

var errNoChallenge = errors.New("acme: no challenge for this name")

// GetCertificate is for tlsconn.Config. It returns the certificate of the host that a client asks
// for, nil if there is none, and to the authority the answer to its challenge. A client that names
// no host gets the certificate of the address that it connected to, or of the first host.
func (m *Manager) GetCertificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	name := strings.ToLower(strings.TrimSuffix(hello.ServerName, "."))
	if len(hello.SupportedProtos) == 1 && hello.SupportedProtos[0] == acme.ALPNProto {
		m.mu.Lock()
		defer m.mu.Unlock()
		if proof := m.proofs[name]; proof != nil {
			return proof, nil
		}
		return nil, errNoChallenge
	}
	if name == "" {
		name = m.sites[0].host
		if s := m.site(localHost(hello)); s != nil {
			name = s.host
		}
	}
	if s := m.site(name); s != nil {
		return s.cert.Load(), nil
	}
	return nil, nil
}

// localHost returns the address that the client has connected to.
func localHost(hello *tls.ClientHelloInfo) string {
	if hello.Conn == nil {
		return ""
	}
	a, ok := hello.Conn.LocalAddr().(*net.TCPAddr)
	if !ok {
		return ""
	}
	addr, _ := netip.AddrFromSlice(a.IP)
	return addr.Unmap().String()
}

// prefix is where the authority looks for tokens (RFC 8555 §8.3).
const prefix = "/.well-known/acme-challenge/"

// Challenges stands before next on a listener without TLS. It answers the requests of http-01, and
// lets all others pass, those for tokens that it does not know too.
func (m *Manager) Challenges(next http.Handler) http.Handler {
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		token, ok := strings.CutPrefix(string(r.Path), prefix)
		if !ok || r.Method != "GET" && r.Method != "HEAD" {
			return true
		}
		m.mu.Lock()
		answer, ok := m.tokens[token]
		m.mu.Unlock()
		if ok {
			http.Reply(c, 200, "application/octet-stream", answer)
		}
		return !ok
	})(next)
}

// prepare makes this program answer a challenge, until withdraw is called.
func (m *Manager) prepare(s *site, c *acme.Challenge) (withdraw func(), err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch c.Type {
	case HTTP01:
		answer, err := m.client.HTTP01ChallengeResponse(c.Token)
		if err != nil {
			return nil, err
		}
		m.tokens[c.Token] = answer
		return func() { m.mu.Lock(); delete(m.tokens, c.Token); m.mu.Unlock() }, nil
	case TLSALPN01:
		proof, err := m.client.TLSALPN01ChallengeCert(c.Token, s.host)
		if err != nil {
			return nil, err
		}
		name := s.serverName()
		m.proofs[name] = &proof
		return func() { m.mu.Lock(); delete(m.proofs, name); m.mu.Unlock() }, nil
	}
	return nil, fmt.Errorf("unknown challenge %q", c.Type)
}
