package mgr

import (
	"errors"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
)

// ErrNoTLS is wrapped by the error of Listen and Connect for a tls:// URL without Options.TLS.
var ErrNoTLS = errors.New("a tls:// URL needs TLS in the options, such as a *tlsconn.Server or *tlsconn.Client")

var errTLSScheme = errors.New("with TLS in the options the URL begins with https://, wss://, tls:// or unix://")

// parseURL is conn.ParseAddr, for tls:// too.
func parseURL(url string, protected bool) (conn.Addr, error) {
	plain, err := plainURL(url, protected)
	if err != nil {
		return conn.Addr{}, err
	}
	return conn.ParseAddr(plain)
}

// plainURL returns url, with tcp:// for tls://, which takes a TLS. A URL and options that do not fit
// are an error: nothing may go out in the clear that was meant to be protected, and nobody may take
// for protected what is not.
func plainURL(url string, protected bool) (string, error) {
	scheme, rest, _ := strings.Cut(url, "://")
	switch isTLS := strings.EqualFold(scheme, "tls"); {
	case isTLS && !protected:
		return "", ErrNoTLS
	case isTLS:
		return "tcp://" + rest, nil
	case protected && (strings.EqualFold(scheme, "tcp") || strings.EqualFold(scheme, "udp") || strings.EqualFold(scheme, "unixgram")):
		return "", errTLSScheme
	}
	return url, nil
}

// hostOf returns the host of a URL, without brackets, zone and the dot at the end of a name: the
// name that a certificate must be for.
func hostOf(url string) string {
	_, host, _ := strings.Cut(url, "://")
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		host = host[:i]
	}
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	host, _, _ = strings.Cut(host, "%")
	return strings.TrimSuffix(host, ".")
}
