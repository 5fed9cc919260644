package http

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// proxy2 makes a header of version 2.
func proxy2(verCmd, family byte, rest string) string {
	b := append([]byte(proxySignature), verCmd, family)
	b = binary.BigEndian.AppendUint16(b, uint16(len(rest)))
	return string(b) + rest
}

const (
	addrs4 = "\xc0\x00\x02\x07\x0a\x00\x00\x01\xb7\xa3\x00\x50"
	// 2001:db8::7 to ::1
	addrs6 = "\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" +
		"\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01" + "\xb7\xa3\x00\x50"
)

func proxyText(h ProxyHeader) string {
	if !h.Source.IsValid() && !h.Destination.IsValid() {
		return fmt.Sprintf("v%d nobody", h.Version)
	}
	return fmt.Sprintf("v%d %s to %s", h.Version, h.Source, h.Destination)
}

var proxyHeaders = []struct{ in, want string }{
	{"PROXY TCP4 192.0.2.7 10.0.0.1 47011 80\r\n", "v1 192.0.2.7:47011 to 10.0.0.1:80"},
	{"PROXY TCP4 255.255.255.255 0.0.0.0 65535 0\r\n", "v1 255.255.255.255:65535 to 0.0.0.0:0"},
	{"PROXY TCP6 2001:db8::7 ::1 47011 80\r\n", "v1 [2001:db8::7]:47011 to [::1]:80"},
	{"PROXY UNKNOWN\r\n", "v1 nobody"},
	{"PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n", "v1 nobody"},
	{"PROXY UNKNOWN " + strings.Repeat("x", 107-16) + "\r\n", "v1 nobody"},
	{proxy2(0x21, 0x11, addrs4), "v2 192.0.2.7:47011 to 10.0.0.1:80"},
	{proxy2(0x21, 0x11, addrs4+"\x04\x00\x02xy\x20\x00\x00"), "v2 192.0.2.7:47011 to 10.0.0.1:80"},
	{proxy2(0x21, 0x11, addrs4+"\x04\x02\x00"+strings.Repeat("n", 512)), "v2 192.0.2.7:47011 to 10.0.0.1:80"},
	{proxy2(0x21, 0x21, addrs6), "v2 [2001:db8::7]:47011 to [::1]:80"},
	{proxy2(0x21, 0x31, strings.Repeat("\x00", 216)), "v2 nobody"},
	{proxy2(0x21, 0x00, "whatever"), "v2 nobody"},
	{proxy2(0x20, 0x00, ""), "v2 nobody"},
	{proxy2(0x20, 0x11, addrs4), "v2 nobody"},
	{proxy2(0x20, 0xff, "xyz"), "v2 nobody"},
	{proxy2(0x20, 0x00, strings.Repeat("x", 4096-16)), "v2 nobody"},
}

func TestParseProxy(t *testing.T) {
	for _, tt := range proxyHeaders {
		for n := range len(tt.in) {
			if h, k, err := ParseProxy([]byte(tt.in[:n])); k != 0 || err != nil || h.Source.IsValid() {
				t.Fatalf("%.60q: %d of %d bytes: %v %d %v", tt.in, n, len(tt.in), h, k, err)
			}
		}
		for _, behind := range []string{"", "GET / HTTP/1.1\r\n", "\n", "\r\n\r\n"} {
			h, n, err := ParseProxy([]byte(tt.in + behind))
			if err != nil || n != len(tt.in) || proxyText(h) != tt.want {
				t.Errorf("%.60q: %s, %d, %v; want %s, %d", tt.in, proxyText(h), n, err, tt.want, len(tt.in))
			}
		}
	}
}

var badProxyHeaders = []struct {
	in   string
	want error
}{
	{"G", errProxyNone},
	{"GET / HTTP/1.1\r\n", errProxyNone},
	{"PROXy", errProxyNone},
	{" PROXY", errProxyNone},
	{"\r\n\r\n\x00\r\nQUIT\r", errProxyNone},
	{"\r\nGET", errProxyNone},
	{"PROXY\tTCP4", errProxyNone},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n", errProxyLine},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\rx", errProxyLine},
	{"PROXY TCP4 1.1.1.1\r 2.2.2.2 1 2\r\n", errProxyLine},
	{"PROXY UNKNOWN a\nb\r\n", errProxyLine},
	{"PROXY UNKNOWN " + strings.Repeat("x", 107-14), errProxyLong},
	{"PROXY UNKNOWN " + strings.Repeat("x", 107-15) + "\r\n", errProxyLong},
	{"PROXY \r\n", errProxyForm},
	{"PROXY TCP4\r\n", errProxyForm},
	{"PROXY TCP4 \r\n", errProxyForm},
	{"PROXY TCP5 1.1.1.1 2.2.2.2 1 2\r\n", errProxyForm},
	{"PROXY tcp4 1.1.1.1 2.2.2.2 1 2\r\n", errProxyForm},
	{"PROXY UNKNOWNX\r\n", errProxyForm},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n", errProxyForm},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n", errProxyForm},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 2 \r\n", errProxyForm},
	{"PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n", errProxyForm},
	{"PROXY TCP4  1.1.1.1 2.2.2.2 1\r\n", errProxyAddr},
	{"PROXY TCP4 01.1.1.1 2.2.2.2 1 2\r\n", errProxyAddr},
	{"PROXY TCP4 1.1.1 2.2.2.2 1 2\r\n", errProxyAddr},
	{"PROXY TCP4 ::1 ::1 1 2\r\n", errProxyAddr},
	{"PROXY TCP6 1.1.1.1 2.2.2.2 1 2\r\n", errProxyAddr},
	{"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n", errProxyAddr},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 65536 2\r\n", errProxyPort},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 +2\r\n", errProxyPort},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 02\r\n", errProxyPort},
	{"PROXY TCP4 1.1.1.1 2.2.2.2 1 100000\r\n", errProxyPort},
	{proxySignature + "\x11", errProxyCommand},
	{proxySignature + "\x31", errProxyCommand},
	{proxySignature + "\x22", errProxyCommand},
	{proxy2(0x21, 0x12, addrs4), errProxyFamily},
	{proxy2(0x21, 0x22, addrs6), errProxyFamily},
	{proxy2(0x21, 0x41, addrs6), errProxyFamily},
	{proxy2(0x21, 0x01, addrs6), errProxyFamily},
	{proxy2(0x21, 0x11, addrs4[1:]), errProxyLength},
	{proxy2(0x21, 0x21, addrs6[1:]), errProxyLength},
	{proxy2(0x21, 0x31, addrs6), errProxyLength},
	{proxy2(0x21, 0x11, addrs4+"\x04"), errProxyTLV},
	{proxy2(0x21, 0x11, addrs4+"\x04\x00\x02x"), errProxyTLV},
	{proxySignature + "\x21\x11\x0f\xf1", errProxyLong},
	{proxySignature + "\x20\x00\xff\xff", errProxyLong},
}

func TestParseProxyRefuses(t *testing.T) {
	for _, tt := range badProxyHeaders {
		h, n, err := ParseProxy([]byte(tt.in))
		if err != tt.want || n != 0 || h != (ProxyHeader{}) {
			t.Errorf("%.60q: %v %d %v, want %v", tt.in, h, n, err, tt.want)
		}
		if !errors.Is(err, ErrProxyHeader) {
			t.Errorf("%v does not wrap ErrProxyHeader", err)
		}
	}
}

// behindProxy begins a dialogue in which the peer is a proxy at 10.0.0.9, and the handler replies
// with the client's address.
func behindProxy(t *testing.T, peer string) *testConn {
	h := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			Reply(c, 200, "", "%s", c.RemoteAddr())
		}
	}
	o := Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::/10")}}
	tc := newTest(t, o, h)
	tc.c.Driver().SetRemote(conn.PeerOf(netip.MustParseAddrPort(peer)))
	Attach(tc.c, tc.s)
	return tc
}

func TestProxyHeaderSplitAtEveryByte(t *testing.T) {
	for _, tt := range []struct{ header, client string }{
		{proxyHeaders[0].in, "192.0.2.7:47011"},
		{proxy2(0x21, 0x21, addrs6+"\x04\x00\x02xy"), "[2001:db8::7]:47011"},
		{proxy2(0x20, 0x00, ""), "10.0.0.9:1"},
		{"PROXY UNKNOWN\r\n", "10.0.0.9:1"},
	} {
		all := tt.header + getLine + getLine
		want := fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n%s", len(tt.client), tt.client)
		for i := range len(all) {
			tc := behindProxy(t, "10.0.0.9:1")
			if i == 0 {
				for b := range strings.SplitSeq(all, "") {
					tc.send(b)
				}
			} else {
				tc.send(all[:i], all[i:])
			}
			tc.wantReply(want + want)
			tc.wantOpen()
		}
	}
}

func TestProxyHeaderMalformed(t *testing.T) {
	for _, tt := range badProxyHeaders {
		tc := behindProxy(t, "10.0.0.9:1")
		tc.send(tt.in + getLine)
		tc.wantReply("")
		tc.wantEvents()
		if !tc.Closed() || tc.c.Reason() != conn.Protocol {
			t.Errorf("%.60q: done %v, %v", tt.in, tc.Closed(), tc.c.Reason())
		}
	}
}

func TestProxyHeaderOnlyFromProxies(t *testing.T) {
	for _, h := range []string{proxyHeaders[0].in, proxy2(0x21, 0x11, addrs4)} {
		tc := behindProxy(t, "192.0.2.9:1")
		tc.send(h + getLine)
		tc.wantStatus(400)
		tc.wantClosed(conn.Protocol)
	}
	tc := behindProxy(t, "192.0.2.9:1")
	tc.send(getLine)
	tc.wantStatus(200)
	tc.wantOpen()
}

func TestProxyHeaderOnce(t *testing.T) {
	tc := behindProxy(t, "10.0.0.9:1")
	tc.send("PROXY TCP4 10.0.0.7 10.0.0.1 1 80\r\n" + proxyHeaders[0].in)
	tc.wantStatus(400)
	tc.wantClosed(conn.Protocol)
}

func TestProxyHeaderTooSlow(t *testing.T) {
	tc := behindProxy(t, "10.0.0.9:1")
	tc.send("PROXY ")
	tc.sleep(11 * time.Second)
	if !tc.Closed() || tc.c.Reason() != conn.DeadlineOver {
		t.Errorf("done %v, %v", tc.Closed(), tc.c.Reason())
	}
}

func TestProxyHeaderOfAHealthCheck(t *testing.T) {
	for _, sent := range []string{"", "PROXY TC"} {
		tc := behindProxy(t, "10.0.0.9:1")
		tc.send(sent)
		tc.end()
		if !tc.Closed() || tc.c.Reason() != conn.PeerClosed {
			t.Errorf("%q: done %v, %v", sent, tc.Closed(), tc.c.Reason())
		}
	}
	tc := behindProxy(t, "10.0.0.9:1")
	tc.c.Driver().Fire(&conn.Shutdown{})
	tc.turn()
	if !tc.Closed() || tc.c.Reason() != conn.ShuttingDown {
		t.Errorf("done %v, %v", tc.Closed(), tc.c.Reason())
	}
}

func TestNetProxyHeader(t *testing.T) {
	h := func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				Reply(c, 200, "", "%s", c.RemoteAddr())
			}
		}
	}
	o := Options{ProxyFrom: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}
	underBoth(t, o, h, func(t *testing.T, m *mgr.Manager, addr string) {
		for _, header := range []string{proxyHeaders[0].in, proxy2(0x21, 0x11, addrs4)} {
			c := dial(t, addr)
			r := bufio.NewReader(c)
			io.WriteString(c, header+getLine+getLine)
			wantBody(t, r, 200, "192.0.2.7:47011")
			wantBody(t, r, 200, "192.0.2.7:47011")
			c.Close()
		}
		c := dial(t, addr)
		io.WriteString(c, getLine)
		if b, _ := io.ReadAll(c); len(b) > 0 {
			t.Errorf("answered without a header: %q", b)
		}
	})
}
