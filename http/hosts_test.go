package http

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestHostsLetInTheNamesOfTheMachineAndWhatWasGiven(t *testing.T) {
	machine, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	label, _, _ := strings.Cut(machine, ".")
	tc := newTest(t, Options{Hosts: []string{"Device.Example", "198.51.100.7", "2001:db8::7"}}, nil)
	for _, host := range []string{
		"localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:81", "[::1]:8080", "[::ffff:127.0.0.1]",
		machine, strings.ToUpper(machine), label + ".local", label + ".LOCAL.:80",
		"device.example", "device.EXAMPLE:443", "device.example.", "198.51.100.7:8080", "[2001:db8:0::7]",
		"[::ffff:198.51.100.7]",
	} {
		tc.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		tc.wantStatus(200)
	}
	tc.send("GET http://device.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n") // RFC 9112 3.2.2: the target goes first
	tc.wantStatus(200)
	tc.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n") // no browser
	tc.wantStatus(200)
}

func TestHostsRefuseOtherNamesWith421BeforeTheHandler(t *testing.T) {
	for _, host := range []string{
		"evil.example", "evil.example:8080", "localhost.evil.example", "evil.localhost", "device.example.evil.example",
		"xdevice.example", "203.0.113.9", "0.0.0.0", "[2001:db8::8]", "127.0.0.1.evil.example", "local", "evil.local",
	} {
		for _, request := range []string{
			"GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n",
			"GET http://" + host + "/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
			"GET /ws HTTP/1.1\r\nHost: " + host + "\r\nOrigin: http://" + host + "\r\nUpgrade: websocket\r\n" +
				"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
			"POST / HTTP/1.1\r\nHost: " + host + "\r\nContent-Length: 2\r\n\r\nhi",
		} {
			tc := newTest(t, Options{Hosts: []string{"device.example"}}, nil)
			tc.send("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n") // what was let in before lets nothing else in
			tc.wantStatus(200)
			tc.events = nil
			tc.send(request)
			tc.wantStatus(421)
			tc.wantEvents(fmt.Sprintf("bad 421 http: request: %q is none of Options.Hosts", host))
			tc.wantClosed(conn.Protocol)
		}
	}
}

func TestHostsAreNotCheckedUnlessGiven(t *testing.T) {
	for _, hosts := range [][]string{nil, {"device.example", AnyHost}} {
		tc := newTest(t, Options{Hosts: hosts}, nil)
		tc.send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n")
		tc.wantStatus(200)
	}
}

func TestHostFuncIsAskedEachTime(t *testing.T) {
	name := "one.example"
	var asked []string
	tc := newTest(t, Options{HostFunc: func(host []byte) bool {
		asked = append(asked, string(host))
		return string(host) == name
	}}, nil)
	ask := func(host string, want int) {
		t.Helper()
		tc.send("GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		tc.wantStatus(want)
	}
	ask("localhost", 200) // without a question
	ask("ONE.example.:8080", 200)
	ask("one.example", 200)
	ask("[::1]:80", 200)
	name = "two.example"
	ask("two.example", 200)
	name = "three.example"
	ask("two.example", 421) // no longer
	tc.wantClosed(conn.Protocol)
	if got := strings.Join(asked, " "); got != "one.example one.example two.example two.example" {
		t.Errorf("it was asked for %s", got)
	}
}

func TestHostsMalformedEntriesAreErrorsOfListen(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, host := range []string{"", "a:80", "[::1]:80", "http://a", "a/b", "a b", "..", "*.example:1"} {
		if l, err := Listen(m, "http://127.0.0.1:0", func(*conn.Conn, conn.Event) {}, Options{Hosts: []string{host}}); err == nil {
			t.Errorf("%q was taken", host)
			l.Close()
		}
	}
}

func TestNetHostsKnowTheAddressThatTheClientConnectedTo(t *testing.T) {
	underBoth(t, Options{Hosts: []string{"localhost"}}, echoBody, func(t *testing.T, _ *mgr.Manager, addr string) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: %s\r\n\r\n", addr)
		wantBody(t, r, 200, "/a")
		fmt.Fprintf(c, "GET /a HTTP/1.1\r\nHost: evil.example\r\n\r\n")
		wantBody(t, r, 421, "421 Misdirected Request\n")
	})
}

func BenchmarkHostsAllows(b *testing.B) {
	tc := newTest(b, Options{Hosts: []string{"device.example"}}, nil)
	for _, host := range []string{"127.0.0.1:8080", "evil.example"} {
		b.Run(host, func(b *testing.B) {
			b.ReportAllocs()
			h := []byte(host)
			for b.Loop() {
				tc.s.hosts.allows(tc.c, h)
			}
		})
	}
}
