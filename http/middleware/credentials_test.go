package middleware

import (
	"encoding/base64"
	"net/netip"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

func basic(s string) string {
	return "Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(s))
}

func TestBasicAuth(t *testing.T) {
	const challenge = `WWW-Authenticate: Basic realm="a \"b\" \\", charset="UTF-8"`
	r := newRig(t, okHandler, BasicAuth(`a "b" \`, Users(map[string]string{"anna": "secret", "bob": "p:w"})))
	for _, ok := range []string{"anna:secret", "bob:p:w"} {
		r.want("GET /", []string{basic(ok)}, 200, "WWW-Authenticate:")
	}
	for _, lines := range [][]string{
		nil, {basic("anna:p:w")}, {basic("anna:")}, {basic("anna")}, {basic(":")}, {basic("eve:secret")}, {basic("Anna:secret")},
		{basic("anna:secret"), basic("anna:secret")}, {"Authorization: Bearer YW5uYTpzZWNyZXQ="}, {"Authorization: Basic"},
	} {
		r.want("GET /", lines, 401, challenge)
	}
	wantPanic(t, "BasicAuth: malformed realm", func() { BasicAuth("a\nb", nil) })
}

func TestSecurityHeaders(t *testing.T) {
	const csp = "Content-Security-Policy: default-src 'self'; base-uri 'none'; object-src 'none'; frame-ancestors 'none'"
	r := newRig(t, okHandler, SecurityHeaders(Headers{}))
	defaults := []string{csp, "X-Frame-Options: DENY", "X-Content-Type-Options: nosniff", "Referrer-Policy: same-origin",
		"Cross-Origin-Opener-Policy: same-origin", "Permissions-Policy:", "Strict-Transport-Security:"}
	r.want("GET /", nil, 200, defaults...)
	r.want("OPTIONS *", nil, 200, defaults...)

	r = newServerRig(t, http.Options{HTTPS: true}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.SetHeader(c, "Referrer-Policy", "no-referrer")
			http.Error(c, 404)
		}
	}, SecurityHeaders(Headers{FrameOptions: "-", PermissionsPolicy: "camera=()", HSTS: 48 * time.Hour}))
	r.want("GET /", nil, 404, csp, "X-Frame-Options:", "Referrer-Policy: no-referrer", "Permissions-Policy: camera=()",
		"Strict-Transport-Security: max-age=172800; includeSubDomains")
	wantPanic(t, "SecurityHeaders: malformed Referrer-Policy", func() { SecurityHeaders(Headers{ReferrerPolicy: "a\r\nb"}) })
}

func prefixes(s ...string) (list []netip.Prefix) {
	for _, p := range s {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func TestAllowDeny(t *testing.T) {
	for _, tt := range []struct {
		from        string
		allow, deny []netip.Prefix
		status      int
	}{
		{"192.0.2.7", nil, nil, 200},
		{"192.0.2.7", prefixes("192.0.2.0/24"), nil, 200},
		{"192.0.3.7", prefixes("192.0.2.0/24"), nil, 403},
		{"192.0.2.7", nil, prefixes("192.0.2.7/32"), 403},
		{"192.0.2.8", nil, prefixes("192.0.2.7/32"), 200},
		{"192.0.2.7", prefixes("192.0.2.0/24"), prefixes("192.0.2.7/32"), 403},
		{"192.0.2.7", prefixes("192.0.2.7/32"), prefixes("192.0.2.0/24"), 403},
		{"::ffff:192.0.2.7", nil, prefixes("192.0.2.0/24"), 403},
		{"192.0.2.7", nil, prefixes("::ffff:192.0.2.0/120"), 403},
		{"2001:db8::1", nil, prefixes("2001:db8::/32"), 403},
		{"fe80::1%1", nil, prefixes("fe80::/10"), 403},
		{"192.0.2.7", prefixes("::/0"), nil, 403},
		{"", nil, nil, 403},
		{"", prefixes("0.0.0.0/0", "::/0"), nil, 403},
	} {
		r := newRig(t, okHandler, AllowDeny(Networks{Allow: tt.allow, Deny: tt.deny}))
		r.from(tt.from)
		r.want("GET /", nil, tt.status)
		if t.Failed() {
			t.Fatalf("%+v", tt)
		}
	}
	r := newRig(t, okHandler, AllowDeny(Networks{Deny: prefixes("203.0.113.0/24"), Client: Behind("", prefixes("192.0.2.0/24")...)}))
	r.want("GET /", []string{"X-Forwarded-For: 203.0.113.9"}, 403)
	r.want("GET /", []string{"X-Forwarded-For: 198.51.100.9"}, 200)
	r.want("GET /", []string{"X-Forwarded-For: unknown"}, 403)
	wantPanic(t, "AllowDeny: a prefix is not valid", func() { AllowDeny(Networks{Deny: make([]netip.Prefix, 1)}) })
}
