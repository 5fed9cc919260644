package middleware

import (
	"testing"
	"time"
)

const (
	acao = "Access-Control-Allow-Origin:"
	acac = "Access-Control-Allow-Credentials:"
	acam = "Access-Control-Allow-Methods:"
	acah = "Access-Control-Allow-Headers:"
	acma = "Access-Control-Max-Age:"
	aceh = "Access-Control-Expose-Headers:"
)

var corsOptions = CORSOptions{
	Origins: []string{"https://app.example", "https://*.sub.example:8443", "http://old.example:80", "null"},
	Methods: []string{"PUT"}, Headers: []string{"Content-Type", "X-Token"}, Expose: []string{"ETag", "X-Count"},
	Credentials: true, MaxAge: 10 * time.Minute,
}

func TestCORSOrigins(t *testing.T) {
	for _, tt := range []struct {
		origin string
		ok     bool
	}{
		{"https://app.example", true},
		{"http://app.example", false},
		{"https://app.example:443", true},
		{"https://app.example:80", false},
		{"file://app.example", false},
		{"https://app.example.evil", false},
		{"https://evilapp.example", false},
		{"https://sub.app.example", false},
		{"https://app.example/", false},
		{"https://a.sub.example:8443", true},
		{"https://a.b-c.sub.example:8443", true},
		{"https://sub.example:8443", false},
		{"https://.sub.example:8443", false},
		{"https://..sub.example:8443", false},
		{"https://evilsub.example:8443", false},
		{"https://a.sub.example", false},
		{"https://evil/.sub.example:8443", false},
		{"https://evil#.sub.example:8443", false},
		{"https://evil:1@a.sub.example:8443", false},
		{"http://old.example", true},
		{"http://old.example:80", true},
		{"http://old.example:81", false},
		{"null", true},
		{"*", false},
		{"https://*.sub.example:8443", false},
		{"", false},
	} {
		r := newRig(t, okHandler, CORS(corsOptions))
		allow, creds, expose := acao, acac, aceh
		if tt.ok {
			allow, creds, expose = acao+tt.origin, acac+"true", aceh+"ETag, X-Count"
		}
		r.want("GET /", []string{"Origin: " + tt.origin}, 200, allow, creds, expose, "Vary: Origin")
	}
	r := newRig(t, okHandler, CORS(corsOptions))
	r.want("GET /", nil, 200, acao, acac, "Vary: Origin")
	r.want("GET /", []string{"Origin: null", "Origin: null"}, 200, acao, acac)
	r.want("OPTIONS /", []string{"Origin: null"}, 200, acao+"null") // no preflight: the handler's
}

func TestCORSPreflight(t *testing.T) {
	const origin, method = "Origin: https://app.example", "Access-Control-Request-Method: "
	const headers, vary = "Access-Control-Request-Headers: ", "Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers"
	r := newRig(t, okHandler, CORS(corsOptions))
	granted := []string{acao + "https://app.example", acac + "true", acam + "GET, HEAD, POST, PUT", acma + "600", vary}
	for _, lines := range [][]string{
		{origin, method + "PUT"},
		{origin, method + "GET"},
		{origin, method + "POST", headers + "content-type,x-token"},
		{origin, method + "PUT", headers + "X-Token , content-type"},
	} {
		r.want("OPTIONS /", lines, 204, granted...)
	}
	r.want("OPTIONS /", []string{origin, method + "PUT", headers + "x-token"}, 204, acah+"x-token")
	for _, lines := range [][]string{
		{"Origin: https://evil.example", method + "PUT"},
		{origin, method + "DELETE"},
		{origin, method + "put"},
		{origin, method},
		{origin, method + "PUT", method + "PUT"},
		{origin, origin, method + "PUT"},
		{origin, method + "PUT", headers + "x-other"},
		{origin, method + "PUT", headers + "x-token,,content-type"},
		{origin, method + "PUT", headers + "x-token", headers + "x-other"},
		{origin, method + "PUT", headers + "*"},
	} {
		r.want("OPTIONS /", lines, 403, acao, acac, acam, acah, vary)
	}
}

func TestCORSForAll(t *testing.T) {
	r := newRig(t, okHandler, CORS(CORSOptions{Origins: []string{"*"}, Headers: []string{"*"}}))
	r.want("GET /", []string{"Origin: https://any.example"}, 200, acao+"*", acac, aceh, "Vary:")
	r.want("OPTIONS /", []string{"Origin: https://any.example", "Access-Control-Request-Method: GET",
		"Access-Control-Request-Headers: authorization,x-a"}, 204, acao+"*", acah+"authorization,x-a", acma)
}

func TestCORSPanics(t *testing.T) {
	wantPanic(t, "CORS: no Origins", func() { CORS(CORSOptions{}) })
	wantPanic(t, "CORS: Credentials for every origin would give any page the user's data", func() {
		CORS(CORSOptions{Origins: []string{"*"}, Credentials: true})
	})
	for _, o := range []string{"", "app.example", "https://", "https://App.example", "https://a.example/", "https://a.*.example", "https://*a.example"} {
		wantPanic(t, "CORS: malformed origin \""+o+"\"", func() { CORS(CORSOptions{Origins: []string{o}}) })
	}
	wantPanic(t, `CORS: malformed name "A B"`, func() { CORS(CORSOptions{Origins: []string{"*"}, Expose: []string{"A B"}}) })
}
