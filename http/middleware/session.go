package middleware

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// SessionOptions are the settings of Sessions. Zero fields mean the defaults.
type SessionOptions struct {
	// Keys sign and verify: the first one signs, all verify. To change the key, put a new one in
	// front, and drop the old one after MaxAge. Each has at least 32 bytes, from a source of
	// randomness. There is no default; SessionKeys makes one.
	Keys [][]byte

	MaxAge time.Duration // how long a session lasts; default 12 h
	Name   string        // of the cookie; default "session", with Secure "__Host-session"
	// Secure is that browsers send the cookie over TLS only, wherever it was set, and that its name
	// says so. Without it a cookie that is set over TLS (http.IsHTTPS) has the attribute too, and
	// one that is set without TLS has not.
	Secure   bool
	SameSite http.SameSite // default Lax
	Bearer   bool          // also take a Token from "Authorization: Bearer"
	NoCookie bool          // take no cookie: for an API that browsers have no session with

	// Revocation ends sessions before they expire. Without it a session lasts until it expires, or
	// until its key is dropped.
	Revocation Revocation

	// Refuse replies instead of the handler if there is no session; default 401, with a challenge
	// if Bearer is set. It is called when the head of the request is there.
	Refuse func(c *conn.Conn, r *http.Request)
}

// Sessions are values that clients keep for the server, signed with HMAC-SHA256 so that they cannot
// be made up or changed. They are signed, not encrypted: the client can read them. The server keeps
// nothing: a session ends when it expires, when its key is dropped, or when
// SessionOptions.Revocation says so; End only takes the cookie away from the browser. The number of
// a user is a good value.
//
// No session lasts longer than MaxAge from now, whatever its token says: a token that was made
// while the clock was ahead, or with a longer MaxAge, is refused.
//
// The methods of Sessions may be used on several loops. Token, Verify and Parse are safe for
// concurrent use if the Revocation is.
type Sessions struct {
	opts SessionOptions
	now  func() time.Time
}

// ErrSession is wrapped by the errors of NewSessions and Start.
var ErrSession = errors.New("middleware: session")

// maxValue keeps a cookie below the 4096 bytes that browsers take.
const maxValue = 2048

// NewSessions makes sessions. The error says which option cannot work.
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

// Start adds the cookie of a new session with that value to the reply to come. A value over 2048
// bytes is an error that wraps ErrSession.
func (s *Sessions) Start(c *conn.Conn, value string) error {
	if len(value) > maxValue {
		return fmt.Errorf("%w: value longer than %d bytes", ErrSession, maxValue)
	}
	return http.SetCookie(c, s.cookie(c, s.Token(value), s.opts.MaxAge))
}

// End adds a cookie to the reply to come that makes the browser forget the session.
func (s *Sessions) End(c *conn.Conn) error {
	return http.SetCookie(c, s.cookie(c, "", -1))
}

// cookie is Secure over TLS in any case: a browser lets no reply without TLS replace it then.
func (s *Sessions) cookie(c *conn.Conn, value string, age time.Duration) http.Cookie {
	return http.Cookie{Name: s.opts.Name, Value: value, Path: "/", MaxAge: age, Secure: s.opts.Secure || http.IsHTTPS(c),
		HttpOnly: true, SameSite: s.opts.SameSite}
}

// Require lets requests with a session through, and leaves the others to Refuse. The handler reads
// it with Value.
func (s *Sessions) Require(next http.Handler) http.Handler {
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		_, ok := s.Value(r)
		if !ok {
			s.opts.Refuse(c, r)
		}
		return ok
	})(next)
}

// Value returns the value of the session of r; ok is false if there is none. See Session.
func (s *Sessions) Value(r *http.Request) (value string, ok bool) {
	session, ok := s.Session(r)
	return session.Value, ok
}

// Session returns the session of r; ok is false if there is none. With Bearer and an Authorization
// field, only that field counts. Otherwise it is the first cookie of the name that verifies: a
// browser sends several if they were set for other paths or domains, and an old one may come first.
func (s *Sessions) Session(r *http.Request) (session Session, ok bool) {
	if s.opts.Bearer && r.Header("Authorization") != nil {
		return s.Parse(r.Credentials().Token)
	}
	if s.opts.NoCookie {
		return Session{}, false
	}
	for name, value := range r.Cookies() {
		if string(name) == s.opts.Name {
			if session, ok = s.Parse(value); ok {
				return session, true
			}
		}
	}
	return Session{}, false
}
