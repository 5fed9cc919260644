package middleware

import (
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// BasicAuth replies with 401 unless the request has Basic credentials (RFC 7617) for which check
// returns true. Credentials are not encrypted: use TLS. check should take the same time whatever is
// wrong: see Users. BasicAuth panics if realm is no valid field value.
func BasicAuth(realm string, check func(user, password string) bool) Middleware {
	must(isValue(realm), "BasicAuth: malformed realm")
	// RFC 7617 2.1: charset tells the client to send UTF-8.
	challenge := `Basic realm="` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(realm) + `", charset="UTF-8"`
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		if k := r.Credentials(); k.Scheme == http.AuthBasic && check(k.User, k.Password) {
			return true
		}
		http.SetHeader(c, "WWW-Authenticate", challenge)
		http.Error(c, 401)
		return false
	})
}

// Users makes a check of passwords by user. Its time does not depend on which user or which byte is
// wrong. The map must not change any more.
func Users(passwords map[string]string) func(user, password string) bool {
	return func(user, password string) bool {
		k := http.Credentials{Scheme: http.AuthBasic, User: user, Password: password}
		found := false
		for u, p := range passwords {
			if k.IsBasic(u, p) {
				found = true
			}
		}
		return found
	}
}
