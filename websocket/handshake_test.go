package websocket

import (
	"strings"
	"testing"
)

const goodRequest = `Host: example.com
Upgrade: websocket
Connection: Upgrade
Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
Sec-WebSocket-Version: 13
`

// parse makes a handshake of header lines as they would come from package http.
func parse(method string, minor int, lines string, protocols []string) *handshake {
	h := &handshake{method: method, minor: minor, protocol: len(protocols)}
	for line := range strings.Lines(lines) {
		name, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ":")
		if name == "Host" {
			h.host = []byte(strings.TrimSpace(value))
		}
		h.field([]byte(name), []byte(strings.TrimSpace(value)), protocols)
	}
	return h
}

// without drops the line that begins with name, and adds the lines of more.
func without(name string, more ...string) string {
	var b strings.Builder
	for line := range strings.Lines(goodRequest) {
		if name == "" || !strings.HasPrefix(line, name) {
			b.WriteString(line)
		}
	}
	for _, m := range more {
		b.WriteString(m + "\n")
	}
	return b.String()
}

// RFC 6455 §4.2.1: what the client's opening handshake consists of, and §4.2.2, §4.4: how a server
// refuses it.
func TestHandshakeIsCheckedByItem(t *testing.T) {
	for _, tc := range []struct {
		name   string
		method string
		minor  int
		lines  string
		status int // 0: accepted
	}{
		{"a good one", "GET", 1, goodRequest, 0},
		{"HTTP/1.0", "GET", 0, goodRequest, 400},
		{"POST", "POST", 1, goodRequest, 405},
		{"HEAD", "HEAD", 1, goodRequest, 405},
		{"method in lower case", "get", 1, goodRequest, 405},
		{"no Upgrade", "GET", 1, without("Upgrade"), 426},
		{"another Upgrade", "GET", 1, without("Upgrade", "Upgrade: h2c"), 426},
		{"Upgrade in any case", "GET", 1, without("Upgrade", "UPGRADE: WebSocket"), 0},
		{"Upgrade in a list", "GET", 1, without("Upgrade", "Upgrade: h2c, websocket"), 0},
		{"Upgrade first in a list", "GET", 1, without("Upgrade", "Upgrade: websocket,h2c"), 0},
		{"Upgrade on the second line", "GET", 1, without("Upgrade", "Upgrade: h2c", "Upgrade: WEBSOCKET"), 0},
		{"Upgrade as part of a word", "GET", 1, without("Upgrade", "Upgrade: websockets"), 426},
		{"no Connection", "GET", 1, without("Connection"), 400},
		{"Connection: close", "GET", 1, without("Connection", "Connection: close"), 400},
		{"Connection in a list", "GET", 1, without("Connection", "Connection: keep-alive ,\tupgrade"), 0},
		{"Connection first in a list", "GET", 1, without("Connection", "Connection: Upgrade, keep-alive"), 0},
		{"Connection on two lines", "GET", 1, without("Connection", "Connection: keep-alive", "Connection: UPGRADE"), 0},
		{"origin without a host to compare", "GET", 1, without("Host", "Origin: http://example.com"), 403},
		{"no version", "GET", 1, without("Sec-WebSocket-Version"), 426},
		{"version 8", "GET", 1, without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8"), 426},
		{"version 013", "GET", 1, without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013"), 426},
		{"version list", "GET", 1, without("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8"), 426},
		{"two versions", "GET", 1, without("", "Sec-WebSocket-Version: 13"), 400},
		{"no key", "GET", 1, without("Sec-WebSocket-Key"), 400},
		{"empty key", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key:"), 400},
		{"two keys", "GET", 1, without("", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="), 400},
		{"key of 15 bytes", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1"), 400},
		{"key of 17 bytes", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Njc="), 400},
		{"key of 18 bytes", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Njc4"), 400},
		{"key of 60 bytes", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: "+strings.Repeat("MTIz", 20)), 400},
		{"key not base64", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j!!=="), 400},
		{"key without padding", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"), 400},
		{"key in URL base64", "GET", 1, without("Sec-WebSocket-Key", "Sec-WebSocket-Key: -_hlIHNhbXBsZSBub25jZQ=="), 400},
		{"same origin", "GET", 1, without("", "Origin: http://example.com"), 0},
		{"other origin", "GET", 1, without("", "Origin: http://evil.com"), 403},
		{"same host and port, another scheme", "GET", 1, without("", "Origin: file://example.com"), 403},
		{"default port in the origin", "GET", 1, without("", "Origin: http://example.com:80"), 0},
		{"two origins", "GET", 1, without("", "Origin: http://example.com", "Origin: http://example.com"), 400},
		{"unknown extensions", "GET", 1, without("", "Sec-WebSocket-Extensions: foo; bar=1, x-baz"), 0},
	} {
		err := parse(tc.method, tc.minor, tc.lines, nil).check(nil)
		switch {
		case err == nil && tc.status != 0:
			t.Errorf("%s: accepted, want %d", tc.name, tc.status)
		case err != nil && err.Status != tc.status:
			t.Errorf("%s: %v, want %d", tc.name, err, tc.status)
		}
	}
}

// RFC 6455 §4.2.2 item 5.5: at most one of those the client offered; here the server's order
// decides.
func TestSubprotocolByTheServersOrder(t *testing.T) {
	server := []string{"v3.chat", "v2.chat", "v1.chat"}
	for _, tc := range []struct{ lines, want string }{
		{"", ""},
		{"Sec-WebSocket-Protocol: v1.chat, v2.chat", "v2.chat"},
		{"Sec-WebSocket-Protocol: v2.chat, v1.chat", "v2.chat"},
		{"Sec-WebSocket-Protocol: v1.chat\nSec-WebSocket-Protocol: soap ,, v3.chat", "v3.chat"},
		{"Sec-WebSocket-Protocol: V3.CHAT", ""},
		{"Sec-WebSocket-Protocol: other", ""},
		{"sec-websocket-protocol: v1.chat", "v1.chat"},
	} {
		h := parse("GET", 1, goodRequest+tc.lines, server)
		got := ""
		if h.protocol < len(server) {
			got = server[h.protocol]
		}
		if got != tc.want {
			t.Errorf("%q: chose %q, want %q", tc.lines, got, tc.want)
		}
	}
}

// RFC 6455 §1.3 gives the sample.
func TestAcceptKey(t *testing.T) {
	if got := acceptKey([]byte("dGhlIHNhbXBsZSBub25jZQ==")); string(got[:]) != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
		t.Errorf("accept = %s", got)
	}
}

func TestExtraHeadersAreChecked(t *testing.T) {
	for _, tc := range []struct {
		h  Header
		ok bool
	}{
		{Header{"X-Server", "mangusta"}, true},
		{Header{"Set-Cookie", "a=b; Path=/"}, true},
		{Header{"X-Empty", ""}, true},
		{Header{"", "x"}, false},
		{Header{"X Y", "x"}, false},
		{Header{"X:", "x"}, false},
		{Header{"X", "a\r\nb: c"}, false},
		{Header{"X", "a\x00"}, false},
		{Header{"X", " a"}, false},
		{Header{"sec-websocket-accept", "a"}, false},
		{Header{"Connection", "close"}, false},
		{Header{"UPGRADE", "h2c"}, false},
		{Header{"Content-Length", "0"}, false},
	} {
		if got := validHeaders([]Header{tc.h}); got != tc.ok {
			t.Errorf("%q: valid = %v", tc.h, got)
		}
	}
}
