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
	Domain      string        // with all its subdomains; empty means this host alone
	MaxAge      time.Duration // rounded up to seconds; 0 means until the browser closes, or Expires; negative deletes the cookie
	Expires     time.Time     // zero means none; for clients that do not know Max-Age
	Secure      bool          // only over TLS
	HttpOnly    bool          // not for scripts
	SameSite    SameSite
}

// ErrBadCookie is wrapped by the errors of SetCookie for a Cookie that browsers would refuse or read as something else.
var ErrBadCookie = errors.New("http: cookie")

// Cookie returns the value of the first cookie of that name, as it was sent: quotes stay. It is nil when there is none, and
// valid until the handler returns. Names are case-sensitive.
func (r *Request) Cookie(name string) []byte {
	for n, value := range r.Cookies() {
		if string(n) == name {
			return value
		}
	}
	return nil
}

// Cookies yields names and values of the cookies of all Cookie fields, as they were sent. What has no "=" or no token
// for a name is skipped: other programs on the same domain may have set it. The slices are valid until the handler
// returns.
func (r *Request) Cookies() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := range r.fields {
			if !foldEqual(r.fields[i].Name, "Cookie") {
				continue
			}
			// RFC 6265 4.2.1: cookie-string = cookie-pair *( ";" SP cookie-pair ). Quotes do not protect a ";".
			v, more := r.fields[i].Value, true
			for more {
				var pair []byte
				pair, v, more = cutByte(v, ';')
				name, value, found := cutByte(pair, '=')
				if found && len(name) > 0 && all(name, tchar) && !yield(name, trim(value)) {
					return
				}
			}
		}
	}
}

// cutByte cuts v at the first sep and trims what goes before it.
func cutByte(v []byte, sep byte) (before, behind []byte, found bool) {
	if i := bytes.IndexByte(v, sep); i >= 0 {
		return trim(v[:i]), v[i+1:], true
	}
	return trim(v), nil, false
}

// SetCookie adds a Set-Cookie field to the answer to come. A cookie that breaks RFC 6265 4.1, or that browsers throw
// away, is an error that wraps ErrBadCookie; see also AddHeader.
func SetCookie(c *conn.Conn, k Cookie) error {
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
		b = k.Expires.UTC().AppendFormat(append(b, "; Expires="...), timeFormat)
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
	case k.Name == "" || tokenLen([]byte(k.Name)) < len(k.Name):
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

// isCookieValue checks cookie-value = *cookie-octet / ( DQUOTE *cookie-octet DQUOTE ): no white space, quote, comma,
// semicolon or backslash.
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

// isCookiePath wants a slash in front: without it browsers take another path.
func isCookiePath(s string) bool {
	for i := range len(s) {
		if x := s[i]; x < ' ' || x >= 0x7f || x == ';' {
			return false
		}
	}
	// White space at the end would be lost.
	return s[0] == '/' && s[len(s)-1] != ' ' && len(s) <= maxAttribute
}

// isCookieDomain wants a host name of letters, digits and hyphens without a dot in front, which browsers would ignore
// (RFC 6265 4.1.2.3), and which is no IPv4 address: a cookie of one cannot be shared.
func isCookieDomain(s string) bool {
	if len(s) > 253 || isIPv4([]byte(s)) {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			if x := lower(label[i]); x-'a' >= 26 && !isDigit(x) && x != '-' {
				return false
			}
		}
	}
	return true
}
