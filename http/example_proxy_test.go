package http_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A proxy on the same machine says in a PROXY header who the client is.
func ExampleOptions_proxyFrom() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		panic(err)
	}
	defer m.Close()
	l, err := mghttp.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			mghttp.Reply(c, 200, "text/plain", "you are %s", c.RemoteAddr())
		}
	}, mghttp.Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
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
	fmt.Fprintf(c, "PROXY TCP4 192.0.2.7 192.0.2.1 47011 80\r\nGET / HTTP/1.1\r\nHost: device.local\r\n\r\n")
	resp, err := nethttp.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		panic(err)
	}
	body, _ := io.ReadAll(resp.Body)
	fmt.Printf("%s\n", body)
	// Output: you are 192.0.2.7:47011
}

func ExampleParseProxy() {
	h, n, err := mghttp.ParseProxy([]byte("PROXY TCP4 192.0.2.7 192.0.2.1 47011 80\r\nGET / HTTP/1.1\r\n"))
	fmt.Println(h.Source, h.Destination, n, err)
	h, n, err = mghttp.ParseProxy([]byte("PROXY TCP4 192.0.2"))
	fmt.Println(h.Source.IsValid(), n, err)
	_, _, err = mghttp.ParseProxy([]byte("GET / HTTP/1.1\r\n"))
	fmt.Println(err)
	// Output:
	// 192.0.2.7:47011 192.0.2.1:80 41 <nil>
	// false 0 <nil>
	// http: malformed PROXY header: there is none
}

func ExampleRequest_ClientAddr() {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				mghttp.Reply(c, 200, "text/plain", "%s", m.ClientAddr(c, trusted, "X-Forwarded-For"))
			}
		}
	}, nil, "GET / HTTP/1.1\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\nX:", "GET /")
	// Output:
	// 200 OK 192.0.2.7
	// 200 OK 127.0.0.1
}

func ExampleOnAnswer() {
	told := make(chan string, 1)
	ask(func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*mghttp.Message); ok {
				path := string(m.Path) // m is gone when the answer is there
				mghttp.OnAnswer(c, func(status int, bytes int64) { told <- fmt.Sprint(path, " ", status, " ", bytes) })
				mghttp.Reply(c, 200, "text/plain", "hello")
			}
		}
	}, nil, "GET /a")
	fmt.Println(<-told)
	// Output:
	// 200 OK hello
	// /a 200 5
}
