package middleware

import (
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

func TestCSRF(t *testing.T) {
	const site, origin = "Sec-Fetch-Site: ", "Origin: "
	for _, tt := range []struct {
		method string
		lines  []string
		status int
	}{
		{"POST", nil, 200}, // no browser
		{"POST", []string{site + "same-origin"}, 200},
		{"POST", []string{site + "none"}, 200},
		{"POST", []string{site + "same-site"}, 403},
		{"POST", []string{site + "cross-site"}, 403},
		{"POST", []string{site + "Same-Origin"}, 403},
		{"POST", []string{site}, 403},
		{"POST", []string{site + "same-origin", site + "cross-site"}, 403},
		{"POST", []string{site + "cross-site", origin + "http://device.local"}, 403},
		{"POST", []string{site + "same-origin", origin + "http://evil.example"}, 200}, // what the browser says counts
		{"POST", []string{site + "cross-site", origin + "https://app.example"}, 200},
		{"POST", []string{origin + "https://app.example"}, 200},
		{"POST", []string{origin + "https://app.example:1"}, 403},
		{"POST", []string{origin + "http://device.local"}, 200},
		{"POST", []string{origin + "https://DEVICE.local"}, 200},
		{"POST", []string{origin + "http://device.local:80"}, 200}, // the default port (RFC 6454 §4)
		{"POST", []string{origin + "https://device.local:443"}, 200},
		{"POST", []string{origin + "http://device.local:443"}, 403},
		{"POST", []string{origin + "http://device.local:8080"}, 403},
		{"POST", []string{origin + "file://device.local"}, 403},
		{"POST", []string{origin + "app://device.local"}, 403},
		{"POST", []string{origin + "https://app.example:443"}, 200},
		{"POST", []string{origin + "http://app.example:443"}, 403},
		{"POST", []string{origin + "http://device.local.evil.example"}, 403},
		{"POST", []string{origin + "http://evil.example"}, 403},
		{"POST", []string{origin + "device.local"}, 403},
		{"POST", []string{origin + "null"}, 403},
		{"POST", []string{origin}, 403},
		{"POST", []string{origin + "http://device.local", origin + "http://device.local"}, 403},
		{"POST", []string{site + "same-origin", origin + "http://device.local", origin + "http://device.local"}, 403},
		{"PUT", []string{site + "cross-site"}, 403},
		{"DELETE", []string{site + "cross-site"}, 403},
		{"PATCH", []string{site + "cross-site"}, 403},
		{"get", []string{site + "cross-site"}, 403},
		{"GET", []string{site + "cross-site"}, 200},
		{"HEAD", []string{site + "cross-site"}, 200},
		{"OPTIONS", []string{site + "cross-site"}, 200},
	} {
		r := newRig(t, okHandler, CSRF("https://app.example"))
		r.want(tt.method+" /", tt.lines, tt.status)
	}
	for _, o := range []string{"", "*", "https://", "https://*.app.example", "https://app.example/"} {
		wantPanic(t, "CSRF: malformed origin \""+o+"\"", func() { CSRF(o) })
	}
}

// The Host may name the default port as well: nginx with $host:$server_port does. Over TLS an
// Origin of http is a page that others on the way can have made.
func TestCSRFComparesSchemeAndPort(t *testing.T) {
	for _, tt := range []struct {
		host, origin string
		https        bool
		status       int
	}{
		{"dev.local:80", "http://dev.local", false, 200},
		{"dev.local:443", "https://dev.local", false, 200},
		{"dev.local:80", "https://dev.local", false, 403},
		{"[::1]:80", "http://[::1]", false, 200},
		{"dev.local:", "http://dev.local", false, 200},
		{"dev.local:443", "https://dev.local", true, 200},
		{"dev.local", "https://dev.local", true, 200},
		{"dev.local", "http://dev.local", true, 403},
		{"dev.local:80", "http://dev.local", true, 403},
	} {
		r := newServerRig(t, http.Options{HTTPS: tt.https}, okEvents, CSRF())
		r.host = tt.host
		r.want("POST /", []string{"Origin: " + tt.origin}, tt.status)
	}
}

func okEvents(c *conn.Conn, ev conn.Event) {
	if m, ok := ev.(*http.Message); ok {
		okHandler(c, m)
	}
}
