package http_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A server on a free port, which runs until its manager is closed.
func ExampleListen() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if r, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "hello from %s\n", r.Path)
		}
	}, mghttp.Options{Hosts: []string{"device.local"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(l.LocalAddr().Addr(), l.LocalAddr().Port() > 0)
	// m.Run(ctx) would serve now
	// Output: 127.0.0.1 true
}

// The examples of this package have a conntest.Dialogue in place of a socket.
func ExampleReply() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		m, ok := ev.(*mghttp.Message)
		switch {
		case !ok:
		case m.Match("/hello/*"):
			mghttp.Reply(c, 200, "text/plain", "Hello, %s!\n", m.Path[len("/hello/"):])
		default:
			mghttp.Error(c, 404)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /hello/w%6Frld HTTP/1.1\r\nHost: device\r\n\r\n")
	d.Send("GET /other HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 14
	//
	// Hello, world!
	// HTTP/1.1 404 Not Found
	// Content-Type: text/plain; charset=utf-8
	// Content-Length: 14
	//
	// 404 Not Found
}

// A handler that does not want the body says so in Head, before it is sent.
func ExampleHead() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *mghttp.Head:
			if ev.Header("Authorization") == nil {
				mghttp.SetHeader(c, "WWW-Authenticate", `Basic realm="device"`)
				mghttp.Error(c, 401)
			} else {
				mghttp.SetMaxBody(c, 64<<20)
			}
		case *mghttp.Message:
			mghttp.Reply(c, 200, "text/plain", "%d bytes\n", len(ev.Body))
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("PUT / HTTP/1.1\r\nHost: device\r\nContent-Length: 5\r\n\r\nhello")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	d.Send("PUT / HTTP/1.1\r\nHost: device\r\nContent-Length: 5\r\nAuthorization: Basic eDp5\r\n\r\nhello")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 401 Unauthorized
	// Content-Type: text/plain; charset=utf-8
	// Content-Length: 17
	// WWW-Authenticate: Basic realm="device"
	//
	// 401 Unauthorized
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 8
	//
	// 5 bytes
}

// A reply may come later, after work on another goroutine. The connection serves its next request
// only then.
func ExampleLater() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	asked := make(chan error)
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			later := m.Later() // of this request; c may carry another one by then
			go func() {
				answer := "42" // whatever takes its time
				asked <- later.Do(func() { later.Reply(200, "text/plain", "%s\n", answer) })
			}()
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /slow HTTP/1.1\r\nHost: device\r\n\r\n")
	fmt.Println("Do:", <-asked)
	d.Turn()
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// Do: <nil>
	// HTTP/1.1 200 OK
	// Content-Type: text/plain
	// Content-Length: 3
	//
	// 42
}

// Hosts keeps out pages of other sites that have had a name of theirs point to this device.
func ExampleOptions_hosts() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true, Hosts: []string{"device.local"}})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "this is %s\n", m.Host)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	for _, host := range []string{"device.local", "evil.example"} {
		d.Send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		status, _, _ := strings.Cut(d.Sent(), "\r\n")
		fmt.Println(host, status)
	}
	// Output:
	// device.local HTTP/1.1 200 OK
	// evil.example HTTP/1.1 421 Misdirected Request
}

// A connection leaves HTTP: after the 101 it carries lines that are sent back.
func ExampleHijack() {
	echo := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			c.Write(c.Recv.Bytes())
			c.Recv.Discard(c.Recv.Len())
		}
	}
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		m, ok := ev.(*mghttp.Message)
		if !ok {
			return
		}
		if !m.HasToken("Upgrade", "echo") {
			mghttp.Error(c, 426)
			return
		}
		if err := mghttp.Hijack(c); err != nil {
			mghttp.Error(c, 500)
			return
		}
		c.SetHandler(echo) // a protocol with events of its own would call c.SetProtocol
		c.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
	d.Send("a line\n")
	fmt.Print(strings.ReplaceAll(d.Sent(), "\r", ""))
	// Output:
	// HTTP/1.1 101 Switching Protocols
	// Connection: Upgrade
	// Upgrade: echo
	//
	// a line
}

// Malformed requests get their reply from package http. BadRequest tells the program of them.
func ExampleBadRequest() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if bad, ok := ev.(*mghttp.BadRequest); ok {
			fmt.Println("refused:", bad.Status)
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
	d.WantClosed(conn.Protocol)
	// Output: refused: 400
}

// RequestParser reads the head of a request without a connection.
func ExampleRequestParser() {
	p := mghttp.NewRequestParser(mghttp.Options{})
	r, n, err := p.Parse([]byte("GET /a%20b?c=d HTTP/1.1\r\nHost: device\r\n\r\nrest"))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s %q %s from %s, %d bytes\n", r.Method, r.Path, r.Query, r.Host, n)
	// Output: GET "/a b" c=d from device, 41 bytes
}

// A function that is called when a reply is queued knows its status and its size.
func ExampleOnReply() {
	server := mghttp.NewServer(mghttp.Options{NoDate: true})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			path, start := string(m.Path), time.Now() // m is not valid any more when the reply is queued
			mghttp.OnReply(c, func(status int, bytes int64) {
				fmt.Println(path, status, bytes, time.Since(start) >= 0)
			})
			mghttp.Reply(c, 200, "text/plain", "hello")
		}
	}, conntest.Options{Setup: func(c *conn.Conn) { mghttp.Attach(c, server) }})
	d.Send("GET /a HTTP/1.1\r\nHost: device\r\n\r\n")
	// Output: /a 200 5 true
}
