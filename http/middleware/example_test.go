package middleware_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	nethttp "net/http"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
	"github.com/seed4930a636/mangusta/mgr"
)

// ask sends requests to a server with that handler, one behind the other, and prints the status and these fields of the answers.
func ask(x *mghttp.Mux, fields []string, requests ...string) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		panic(err)
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	c, err := net.Dial("tcp", addr)
	if err != nil {
		panic(err)
	}
	defer c.Close()
	r := bufio.NewReader(c)
	for _, q := range requests {
		line, head, _ := strings.Cut(q, "\n")
		if head != "" {
			head += "\r\n"
		}
		fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: device.local\r\n%s\r\n", line, head)
		resp, err := nethttp.ReadResponse(r, nil)
		if err != nil {
			panic(err)
		}
		io.Copy(io.Discard, resp.Body)
		fmt.Print(resp.StatusCode)
		for _, f := range fields {
			if v := resp.Header.Get(f); v != "" {
				fmt.Print(" ", v)
			}
		}
		fmt.Println()
	}
}

func hello(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") }

func ExampleAccessLogTo() {
	plain := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}})
	x := mghttp.NewMux()
	x.MustHandle("GET /hello", hello)
	x.Use(middleware.AccessLogTo(slog.New(plain), nil))
	ask(x, nil, "GET /hello?a=b", "GET /none")
	// Unordered output:
	// level=INFO msg=request client=127.0.0.1 method=GET target="/hello?a=b" host=device.local proto=HTTP/1.1 status=200 bytes=5 pattern="GET /hello" agent="" referer=""
	// 200
	// level=INFO msg=request client=127.0.0.1 method=GET target=/none host=device.local proto=HTTP/1.1 status=404 bytes=14 agent="" referer=""
	// 404
}

func ExampleCORS() {
	x := mghttp.NewMux()
	x.MustHandle("PUT /items", hello)
	x.Use(middleware.CORS(middleware.CORSOptions{Origins: []string{"https://app.example"}, Methods: []string{"PUT"}}))
	ask(x, []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Methods"},
		"OPTIONS /items\nOrigin: https://app.example\r\nAccess-Control-Request-Method: PUT",
		"OPTIONS /items\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: PUT",
		"PUT /items\nOrigin: https://app.example")
	// Output:
	// 204 https://app.example GET, HEAD, POST, PUT
	// 403
	// 200 https://app.example
}

func ExampleBasicAuth() {
	x := mghttp.NewMux()
	admin := middleware.BasicAuth("device", middleware.Users(map[string]string{"admin": "secret"}))
	x.MustHandle("GET /admin", hello, admin)
	ask(x, []string{"WWW-Authenticate"}, "GET /admin", "GET /admin\nAuthorization: Basic YWRtaW46c2VjcmV0")
	// Output:
	// 401 Basic realm="device", charset="UTF-8"
	// 200
}

func ExampleSessions() {
	s, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{[]byte("32 bytes from crypto/rand, please")}, Bearer: true})
	if err != nil {
		panic(err)
	}
	x := mghttp.NewMux()
	x.MustHandle("GET /me", func(c *conn.Conn, m *mghttp.Message) {
		user, _ := s.Value(&m.Request)
		mghttp.SetHeader(c, "X-User", user)
		hello(c, m)
	}, s.Require)
	ask(x, []string{"X-User", "WWW-Authenticate"}, "GET /me", "GET /me\nAuthorization: Bearer "+s.Token("anna"))
	// Output:
	// 401 Bearer
	// 200 anna
}

func ExampleCSRF() {
	x := mghttp.NewMux()
	x.MustHandle("POST /reboot", hello)
	x.Use(middleware.CSRF())
	ask(x, nil, "POST /reboot\nSec-Fetch-Site: same-origin", "POST /reboot\nSec-Fetch-Site: cross-site", "POST /reboot\nOrigin: https://evil.example")
	// Output:
	// 200
	// 403
	// 403
}

func ExampleRateLimit() {
	x := mghttp.NewMux()
	x.MustHandle("/", hello)
	x.Use(middleware.RateLimit(middleware.Rate{PerSecond: 1.0 / 60, Burst: 2}))
	ask(x, []string{"Retry-After"}, "GET /", "GET /", "GET /")
	// Output:
	// 200
	// 200
	// 429 60
}

// Behind a proxy on the same machine, the lists are for its clients.
func ExampleBehind() {
	x := mghttp.NewMux()
	x.MustHandle("/", hello)
	x.Use(middleware.AllowDeny(middleware.Networks{
		Allow:  []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Client: middleware.Behind("X-Forwarded-For", netip.MustParsePrefix("127.0.0.0/8")),
	}))
	ask(x, nil, "GET /\nX-Forwarded-For: 192.0.2.7", "GET /\nX-Forwarded-For: 192.0.2.7, 203.0.113.9", "GET /")
	// Output:
	// 200
	// 403
	// 403
}

func ExampleSecurityHeaders() {
	x := mghttp.NewMux()
	x.MustHandle("/", hello)
	x.Use(middleware.SecurityHeaders(middleware.Headers{HSTS: 24 * time.Hour}))
	ask(x, []string{"X-Frame-Options", "X-Content-Type-Options", "Strict-Transport-Security"}, "GET /")
	// Output: 200 DENY nosniff max-age=86400; includeSubDomains
}

func ExampleRecover() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(*conn.Conn, *mghttp.Message) { panic("boom") })
	x.Use(middleware.Recover(nil))
	ask(x, nil, "GET /", "GET /")
	// Output:
	// 500
	// 500
}
