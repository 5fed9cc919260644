package programtest

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// WantOwnHostsOnly wants the program at addr to refuse requests for another site's name with 421,
// as a page of that site makes with DNS rebinding, and to answer those for its own. The paths
// answer 200 or 101.
func WantOwnHostsOnly(t *testing.T, addr string, paths ...string) {
	t.Helper()
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		for host, want := range map[string]int{addr: 200, "localhost:" + port: 200, "evil.example:" + port: 421, "evil.example": 421} {
			got := statusFor(t, addr, host, path)
			if got == 101 {
				got = 200
			}
			if got != want {
				t.Errorf("GET %s with Host: %s: %d, want %d", path, host, got, want)
			}
		}
	}
}

// statusFor sends a request that may be upgraded to a WebSocket.
func statusFor(t *testing.T, addr, host, path string) int {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", path, host, host)
	resp, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
