package stdhttp

import (
	nethttp "net/http"
	"net/url"

	"github.com/seed4930a636/mangusta/http"
)

// Jar makes the cookie jar of net/http, such as one of net/http/cookiejar, that of a client:
//
//	jar, _ := cookiejar.New(nil)
//	client, err := http.NewClient(m, http.ClientOptions{Jar: stdhttp.Jar(jar)})
//
// It is as safe for concurrent use as jar is; that of net/http/cookiejar is.
func Jar(jar nethttp.CookieJar) http.Jar { return cookies{jar} }

type cookies struct{ jar nethttp.CookieJar }

// AppendCookies implements http.Jar.
func (c cookies) AppendCookies(b []byte, to string) []byte {
	u, err := url.Parse(to)
	if err != nil {
		return b
	}
	r := nethttp.Request{Header: nethttp.Header{}}
	for _, k := range c.jar.Cookies(u) {
		r.AddCookie(k)
	}
	return append(b, r.Header.Get("Cookie")...)
}

// SetCookies implements http.Jar.
func (c cookies) SetCookies(from string, values [][]byte) {
	u, err := url.Parse(from)
	if err != nil {
		return
	}
	r := nethttp.Response{Header: nethttp.Header{}}
	for _, v := range values {
		r.Header.Add("Set-Cookie", string(v))
	}
	if list := r.Cookies(); len(list) > 0 {
		c.jar.SetCookies(u, list)
	}
}
