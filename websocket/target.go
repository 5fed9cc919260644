package websocket

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	errScheme = errors.New("the scheme is not ws")
	errTLS    = errors.New("wss needs TLS, which is not supported yet")
)

// target is where a client finds its WebSocket (RFC 6455 §3).
type target struct {
	url       *url.URL
	address   string // for conn.ParseAddr
	authority string // of the Host field
	resource  string // path and query, of the request line
}

func parseTarget(raw string) (*target, error) {
	u, err := url.Parse(raw)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err
		}
		return nil, err
	}
	return newTarget(u)
}

func newTarget(u *url.URL) (*target, error) {
	switch {
	case strings.EqualFold(u.Scheme, "wss"):
		return nil, errTLS
	case !strings.EqualFold(u.Scheme, "ws"):
		return nil, errScheme
	case u.Host == "" || u.Hostname() == "":
		return nil, errors.New("no host")
	case u.User != nil:
		return nil, errors.New("user information is not sent: use ClientOptions.Header")
	case u.Fragment != "" || u.RawFragment != "": // §3
		return nil, errors.New("a WebSocket's URL has no fragment")
	}
	t := &target{url: u, authority: u.Host, resource: u.RequestURI()}
	// The zone of an IPv6 address means something on this machine only (RFC 6874 §4).
	if host, rest, ok := strings.Cut(u.Host, "%"); ok {
		_, port, _ := strings.Cut(rest, "]")
		t.authority = host + "]" + port
	}
	for _, s := range []string{t.resource, t.authority} {
		for _, b := range []byte(s) {
			if b <= ' ' || b >= 0x7f {
				return nil, fmt.Errorf("byte %#x has to be percent-encoded", b)
			}
		}
	}
	port := u.Port()
	if port == "" {
		port = "80"
		t.authority = strings.TrimSuffix(t.authority, ":")
	}
	t.address = "tcp://" + strings.TrimSuffix(strings.TrimSuffix(u.Host, u.Port()), ":") + ":" + port
	return t, nil
}

// follow returns the target that a redirect to location means (RFC 9110 §10.2.2).
func (t *target) follow(location string) (*target, error) {
	u, err := t.url.Parse(location)
	if err != nil {
		return nil, errors.New("the Location is not a URL")
	}
	switch strings.ToLower(u.Scheme) {
	case "http":
		u.Scheme = "ws"
	case "https":
		u.Scheme = "wss"
	}
	u.Fragment, u.RawFragment = "", ""
	return newTarget(u)
}

// appendRequest appends the client's opening handshake (§4.1).
func (t *target) appendRequest(b []byte, key []byte, o *ClientOptions) []byte {
	b = append(append(append(b, "GET "...), t.resource...), " HTTP/1.1\r\nHost: "...)
	b = append(b, t.authority...)
	b = append(b, "\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "...)
	b = append(append(b, key...), "\r\n"...)
	if o.Origin != "" {
		b = appendField(b, "Origin", o.Origin)
	}
	if len(o.Protocols) > 0 {
		b = appendField(b, "Sec-WebSocket-Protocol", strings.Join(o.Protocols, ", "))
	}
	if o.Deflate != nil {
		b = o.Deflate.request(b)
	}
	for _, f := range o.Header {
		b = appendField(b, f.Name, f.Value)
	}
	return append(b, "\r\n"...)
}

// checkRequest says what of o cannot be sent.
func (o *ClientOptions) checkRequest() error {
	if o.Address != "" {
		if _, err := conn.ParseAddr(o.Address); err != nil {
			return err
		}
	}
	if !validHeaders(o.Header) || o.Origin != "" && !validHeaders([]Header{{"Origin", o.Origin}}) {
		return errors.New("ClientOptions.Header or Origin cannot be sent")
	}
	for _, f := range o.Header {
		if strings.EqualFold(f.Name, "Host") || strings.EqualFold(f.Name, "Origin") {
			return fmt.Errorf("ClientOptions.Header must not have %s", f.Name)
		}
	}
	for i, p := range o.Protocols { // §4.1 item 10: tokens, each once
		ok := p != ""
		for _, b := range []byte(p) {
			ok = ok && isToken(b)
		}
		for _, other := range o.Protocols[:i] {
			ok = ok && p != other
		}
		if !ok {
			return fmt.Errorf("subprotocol %q is not a token, or there twice", p)
		}
	}
	return nil
}
