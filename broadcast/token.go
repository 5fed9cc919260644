package broadcast

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/http"
)

var (
	// ErrToken is returned for a token that none of the keys has signed, or that is malformed.
	ErrToken = errors.New("broadcast: the token is not valid")
	// ErrTokenExpired is returned for a token whose time is over.
	ErrTokenExpired = errors.New("broadcast: the token has expired")
)

// A Grant is the content of a token: the rights of a client, and until when.
type Grant struct {
	Subscribe []string  // patterns; it may subscribe to all patterns that one of them covers
	Publish   []string  // patterns; it may publish to the topics that match
	Until     time.Time // in whole seconds; the zero value is for ever
	Who       string    // for SubscribeOptions.Who and logs
}

// Rights returns what g allows, for a Door or for SubscribeOptions.Rights.
func (g Grant) Rights() Rights {
	return Rights{Until: g.Until, Subscribe: func(pattern string) bool {
		for _, p := range g.Subscribe {
			if Covers(p, pattern) {
				return true
			}
		}
		return false
	}, Publish: func(topic string) bool {
		for _, p := range g.Publish {
			if Match(p, topic) {
				return true
			}
		}
		return false
	}}
}

// Keys sign tokens and check them. A token holds the rights of a client. The program that gives it
// out need not be the one that checks it, and nothing is looked up. It cannot be taken back, so its
// time should be short; clients renew it. A device whose clock begins in 1970 finds all tokens good
// until it knows the time. Safe for concurrent use.
type Keys struct{ secrets [][]byte }

// minSecret is as many bytes as a secret must have at least.
const minSecret = 16

// NewKeys returns Keys with these secrets, of 16 random bytes at least, better 32. The first one
// signs; tokens that the others have signed are good too, so that a secret can be replaced without
// a moment in which tokens fail. A secret that is too short is an error.
func NewKeys(secrets ...[]byte) (*Keys, error) {
	k := &Keys{}
	for i, s := range secrets {
		if len(s) < minSecret {
			return nil, fmt.Errorf("broadcast: secret %d has %d bytes, and needs %d", i, len(s), minSecret)
		}
		k.secrets = append(k.secrets, append([]byte(nil), s...))
	}
	if len(secrets) == 0 {
		return nil, errors.New("broadcast: there is no secret")
	}
	return k, nil
}

// A token is mt1.PAYLOAD.MAC, the latter two in base64url. The payload is a JSON object: exp, in
// seconds since 1970, sub, pub, who. A page may read it, for the time. The MAC is the HMAC-SHA256
// (RFC 2104) of what stands before it.
const (
	tokenPrefix = "mt1."
	maxToken    = 8 << 10
)

var tokenCoding = base64.RawURLEncoding.Strict()

// Sign returns a token for g. It returns an error for a malformed pattern, and if the token would
// be longer than 8 KiB.
func (k *Keys) Sign(g Grant) (string, error) {
	b := []byte("{")
	if !g.Until.IsZero() {
		b = append(strconv.AppendInt(append(b, `"exp":`...), g.Until.Unix(), 10), ',')
	}
	for i, list := range [][]string{g.Subscribe, g.Publish} {
		b = append(b, []string{`"sub":[`, `"pub":[`}[i]...)
		for n, p := range list {
			if !ValidPattern(p) {
				return "", fmt.Errorf("%w: %.100q", ErrBadPattern, p)
			}
			if n > 0 {
				b = append(b, ',')
			}
			b = appendQuoted(b, p)
		}
		b = append(b, "],"...)
	}
	b = append(appendQuoted(append(b, `"who":`...), strings.ToValidUTF8(g.Who, "\uFFFD")), '}')
	text := tokenPrefix + tokenCoding.EncodeToString(b)
	text += "." + mac(k.secrets[0], text)
	if len(text) > maxToken {
		return "", fmt.Errorf("broadcast: the token has %d bytes, more than %d", len(text), maxToken)
	}
	return text, nil
}

func mac(secret []byte, text string) string {
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(text))
	return tokenCoding.EncodeToString(h.Sum(nil))
}

// Verify returns what a token says. It returns ErrToken, or ErrTokenExpired with the Grant.
func (k *Keys) Verify(token string) (Grant, error) {
	dot := strings.LastIndexByte(token, '.')
	if len(token) > maxToken || dot < len(tokenPrefix) || token[:len(tokenPrefix)] != tokenPrefix {
		return Grant{}, ErrToken
	}
	if !k.signed(token[:dot], token[dot+1:]) {
		return Grant{}, ErrToken
	}
	b, err := tokenCoding.DecodeString(token[len(tokenPrefix):dot])
	if err != nil {
		return Grant{}, ErrToken
	}
	g, ok := parseGrant(b)
	switch {
	case !ok:
		return Grant{}, ErrToken
	case !g.Until.IsZero() && time.Until(g.Until) <= 0:
		return g, ErrTokenExpired
	}
	return g, nil
}

// signed reports whether one of the secrets has signed text. It takes the same time for right and
// wrong sums.
func (k *Keys) signed(text, sum string) bool {
	good := false
	for _, s := range k.secrets {
		good = hmac.Equal([]byte(mac(s, text)), []byte(sum)) || good
	}
	return good
}

// parseGrant reads the payload of a token.
func parseGrant(b []byte) (g Grant, ok bool) {
	if !validJSON(b) || !isObject(b) {
		return g, false
	}
	for name, value := range members(b) {
		ok := true
		switch name {
		case "exp":
			var n int64
			n, err := strconv.ParseInt(string(value), 10, 64)
			g.Until, ok = time.Unix(n, 0), err == nil
		case "sub":
			g.Subscribe, ok = parsePatterns(value)
		case "pub":
			g.Publish, ok = parsePatterns(value)
		case "who":
			g.Who, ok = unquote(value)
		}
		if !ok {
			return Grant{}, false
		}
	}
	return g, true
}

func parsePatterns(b []byte) (list []string, ok bool) {
	if b[0] != '[' {
		return nil, false
	}
	for x := range elements(b) {
		p, ok := unquote(x)
		if !ok || !ValidPattern(p) {
			return nil, false
		}
		list = append(list, p)
	}
	return list, true
}

// Authorize is a DoorOptions.Authorize: it takes tokens that the keys have signed, and nothing
// without one.
func (k *Keys) Authorize(_ *http.Request, token string) (Rights, error) {
	g, err := k.Verify(token)
	if err != nil {
		return Rights{}, err
	}
	return g.Rights(), nil
}
