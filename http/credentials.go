package http

import (
	"bytes"
	"encoding/base64"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// AuthScheme says what kind of credentials a request carries.
type AuthScheme uint8

const (
	AuthNone   AuthScheme = iota // no Authorization field
	AuthBasic                    // User and Password (RFC 7617)
	AuthBearer                   // Token (RFC 6750)
	AuthOther                    // another scheme; its parameters are not parsed
	AuthBad                      // malformed, or more than one Authorization field
)

// Credentials are the content of the Authorization field of a request.
type Credentials struct {
	Scheme         AuthScheme
	User, Password string // of AuthBasic, decoded; no control characters
	Token          []byte // of AuthBearer; valid until the handler returns
}

// Credentials returns the credentials that r carries. Only well-formed credentials count: anything
// else is AuthBad.
func (r *Request) Credentials() Credentials {
	v, n := r.only("Authorization")
	switch {
	case n == 0:
		return Credentials{}
	case n > 1:
		return Credentials{Scheme: AuthBad}
	}
	// RFC 9110 11.4: credentials = auth-scheme [ 1*SP ( token68 / #auth-param ) ]; the scheme is
	// not case-sensitive.
	scheme, rest := v, []byte(nil)
	if i := bytes.IndexByte(v, ' '); i >= 0 {
		scheme, rest = v[:i], bytes.TrimLeft(v[i:], " ")
	}
	switch {
	case wire.FoldEqual(scheme, "Basic"):
		return basicCredentials(rest)
	case wire.FoldEqual(scheme, "Bearer"):
		if !isToken68(rest) {
			return Credentials{Scheme: AuthBad}
		}
		return Credentials{Scheme: AuthBearer, Token: rest}
	case len(scheme) == 0 || !wire.All(scheme, wire.TokenByte):
		return Credentials{Scheme: AuthBad}
	}
	return Credentials{Scheme: AuthOther}
}

// basicCredentials decodes base64 of user-id ":" password (RFC 7617 2). The user has no colon,
// neither has a control character.
func basicCredentials(encoded []byte) Credentials {
	b := make([]byte, base64.StdEncoding.DecodedLen(len(encoded)))
	n, err := base64.StdEncoding.Strict().Decode(b, encoded)
	b = b[:n]
	colon := bytes.IndexByte(b, ':')
	if err != nil || colon < 0 {
		return Credentials{Scheme: AuthBad}
	}
	for _, x := range b {
		if x < ' ' || x == 0x7f {
			return Credentials{Scheme: AuthBad}
		}
	}
	s := string(b)
	return Credentials{Scheme: AuthBasic, User: s[:colon], Password: s[colon+1:]}
}

// isToken68 checks 1*( ALPHA / DIGIT / "-" / "." / "_" / "~" / "+" / "/" ) *"=" (RFC 6750 2.1).
func isToken68(b []byte) bool {
	b = bytes.TrimRight(b, "=")
	for _, x := range b {
		if y := wire.Lower(x); y-'a' >= 26 && !wire.IsDigit(x) && bytes.IndexByte([]byte("-._~+/"), x) < 0 {
			return false
		}
	}
	return len(b) > 0
}

// IsBasic reports whether the credentials are Basic with this user and password. The time does not
// depend on where they differ, nor on whether the user, the password or both differ.
func (a Credentials) IsBasic(user, password string) bool {
	sameUser, samePassword := SecretEqual(a.User, user), SecretEqual(a.Password, password)
	return a.Scheme == AuthBasic && sameUser && samePassword
}

// IsBearer reports whether the credentials are Bearer with this token, in a time that does not
// depend on where it differs. An empty token is never right.
func (a Credentials) IsBearer(token string) bool {
	return SecretEqual(a.Token, token) && a.Scheme == AuthBearer && token != ""
}

// SecretEqual compares what a client gave with a secret. The time it takes depends on the length of
// given, which the client knows, and not on what the secret is.
func SecretEqual[T, U ~string | ~[]byte](given T, secret U) bool {
	differ := len(given) ^ len(secret)
	if len(secret) == 0 {
		return differ == 0
	}
	j := 0
	for i := range len(given) {
		differ |= int(given[i] ^ secret[j])
		if j++; j == len(secret) {
			j = 0
		}
	}
	return differ == 0
}
