package http

import (
	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Jar keeps the cookies of a client (RFC 6265). stdhttp.Jar makes one of any http.CookieJar of
// net/http. Its methods are called on the loop and must not block.
type Jar interface {
	// AppendCookies appends the value of the Cookie field of a request to url, nothing if there are
	// no cookies for it.
	AppendCookies(b []byte, url string) []byte
	// SetCookies takes the values of the Set-Cookie fields of a response from url. They are valid
	// until it returns.
	SetCookies(url string, values [][]byte)
}

// appendCookies appends the Cookie field of a request to url.
func (s *clientSide) appendCookies(b []byte, url string) []byte {
	const name = "Cookie: "
	begin := len(b)
	b = append(b, name...)
	b = s.opts.Jar.AppendCookies(b, url)
	value := b[begin+len(name):]
	if len(value) == 0 || !wire.All(value, wire.ValueByte) { // a jar must not split the request
		return b[:begin]
	}
	return append(b, "\r\n"...)
}

// keepCookies gives the jar the cookies of the response whose head was read.
func (k *clientConn) keepCookies() {
	if k.side.opts.Jar == nil {
		return
	}
	var values [][]byte
	b := k.c.Recv.Bytes()
	for _, s := range k.p.Fields[:k.nspans] {
		if wire.FoldEqual(s.Name.Of(b), "Set-Cookie") {
			values = append(values, s.Value.Of(b))
		}
	}
	if len(values) > 0 {
		k.side.opts.Jar.SetCookies(k.first.target.Text, values)
	}
}
