package conn_test

import (
	"fmt"

	"github.com/seed4930a636/mangusta/conn"
)

func ExampleParseAddr() {
	for _, url := range []string{
		"tcp://127.0.0.1:8080", "tcp://localhost:80", "tcp://:80", "tcp://[::1]:0", "unix:///run/x.sock", "unix://@name", "udp://:53",
		"tcp://127.0.0.1", "tcp://example.org:80", "http://127.0.0.1:80",
	} {
		a, err := conn.ParseAddr(url)
		if err != nil {
			fmt.Println(err)
			continue
		}
		fmt.Println(a.Network, a)
	}
	// Output:
	// tcp tcp://127.0.0.1:8080
	// tcp tcp://127.0.0.1:80
	// tcp tcp://:80
	// tcp tcp://[::1]:0
	// unix unix:///run/x.sock
	// unix unix://@name
	// udp udp://:53
	// conn: address "tcp://127.0.0.1": no port
	// conn: address "tcp://example.org:80": host names are not resolved, give an IP address instead of "example.org"
	// conn: address "http://127.0.0.1:80": unknown scheme "http", want tcp, udp, unix or unixgram
}
