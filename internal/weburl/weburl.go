// Package weburl takes the URLs apart that an HTTP or WebSocket client connects to.
package weburl

import (
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// Schemes are the two schemes of a kind of client.
type Schemes struct{ Plain, Secure string }

var (
	HTTP      = Schemes{"http", "https"}
	WebSocket = Schemes{"ws", "wss"}
)

var (
	errHost     = errors.New("no host")
	errUser     = errors.New("user information in a URL is not sent")
	errLocation = errors.New("the Location is not a URL")
	// ErrDowngrade says that a redirect leads from TLS to no TLS.
	ErrDowngrade = errors.New("a redirect from TLS to a connection without is not followed")
)

// A URL has the parts of a URL that a client needs.
type URL struct {
	URL       *url.URL // without a fragment
	Text      string   // of URL
	Secure    bool     // the scheme is that of TLS
	Address   string   // for mgr.Manager.Connect: tcp:// or tls://, a host and a port
	Authority string   // of the Host field
	Resource  string   // path and query, of the request line

	schemes Schemes
}

// Parse takes raw apart. A fragment is dropped (RFC 9110 4.2.5, 7.1).
func Parse(raw string, s Schemes) (*URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, err
	}
	return of(u, s)
}

func of(u *url.URL, s Schemes) (*URL, error) {
	secure := strings.EqualFold(u.Scheme, s.Secure)
	switch {
	case !secure && !strings.EqualFold(u.Scheme, s.Plain):
		return nil, fmt.Errorf("the scheme is not %s or %s", s.Plain, s.Secure)
	case u.Host == "" || u.Hostname() == "":
		return nil, errHost
	case u.User != nil:
		return nil, errUser
	}
	u.Fragment, u.RawFragment = "", ""
	t := &URL{URL: u, Text: u.String(), Secure: secure, Authority: u.Host, Resource: u.RequestURI(), schemes: s}
	// The zone of an IPv6 address has a meaning on this machine only (RFC 6874 §4).
	if host, rest, ok := strings.Cut(u.Host, "%"); ok {
		_, port, _ := strings.Cut(rest, "]")
		t.Authority = host + "]" + port
	}
	for _, s := range []string{t.Resource, t.Authority} {
		for _, b := range []byte(s) {
			if b <= ' ' || b >= 0x7f {
				return nil, fmt.Errorf("byte %#x has to be percent-encoded", b)
			}
		}
	}
	port, scheme, standard := u.Port(), "tcp://", "80"
	if secure {
		scheme, standard = "tls://", "443"
	}
	if port == "" {
		port = standard
		t.Authority = strings.TrimSuffix(t.Authority, ":")
	}
	t.Address = scheme + strings.TrimSuffix(strings.TrimSuffix(u.Host, u.Port()), ":") + ":" + port
	return t, nil
}

// Host returns the name or address that the server's certificate must be for: no port, no brackets
// and no zone.
func (t *URL) Host() string {
	host, _, _ := strings.Cut(t.URL.Hostname(), "%")
	return host
}

// HostPort returns the host and the port, which is always there.
func (t *URL) HostPort() string {
	_, at, _ := strings.Cut(t.Address, "://")
	return at
}

// SameOrigin reports whether t and o have the same scheme, host and port (RFC 6454).
func (t *URL) SameOrigin(o *URL) bool { return strings.EqualFold(t.Address, o.Address) }

// Follow returns the URL of a redirect to location, which may be relative (RFC 9110 §10.2.2). It
// returns ErrDowngrade for one that leaves TLS.
func (t *URL) Follow(location string) (*URL, error) {
	u, err := t.URL.Parse(location)
	if err != nil {
		return nil, errLocation
	}
	switch strings.ToLower(u.Scheme) {
	case HTTP.Plain:
		u.Scheme = t.schemes.Plain
	case HTTP.Secure:
		u.Scheme = t.schemes.Secure
	}
	to, err := of(u, t.schemes)
	if err == nil && t.Secure && !to.Secure {
		return nil, ErrDowngrade
	}
	return to, err
}
