package middleware

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// A Session is the content of a token.
type Session struct {
	Value      string
	ID         uint64    // random; no other session has it
	Generation uint64    // what Revocation.Generation returned when the session began; 0 without a Revocation
	Expires    time.Time // to the second
}

// A Revocation says which sessions no longer count although their tokens are good. The loop calls
// it for each request with a good token, so its methods must return at once.
type Revocation interface {
	// Generation returns the number that the sessions of that value must have; Start and Token put
	// it into new ones. To end all sessions of a value, return a number that was never returned for
	// that value before, not even before a restart.
	Generation(value string) uint64
	// Revoked reports whether this one session has ended. After the session has expired, its ID
	// need not be kept any more.
	Revoked(s Session) bool
}

// A token is base64url of: the version, when it expires in seconds since 1970, the generation, the
// ID, the value, and the MAC of the name of the cookie followed by all that. So the tokens of one
// Sessions are not good for another with the same key and another name.
const (
	version      = 2
	expiryAt     = 1
	generationAt = 9
	idAt         = 17
	valueAt      = 25
)

// skew is how much later than now + MaxAge a token may expire: another server with the same keys
// may have made it.
const skew = time.Minute

var encoding = base64.RawURLEncoding.Strict()

// Token makes the token of a session that begins now, for a client that sends it in "Authorization:
// Bearer".
func (s *Sessions) Token(value string) string {
	b := make([]byte, valueAt, valueAt+len(value)+sha256.Size)
	b[0] = version
	binary.BigEndian.PutUint64(b[expiryAt:], uint64(s.now().Add(s.opts.MaxAge).Unix()))
	if s.opts.Revocation != nil {
		binary.BigEndian.PutUint64(b[generationAt:], s.opts.Revocation.Generation(value))
	}
	rand.Read(b[idAt:valueAt]) // never fails
	b = append(b, value...)
	return encoding.EncodeToString(append(b, s.mac(s.opts.Keys[0], b)...))
}

// Verify returns the value of a token if Parse accepts it.
func (s *Sessions) Verify(token []byte) (value string, ok bool) {
	session, ok := s.Parse(token)
	return session.Value, ok
}

// Parse reads a token. ok is false unless it was made with one of the keys, has not expired,
// expires within MaxAge from now, and its session has not been revoked.
func (s *Sessions) Parse(token []byte) (session Session, ok bool) {
	if len(token) > encoding.EncodedLen(valueAt+maxValue+sha256.Size) || len(token) < encoding.EncodedLen(valueAt+sha256.Size) {
		return Session{}, false
	}
	// The decoder skips line ends: with some in it, another token would stand for the same session.
	if bytes.ContainsAny(token, "\r\n") {
		return Session{}, false
	}
	b := make([]byte, encoding.DecodedLen(len(token)))
	n, err := encoding.Decode(b, token)
	if err != nil || n < valueAt+sha256.Size {
		return Session{}, false
	}
	b, mac := b[:n-sha256.Size], b[n-sha256.Size:n]
	for _, key := range s.opts.Keys {
		if hmac.Equal(mac, s.mac(key, b)) {
			ok = true
		}
	}
	// The MAC comes first: unsigned bytes are not parsed.
	if !ok || b[0] != version {
		return Session{}, false
	}
	expiry, now := int64(binary.BigEndian.Uint64(b[expiryAt:])), s.now()
	if expiry <= now.Unix() || expiry > now.Add(s.opts.MaxAge+skew).Unix() {
		return Session{}, false
	}
	session = Session{string(b[valueAt:]), binary.BigEndian.Uint64(b[idAt:]), binary.BigEndian.Uint64(b[generationAt:]), time.Unix(expiry, 0)}
	if r := s.opts.Revocation; r != nil && (r.Generation(session.Value) != session.Generation || r.Revoked(session)) {
		return Session{}, false
	}
	return session, true
}

func (s *Sessions) mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(s.opts.Name))
	h.Write([]byte{0})
	h.Write(b)
	return h.Sum(nil)
}
