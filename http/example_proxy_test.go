package http_test

import (
	"fmt"
	"net/netip"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	mghttp "github.com/seed4930a636/mangusta/http"
)

// A proxy gives the address of the client in a PROXY header.
func ExampleOptions_proxyFrom() {
	server := mghttp.NewServer(mghttp.Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*mghttp.Message); ok {
			fmt.Println("the client is", c.RemoteAddr())
		}
	}, conntest.Options{
		Remote: netip.MustParseAddrPort("127.0.0.1:4711"),
		Setup:  func(c *conn.Conn) { mghttp.Attach(c, server) },
	})
	d.Send("PROXY TCP4 192.0.2.7 192.0.2.1 47011 80\r\nGET / HTTP/1.1\r\nHost: device.local\r\n\r\n")
	// Output: the client is 192.0.2.7:47011
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

// The first address is of the client's own making. The second one was seen by the trusted proxy,
// the peer.
func ExampleRequest_ClientAddr() {
	trusted := []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
	server := mghttp.NewServer(mghttp.Options{})
	d := conntest.New(nil, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*mghttp.Message); ok {
			fmt.Println(m.ClientAddr(c, trusted, "X-Forwarded-For"))
		}
	}, conntest.Options{
		Remote: netip.MustParseAddrPort("127.0.0.1:4711"),
		Setup:  func(c *conn.Conn) { mghttp.Attach(c, server) },
	})
	d.Send("GET / HTTP/1.1\r\nHost: device\r\nX-Forwarded-For: 6.6.6.6, 192.0.2.7\r\n\r\n")
	// Output: 192.0.2.7
}

// Networks as a configuration file has them.
func ExampleInNetworks() {
	var lan []netip.Prefix
	for _, text := range []string{"10.0.0.0/8", "fd00::/8"} {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			fmt.Println(err)
			return
		}
		lan = append(lan, p)
	}
	for _, text := range []string{"10.1.2.3", "::ffff:10.1.2.3", "192.0.2.7"} {
		fmt.Println(text, mghttp.InNetworks(netip.MustParseAddr(text), lan))
	}
	// Output:
	// 10.1.2.3 true
	// ::ffff:10.1.2.3 true
	// 192.0.2.7 false
}
