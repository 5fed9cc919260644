package middleware

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// SessionOptions are the settings of Sessions. Zero fields mean the defaults.
type SessionOptions struct {
	// Keys sign and verify: the first one signs, all verify. To change the key, put a new one in front, and drop the old
	// one after MaxAge. Each has at least 32 bytes, from a source of randomness. There is no default.
	Keys [][]byte

	MaxAge   time.Duration // for which a session lasts; default 12 h
	Name     string        // of the cookie; default "session", with Secure "__Host-session"
	Secure   bool          // the cookie goes over TLS alone
	SameSite http.SameSite // default Lax
	Bearer   bool          // also take a Token from "Authorization: Bearer"
	NoCookie bool          // take no cookie: for an API that browsers have no session with

	// Refuse answers instead of the handler when there is no session; default 401, with a challenge if Bearer is set.
	// It is called when the head of the request is there.
	Refuse func(c *conn.Conn, r *http.Request)
}

// Sessions are values that clients keep for the server, signed with HMAC-SHA256 so that they cannot be made up or changed.
// They are signed, not encrypted: the client can read them. The server keeps nothing: a session ends when it expires or
// when its key is dropped; End only takes the cookie away from the browser. The value is best a user's number.
//
// The methods of Sessions may be used on several loops, and Token and Verify are safe for concurrent use.
type Sessions struct {
	opts SessionOptions
	now  func() time.Time
}

// ErrSession is wrapped by the errors of NewSessions and Start.
var ErrSession = errors.New("middleware: session")

// maxValue keeps a cookie below the 4096 bytes that browsers take.
const maxValue = 2048

// NewSessions makes sessions. The error tells which option cannot work.
func NewSessions(o SessionOptions) (*Sessions, error) {
	if len(o.Keys) == 0 {
		return nil, fmt.Errorf("%w: no key", ErrSession)
	}
	keys := make([][]byte, len(o.Keys))
	for i, k := range o.Keys {
		if len(k) < 32 {
			return nil, fmt.Errorf("%w: key %d is shorter than 32 bytes", ErrSession, i)
		}
		keys[i] = slices.Clone(k)
	}
	o.Keys = keys
	if o.MaxAge < 0 {
		return nil, fmt.Errorf("%w: negative MaxAge", ErrSession)
	}
	if o.MaxAge == 0 {
		o.MaxAge = 12 * time.Hour
	}
	if o.Name == "" {
		if o.Name = "session"; o.Secure {
			o.Name = "__Host-session" // no other host, and nothing without TLS, can set it
		}
	}
	if !isToken(o.Name) {
		return nil, fmt.Errorf("%w: malformed cookie name %q", ErrSession, o.Name)
	}
	if o.SameSite == http.SameSiteDefault {
		o.SameSite = http.SameSiteLax
	}
	if o.SameSite == http.SameSiteNone && !o.Secure {
		return nil, fmt.Errorf("%w: SameSiteNone without Secure", ErrSession)
	}
	if o.NoCookie && !o.Bearer {
		return nil, fmt.Errorf("%w: NoCookie without Bearer", ErrSession)
	}
	if o.Refuse == nil {
		o.Refuse = func(c *conn.Conn, _ *http.Request) {
			if o.Bearer {
				http.SetHeader(c, "WWW-Authenticate", "Bearer") // RFC 6750 3
			}
			http.Error(c, 401)
		}
	}
	return &Sessions{opts: o, now: time.Now}, nil
}

// Start adds the cookie of a new session with that value to the answer to come. A value over 2048 bytes is an error that
// wraps ErrSession.
func (s *Sessions) Start(c *conn.Conn, value string) error {
	if len(value) > maxValue {
		return fmt.Errorf("%w: value longer than %d bytes", ErrSession, maxValue)
	}
	return http.SetCookie(c, s.cookie(s.Token(value), s.opts.MaxAge))
}

// End adds to the answer to come what makes the browser forget the session.
func (s *Sessions) End(c *conn.Conn) error {
	return http.SetCookie(c, s.cookie("", -1))
}

func (s *Sessions) cookie(value string, age time.Duration) http.Cookie {
	return http.Cookie{Name: s.opts.Name, Value: value, Path: "/", MaxAge: age, Secure: s.opts.Secure, HttpOnly: true,
		SameSite: s.opts.SameSite}
}

// Require lets requests with a session through, and has Refuse answer the others. The handler reads it with Value.
func (s *Sessions) Require(next http.Handler) http.Handler {
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		_, ok := s.Value(r)
		if !ok {
			s.opts.Refuse(c, r)
		}
		return ok
	})(next)
}

// Value returns the value of the session that r belongs to; ok is false without one. With Bearer and an Authorization field,
// that alone counts.
func (s *Sessions) Value(r *http.Request) (value string, ok bool) {
	if s.opts.Bearer && r.Header("Authorization") != nil {
		return s.Verify(r.Credentials().Token)
	}
	if s.opts.NoCookie {
		return "", false
	}
	return s.Verify(r.Cookie(s.opts.Name))
}

// A token is base64url of: the version, when it expires in seconds since 1970, the value, and the MAC of all that behind
// the name, so that the tokens of one Sessions are not good for another with the same key and another name.
const (
	version  = 1
	expiryAt = 1
	valueAt  = 9
)

var encoding = base64.RawURLEncoding.Strict()

// Token makes the token of a session that begins now, for a client that sends it as a bearer.
func (s *Sessions) Token(value string) string {
	b := make([]byte, valueAt, valueAt+len(value)+sha256.Size)
	b[0] = version
	binary.BigEndian.PutUint64(b[expiryAt:], uint64(s.now().Add(s.opts.MaxAge).Unix()))
	b = append(b, value...)
	return encoding.EncodeToString(append(b, s.mac(s.opts.Keys[0], b)...))
}

// Verify returns the value of a token that was made with one of the keys and has not expired.
func (s *Sessions) Verify(token []byte) (value string, ok bool) {
	if len(token) > encoding.EncodedLen(valueAt+maxValue+sha256.Size) {
		return "", false
	}
	b := make([]byte, encoding.DecodedLen(len(token)))
	n, err := encoding.Decode(b, token)
	if err != nil || n < valueAt+sha256.Size {
		return "", false
	}
	b, mac := b[:n-sha256.Size], b[n-sha256.Size:n]
	for _, key := range s.opts.Keys {
		if hmac.Equal(mac, s.mac(key, b)) {
			ok = true
		}
	}
	// The MAC comes first: nothing unsigned is looked into.
	if !ok || b[0] != version || int64(binary.BigEndian.Uint64(b[expiryAt:])) <= s.now().Unix() {
		return "", false
	}
	return string(b[valueAt:]), true
}

func (s *Sessions) mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s.opts.Name))
	h.Write([]byte{0})
	h.Write(b)
	return h.Sum(nil)
}
