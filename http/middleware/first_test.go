package middleware

import (
	"bytes"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// waysToAnswer are handlers that do their work before, or instead of, a whole Message.
func waysToAnswer(t *testing.T) map[string]http.Handler {
	atHead := func(f func(c *conn.Conn)) http.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *http.Head:
				f(c)
			case *http.Chunk:
				if ev.Last {
					http.ReplyBytes(c, 200, "", okBody)
				}
			}
		}
	}
	dir := t.TempDir()
	return map[string]http.Handler{
		"answers in Head":   atHead(func(c *conn.Conn) { http.ReplyBytes(c, 200, "", okBody) }),
		"streams from Head": atHead(func(c *conn.Conn) { http.StreamBody(c) }),
		"begins in Head": atHead(func(c *conn.Conn) {
			http.Begin(c, 200, "")
			http.WriteChunk(c, okBody)
			http.End(c)
		}),
		"saves the body": atHead(func(c *conn.Conn) {
			err := http.SaveBody(c, http.SaveOptions{Path: filepath.Join(dir, "saved"), Done: func(c *conn.Conn, _ int64, err error) {
				if err != nil {
					t.Error(err)
				}
				http.ReplyBytes(c, 200, "", okBody)
			}})
			if err != nil {
				t.Error(err)
			}
		}),
		"takes the whole": func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*http.Message); ok {
				okHandler(c, m)
			}
		},
	}
}

// refusing are the middlewares that keep requests from handlers, with what is refused and what is
// not.
func refusing(t *testing.T) map[string]struct {
	m         func() Middleware
	bad, good []string
	status    int
} {
	s := newSessions(t, SessionOptions{})
	lists := Networks{Deny: prefixes("203.0.113.0/24"), Client: Behind("", netip.MustParsePrefix("192.0.2.0/24"))}
	cors := CORSOptions{Origins: []string{"https://app.example"}}
	type row = struct {
		m         func() Middleware
		bad, good []string
		status    int
	}
	return map[string]row{
		"BasicAuth": {func() Middleware { return BasicAuth("x", Users(map[string]string{"anna": "secret"})) },
			[]string{basic("anna:wrong")}, []string{basic("anna:secret")}, 401},
		"Sessions": {func() Middleware { return s.Require }, nil, []string{"Cookie: session=" + s.Token("anna")}, 401},
		"AllowDeny": {func() Middleware { return AllowDeny(lists) },
			[]string{"X-Forwarded-For: 203.0.113.1"}, []string{"X-Forwarded-For: 198.51.100.1"}, 403},
		"CSRF": {func() Middleware { return CSRF() }, []string{"Sec-Fetch-Site: cross-site"}, []string{"Sec-Fetch-Site: same-origin"}, 403},
		"RateLimit": {func() Middleware {
			return RateLimit(Rate{PerSecond: 1e-3, Burst: 1, Client: Behind("", netip.MustParsePrefix("192.0.2.0/24"))})
		}, []string{"X-Forwarded-For: 198.51.100.1"}, []string{"X-Forwarded-For: 198.51.100.2"}, 429},
		"CORS": {func() Middleware { return CORS(cors) }, []string{"Origin: https://evil.example", "Access-Control-Request-Method: PUT"},
			[]string{"Origin: https://app.example"}, 403},
	}
}

// Whatever a handler does in Head, it does not do it for a request that is refused; and what is let
// through is served.
func TestNothingSlipsBy(t *testing.T) {
	for name, tt := range refusing(t) {
		for way, handler := range waysToAnswer(t) {
			t.Run(name+"/"+way, func(t *testing.T) {
				called := 0
				r := newEventRig(t, func(c *conn.Conn, ev conn.Event) {
					switch ev.(type) {
					case *http.Head, *http.Message, *http.Chunk:
						called++
						handler(c, ev)
					}
				}, tt.m())
				r.body = "abcd"
				if name == "RateLimit" {
					r.ask("POST /", tt.bad...) // uses up what there is
					called = 0
				}
				method := "POST /"
				if name == "CORS" {
					method = "OPTIONS /" // a preflight: all else is for CSRF to refuse
				}
				r.want(method, tt.bad, tt.status)
				if called != 0 {
					t.Fatalf("the handler saw %d events of a refused request", called)
				}
				r.want("POST /", tt.good, 200)
				if called == 0 {
					t.Error("the handler saw nothing of a good request")
				}
			})
		}
	}
}

// A WebSocket is opened for requests that pass, and for no other.
func TestNoUpgradeSlipsBy(t *testing.T) {
	upgrade := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="}
	for name, tt := range refusing(t) {
		if name == "CSRF" || name == "CORS" {
			continue // an upgrade begins with GET: package websocket checks Origin
		}
		newUpgrader := func() *rig {
			return newEventRig(t, func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*http.Message); ok {
					websocket.Upgrade(c, m, nil)
				}
			}, tt.m())
		}
		r := newUpgrader()
		r.want("GET /", append(tt.good[:len(tt.good):len(tt.good)], upgrade...), 101)
		if !websocket.Is(r.c) {
			t.Errorf("%s: no WebSocket", name)
		}
		r = newUpgrader()
		if name == "RateLimit" {
			r.ask("POST /", tt.bad...)
			r.c.Driver().Settle()
		}
		r.want("GET /", append(tt.bad[:len(tt.bad):len(tt.bad)], upgrade...), tt.status)
		if websocket.Is(r.c) {
			t.Errorf("%s: a WebSocket in spite of it", name)
		}
	}
}

// The access log, recovery and security headers see the requests that never become a Message.
func TestEveryAnswerIsSeen(t *testing.T) {
	for way, handler := range waysToAnswer(t) {
		var log bytes.Buffer
		r := newEventRig(t, handler, AccessLog(&log, nil), SecurityHeaders(Headers{}),
			CORS(CORSOptions{Origins: []string{"*"}}))
		r.body = "abcd"
		r.want("POST /", []string{"Origin: https://a.example"}, 200,
			"X-Frame-Options: DENY", "Access-Control-Allow-Origin: *")
		if got := log.String(); strings.Count(got, "\n") != 1 || !strings.Contains(got, `"POST / HTTP/1.1" 200 2`) {
			t.Errorf("%s: logged %q", way, got)
		}
	}
	var log bytes.Buffer
	r := newEventRig(t, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Head); ok {
			http.Hijack(c)
			c.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		}
	}, AccessLog(&log, nil))
	r.want("GET /", nil, 101)
	if !strings.Contains(log.String(), `"GET / HTTP/1.1" 101 0`) {
		t.Errorf("hijacked: logged %q", log.String())
	}
}

func TestRecoverFromEachEvent(t *testing.T) {
	for _, tt := range []struct {
		name    string
		handler http.Handler
		status  int
		cut     bool
	}{
		{"Head", func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*http.Head); ok {
				panic("boom")
			}
		}, 500, false},
		{"Chunk", func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *http.Head:
				http.StreamBody(c)
			case *http.Chunk:
				panic("boom")
			}
		}, 500, false},
		{"Chunk behind Begin", func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *http.Head:
				http.StreamBody(c)
				http.Begin(c, 200, "")
			case *http.Chunk:
				panic("boom")
			}
		}, 200, true},
	} {
		var log bytes.Buffer
		r := newEventRig(t, tt.handler, Recover(slog.New(slog.NewTextHandler(&log, nil))))
		r.body = "abcd"
		status, _ := r.ask("POST /")
		// A connection that fails drops what it has not sent yet.
		if !tt.cut && status != tt.status || tt.cut != (r.done && r.reason == conn.Panicked) {
			t.Errorf("%s: %d, done %v, %v", tt.name, status, r.done, r.reason)
		}
		if !strings.Contains(log.String(), "panic=boom") {
			t.Errorf("%s: logged %q", tt.name, log.String())
		}
	}
}

// A refusal that finds no room in the send queue lets nothing through either.
func TestARefusalThatCannotBeSentHoldsStill(t *testing.T) {
	r := newRig(t, func(c *conn.Conn, _ *http.Message) {
		t.Error("the handler was called")
	}, BasicAuth("x", func(string, string) bool { return false }))
	l := r.c.Limits()
	l.Send, l.OnFull = 10, conn.RefuseOnFull
	r.c.SetLimits(&l)
	r.c.WriteShared(make([]byte, 10))
	r.body = "abcd"
	if status, _ := r.ask("POST /"); status != 0 {
		t.Errorf("answered with %d", status)
	}
}

// Without the head there is nothing to decide by: pieces of a body do not pass.
func TestPiecesAloneDoNotPass(t *testing.T) {
	guarded := AllowDeny(Networks{})(func(*conn.Conn, conn.Event) { t.Error("the handler was called") })
	r := newEventRig(t, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *http.Head:
			http.StreamBody(c)
		case *http.Chunk:
			guarded(c, ev)
		}
	})
	r.body = "abcd"
	r.ask("POST /")
}

// Middleware in front of the handler of a listener, or of one that is given whole requests only,
// decides as well.
func TestGuardWithoutAMux(t *testing.T) {
	deny := BasicAuth("x", func(string, string) bool { return false })(func(*conn.Conn, conn.Event) { t.Error("the handler was called") })
	for name, h := range map[string]http.Handler{
		"all events": func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *http.Head, *http.Message, *http.Chunk:
				deny(c, ev)
			}
		},
		"whole requests": func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*http.Message); ok {
				deny(c, ev)
			}
		},
	} {
		if status, _ := newEventRig(t, h).ask("GET /"); status != 401 {
			t.Errorf("%s: %d", name, status)
		}
	}
}
