package acme

import (
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/acme"
)

// A site is a host and its certificate.
type site struct {
	host  string     // in lower case
	addr  netip.Addr // if the host is an address
	stamp string     // time and size of the file that was read; Manager.running guards it
	cert  atomic.Pointer[tls.Certificate]

	mu    sync.Mutex
	renew time.Time // when the certificate is to be renewed
	wait  wait
}

// A wait is what a site remembers of attempts that failed, also in a file.
type wait struct {
	Next     int64  `json:"next"` // in seconds of Unix
	Failures int    `json:"failures"`
	Err      string `json:"error"`
}

func random() float64 { return rand.Float64() }

// newSite checks a host. It becomes a file name and part of a certificate request.
func newSite(host string) (*site, error) {
	s := &site{host: strings.ToLower(strings.TrimSuffix(host, "."))}
	if addr, err := netip.ParseAddr(s.host); err == nil && addr.Zone() == "" {
		s.addr = addr.Unmap()
		s.host = s.addr.String()
		return s, nil
	}
	if strings.HasPrefix(s.host, "*.") {
		return nil, fmt.Errorf("acme: host %q: a certificate for all names of a domain needs dns-01, which is not there", host)
	}
	if !isName(s.host) {
		return nil, fmt.Errorf("acme: host %q is neither a name (in the form of RFC 5891, \"xn--\") nor an address", host)
	}
	return s, nil
}

func isName(host string) bool {
	for label := range strings.SplitSeq(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for _, x := range []byte(label) {
			if x-'a' >= 26 && x-'0' >= 10 && x != '-' && x != '_' {
				return false
			}
		}
	}
	return len(host) <= 253
}

// serverName returns the name that the authority asks for by SNI in tls-alpn-01: for an address its
// name of the reverse lookup (RFC 8738 §6).
func (s *site) serverName() string {
	switch {
	case !s.addr.IsValid():
		return s.host
	case s.addr.Is4():
		b := s.addr.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	b := s.addr.As16()
	var name strings.Builder
	for i := len(b) - 1; i >= 0; i-- {
		fmt.Fprintf(&name, "%x.%x.", b[i]&15, b[i]>>4)
	}
	return name.String() + "ip6.arpa"
}

// use takes cert, which has a Leaf, into use. jitter is from 0 to 1.
func (s *site) use(cert *tls.Certificate, before time.Duration, jitter float64) {
	life := cert.Leaf.NotAfter.Sub(cert.Leaf.NotBefore)
	if before <= 0 || before >= life {
		if before = life / 3; life < 10*24*time.Hour {
			before = life / 2
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cert.Store(cert)
	s.renew = cert.Leaf.NotAfter.Add(-before + time.Duration(jitter*float64(before/10)))
	s.wait = wait{}
}

// maxWait is the longest wait that is believed: the limits of Let's Encrypt are for a week.
const maxWait = 8 * 24 * time.Hour

// due returns when the next attempt may begin. A wait that ends in a far future was noted before
// the clock was set.
func (s *site) due(now time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := time.Unix(s.wait.Next, 0)
	if s.wait.Failures == 0 || next.Sub(now) > maxWait {
		next = time.Time{}
	}
	if s.cert.Load() != nil && s.renew.After(next) {
		next = s.renew
	}
	return next
}

func (s *site) status(now time.Time) Status {
	st := Status{Host: s.host, Next: s.due(now)}
	if leaf := s.leaf(); leaf != nil {
		st.Until = leaf.NotAfter
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Failures, st.Err = s.wait.Failures, s.wait.Err
	return st
}

func (s *site) failures() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wait.Failures
}

// The waits after a failure. They double from the first to the last, so that the authority sees
// four in the first hour: Let's Encrypt allows five. An authority that is not reached has counted
// nothing: a device may just have no network yet.
const (
	firstWait    = 5 * time.Minute
	firstUnheard = 20 * time.Second
	lastWait     = 6 * time.Hour
	limitedWait  = time.Hour // over a limit that the authority gives no time for
)

// failed notes that an attempt has failed, and returns how long the next waits.
func (s *site) failed(err error, now time.Time, jitter float64) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := firstWait
	if !heard(err) {
		d = firstUnheard
	}
	d = min(d<<min(s.wait.Failures, 12), lastWait)
	if after, limited := limit(err); limited {
		d = max(d, min(after, maxWait-maxWait/10))
	}
	d += time.Duration(jitter * float64(d/10)) // later, never sooner than was asked for
	s.wait = wait{Next: now.Add(d).Unix() + 1, Failures: s.wait.Failures + 1, Err: err.Error()}
	return d
}

// heard reports whether the authority has seen an attempt that failed with err.
func heard(err error) bool {
	var refusal *acme.Error
	var authorization *acme.AuthorizationError
	var order *acme.OrderError
	return errors.As(err, &refusal) || errors.As(err, &authorization) || errors.As(err, &order) || errors.Is(err, errOrder)
}

// limit returns how long the authority asks to wait, if it does.
func limit(err error) (time.Duration, bool) {
	var refusal *acme.Error
	if !errors.As(err, &refusal) {
		return 0, false
	}
	after, limited := acme.RateLimit(refusal)
	switch {
	case limited || refusal.StatusCode == 429:
		if after <= 0 {
			after = limitedWait
		}
		return after, true
	case refusal.StatusCode == 503 && refusal.Header.Get("Retry-After") != "":
		return retryAfter(refusal.Header.Get("Retry-After")), true
	}
	return 0, false
}
