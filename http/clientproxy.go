package http

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// ErrProxy is wrapped by the error of a connection that a proxy does not make, or that cannot go
// through one.
var ErrProxy = errors.New("http: proxy")

// ProxyFromEnvironment returns a ClientOptions.Proxy by the variables HTTP_PROXY, HTTPS_PROXY and
// NO_PROXY, or the same in small letters, as they are now. NO_PROXY is a list of names, with all
// below them, addresses, and networks (10.0.0.0/8), each perhaps with a port; "*" is all. localhost
// and addresses of the loopback are never reached by a proxy. In a CGI program, where a client sets
// HTTP_PROXY by its Proxy field, that one is ignored.
func ProxyFromEnvironment() func(url string) (string, error) {
	get := func(name string) string {
		if v := os.Getenv(name); v != "" {
			return v
		}
		return os.Getenv(strings.ToLower(name))
	}
	plain, secure, not := get("HTTP_PROXY"), get("HTTPS_PROXY"), strings.Split(get("NO_PROXY"), ",")
	if os.Getenv("REQUEST_METHOD") != "" {
		plain = os.Getenv("http_proxy")
	}
	return func(to string) (string, error) {
		t, err := weburl.Parse(to, weburl.HTTP)
		if err != nil {
			return "", err
		}
		if byItself(t, not) {
			return "", nil
		}
		if t.Secure {
			return secure, nil
		}
		return plain, nil
	}
}

// byItself reports whether t is reached without a proxy.
func byItself(t *weburl.URL, not []string) bool {
	host := strings.TrimSuffix(strings.ToLower(t.Host()), ".")
	addr, _ := netip.ParseAddr(host)
	if host == "localhost" || addr.IsLoopback() {
		return true
	}
	port := t.HostPort()[strings.LastIndexByte(t.HostPort(), ':')+1:]
	for _, n := range not {
		n = strings.ToLower(strings.TrimSpace(n))
		if n == "*" {
			return true
		}
		if p, err := netip.ParsePrefix(n); err == nil {
			if addr.IsValid() && p.Contains(addr.Unmap()) {
				return true
			}
			continue
		}
		if name, at, ok := strings.Cut(n, ":"); ok && !strings.Contains(at, ":") {
			if at != port {
				continue
			}
			n = name
		}
		n = strings.Trim(strings.TrimPrefix(n, "*"), "[]")
		if a, err := netip.ParseAddr(n); err == nil {
			if a == addr {
				return true
			}
			continue
		}
		if n = strings.TrimPrefix(n, "."); n != "" && (host == n || strings.HasSuffix(host, "."+n)) {
			return true
		}
	}
	return false
}

// A clientProxy is where connections through a proxy go.
type clientProxy struct {
	address string // for mgr.Manager.Connect
	auth    string // the line of Proxy-Authorization, or ""
}

// proxyFor returns the proxy for t, nil if there is none.
func (o *ClientOptions) proxyFor(t *weburl.URL) (*clientProxy, error) {
	if o.Proxy == nil {
		return nil, nil
	}
	text, err := o.Proxy(t.Text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrProxy, err)
	}
	if text == "" {
		return nil, nil
	}
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: its URL is malformed", ErrProxy) // it may have a password
	}
	user := u.User
	u.User, u.Path, u.RawPath, u.RawQuery = nil, "", "", ""
	p, err := weburl.Parse(u.String(), weburl.HTTP)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w %s: %w", ErrProxy, u.Redacted(), err)
	case p.Secure:
		return nil, fmt.Errorf("%w %s: only http:// proxies are supported", ErrProxy, p.Text)
	}
	via := &clientProxy{address: p.Address}
	if user != nil {
		password, _ := user.Password()
		via.auth = "Proxy-Authorization: " + basicAuth(user.Username(), password) + "\r\n"
	}
	return via, nil
}

// appendConnect appends the request for a tunnel to the host and port (RFC 9110 9.3.6).
func (v *clientProxy) appendConnect(b []byte, to string) []byte {
	b = append(append(b, "CONNECT "...), to...)
	b = append(append(b, " HTTP/1.1\r\nHost: "...), to...)
	return append(append(append(b, "\r\n"...), v.auth...), "\r\n"...)
}

// theTunnel is the request of the calls by which connections without TLS get a tunnel.
var theTunnel ClientRequest

// askTunnel has the proxy asked for a tunnel to t before the first request, if there is to be one.
// TLS has a tunnel of its own: tunnelTLS.
func (k *clientConn) askTunnel(t *weburl.URL) {
	if k.via == nil || t.Secure || !k.side.opts.Tunnel {
		return
	}
	a := k.side.take()
	a.tunnel, a.req, a.target, a.method, a.begun = true, &theTunnel, t, "CONNECT", k.now()
	a.until = timeAfter(a.begun, k.side.opts.ConnectTimeout)
	k.add(a)
}

// tunneled takes the proxy's response.
func (k *clientConn) tunneled() result {
	switch status := k.p.Status; {
	case status >= 300:
		k.fail(conn.Protocol, fmt.Errorf("%w: it responded with %d %s", ErrProxy, status, StatusText(status)))
		return wait
	case k.c.Recv.Len() > k.n: // the server does not speak first
		k.fail(conn.Protocol, fmt.Errorf("%w: bytes after its response", ErrProxy))
		return wait
	}
	k.f.Close = false // RFC 9112 9.3: that would be the proxy's connection, which the tunnel has taken
	k.side.put(k.release(k.n))
	k.served = 0
	return again
}

// A tunnelTLS puts TLS beneath a connection that a proxy makes (CONNECT, RFC 9110 9.3.6).
type tunnelTLS struct {
	tls conn.ClientTLS
	to  string // host:port
	via *clientProxy
}

// DialTLS implements conn.ClientTLS.
func (t *tunnelTLS) DialTLS(c *conn.Conn, host string) {
	c.Layer().SetTransport(&tunnel{Transport: c.Layer().Transport(), waits: t.via.appendConnect(nil, t.to)}, 0)
	t.tls.DialTLS(c, host) // which takes the tunnel for the transport below it
}

// A tunnel is the Transport between TLS and the descriptor. What TLS writes first waits until the
// proxy has agreed. It is only ever below another Layered: its own Handshake is never called.
type tunnel struct {
	conn.Transport
	waits   []byte // bytes to be sent as soon as may be: CONNECT, then the first bytes of TLS
	held    []byte // of TLS
	stands  bool
	got     []byte
	head    wire.ResponseHead
	spent   int // bytes of interim responses
	failure error
}

// maxTunnel bounds what a tunnel holds in either direction before it stands.
const maxTunnel = 64 << 10

var tunnelLimits = wire.Limits{Head: 16 << 10, Fields: 100}

// Write sends, or holds what TLS sends first.
func (t *tunnel) Write(fd int, p []byte) (int, error) {
	if err := t.send(fd); err != nil {
		return 0, err
	}
	switch {
	case t.stands && len(t.waits) == 0:
		return t.Transport.Write(fd, p)
	case len(t.held)+len(p) > maxTunnel:
		return 0, fmt.Errorf("%w: too much to send before it has agreed", ErrProxy)
	}
	t.held = append(t.held, p...)
	return len(p), nil
}

// Writev implements conn.Transport.
func (t *tunnel) Writev(fd int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		m, err := t.Write(fd, p)
		if n += m; err != nil || m < len(p) {
			if n > 0 {
				return n, nil
			}
			return n, err
		}
	}
	return n, nil
}

// send gives the kernel what waits.
func (t *tunnel) send(fd int) error {
	for len(t.waits) > 0 {
		n, err := t.Transport.Write(fd, t.waits)
		if n > 0 {
			t.waits = t.waits[n:]
		}
		if err == syscall.EINTR {
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Read reads, first the proxy's response.
func (t *tunnel) Read(fd int, p []byte) (int, error) {
	if t.failure != nil {
		return 0, t.failure
	}
	if err := t.send(fd); err != nil && err != syscall.EAGAIN {
		return 0, err
	}
	for !t.stands {
		var room [2048]byte
		n, err := t.Transport.Read(fd, room[:])
		if err != nil {
			return n, err
		}
		if n == 0 {
			return 0, t.fail("it has closed the connection")
		}
		t.got = append(t.got, room[:n]...)
		if err := t.response(fd); err != nil {
			return 0, err
		}
	}
	return t.Transport.Read(fd, p)
}

// response reads what the proxy has said so far.
func (t *tunnel) response(fd int) error {
	for len(t.got) > 0 && !t.stands {
		n, bad := t.head.Parse(t.got, &tunnelLimits)
		switch {
		case bad != nil:
			return t.fail(bad.Text)
		case n == 0:
			return nil
		}
		status := t.head.Status
		t.got = t.got[n:]
		t.head.Reset()
		switch {
		case status < 200:
			if t.spent += n; t.spent > tunnelLimits.Head {
				return t.fail(errInterims.Text) // as long as bytes come, Read does not return
			}
			continue
		case status >= 300:
			return t.fail(fmt.Sprintf("it responded with %d %s", status, StatusText(status)))
		case len(t.got) > 0: // a TLS server does not speak first
			return t.fail("bytes after its response")
		}
		t.stands = true
		t.waits, t.held = t.held, nil
		if err := t.send(fd); err != nil {
			return err
		}
	}
	return nil
}

func (t *tunnel) fail(why string) error {
	t.failure = fmt.Errorf("%w: %s", ErrProxy, why)
	return t.failure
}

// Below implements conn.Layered.
func (t *tunnel) Below() conn.Transport { return t.Transport }

// Handshake implements conn.Layered.
func (t *tunnel) Handshake(int) (conn.Event, error) { return nil, nil }

// Buffered implements conn.Layered.
func (t *tunnel) Buffered() bool { return false }

// Unsent implements conn.Layered.
func (t *tunnel) Unsent() int { return 0 }

// Holds implements conn.Layered.
func (t *tunnel) Holds() int { return cap(t.waits) + cap(t.held) + cap(t.got) }

// Flush implements conn.Layered.
func (t *tunnel) Flush(int) error { return nil }
