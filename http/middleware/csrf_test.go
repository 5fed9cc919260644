package middleware

import "testing"

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
		{"POST", []string{origin + "http://device.local:8080"}, 403},
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
