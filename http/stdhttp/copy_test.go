package stdhttp

import (
	"bufio"
	"bytes"
	nethttp "net/http"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// FuzzCopy: the request that a handler of net/http is given is the one that net/http's own server
// would read from the same bytes, and refers to none of them.
func FuzzCopy(f *testing.F) {
	for _, s := range []string{
		"GET / HTTP/1.1\nHost: h\n\n", "POST /a%2fb?x=%zz&y HTTP/1.1\nHost: h:80\nContent-Length: 12\nCookie: a\ncookie: b\n\n",
		"POST http://other/x HTTP/1.1\nHost: other\nTransfer-Encoding: chunked\nTrailer: a, B\n\n", "GET / HTTP/1.0\nConnection: keep-alive\n\n",
		"GET / HTTP/1.1\nHost: h\nConnection: Close, x\nPragma: no-cache\n\n", "OPTIONS * HTTP/1.1\nHost: h\n\n", "CONNECT h:80 HTTP/1.1\nHost: h:80\n\n",
		"GET //x HTTP/1.1\nHost: h\nX:\nX: \xff\n\n", "GET /%00 HTTP/1.1\nHost: [::1]\nTE: trailers\n\n", "M-X /; HTTP/1.1\nHost: h\nContent-Length: 0\n\n",
	} {
		f.Add([]byte(strings.ReplaceAll(s, "\n", "\r\n")))
	}
	c := conntest.New(f, nil).Conn
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 1000 {
			return
		}
		mine := bytes.Clone(raw)
		r, n, err := http.NewRequestParser(http.Options{HTTPS: true}).Parse(mine)
		if err != nil || n == 0 || n != len(raw) {
			return
		}
		got, err := copyRequest(c, r)
		for i := range mine {
			mine[i] = '?'
		}
		want, stdErr := nethttp.ReadRequest(bufio.NewReader(bytes.NewReader(raw)))
		if stdErr != nil {
			return // it is stricter here and there; FuzzDifferential knows where
		}
		if err != nil {
			if want.Method == "CONNECT" {
				return
			}
			t.Fatalf("%q: %v, and net/http takes it", raw, err)
		}
		if got.Method != want.Method || got.URL.String() != want.URL.String() || got.RequestURI != want.RequestURI || !strings.EqualFold(got.Host, want.Host) ||
			got.Proto != want.Proto || got.ContentLength != want.ContentLength || got.Close != want.Close || !slices.Equal(got.TransferEncoding, want.TransferEncoding) {
			t.Fatalf("%q:\n%+v\nnet/http:\n%+v", raw, got, want)
		}
		if p := want.Header["Pragma"]; len(p) > 0 && p[0] == "no-cache" && got.Header["Cache-Control"] == nil {
			delete(want.Header, "Cache-Control") // net/http adds it for clients of HTTP/1.0
		}
		if !reflect.DeepEqual(got.Header, want.Header) || !reflect.DeepEqual(got.Trailer, want.Trailer) {
			t.Fatalf("%q:\n%q %q\nnet/http:\n%q %q", raw, got.Header, got.Trailer, want.Header, want.Trailer)
		}
	})
}

// A request without TLS must not pay for the state of TLS.
func TestACopyWithoutTLSAllocatesNoStateOfTLS(t *testing.T) {
	c := conntest.New(t, nil).Conn
	r, _, err := http.NewRequestParser(http.Options{}).Parse([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	if err != nil {
		t.Fatal(err)
	}
	// The request, its URL, strings and the header.
	if n := testing.AllocsPerRun(100, func() { copyRequest(c, r) }); n > 8 {
		t.Errorf("%v allocations", n)
	}
}
