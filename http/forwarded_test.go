package http

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

var trustedNets = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("2001:db8:aaaa::/48"), netip.MustParsePrefix("fe80::/10"),
	netip.MustParsePrefix("::ffff:172.16.0.0/108"),
}

func TestClientAddr(t *testing.T) {
	const x, f = "X-Forwarded-For", "Forwarded"
	for _, tt := range []struct{ name, peer, field, head, want string }{
		{"a peer that is not trusted", "192.0.2.1:1", x, "X-Forwarded-For: 6.6.6.6", "192.0.2.1"},
		{"no field", "10.0.0.1:1", x, "", "10.0.0.1"},
		{"the default field", "10.0.0.1:1", "", "X-Forwarded-For: 192.0.2.7", "192.0.2.7"},
		{"the field that is not the proxies'", "10.0.0.1:1", x, "Forwarded: for=6.6.6.6", "10.0.0.1"},
		{"the field that is not the proxies' beside it", "10.0.0.1:1", x, "Forwarded: for=6.6.6.6\nX-Forwarded-For: 192.0.2.7", "192.0.2.7"},
		{"any field of addresses", "10.0.0.1:1", "X-Real-IP", "x-real-ip: 192.0.2.7", "192.0.2.7"},
		{"what the client made up", "10.0.0.1:1", x, "X-Forwarded-For: 6.6.6.6, 10.0.0.5, 192.0.2.7, 10.0.0.2", "192.0.2.7"},
		{"in a line of its own", "10.0.0.1:1", x, "X-Forwarded-For: 6.6.6.6\nX-Forwarded-For: 192.0.2.7", "192.0.2.7"},
		{"in lines in order", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7\nX-Forwarded-For: 10.0.0.3, 10.0.0.2", "192.0.2.7"},
		{"all are trusted: the first", "10.0.0.1:1", x, "X-Forwarded-For: 10.0.0.3, 10.0.0.2", "10.0.0.3"},
		{"empty elements", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7,, ,10.0.0.2 ,", "192.0.2.7"},
		{"malformed in front", "10.0.0.1:1", x, "X-Forwarded-For: <script>, \", 192.0.2.7", "192.0.2.7"},
		{"malformed behind", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7, unknown, 10.0.0.2", "invalid IP"},
		{"malformed, first and alone", "10.0.0.1:1", x, "X-Forwarded-For: unknown, 10.0.0.2", "invalid IP"},
		{"a quote left open", "10.0.0.1:1", x, "X-Forwarded-For: \", 192.0.2.7", "192.0.2.7"},
		{"with port", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7:65535", "192.0.2.7"},
		{"port out of range", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7:65536", "invalid IP"},
		{"no port behind the colon", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.7:", "invalid IP"},
		{"leading zero", "10.0.0.1:1", x, "X-Forwarded-For: 192.0.2.07", "invalid IP"},
		{"IPv6", "10.0.0.1:1", x, "X-Forwarded-For: 2001:DB8::7", "2001:db8::7"},
		{"IPv6 in brackets", "10.0.0.1:1", x, "X-Forwarded-For: [2001:db8::7]", "2001:db8::7"},
		{"IPv6 with port", "10.0.0.1:1", x, "X-Forwarded-For: [2001:db8::7]:1", "2001:db8::7"},
		{"IPv6 with rubbish", "10.0.0.1:1", x, "X-Forwarded-For: [2001:db8::7]1", "invalid IP"},
		{"bracket left open", "10.0.0.1:1", x, "X-Forwarded-For: [2001:db8::7", "invalid IP"},
		{"IPv4 in brackets", "10.0.0.1:1", x, "X-Forwarded-For: [192.0.2.7]", "invalid IP"},
		{"a zone", "10.0.0.1:1", x, "X-Forwarded-For: fe80::1%eth0", "invalid IP"},
		{"IPv4-mapped", "10.0.0.1:1", x, "X-Forwarded-For: ::ffff:192.0.2.7, ::ffff:10.1.1.1", "192.0.2.7"},
		{"very long", "10.0.0.1:1", x, "X-Forwarded-For: " + strings.Repeat("1", 300), "invalid IP"},
		{"IPv6 proxies", "[2001:db8:aaaa::1]:1", x, "X-Forwarded-For: 2001:db8::7, 2001:db8:aaaa::2", "2001:db8::7"},
		{"a mapped network", "172.16.3.4:1", x, "X-Forwarded-For: 192.0.2.7", "192.0.2.7"},

		// RFC 7239 4
		{"one", "10.0.0.1:1", f, "Forwarded: for=192.0.2.7", "192.0.2.7"},
		{"any case, among others", "10.0.0.1:1", f, "Forwarded: proto=http;FOR=192.0.2.7;by=203.0.113.43", "192.0.2.7"},
		{"IPv6 in quotes and brackets", "10.0.0.1:1", f, `Forwarded: For="[2001:db8::7]:4711"`, "2001:db8::7"},
		{"IPv4 with port in quotes", "10.0.0.1:1", f, `Forwarded: for="192.0.2.7:4711"`, "192.0.2.7"},
		{"IPv4 with port without quotes", "10.0.0.1:1", f, `Forwarded: for=192.0.2.7:4711`, "invalid IP"},
		{"IPv6 without brackets", "10.0.0.1:1", f, `Forwarded: for="2001:db8::7"`, "invalid IP"},
		{"several", "10.0.0.1:1", f, "Forwarded: for=6.6.6.6, for=192.0.2.7\nForwarded: for=10.0.0.3;host=\"a,b\"", "192.0.2.7"},
		{"obfuscated", "10.0.0.1:1", f, "Forwarded: for=6.6.6.6, for=_hidden", "invalid IP"},
		{"unknown", "10.0.0.1:1", f, "Forwarded: for=unknown", "invalid IP"},
		{"without for", "10.0.0.1:1", f, "Forwarded: for=6.6.6.6, proto=http", "invalid IP"},
		{"for twice", "10.0.0.1:1", f, "Forwarded: for=192.0.2.7;for=192.0.2.7", "invalid IP"},
		{"no pair", "10.0.0.1:1", f, "Forwarded: for", "invalid IP"},
		{"empty value", "10.0.0.1:1", f, "Forwarded: for=", "invalid IP"},
		{"empty quotes", "10.0.0.1:1", f, `Forwarded: for=""`, "invalid IP"},
		{"a pair left quoted hides nobody behind", "10.0.0.1:1", f, `Forwarded: for=6.6.6.6;by=", for="192.0.2.7"`, "invalid IP"},
		{"a quote left open names nobody else", "10.0.0.1:1", f, `Forwarded: for="6.6.6.6, for=192.0.2.7`, "invalid IP"},
		{"a quote in a line of its own", "10.0.0.1:1", f, "Forwarded: for=\"6.6.6.6\nForwarded: for=192.0.2.7", "192.0.2.7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := ""
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *Head:
					got = ev.ClientAddr(c, trustedNets, tt.field).String()
				case *Message:
					if a := ev.ClientAddr(c, trustedNets, tt.field).String(); a != got {
						t.Errorf("%s in Head, %s in Message", got, a)
					}
				}
			})
			tc.c.Driver().SetRemote(conn.PeerOf(netip.MustParseAddrPort(tt.peer)))
			head := ""
			if tt.head != "" {
				head = strings.ReplaceAll(tt.head, "\n", "\r\n") + "\r\n"
			}
			tc.send("GET / HTTP/1.1\r\nHost: x\r\n" + head + "\r\n")
			if got != tt.want {
				t.Errorf("%q from %s: %s, want %s", tt.head, tt.peer, got, tt.want)
			}
		})
	}
}

func TestClientAddrOfAUnixSocket(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			Reply(c, 200, "", "%s", m.ClientAddr(c, []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")}, ""))
		}
	})
	tc.c.Driver().SetRemote(conn.Peer{})
	tc.send("GET / HTTP/1.1\r\nHost: x\r\nX-Forwarded-For: 192.0.2.7\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 10\n\ninvalid IP")
}

func TestInNetworks(t *testing.T) {
	for _, tt := range []struct {
		addr string
		want bool
	}{
		{"10.255.255.255", true}, {"11.0.0.0", false}, {"::ffff:10.0.0.1", true}, {"fe80::1%eth0", true},
		{"2001:db8:aaaa::1", true}, {"2001:db8:aaab::1", false}, {"172.31.0.1", true}, {"172.32.0.1", false},
	} {
		if got := InNetworks(netip.MustParseAddr(tt.addr), trustedNets); got != tt.want {
			t.Errorf("%s: %v", tt.addr, got)
		}
	}
	if InNetworks(netip.Addr{}, []netip.Prefix{netip.MustParsePrefix("::/0"), netip.MustParsePrefix("0.0.0.0/0")}) {
		t.Error("no address is in a network")
	}
}
