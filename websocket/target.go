package websocket

import (
	"errors"
	"fmt"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/internal/wire"
)

var (
	errFragment = errors.New("a WebSocket's URL has no fragment")
	errTLS      = errors.New("wss needs ClientOptions.TLS, such as a *tlsconn.Client")
)

// parseTarget takes a WebSocket's URL apart (RFC 6455 §3).
func parseTarget(raw string) (*weburl.URL, error) {
	t, err := weburl.Parse(raw, weburl.WebSocket)
	if _, fragment, _ := strings.Cut(raw, "#"); err == nil && fragment != "" {
		return nil, errFragment
	}
	return t, err
}

// checkRequest returns an error if a field of o cannot be sent.
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
		ok := p != "" && wire.All(p, wire.TokenByte)
		for _, other := range o.Protocols[:i] {
			ok = ok && p != other
		}
		if !ok {
			return fmt.Errorf("subprotocol %q is not a token, or there twice", p)
		}
	}
	return nil
}
