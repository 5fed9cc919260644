package middleware_test

import (
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// Common log format, as web servers have it. The line begins with the client's address and ends
// with status and size.
func ExampleAccessLog() {
	var log strings.Builder // os.Stderr, or a file
	x := mghttp.NewMux()
	x.MustHandle("GET /hello", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.AccessLog(&log, nil))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /hello?a=b HTTP/1.1\r\nHost: device.local\r\n\r\n")
	_, request, _ := strings.Cut(log.String(), "] ")
	fmt.Print(request)
	// Output: "GET /hello?a=b HTTP/1.1" 200 5
}

func ExampleAccessLogTo() {
	plain := slog.NewTextHandler(os.Stdout, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == "duration" {
			return slog.Attr{}
		}
		return a
	}})
	x := mghttp.NewMux()
	x.MustHandle("GET /hello", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.AccessLogTo(slog.New(plain), nil))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /hello?a=b HTTP/1.1\r\nHost: device.local\r\n\r\n")
	d.Send("GET /none HTTP/1.1\r\nHost: device.local\r\n\r\n")
	// Output:
	// level=INFO msg=request client=192.0.2.1 method=GET target="/hello?a=b" host=device.local proto=HTTP/1.1 status=200 bytes=5 pattern="GET /hello" agent="" referer=""
	// level=INFO msg=request client=192.0.2.1 method=GET target=/none host=device.local proto=HTTP/1.1 status=404 bytes=14 agent="" referer=""
}

func ExampleCORS() {
	x := mghttp.NewMux()
	x.MustHandle("PUT /items", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.CORS(middleware.CORSOptions{Origins: []string{"https://app.example"}, Methods: []string{"PUT"}}))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("OPTIONS /items HTTP/1.1\r\nHost: device\r\nOrigin: https://app.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	d.Send("OPTIONS /items HTTP/1.1\r\nHost: device\r\nOrigin: https://evil.example\r\nAccess-Control-Request-Method: PUT\r\n\r\n")
	status, _, _ := strings.Cut(d.Sent(), "\r\n")
	fmt.Println(status)
	// Output:
	// HTTP/1.1 204 No Content
	// Vary: Origin, Access-Control-Request-Method, Access-Control-Request-Headers
	// Access-Control-Allow-Origin: https://app.example
	// Access-Control-Allow-Methods: GET, HEAD, POST, PUT
	//
	// HTTP/1.1 403 Forbidden
}

func ExampleBasicAuth() {
	x := mghttp.NewMux()
	admin := middleware.BasicAuth("device", middleware.Users(map[string]string{"admin": "secret"}))
	x.MustHandle("GET /admin", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") }, admin)
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, field := range []string{"", "Authorization: Basic YWRtaW46c2VjcmV0\r\n"} {
		d.Send("GET /admin HTTP/1.1\r\nHost: device\r\n" + field + "\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 401 Unauthorized
	// HTTP/1.1 200 OK
}

func ExampleSessions() {
	s, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{[]byte("32 bytes from crypto/rand, please")}})
	if err != nil {
		fmt.Println(err)
		return
	}
	x := mghttp.NewMux()
	x.MustHandle("POST /login", func(c *conn.Conn, m *mghttp.Message) {
		s.Start(c, "anna") // the password was right: the reply has a cookie
		mghttp.Reply(c, 200, "text/plain", "welcome")
	})
	x.MustHandle("GET /me", func(c *conn.Conn, m *mghttp.Message) {
		user, _ := s.Value(&m.Request)
		fmt.Println("this is", user)
		mghttp.Reply(c, 200, "text/plain", "hello")
	}, s.Require)
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("POST /login HTTP/1.1\r\nHost: device\r\nContent-Length: 0\r\n\r\n")
	_, cookie, _ := strings.Cut(d.Sent(), "Set-Cookie: ")
	cookie, _, _ = strings.Cut(cookie, ";")
	for _, field := range []string{"", "Cookie: " + cookie + "\r\n"} {
		d.Send("GET /me HTTP/1.1\r\nHost: device\r\n" + field + "\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 401 Unauthorized
	// this is anna
	// HTTP/1.1 200 OK
}

// Programs that are no browsers send the token themselves.
func ExampleSessions_Token() {
	s, err := middleware.NewSessions(middleware.SessionOptions{Keys: [][]byte{[]byte("32 bytes from crypto/rand, please")}, Bearer: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	token := s.Token("sensor 7")
	fmt.Println(s.Verify([]byte(token)))
	fmt.Println(s.Verify([]byte(token[1:])))
	// Output:
	// sensor 7 true
	//  false
}

// The keys of sessions are made at the first start, and the file keeps them.
func ExampleSessionKeys() {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	first, err := middleware.SessionKeys(dir + "/session.keys")
	if err != nil {
		fmt.Println(err)
		return
	}
	again, err := middleware.SessionKeys(dir + "/session.keys")
	fmt.Println(len(again), "key,", len(again[0]), "bytes, the same:", string(first[0]) == string(again[0]), err)
	// Output: 1 key, 32 bytes, the same: true <nil>
}

func ExampleCSRF() {
	x := mghttp.NewMux()
	x.MustHandle("POST /reboot", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.CSRF())
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, field := range []string{"Sec-Fetch-Site: same-origin", "Sec-Fetch-Site: cross-site", "Origin: https://evil.example"} {
		d.Send("POST /reboot HTTP/1.1\r\nHost: device\r\nContent-Length: 0\r\n" + field + "\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 403 Forbidden
	// HTTP/1.1 403 Forbidden
}

func ExampleRateLimit() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.RateLimit(middleware.Rate{PerSecond: 1.0 / 60, Burst: 2}))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for range 3 {
		d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 200 OK
	// HTTP/1.1 429 Too Many Requests
}

// Only clients in one network may come.
func ExampleAllowDeny() {
	lan := middleware.AllowDeny(middleware.Networks{Allow: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(lan)
	server := mghttp.NewServer(mghttp.Options{})
	for _, client := range []string{"10.0.0.7:1234", "192.0.2.7:1234"} {
		d := conntest.New(nil, x.Serve, conntest.Options{
			Remote: netip.MustParseAddrPort(client),
			Setup:  func(c *conn.Conn) { mghttp.Attach(c, server) },
		})
		d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 403 Forbidden
}

// Behind a proxy on the same machine, the lists are for its clients.
func ExampleBehind() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.AllowDeny(middleware.Networks{
		Allow:  []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
		Client: middleware.Behind("X-Forwarded-For", netip.MustParsePrefix("127.0.0.0/8")),
	}))
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{
		Remote: netip.MustParseAddrPort("127.0.0.1:4711"),
		Setup:  func(c *conn.Conn) { mghttp.Attach(c, server) },
	})
	for _, clients := range []string{"192.0.2.7", "192.0.2.7, 203.0.113.9"} {
		d.Send("GET / HTTP/1.1\r\nHost: device\r\nX-Forwarded-For: " + clients + "\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// HTTP/1.1 403 Forbidden
}

func ExampleSecurityHeaders() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.SecurityHeaders(middleware.Headers{HSTS: 24 * time.Hour}))
	server := mghttp.NewServer(mghttp.Options{NoDate: true, HTTPS: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	for line := range strings.SplitSeq(d.Sent(), "\r\n") {
		if strings.HasPrefix(line, "X-") || strings.HasPrefix(line, "Strict") {
			fmt.Println(line)
		}
	}
	// Output:
	// X-Frame-Options: DENY
	// X-Content-Type-Options: nosniff
	// Strict-Transport-Security: max-age=86400; includeSubDomains
}

// Over TLS, of which conntest.Sealed is the double, the reply has the field.
func ExampleHSTS() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.HSTS(middleware.HSTSOptions{MaxAge: 30 * 24 * time.Hour, IncludeSubDomains: true}))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Sealed: new(conntest.Sealed), Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	for line := range strings.SplitSeq(d.Sent(), "\r\n") {
		if strings.HasPrefix(line, "Strict") {
			fmt.Println(line)
		}
	}
	// Output: Strict-Transport-Security: max-age=2592000; includeSubDomains
}

// A listener without TLS for the people who type no scheme, beside one with TLS at port 8443.
func ExampleRedirectHTTPS() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.RedirectHTTPS(middleware.RedirectOptions{Port: 8443}))
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /state?unit=C HTTP/1.1\r\nHost: device:8080\r\n\r\n")
	for line := range strings.SplitSeq(d.Sent(), "\r\n") {
		if strings.HasPrefix(line, "HTTP/") || strings.HasPrefix(line, "Location") {
			fmt.Println(line)
		}
	}
	// Output:
	// HTTP/1.1 308 Permanent Redirect
	// Location: https://device:8443/state?unit=C
}

// The client gets a 500, and the connection lives on.
func ExampleRecover() {
	x := mghttp.NewMux()
	x.MustHandle("/", func(*conn.Conn, *mghttp.Message) { panic("boom") })
	x.Use(middleware.Recover(nil)) // nil: the loop logs the panic
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\n\r\n")
	status, _, _ := strings.Cut(d.Sent(), "\r\n")
	fmt.Println(status)
	d.WantOpen()
	// Output: HTTP/1.1 500 Internal Server Error
}

// A refusal that says which origin it was, for the log of a device's owner.
func ExampleCSRFOr() {
	x := mghttp.NewMux()
	x.MustHandle("POST /reboot", func(c *conn.Conn, m *mghttp.Message) { mghttp.Reply(c, 200, "text/plain", "hello") })
	x.Use(middleware.CSRFOr(func(c *conn.Conn, r *mghttp.Request) {
		fmt.Printf("refused: %s\n", r.Header("Origin"))
		mghttp.Error(c, 403)
	}, "https://app.example"))
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, x.Serve, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, origin := range []string{"https://app.example", "https://evil.example"} {
		d.Send("POST /reboot HTTP/1.1\r\nHost: device\r\nContent-Length: 0\r\nOrigin: " + origin + "\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(status)
	}
	// Output:
	// HTTP/1.1 200 OK
	// refused: https://evil.example
	// HTTP/1.1 403 Forbidden
}
