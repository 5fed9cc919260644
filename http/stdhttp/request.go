package stdhttp

import (
	"net"
	nethttp "net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// copyRequest makes a request of net/http that shares no memory with r. Its Body is not set.
func copyRequest(c *conn.Conn, r *http.Request) (*nethttp.Request, error) {
	target := string(r.Target)
	u, err := url.ParseRequestURI(target)
	if err != nil {
		return nil, err
	}
	q := &nethttp.Request{
		Method: r.Method, URL: u, RequestURI: target, Host: string(r.Host), RemoteAddr: "@",
		Proto: "HTTP/1." + strconv.Itoa(r.Minor), ProtoMajor: 1, ProtoMinor: r.Minor,
		Header:  make(nethttp.Header, len(r.Headers())),
		Pattern: r.Pattern(),
		Close:   r.HasToken("Connection", "close") || r.Minor == 0 && !r.HasToken("Connection", "keep-alive"),
	}
	if a := c.RemoteAddr(); a.IsValid() {
		q.RemoteAddr = a.String()
	}
	if c.Secure() {
		if state, ok := tlsconn.State(c); ok {
			q.TLS = &state
		}
	}
	for _, f := range r.Headers() {
		name := nethttp.CanonicalHeaderKey(string(f.Name))
		q.Header[name] = append(q.Header[name], string(f.Value))
	}
	delete(q.Header, "Host")
	if p := q.Header["Pragma"]; len(p) > 0 && p[0] == "no-cache" && q.Header["Cache-Control"] == nil {
		q.Header["Cache-Control"] = []string{"no-cache"} // RFC 9111 5.4, for clients of HTTP/1.0
	}
	for name, value := range r.PathValues {
		q.SetPathValue(name, string(value))
	}
	// The parser has refused all other forms of both.
	if q.Header["Transfer-Encoding"] != nil {
		delete(q.Header, "Transfer-Encoding")
		q.TransferEncoding = []string{"chunked"}
		q.ContentLength = -1
		announceTrailers(q)
	} else if n := q.Header.Get("Content-Length"); n != "" {
		if q.ContentLength, err = strconv.ParseInt(n, 10, 64); err != nil {
			return nil, err
		}
	}
	return q, nil
}

// announceTrailers moves the names in the Trailer field to q.Trailer, where net/http has them until
// the values have come.
func announceTrailers(q *nethttp.Request) {
	for _, line := range q.Header["Trailer"] {
		for name := range strings.SplitSeq(line, ",") {
			if name = nethttp.CanonicalHeaderKey(strings.TrimSpace(name)); name != "" {
				if q.Trailer == nil {
					q.Trailer = make(nethttp.Header)
				}
				q.Trailer[name] = nil
			}
		}
	}
	delete(q.Header, "Trailer")
}

// localAddr is what handlers find under http.LocalAddrContextKey.
func localAddr(c *conn.Conn) net.Addr {
	if a := c.LocalAddr(); a.IsValid() {
		return net.TCPAddrFromAddrPort(a)
	}
	return &net.UnixAddr{Net: "unix"}
}
