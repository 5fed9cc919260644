package main

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
)

// In a network namespace with an interface of its own, devices answer, and are found once each.
func TestDiscover(t *testing.T) {
	if !selftest.InNamespace(t, syscall.CLONE_NEWNET, `ip link set lo up && ip link add v0 type veth peer name v1 && ip addr add 10.9.8.7/24 dev v0 &&
		ip link set v0 up && ip link set v1 up && ip -6 addr add fe80::7/64 dev v0 nodad`) {
		return
	}
	for _, poller := range []string{"epoll", "select"} {
		m := devices(t)
		ctx, stop := context.WithCancel(context.Background())
		ended := make(chan error, 1)
		go func() { ended <- m.Run(ctx) }()
		var out, errOut bytes.Buffer
		if err := run(context.Background(), []string{"-for", "1s", "-interface", "v0", "-poller", poller}, &out, &errOut); err != nil {
			t.Error(err)
		}
		stop()
		<-ended
		m.Close()
		lines := strings.Split(strings.TrimSpace(out.String()), "\n")
		for i := range lines {
			lines[i] = strings.Join(strings.Fields(lines[i]), " ")
		}
		slices.Sort(lines)
		want := []string{
			"10.9.8.7 mdns _http._tcp.local.", "10.9.8.7 mdns _ipp._tcp.local.", "10.9.8.7 ssdp upnp:rootdevice test/1.0 http://192.0.2.1/d.xml",
			"fe80::7%v0 mdns _http._tcp.local.", "fe80::7%v0 mdns _ipp._tcp.local.", "fe80::7%v0 ssdp upnp:rootdevice test/1.0 http://192.0.2.1/d.xml",
		}
		if !slices.Equal(lines, want) {
			t.Errorf("found\n%s\nwant\n%s\n%s", strings.Join(lines, "\n"), strings.Join(want, "\n"), errOut.String())
		}
	}
}

// devices answer on v0, to well-formed questions alone, and badly too.
func devices(t *testing.T) *mgr.Manager {
	t.Helper()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	links, err := interfaces("v0")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range protocols {
		for _, group := range p.groups {
			url := fmt.Sprintf("udp://0.0.0.0:%d", group.Port())
			if group.Addr().Is6() {
				url = fmt.Sprintf("udp://[::]:%d", group.Port())
			}
			c, err := m.Listen(url, func(c *conn.Conn, ev conn.Event) {
				d, ok := ev.(*conn.Datagram)
				if !ok {
					return
				}
				if !bytes.Equal(d.Data, p.question(group)) {
					t.Errorf("asked %q", d.Data)
				}
				d.Reply([]byte("HTTP/1.1 404 Not Found\r\nST: x\r\nUSN: y\r\n\r\n"))
				d.Reply([]byte{0, 0, 0x84})
				if p.name == "ssdp" {
					d.Reply([]byte("HTTP/1.1 200 OK\r\nST: upnp:rootdevice\r\nusn: uuid:1\r\nServer: test/1.0\r\nLOCATION: http://192.0.2.1/d.xml\r\n\r\n"))
					return
				}
				a := dnsmessage.Message{Header: dnsmessage.Header{Response: true, Authoritative: true}}
				for _, kind := range []string{"_ipp._tcp.local.", "_http._tcp.local."} {
					a.Answers = append(a.Answers, dnsmessage.Resource{
						Header: dnsmessage.ResourceHeader{Name: services, Type: dnsmessage.TypePTR, Class: dnsmessage.ClassINET, TTL: 10},
						Body:   &dnsmessage.PTRResource{PTR: dnsmessage.MustNewName(kind)},
					})
				}
				b, err := a.Pack()
				if err != nil {
					t.Error(err)
				}
				d.Reply(b)
			}, mgr.ListenOptions{Socket: conn.SocketOptions{ReuseAddr: true, V6Only: group.Addr().Is6()}})
			if err != nil {
				t.Fatal(err)
			}
			if err := c.Kernel().JoinGroup(group.Addr(), links[0].Index); err != nil {
				t.Fatal(err)
			}
		}
	}
	return m
}

func TestSSDPAnswers(t *testing.T) {
	for text, want := range map[string]string{
		"HTTP/1.1 200 OK\r\nST: a\r\nUSN: b\r\n\r\n":                        "a",
		"HTTP/1.1 200 OK\r\nst:a\r\nusn:b\r\nserver: s\x1b[2J\r\n\r\n":      "a  s.[2J",
		"HTTP/1.1 200 OK\r\nST: a\r\nUSN: b":                                "a",
		"HTTP/1.1 200 OK\r\nST: a\r\n\r\n":                                  "",
		"HTTP/1.1 200 OK\r\nST : a\r\nUSN: b\r\n\r\n":                       "",
		"HTTP/1.1 200 OK\r\nST: a\r\nno colon\r\nUSN: b\r\n\r\n":            "",
		"HTTP/1.1 500 No\r\nST: a\r\nUSN: b\r\n\r\n":                        "",
		"NOTIFY * HTTP/1.1\r\nNT: a\r\nUSN: b\r\n\r\n":                      "",
		string(searchSSDP(netip.MustParseAddrPort("239.255.255.250:1900"))): "",
		"": "",
	} {
		if got := strings.Join(readSSDP([]byte(text)), "|"); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// FuzzAnswers reads anything as an answer of both protocols: what comes out may be printed.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nST: a\r\nUSN: b\r\nSERVER: c\r\n\r\n"))
	f.Add(askMDNS(netip.AddrPort{}))
	f.Add([]byte("\x00\x00\x84\x00\x00\x00\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x0c\x00\x01\x00\x00\x00\x0a\x00\x03\x01b\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, text := range append(readSSDP(b), readMDNS(b)...) {
			if text == "" || strings.ContainsFunc(text, unicode.IsControl) {
				t.Errorf("%q", text)
			}
		}
	})
}
