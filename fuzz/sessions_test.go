package fuzz

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http/middleware"
)

func newSessions(key byte) *middleware.Sessions {
	s, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{bytes.Repeat([]byte{key}, 32)}, MaxAge: time.Hour, Bearer: true})
	if err != nil {
		panic(err)
	}
	return s
}

// FuzzSessionTokens: a token is what it was made for; with anything changed, and with another key,
// it is nothing. Whatever other cookies go with it, it is found.
func FuzzSessionTokens(f *testing.F) {
	s, other := newSessions(1), newSessions(2)
	f.Add("anna", 3, byte(1), "stale")
	f.Add("", 70, byte(0x80), other.Token("anna"))
	f.Add("\x00\xff;= ", 0, byte(0), "AgAAAAAAAAAA")
	f.Add(strings.Repeat("x", 2048), 1000, byte(4), "a; b=c; session=")
	f.Fuzz(func(t *testing.T, value string, at int, flip byte, junk string) {
		if len(value) > 2048 {
			return
		}
		token := []byte(s.Token(value))
		session, ok := s.Parse(token)
		if left := time.Until(session.Expires); !ok || session.Value != value || left > time.Hour || left < 59*time.Minute {
			t.Fatalf("%q: %+v %v", value, session, ok)
		}
		at = int(uint(at) % uint(len(token)))
		changed := bytes.Clone(token)
		changed[at] ^= flip
		for _, b := range [][]byte{changed, token[:at], token[at+1:], append(bytes.Clone(token), junk...), append([]byte(junk), token...), []byte(junk),
			slices.Insert(bytes.Clone(token), at, flip), []byte(other.Token(value))} {
			if v, ok := s.Verify(b); ok && !bytes.Equal(b, token) {
				t.Fatalf("%q is taken for %q", b, v)
			}
		}
		if len(junk) > 1000 || !isFieldValue(junk) {
			return
		}
		if r := parseHead("Cookie: session=" + junk + "; session=" + string(token)); r != nil {
			if v, ok := s.Value(r); !ok || v != value {
				t.Fatalf("behind %q: %q %v", junk, v, ok)
			}
		}
		if r := parseHead("Cookie: session="+string(token), "Authorization: Bearer "+junk); r != nil {
			if v, ok := s.Value(r); ok {
				t.Fatalf("with a bearer of %q: %q", junk, v) // it alone counts
			}
		}
	})
}
