package middleware

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/netip"
	"regexp"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

func TestAccessLogLine(t *testing.T) {
	for _, tt := range []struct {
		request string
		lines   []string
		want    string
	}{
		{"GET /a?b=c", nil, `^192.0.2.7 - - \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /a\?b=c HTTP/1.1" 200 2\n$`},
		{"HEAD /", nil, `"HEAD / HTTP/1.1" 200 0\n$`},
		{`GET /?\`, nil, `"GET /\?\\x5c HTTP/1.1" 200 2\n$`},
		{"OPTIONS *", nil, `"OPTIONS \* HTTP/1.1" 200 0\n$`},
		{"GET http://other/x", nil, `"GET http://other/x HTTP/1.1" 200 2\n$`},
	} {
		var b bytes.Buffer
		r := newRig(t, okHandler, AccessLog(&b, nil))
		r.ask(tt.request, tt.lines...)
		if !regexp.MustCompile(tt.want).MatchString(b.String()) {
			t.Errorf("%q, want %s", b.String(), tt.want)
		}
	}
}

func TestAccessLogEscapes(t *testing.T) {
	if got := string(appendEscaped(nil, []byte("a\"\\\r\n \x00\x7f\xff~"))); got != `a\x22\x5c\x0d\x0a\x20\x00\x7f\xff~` {
		t.Error(got)
	}
}

// The request is gone from the connection's buffer when a late reply is logged.
func TestAccessLogOfALateAnswer(t *testing.T) {
	var b bytes.Buffer
	var later []*http.Later
	r := newRig(t, func(_ *conn.Conn, m *http.Message) { later = append(later, m.Later()) }, AccessLog(&b, nil))
	r.ask("GET /late")
	if b.Len() > 0 {
		t.Fatalf("logged before the answer: %q", b.String())
	}
	r.wire.Arrive([]byte("GET /next HTTP/1.1\r\nHost: x\r\n\r\n"), nil) // comes to lie where the first one was
	r.settle()
	later[0].Reply(404, "", "123")
	if !bytes.Contains(b.Bytes(), []byte(`"GET /late HTTP/1.1" 404 3`)) {
		t.Error(b.String())
	}
	r.settle()
	later[1].Reply(404, "", "123")
	r.settle()
	b.Reset()
	r.ask("GET /gone")
	r.c.Close()
	r.settle()
	if !bytes.Contains(b.Bytes(), []byte(`"GET /gone HTTP/1.1" 0 0`)) {
		t.Error(b.String())
	}
}

func TestAccessLogOfRefusals(t *testing.T) {
	var b bytes.Buffer
	r := newRig(t, okHandler, AccessLog(&b, nil), AllowDeny(Networks{Deny: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}))
	r.ask("GET /")
	r.from("")
	r.ask("GET /")
	if !regexp.MustCompile(`^192.0.2.7 .* 403 14\n- .* 403 14\n$`).MatchString(b.String()) {
		t.Error(b.String())
	}
}

func TestAccessLogTo(t *testing.T) {
	var b bytes.Buffer
	r := newRig(t, okHandler, AccessLogTo(slog.New(slog.NewJSONHandler(&b, nil)), Behind("", netip.MustParsePrefix("192.0.2.0/24"))))
	r.ask("GET /a?b", "User-Agent: x\"y", "Referer: /r", "X-Forwarded-For: 2001:db8::1")
	var got map[string]any
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	for k, v := range map[string]any{"msg": "request", "client": "2001:db8::1", "method": "GET", "target": "/a?b", "host": "device.local",
		"proto": "HTTP/1.1", "status": 200.0, "bytes": 2.0, "pattern": "/", "agent": `x"y`, "referer": "/r"} {
		if got[k] != v {
			t.Errorf("%s: %v, want %v", k, got[k], v)
		}
	}
	if d, ok := got["duration"].(float64); !ok || d <= 0 {
		t.Errorf("duration %v", got["duration"])
	}
}

func TestAccessLogAllocatesNothing(t *testing.T) {
	if testing.CoverMode() != "" || racetest.Enabled {
		t.Skip("counts allocations")
	}
	r := newRig(t, okHandler, AccessLog(io.Discard, nil))
	request := []byte("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
	n := testing.AllocsPerRun(1000, func() {
		r.wire.Arrive(request, nil)
		r.settle()
		r.wire.Sent = r.wire.Sent[:0]
	})
	if n > 0 {
		t.Errorf("%v allocations for each request", n)
	}
}
