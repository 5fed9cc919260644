package main

import (
	"bytes"
	"net/netip"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// This file says which fields are passed on, and which ones a proxy adds.

// ofConnection are the fields that belong to one connection (RFC 9110 7.6.1), and those of the
// framing, which package http makes anew. Proxy-Authorization is for proxies that clients know of;
// Proxy would become HTTP_PROXY in a CGI program.
var ofConnection = [...]string{"Connection", "Keep-Alive", "Proxy-Connection", "TE", "Transfer-Encoding", "Content-Length", "Upgrade",
	"HTTP2-Settings", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Authentication-Info", "Proxy"}

// ofRequest are the fields of a request that begin or are checks of its framing: the proxy sets
// them itself.
var ofRequest = [...]string{"Host", "Expect", "Max-Forwards"}

// ofClient are the fields that tell a server of the client. Only trusted proxies may set them.
var ofClient = [...]string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Forwarded-Port",
	"X-Forwarded-Prefix", "X-Forwarded-Server", "X-Real-IP"}

// message is a request or a response.
type message interface {
	Headers() []http.Field
	HasToken(name, token string) bool
}

// passes reports whether a field of m is passed on. Those that Connection names are not.
func passes(m message, f http.Field) bool {
	return !isOneOf(f.Name, ofConnection[:]) && !m.HasToken("Connection", string(f.Name))
}

func isOneOf(name []byte, names []string) bool {
	for _, n := range names {
		if len(n) == len(name) && strings.EqualFold(n, string(name)) {
			return true
		}
	}
	return false
}

// request makes the request to the server of that of a client.
func (p *proxy) request(r *http.ClientRequest, c *conn.Conn, h *http.Head) {
	trusted := http.InNetworks(c.RemoteAddr().Addr(), p.cfg.web.Trusted)
	r.Method, r.Target = h.Method, originForm(h.Target)
	if !p.cfg.ownHost {
		r.Host = string(h.Host)
	}
	for _, f := range h.Headers() {
		switch {
		case !passes(h, f), isOneOf(f.Name, ofRequest[:]):
		case isOneOf(f.Name, []string{"Trailer"}) && h.Length >= 0: // there is no place for them
		case !trusted && isOneOf(dashed(f.Name), ofClient[:]):
		default:
			r.AddField(f)
		}
	}
	if u := p.upgrade(h); u != "" && h.Length == 0 {
		r.SetHeader("Upgrade", u)
	}
	p.addClient(r, c, h, trusted)
	r.AddHeader("Via", viaOf(h.Minor, p.via))
}

// dashed makes dashes of underscores: both are the same to a program that gets fields as variables
// of its environment.
func dashed(name []byte) []byte {
	if bytes.IndexByte(name, '_') < 0 {
		return name
	}
	return bytes.ReplaceAll(name, []byte("_"), []byte("-"))
}

// addClient adds what tells the server of the client. The fields of a trusted proxy are kept.
func (p *proxy) addClient(r *http.ClientRequest, c *conn.Conn, h *http.Head, trusted bool) {
	proto := "http"
	if c.Secure() {
		proto = "https"
	}
	node := "unknown" // RFC 7239 6.2: a unix socket has no address
	if a := c.RemoteAddr().Addr().Unmap(); a.IsValid() {
		r.AddHeader("X-Forwarded-For", a.WithZone("").String())
		node = nodeOf(a)
	}
	host := string(h.Host)
	if !trusted || h.Header("X-Forwarded-Host") == nil {
		r.SetHeader("X-Forwarded-Host", host)
	}
	if !trusted || h.Header("X-Forwarded-Proto") == nil {
		r.SetHeader("X-Forwarded-Proto", proto)
	}
	if host == "" {
		r.AddHeader("Forwarded", "for="+node+";proto="+proto)
	} else {
		r.AddHeader("Forwarded", "for="+node+`;host="`+host+`";proto=`+proto)
	}
}

// nodeOf returns an address as Forwarded has it (RFC 7239 6): an IPv6 address is in brackets, and
// these need quotes.
func nodeOf(a netip.Addr) string {
	if a.Is4() {
		return a.String()
	}
	return `"[` + a.WithZone("").String() + `]"`
}

// viaOf is the element that this proxy adds to Via (RFC 9110 7.6.3).
func viaOf(minor int, name string) string {
	if minor == 0 {
		return "1.0 " + name
	}
	return "1.1 " + name
}

// hasPassed reports whether a request has come through this proxy before.
func (p *proxy) hasPassed(r *http.Request) bool {
	for _, f := range r.Headers() {
		if isOneOf(f.Name, []string{"Via"}) && bytes.Contains(f.Value, []byte(" "+p.via)) {
			return true
		}
	}
	return false
}

// upgrade returns the protocol that the client may switch to, "" if there is none.
func (p *proxy) upgrade(h *http.Head) string {
	if h.Minor == 0 || h.Method != "GET" || !h.HasToken("Connection", "Upgrade") {
		return ""
	}
	for _, u := range p.cfg.upgrades {
		if h.HasToken("Upgrade", u) {
			return u
		}
	}
	return ""
}

// originForm returns the path and the query of a target in absolute form, as servers want it; any
// other as it is (RFC 9112 3.2).
func originForm(target []byte) string {
	if target[0] == '/' || target[0] == '*' {
		return string(target)
	}
	_, rest, _ := bytes.Cut(target, []byte("://"))
	i := bytes.IndexAny(rest, "/?")
	switch {
	case i < 0:
		return "/"
	case rest[i] == '?':
		return "/" + string(rest[i:])
	}
	return string(rest[i:])
}

// copyFields sets the fields of the reply: those of the response that are passed on.
func (p *proxy) copyFields(later *http.Later, h *http.ResponseHead, chunked bool) {
	for _, f := range h.Headers() {
		switch {
		case isOneOf(f.Name, []string{"Upgrade"}) && h.Status == 426: // RFC 9110 15.5.22: it says which
		case !passes(h, f):
			continue
		case isOneOf(f.Name, []string{"Trailer"}) && !chunked:
			continue
		}
		later.AddField(f) // but a Date that is none
	}
	later.AddHeader("Via", viaOf(h.Minor, p.via))
}
