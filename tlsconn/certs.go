package tlsconn

import (
	"crypto"
	"crypto/tls"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A Pair is a certificate and its key, in files.
type Pair struct {
	Cert   string // PEM, the server's certificate first, then those that link it to a root
	Key    string // PEM
	Staple string // an OCSP response for it in DER, or ""
}

// store holds the certificates of a server.
type store struct {
	fixed []tls.Certificate
	every time.Duration

	signer func(crypto.Signer) crypto.Signer
	log    conn.Logger
	stats  *counters

	all    atomic.Pointer[[]*tls.Certificate]
	looked atomic.Int64 // when the files were looked at, in nanoseconds of Unix

	mu    sync.Mutex // of load
	pairs []Pair
	stamp string // times and sizes of the files that were loaded
}

// load reads all pairs, and takes their certificates into use if all of them are good.
func (s *store) load() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.looked.Store(time.Now().UnixNano())
	return s.loadLocked(s.stampNow())
}

// set is load for other files.
func (s *store) set(pairs []Pair) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.pairs
	s.pairs = pairs
	err := s.loadLocked(s.stampNow())
	if err != nil {
		s.pairs = before
	}
	return err
}

func (s *store) loadLocked(stamp string) error {
	again := s.all.Load() != nil
	all := make([]*tls.Certificate, 0, len(s.pairs)+len(s.fixed))
	for _, p := range s.pairs {
		cert, err := p.load()
		if err != nil {
			if again {
				s.stats.badReloads.Add(1)
			}
			return err
		}
		all = append(all, s.signing(cert))
	}
	for i := range s.fixed {
		all = append(all, s.signing(&s.fixed[i]))
	}
	s.all.Store(&all)
	s.stamp = stamp
	if again {
		s.stats.reloads.Add(1)
	}
	return nil
}

// signing returns cert with what is to sign for it.
func (s *store) signing(cert *tls.Certificate) *tls.Certificate {
	if key, ok := cert.PrivateKey.(crypto.Signer); ok && s.signer != nil {
		c := *cert
		c.PrivateKey = s.signer(key)
		cert = &c
	}
	return patient(cert)
}

func (p *Pair) load() (*tls.Certificate, error) {
	cert, err := tls.LoadX509KeyPair(p.Cert, p.Key)
	if err != nil {
		return nil, fmt.Errorf("tlsconn: certificate %s: %w", p.Cert, err)
	}
	if p.Staple != "" {
		if cert.OCSPStaple, err = os.ReadFile(p.Staple); err != nil {
			return nil, fmt.Errorf("tlsconn: OCSP staple: %w", err)
		}
	}
	return &cert, nil
}

// poll reads the files again if they have changed. While they are being replaced the pair may not
// fit: then the certificates stay, and the next poll tries again.
func (s *store) poll(now time.Time) {
	looked := s.looked.Load()
	if since := now.UnixNano() - looked; s.every < 0 || since >= 0 && since < int64(s.every) {
		return
	}
	if !s.looked.CompareAndSwap(looked, now.UnixNano()) {
		return // another handshake does it
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp := s.stampNow()
	if stamp == s.stamp {
		return
	}
	if err := s.loadLocked(stamp); err != nil && s.log != nil {
		s.log.Warn("tlsconn: the certificates stay as they are", "err", err)
	}
}

// stampNow says which files there are.
func (s *store) stampNow() string {
	var b []byte
	for _, p := range s.pairs {
		for _, name := range [...]string{p.Cert, p.Key, p.Staple} {
			if name == "" {
				continue
			}
			st, err := os.Stat(name)
			if err != nil {
				b = fmt.Appendf(b, "%v;", err)
				continue
			}
			b = fmt.Appendf(b, "%d %d", st.ModTime().UnixNano(), st.Size())
			if sys, ok := st.Sys().(*syscall.Stat_t); ok { // times may be as coarse as a second
				b = fmt.Appendf(b, " %d", sys.Ino)
			}
			b = append(b, ';')
		}
	}
	return string(b)
}

// choose returns the first certificate that serves the client, or else the very first.
func (s *store) choose(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	all := *s.all.Load()
	if len(all) == 0 {
		return nil, errors.New("tlsconn: no certificate")
	}
	if len(all) > 1 {
		for _, cert := range all {
			if hello.SupportsCertificate(cert) == nil {
				return cert, nil
			}
		}
	}
	return all[0], nil
}
