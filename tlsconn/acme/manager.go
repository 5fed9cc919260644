package acme

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"golang.org/x/crypto/acme"

	"github.com/seed4930a636/mangusta/conn"
)

// Directories of Let's Encrypt. The certificates of the staging one are trusted by nobody, and its
// limits are wide.
const (
	LetsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	LetsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// The ways to show that this program answers for a host.
const (
	TLSALPN01 = "tls-alpn-01" // on port 443
	HTTP01    = "http-01"     // on port 80, with Manager.Challenges
)

// Options are the settings of a Manager. Dir, Hosts and AcceptTerms have no default.
type Options struct {
	Dir   string   // where keys and certificates are kept; made if need be, with mode 0700
	Hosts []string // names, and addresses if the authority allows them; each gets a certificate of its own

	// AcceptTerms says that you accept the terms of service of the authority.
	AcceptTerms bool

	Directory string // the URL of the authority; default LetsEncrypt
	Email     string // where the authority may write to; default none
	Profile   string // which kind of certificate, if the authority has several, such as "shortlived"
	// AccountID and AccountKey bind the account to one that the authority has issued by other means
	// (RFC 8555 §7.3.4).
	AccountID  string
	AccountKey []byte

	// Challenges are the ways to show that this program answers for a host; default TLSALPN01. With
	// several the next is taken after a failure. TLSALPN01 does not go together with a
	// tlsconn.Config.ClientAuth that requires certificates: the authority has none.
	Challenges []string

	// RenewBefore is how long before its end a certificate is renewed, at the earliest; the moment is
	// chosen at random within a tenth of that. Default a third of its life, or half if it lives less
	// than ten days.
	RenewBefore time.Duration

	Client *http.Client // for requests to the authority; default one with a timeout of 30 s
	Log    conn.Logger  // such as a *slog.Logger; nil is silent
}

// A Manager has the certificates of some hosts. Its methods are safe for concurrent use.
type Manager struct {
	o     Options
	dir   string // of this authority
	sites []*site

	now    func() time.Time
	random func() float64 // from 0 to 1
	client *acme.Client

	running    sync.Mutex // of Run and what it calls
	registered bool       // the authority knows the account

	mu     sync.Mutex
	tokens map[string]string           // of http-01: what to answer
	proofs map[string]*tls.Certificate // of tls-alpn-01, by server name
}

// New reads what Options.Dir has, and makes the key of an account if there is none. It sends
// nothing.
func New(o Options) (*Manager, error) {
	if !o.AcceptTerms {
		return nil, errors.New("acme: the terms of the authority are not accepted (Options.AcceptTerms)")
	}
	if o.Directory == "" {
		o.Directory = LetsEncrypt
	}
	if len(o.Challenges) == 0 {
		o.Challenges = []string{TLSALPN01}
	}
	for _, c := range o.Challenges {
		if c != TLSALPN01 && c != HTTP01 {
			return nil, fmt.Errorf("acme: unknown challenge %q", c)
		}
	}
	if len(o.Hosts) == 0 {
		return nil, errors.New("acme: no hosts")
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 30 * time.Second}
	}
	m := &Manager{o: o, now: time.Now, random: random, tokens: make(map[string]string), proofs: make(map[string]*tls.Certificate)}
	for _, host := range o.Hosts {
		s, err := newSite(host)
		if err != nil {
			return nil, err
		}
		if m.site(s.host) != nil {
			return nil, fmt.Errorf("acme: host %q is there twice", host)
		}
		m.sites = append(m.sites, s)
	}
	if err := m.open(); err != nil {
		return nil, err
	}
	return m, nil
}

// longest bounds a pause, because the clock may be set meanwhile, and another program may have
// renewed a certificate.
const longest = time.Hour

// Run obtains the certificates that are missing, and renews all in time, until ctx is done; then it
// returns the error of ctx. Failures are logged, and tried again.
func (m *Manager) Run(ctx context.Context) error {
	for {
		pause := time.NewTimer(m.step(ctx))
		select {
		case <-ctx.Done():
			pause.Stop()
			return ctx.Err()
		case <-pause.C:
		}
	}
}

// step does what is due, and returns how long there is nothing to do.
func (m *Manager) step(ctx context.Context) time.Duration {
	m.running.Lock()
	defer m.running.Unlock()
	pause := longest
	for _, s := range m.sites {
		if ctx.Err() != nil {
			break
		}
		m.reload(s)
		if !s.due(m.now()).After(m.now()) {
			m.renew(ctx, s)
		}
		pause = min(pause, s.due(m.now()).Sub(m.now()))
	}
	return max(pause, time.Second)
}

// renew makes one attempt to get a certificate.
func (m *Manager) renew(parent context.Context, s *site) {
	ctx, cancel := context.WithTimeout(parent, 5*time.Minute)
	defer cancel()
	pem, err := m.order(ctx, s)
	if parent.Err() != nil && err != nil {
		return // it says nothing about the host
	}
	if err == nil {
		err = m.adopt(s, pem)
	}
	if err != nil {
		wait := s.failed(err, m.now(), m.random())
		m.warn("no certificate", "host", s.host, "err", err, "again in", wait.Round(time.Second))
		m.saveWait(s)
		return
	}
	m.info("a new certificate", "host", s.host, "until", s.leaf().NotAfter)
}

// A Status is how things stand with one host.
type Status struct {
	Host     string
	Until    time.Time // the end of the certificate; zero without one
	Next     time.Time // when the next attempt is due
	Failures int       // attempts since the last that succeeded
	Err      string    // of the last of them
}

// Status returns how things stand, in the order of Options.Hosts.
func (m *Manager) Status() []Status {
	all := make([]Status, len(m.sites))
	for i, s := range m.sites {
		all[i] = s.status(m.now())
	}
	return all
}

// site returns the site of a host, or nil.
func (m *Manager) site(host string) *site {
	for _, s := range m.sites {
		if s.host == host {
			return s
		}
	}
	return nil
}

func (m *Manager) warn(msg string, args ...any) {
	if m.o.Log != nil {
		m.o.Log.Warn("acme: "+msg, args...)
	}
}

func (m *Manager) info(msg string, args ...any) {
	if log, ok := m.o.Log.(interface{ Info(msg string, args ...any) }); ok {
		log.Info("acme: "+msg, args...)
	}
}

// leaf returns the certificate of s, or nil.
func (s *site) leaf() *x509.Certificate {
	if cert := s.cert.Load(); cert != nil {
		return cert.Leaf
	}
	return nil
}
