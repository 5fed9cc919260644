package websocket

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/weburl"
)

// RFC 6455 §3.
func TestURLsOfWebSockets(t *testing.T) {
	for _, tc := range []struct{ url, address, authority, resource string }{
		{"ws://127.0.0.1", "tcp://127.0.0.1:80", "127.0.0.1", "/"},
		{"WS://127.0.0.1/", "tcp://127.0.0.1:80", "127.0.0.1", "/"},
		{"ws://127.0.0.1:/", "tcp://127.0.0.1:80", "127.0.0.1", "/"},
		{"ws://localhost:8080/a/b?c=d&e", "tcp://localhost:8080", "localhost:8080", "/a/b?c=d&e"},
		{"ws://10.0.0.80:80", "tcp://10.0.0.80:80", "10.0.0.80:80", "/"},
		{"ws://h?", "tcp://h:80", "h", "/?"},
		{"ws://h?q", "tcp://h:80", "h", "/?q"},
		{"ws://[::1]:9/x%20y", "tcp://[::1]:9", "[::1]:9", "/x%20y"},
		{"ws://[::1]/é", "tcp://[::1]:80", "[::1]", "/%C3%A9"},
		{"ws://[fe80::1%25eth0]:9/", "tcp://[fe80::1%eth0]:9", "[fe80::1]:9", "/"},
		{"ws://[fe80::1%25eth0]/", "tcp://[fe80::1%eth0]:80", "[fe80::1]", "/"},
		{"wss://h/", "tls://h:443", "h", "/"},
		{"WSS://[::1]:9/", "tls://[::1]:9", "[::1]:9", "/"},
		{"ws://h//x", "tcp://h:80", "h", "//x"},
	} {
		got, err := parseTarget(tc.url)
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		if got.Address != tc.address || got.Authority != tc.authority || got.Resource != tc.resource {
			t.Errorf("%s: %s %s %s, want %s %s %s", tc.url, got.Address, got.Authority, got.Resource, tc.address, tc.authority, tc.resource)
		}
	}
	for url, want := range map[string]string{
		"http://h/":        "the scheme is not ws or wss",
		"h:80":             "the scheme is not ws or wss",
		"/x":               "the scheme is not ws or wss",
		"ws:x":             "no host",
		"ws:///x":          "no host",
		"ws://:80/x":       "no host",
		"ws://u:p@h/":      "user information in a URL is not sent",
		"ws://h/#x":        "a WebSocket's URL has no fragment",
		"ws://h/?a b":      "byte 0x20 has to be percent-encoded",
		"ws://h/?é":        "byte 0xc3 has to be percent-encoded",
		"ws://é/":          "byte 0xc3 has to be percent-encoded",
		"ws://h:port/":     `invalid port ":port" after host`,
		"ws://h/%zz":       `invalid URL escape "%zz"`,
		"ws://h/\r\nX: y":  "net/url: invalid control character in URL",
		"ws://h/?\r\nX: y": "net/url: invalid control character in URL",
		"ws://[::1/":       "missing ']' in host",
	} {
		if _, err := parseTarget(url); err == nil || err.Error() != want {
			t.Errorf("%q: %v, want %s", url, err, want)
		}
	}
}

// RFC 9110 §10.2.2, RFC 3986 §5.
func TestRedirectTargets(t *testing.T) {
	from, err := parseTarget("ws://h:1/a/b?c")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]string{
		"/x":             "h:1/x",
		"x?y":            "h:1/a/x?y",
		"../x":           "h:1/x",
		"?y":             "h:1/a/b?y",
		"//other/x":      "other/x",
		"ws://other/x":   "other/x",
		"http://other/x": "other/x",
		"HTTP://other":   "other/",
		"/x#here":        "h:1/x",
		"https://h/":     "h/",
		"wss://h/":       "h/",
		"ftp://h/":       "the scheme is not ws or wss",
		"http://u@h/":    "user information in a URL is not sent",
		":":              "the Location is not a URL",
	} {
		got := ""
		to, err := from.Follow(location)
		if err != nil {
			got = err.Error()
		} else {
			got = to.Authority + to.Resource
		}
		if got != want {
			t.Errorf("%s: %s, want %s", location, got, want)
		}
	}
}

// A server cannot redirect a wss client to ws: its data would be sent in the clear.
func TestNoRedirectFromWSSToWS(t *testing.T) {
	from, err := parseTarget("wss://h/")
	if err != nil {
		t.Fatal(err)
	}
	for location, want := range map[string]error{"ws://h/": weburl.ErrDowngrade, "http://h/": weburl.ErrDowngrade, "wss://h/": nil, "https://h/x": nil, "/y": nil} {
		if _, err := from.Follow(location); err != want {
			t.Errorf("%s: %v, want %v", location, err, want)
		}
	}
}

func TestConnectRefusesWhatCannotBeSent(t *testing.T) {
	protocols := func(p ...string) *ClientOptions { return &ClientOptions{Options: Options{Protocols: p}} }
	header := func(name, value string) *ClientOptions {
		return &ClientOptions{Options: Options{Header: []Header{{name, value}}}}
	}
	for _, tc := range []struct {
		opts *ClientOptions
		want string
	}{
		{protocols("a b"), `subprotocol "a b" is not a token, or there twice`},
		{protocols(""), `subprotocol "" is not a token, or there twice`},
		{protocols("a", "b", "a"), `subprotocol "a" is not a token, or there twice`},
		{header("X", "a\r\nb: c"), "ClientOptions.Header or Origin cannot be sent"},
		{header("Sec-WebSocket-Key", "a"), "ClientOptions.Header or Origin cannot be sent"},
		{header("host", "a"), "ClientOptions.Header must not have host"},
		{header("Origin", "a"), "ClientOptions.Header must not have Origin"},
		{&ClientOptions{Origin: "http://a\r\nb: c"}, "ClientOptions.Header or Origin cannot be sent"},
		{&ClientOptions{Address: "example.org"}, "no scheme, want tcp://host:port or unix:///path"},
	} {
		_, err := newDial("ws://h/", tc.opts)
		if err == nil || !strings.HasPrefix(err.Error(), `websocket: connect to "ws://h/": `) || !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}
