package http

import (
	"bytes"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// SameSite says which requests from other sites a browser sends a cookie with.
type SameSite uint8

const (
	SameSiteDefault SameSite = iota // no attribute; browsers take it for Lax
	SameSiteLax                     // only when the user follows a link
	SameSiteStrict                  // never
	SameSiteNone                    // always; needs Secure
)

// A Cookie is what SetCookie sends.
type Cookie struct {
	Name, Value string
	Path        string        // begins with "/"; empty means the directory of the request
	Domain      string        // with all its subdomains; empty means this host only
	MaxAge      time.Duration // rounded up to seconds; 0 means until the browser closes, or Expires; negative deletes the cookie
	Expires     time.Time     // zero means none; for clients that do not know Max-Age
	Secure      bool          // only over TLS; SetCookie sets it where IsHTTPS, unless there is Insecure
	Insecure    bool          // also without TLS, though it was set over TLS
	HttpOnly    bool          // not for scripts
	SameSite    SameSite
}

// ErrBadCookie is wrapped by the errors of SetCookie for a Cookie that browsers would refuse or
// read as something else.
var ErrBadCookie = errors.New("http: cookie")

// Cookie returns the value of the first cookie of that name, as it was sent: quotes stay. It is nil
// if there is none, and valid until the handler returns. Names are case-sensitive.
func (r *Request) Cookie(name string) []byte {
	for n, value := range r.Cookies() {
		if string(n) == name {
			return value
		}
	}
	return nil
}

// Cookies yields names and values of the cookies of all Cookie fields, as they were sent. Pairs
// without "=", or whose name is no token, are skipped: other programs on the same domain may have
// set them. The slices are valid until the handler returns.
func (r *Request) Cookies() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range r.lines() {
			if !wire.FoldEqual(f.Name, "Cookie") {
				continue
			}
			// RFC 6265 4.2.1: cookie-string = cookie-pair *( ";" SP cookie-pair ). Quotes do not
			// protect a ";".
			v, more := f.Value, true
			for more {
				var pair []byte
				pair, v, more = cutByte(v, ';')
				name, value, found := cutByte(pair, '=')
				if found && len(name) > 0 && wire.All(name, wire.TokenByte) && !yield(name, wire.Trim(value)) {
					return
				}
			}
		}
	}
}

// cutByte cuts v at the first sep and trims what goes before it.
func cutByte(v []byte, sep byte) (before, behind []byte, found bool) {
	if i := bytes.IndexByte(v, sep); i >= 0 {
		return wire.Trim(v[:i]), v[i+1:], true
	}
	return wire.Trim(v), nil, false
}

// SetCookie adds a Set-Cookie field to the reply to come. Over TLS (IsHTTPS) the cookie is Secure,
// so that no browser sends it without TLS and no reply without TLS replaces it; a site that browsers
// use both ways needs Insecure for what both have in common. For a cookie that breaks RFC 6265 4.1, or
// that browsers throw away, it returns an error that wraps ErrBadCookie. The other errors are those
// of AddHeader.
func SetCookie(c *conn.Conn, k Cookie) error {
	k.Secure = k.Secure || !k.Insecure && IsHTTPS(c)
	if err := k.check(); err != nil {
		return err
	}
	return AddHeader(c, "Set-Cookie", k.String())
}

// String returns the cookie in the form of a Set-Cookie field. It does not check it.
func (k Cookie) String() string {
	b := make([]byte, 0, 128)
	b = append(append(append(b, k.Name...), '='), k.Value...)
	if k.Path != "" {
		b = append(append(b, "; Path="...), k.Path...)
	}
	if k.Domain != "" {
		b = append(append(b, "; Domain="...), k.Domain...)
	}
	switch {
	case k.MaxAge > 0:
		// Half a second must not become the 0 that deletes.
		seconds := (k.MaxAge-1)/time.Second + 1
		b = strconv.AppendInt(append(b, "; Max-Age="...), int64(seconds), 10)
	case k.MaxAge < 0:
		b = append(b, "; Max-Age=0"...)
	}
	if !k.Expires.IsZero() {
		b = k.Expires.UTC().AppendFormat(append(b, "; Expires="...), wire.TimeFormat)
	}
	if k.Secure {
		b = append(b, "; Secure"...)
	}
	if k.HttpOnly {
		b = append(b, "; HttpOnly"...)
	}
	return string(append(b, sameSite[k.SameSite%4]...))
}

var sameSite = [4]string{"", "; SameSite=Lax", "; SameSite=Strict", "; SameSite=None"}

// Browsers throw away cookies and attributes longer than these (RFC 6265bis 5.6 and 5.7).
const (
	maxCookie    = 4096
	maxAttribute = 1024
)

func (k *Cookie) check() error {
	what := ""
	switch {
	case k.Name == "" || !wire.All(k.Name, wire.TokenByte):
		what = "name is not a token"
	case !isCookieValue(k.Value):
		what = "value has a byte that RFC 6265 4.1.1 does not allow"
	case len(k.Name)+len(k.Value) > maxCookie:
		what = "longer than 4096 bytes"
	case k.Path != "" && !isCookiePath(k.Path):
		what = "malformed Path"
	case k.Domain != "" && !isCookieDomain(k.Domain):
		what = "malformed Domain"
	case !k.Expires.IsZero() && (k.Expires.UTC().Year() < 1601 || k.Expires.UTC().Year() > 9999):
		what = "Expires out of range" // RFC 6265 5.1.1: a year below 1601 is no date
	case k.SameSite > SameSiteNone:
		what = "unknown SameSite"
	case k.Secure && k.Insecure:
		what = "both Secure and Insecure"
	case k.SameSite == SameSiteNone && !k.Secure:
		what = "SameSite=None without Secure"
	case hasFoldPrefix(k.Name, "__Secure-") && !k.Secure:
		what = "prefix __Secure- without Secure" // RFC 6265bis 4.1.3.1
	case hasFoldPrefix(k.Name, "__Host-") && (!k.Secure || k.Path != "/" || k.Domain != ""):
		what = "prefix __Host- needs Secure, Path=/ and no Domain" // RFC 6265bis 4.1.3.2
	default:
		return nil
	}
	return fmt.Errorf("%w: %q: %s", ErrBadCookie, k.Name[:min(len(k.Name), 64)], what)
}

func hasFoldPrefix(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// isCookieValue checks cookie-value = *cookie-octet / ( DQUOTE *cookie-octet DQUOTE ): no white
// space, quote, comma, semicolon or backslash.
func isCookieValue(s string) bool {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		s = s[1 : len(s)-1]
	}
	for i := range len(s) {
		if x := s[i]; x <= ' ' || x >= 0x7f || x == '"' || x == ',' || x == ';' || x == '\\' {
			return false
		}
	}
	return true
}

// isCookiePath wants a slash at the beginning: without it browsers use another path. RFC 6265 4.1.1
// allows a quote and a backslash too; but no path of a URL has them, and net/http ignores such an
// attribute.
func isCookiePath(s string) bool {
	for i := range len(s) {
		if x := s[i]; x < ' ' || x >= 0x7f || x == ';' || x == '"' || x == '\\' {
			return false
		}
	}
	// White space at the end would get lost.
	return s[0] == '/' && s[len(s)-1] != ' ' && len(s) <= maxAttribute
}

// isCookieDomain wants a host name of letters, digits and hyphens. A dot at the beginning is
// refused, since browsers ignore it (RFC 6265 4.1.2.3), and so is an IPv4 address, which has no
// subdomains.
func isCookieDomain(s string) bool {
	if len(s) > 253 || wire.IsIPv4([]byte(s)) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if x := wire.Lower(label[i]); x-'a' >= 26 && !wire.IsDigit(x) && x != '-' {
				return false
			}
		}
	}
	return true
}
