package http

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

func TestGroups(t *testing.T) {
	var log []string
	named := func(name string) Middleware {
		return Guard(func(c *conn.Conn, r *Request) bool {
			log = append(log, name)
			if string(r.Query) == "stop="+name {
				Error(c, 403)
				return false
			}
			return true
		})
	}
	show := func(c *conn.Conn, m *Message) {
		ReplyBytes(c, 200, "", []byte(m.Pattern()+" "+string(m.PathValue("x"))+string(m.PathValue("u"))))
	}
	x := NewMux()
	x.MustHandle("GET /free", show)
	x.Use(named("all"))
	api := x.Group("/api/", named("api"))
	api.MustHandle("GET /items/{x}", show)
	api.MustHandle("GET h.test/hosted", show)
	api.MustHandleEvents("POST /{$}", func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			show(c, m)
		}
	}, named("route"))
	api.Group("/admin", named("admin")).MustHandle("/keys/", show)
	x.Group("", named("plain")).MustHandle("GET /plain", show)
	x.Group("/users/{u}", named("user")).MustHandle("GET /home", show)
	for _, test := range []struct{ request, want, log string }{
		{"GET /free", "200 GET /free ", "all"},
		{"GET /none", "404", "all"},
		{"GET /plain", "200 GET /plain ", "all plain"},
		{"GET /api/items/7", "200 GET /api/items/{x} 7", "all api"},
		{"GET /api/items/7?stop=api", "403", "all api"},
		{"GET /api/items/7?stop=all", "403", "all"},
		{"GET /api/hosted", "200 GET h.test/api/hosted ", "all api"},
		{"POST /api/", "200 POST /api/{$} ", "all api route"},
		{"POST /api", "307 to=/api/", "all api"},
		{"GET /api", "405 allow=POST", "all api"},
		{"GET /apis", "404", "all"},
		{"GET /api/none?stop=api", "403", "all api"},
		{"OPTIONS /api/items/7", "405 allow=GET, HEAD", "all api"},
		{"OPTIONS /api/items/7?stop=api", "403", "all api"},
		{"GET /api/../api//items/7", "307 to=/api/items/7", "all api"},
		{"GET /api/admin/keys", "307 to=/api/admin/keys/", "all api admin"},
		{"GET /api/admin/keys/a", "200 /api/admin/keys/ ", "all api admin"},
		{"GET /api/admin/none", "404", "all api admin"},
		{"GET /users/ann/home", "200 GET /users/{u}/home ann", "all user"},
		{"GET /users/a%2Fb/none", "404", "all user"},
		{"GET /users", "404", "all"},
		{"OPTIONS *", "200", "all"},
	} {
		log = nil
		tc := newTest(t, Options{}, x.Serve)
		tc.send(test.request + " HTTP/1.1\r\nHost: h.test\r\n\r\n")
		method, _, _ := strings.Cut(test.request, " ")
		if got := replyText(t, method, tc.Wire.Sent); got != test.want || strings.Join(log, " ") != test.log {
			t.Errorf("%s: %s, %v; want %s, %s", test.request, got, log, test.want, test.log)
		}
	}
}

func TestMalformedGroupsPanic(t *testing.T) {
	for _, prefix := range []string{"api", "GET /api", "h.test/api", "/a//b", "/{x...}", "/a/{$}", "/%zz"} {
		func() {
			defer func() {
				if v := recover(); !strings.Contains(fmt.Sprint(v), "http: group") {
					t.Errorf("%q: %v", prefix, v)
				}
			}()
			NewMux().Group(prefix)
		}()
	}
	if err := NewMux().Group("/a").Handle("b", func(*conn.Conn, *Message) {}); err == nil {
		t.Error("a pattern without a slash is taken")
	}
}

func TestPathValuesOfAPattern(t *testing.T) {
	x := NewMux()
	x.MustHandle("GET /{a}/b/{c...}", func(c *conn.Conn, m *Message) {
		got := ""
		for name, value := range m.PathValues {
			got += fmt.Sprintf("%s=%s ", name, value)
		}
		for range m.PathValues {
			break
		}
		ReplyBytes(c, 200, "", []byte(got))
	})
	if got := routed(t, x, "GET /1%2F2/b/c/d HTTP/1.1\r\nHost: h\r\n\r\n"); got != "200 a=1/2 c=c/d " {
		t.Error(got)
	}
}
