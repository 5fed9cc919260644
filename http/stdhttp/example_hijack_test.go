package stdhttp_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	nethttp "net/http"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

// A handler takes its connection: a net.Conn, which it may keep.
func ExampleHandler_hijack() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := stdhttp.New(m, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		c, rw, err := nethttp.NewResponseController(w).Hijack()
		if err != nil {
			nethttp.Error(w, err.Error(), 500)
			return
		}
		defer c.Close()
		rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		rw.Flush()
		line, _ := rw.ReadString('\n')
		fmt.Fprintf(rw, "you said: %s", line)
		rw.Flush()
	}), stdhttp.Options{})
	l, err := http.Listen(m, "http://127.0.0.1:0", h.Handle)
	if err != nil {
		fmt.Println(err)
		return
	}
	addr := l.LocalAddr().String()
	go m.Run(context.Background())
	defer m.Close()

	c, err := net.Dial("tcp", addr)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer c.Close()
	fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: device\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello\n")
	in := bufio.NewReader(c)
	resp, err := nethttp.ReadResponse(in, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	line, _ := in.ReadString('\n')
	fmt.Print(resp.StatusCode, " ", line)
	// Output: 101 you said: hello
}

// Some routes of a Mux go to a handler of net/http.
func ExampleHandler_Serve() {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	items := stdhttp.New(m, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprintf(w, "item %s", r.PathValue("id"))
	}), stdhttp.Options{Workers: 8, Queue: 32})
	x := http.NewMux()
	x.MustHandle("GET /items/{id}", items.Serve)         // the body comes whole
	x.MustHandleEvents("POST /items/{id}", items.Handle) // the body is streamed
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		fmt.Println(err)
		return
	}
	url := "http://" + l.LocalAddr().String() + "/items/7"
	go m.Run(context.Background())
	defer m.Close()
	resp, err := nethttp.Get(url)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	body, _ := bufio.NewReader(resp.Body).ReadString(0)
	fmt.Println(resp.Status, body)
	// Output: 200 OK item 7
}
