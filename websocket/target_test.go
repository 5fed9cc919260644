package websocket

import (
	"strings"
	"testing"
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
		{"ws://h//x", "tcp://h:80", "h", "//x"},
	} {
		got, err := parseTarget(tc.url)
		if err != nil {
			t.Errorf("%s: %v", tc.url, err)
			continue
		}
		if got.address != tc.address || got.authority != tc.authority || got.resource != tc.resource {
			t.Errorf("%s: %s %s %s, want %s %s %s", tc.url, got.address, got.authority, got.resource, tc.address, tc.authority, tc.resource)
		}
	}
	for url, want := range map[string]string{
		"wss://h/":         "wss needs TLS, which is not supported yet",
		"http://h/":        "the scheme is not ws",
		"h:80":             "the scheme is not ws",
		"/x":               "the scheme is not ws",
		"ws:x":             "no host",
		"ws:///x":          "no host",
		"ws://:80/x":       "no host",
		"ws://u:p@h/":      "user information is not sent: use ClientOptions.Header",
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
		"https://h/":     errTLS.Error(),
		"wss://h/":       errTLS.Error(),
		"ftp://h/":       errScheme.Error(),
		"http://u@h/":    "user information is not sent: use ClientOptions.Header",
		":":              "the Location is not a URL",
	} {
		got := ""
		to, err := from.follow(location)
		if err != nil {
			got = err.Error()
		} else {
			got = to.authority + to.resource
		}
		if got != want {
			t.Errorf("%s: %s, want %s", location, got, want)
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
		err := ConnectOver(bareRig(t).c, "ws://h/", tc.opts)
		if err == nil || !strings.HasPrefix(err.Error(), `websocket: connect to "ws://h/": `) || !strings.HasSuffix(err.Error(), tc.want) {
			t.Errorf("%v, want %s", err, tc.want)
		}
	}
}
