package acme

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/crypto/acme"
)

// errOrder is in the error of an order that the authority has seen.
var errOrder = errors.New("order")

// newClient makes the client of the authority.
func (m *Manager) newClient() *acme.Client {
	return &acme.Client{
		HTTPClient:   m.o.Client,
		DirectoryURL: m.o.Directory,
		UserAgent:    "mangusta",
		RetryBackoff: func(n int, _ *http.Request, r *http.Response) time.Duration {
			switch {
			case r.StatusCode == http.StatusTooManyRequests, r.StatusCode == http.StatusServiceUnavailable, n > 5:
				return -1 // the wait of the site is for that
			case r.StatusCode == http.StatusBadRequest:
				return time.Duration(n) * 50 * time.Millisecond // a nonce that is too old
			}
			return time.Second << n
		},
	}
}

// retryAfter reads a Retry-After field; what it cannot read is no wait.
func retryAfter(field string) time.Duration {
	if n, err := strconv.Atoi(field); err == nil {
		return time.Duration(n) * time.Second
	}
	if t, err := http.ParseTime(field); err == nil {
		return time.Until(t)
	}
	return 0
}

// register makes the account, or finds that it is there.
func (m *Manager) register(ctx context.Context) error {
	if m.registered {
		return nil
	}
	account := &acme.Account{}
	if m.o.Email != "" {
		account.Contact = []string{"mailto:" + m.o.Email}
	}
	if m.o.AccountID != "" {
		account.ExternalAccountBinding = &acme.ExternalAccountBinding{KID: m.o.AccountID, Key: m.o.AccountKey}
	}
	if _, err := m.client.Register(ctx, account, acme.AcceptTOS); err != nil && !errors.Is(err, acme.ErrAccountAlreadyExists) {
		return fmt.Errorf("account: %w", err)
	}
	m.registered = true
	return nil
}

// order gets a certificate for s, and returns it as its file will be: the key, then the
// certificates.
func (m *Manager) order(ctx context.Context, s *site) ([]byte, error) {
	if err := m.register(ctx); err != nil {
		return nil, err
	}
	id := acme.AuthzID{Type: "dns", Value: s.host}
	if s.addr.IsValid() {
		id.Type = "ip"
	}
	var opts []acme.OrderOption
	if m.o.Profile != "" {
		opts = append(opts, acme.WithOrderIssuanceProfile(acme.ProfileName(m.o.Profile)))
	}
	o, err := m.client.AuthorizeOrder(ctx, []acme.AuthzID{id}, opts...)
	if err != nil {
		return nil, fmt.Errorf("new order: %w", err)
	}
	for _, url := range o.AuthzURLs {
		if err := m.authorize(ctx, s, url); err != nil {
			m.withdraw(url)
			return nil, fmt.Errorf("%w: %w", errOrder, err)
		}
	}
	if o, err = m.client.WaitOrder(ctx, o.URI); err != nil {
		return nil, fmt.Errorf("%w: %w", errOrder, err)
	}
	return m.finalize(ctx, s, o)
}

// authorize shows the authority that this program answers for s.
func (m *Manager) authorize(ctx context.Context, s *site, url string) error {
	z, err := m.client.GetAuthorization(ctx, url)
	if err != nil {
		return fmt.Errorf("authorization: %w", err)
	}
	if z.Status == acme.StatusValid {
		return nil // from an order before
	}
	c := m.choose(z.Challenges, s.failures())
	if c == nil {
		return fmt.Errorf("authorization: the authority offers none of %s", strings.Join(m.o.Challenges, ", "))
	}
	withdraw, err := m.prepare(s, c)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Type, err)
	}
	defer withdraw()
	if _, err = m.client.Accept(ctx, c); err == nil {
		_, err = m.client.WaitAuthorization(ctx, url)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", c.Type, err)
	}
	return nil
}

// choose returns the challenge to meet after so many failures.
func (m *Manager) choose(offers []*acme.Challenge, failures int) *acme.Challenge {
	for i := range m.o.Challenges {
		kind := m.o.Challenges[(failures+i)%len(m.o.Challenges)]
		if k := slices.IndexFunc(offers, func(c *acme.Challenge) bool { return c.Type == kind }); k >= 0 {
			return offers[k]
		}
	}
	return nil
}

// withdraw gives an authorization up that nobody will complete: authorities limit how many there
// are.
func (m *Manager) withdraw(url string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if z, err := m.client.GetAuthorization(ctx, url); err == nil && z.Status == acme.StatusPending {
		m.client.RevokeAuthorization(ctx, url) // an error changes nothing: it ends by itself too
	}
}

// finalize makes a key, and gets the certificate of an order that is ready.
func (m *Manager) finalize(ctx context.Context, s *site, o *acme.Order) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	request := &x509.CertificateRequest{}
	if s.addr.IsValid() {
		request.IPAddresses = []net.IP{s.addr.AsSlice()}
	} else {
		request.DNSNames = []string{s.host}
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, request, key)
	if err != nil {
		return nil, err
	}
	chain, _, err := m.client.CreateCertFromOrder(ctx, o, csr, true)
	if err != nil {
		return nil, fmt.Errorf("%w: finalize: %w", errOrder, err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	out := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw})
	for _, der := range chain {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})...)
	}
	return out, nil
}
