package micro

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"

	mghttp "github.com/seed4930a636/mangusta/http"
)

// browserRequest is what a browser sends for a page, 500 bytes of it.
var browserRequest = func() []byte {
	head := "GET /static/app/index.html?lang=en&theme=dark HTTP/1.1\r\nHost: device.local:8080\r\n" +
		"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
		"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
		"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nReferer: http://device.local:8080/\r\n" +
		"Upgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\nCookie: session="
	const end = "\r\n\r\n"
	return []byte(head + strings.Repeat("0123456789abcdef", 10)[:500-len(head)-len(end)] + end)
}()

// parsers are three readers of a request's head. Each makes a parse, and a description of what it
// has read.
var parsers = []struct {
	name string
	new  func() (parse func() error, describe func() string)
}{
	{"mangusta", func() (func() error, func() string) {
		p := mghttp.NewRequestParser(mghttp.Options{})
		var r *mghttp.Request
		parse := func() (err error) {
			r, _, err = p.Parse(browserRequest)
			return err
		}
		return parse, func() string {
			return fmt.Sprintf("%s %s %s %s", r.Method, r.Path, r.Host, r.Header("Referer"))
		}
	}},
	{"fasthttp", func() (func() error, func() string) {
		var h fasthttp.RequestHeader
		in := bytes.NewReader(nil)
		b := bufio.NewReader(in)
		parse := func() error {
			in.Reset(browserRequest)
			b.Reset(in)
			return h.Read(b)
		}
		return parse, func() string {
			path, _, _ := bytes.Cut(h.RequestURI(), []byte("?"))
			return fmt.Sprintf("%s %s %s %s", h.Method(), path, h.Host(), h.Referer())
		}
	}},
	{"net-http", func() (func() error, func() string) {
		in := bytes.NewReader(nil)
		b := bufio.NewReader(in)
		var r *http.Request
		parse := func() (err error) {
			in.Reset(browserRequest)
			b.Reset(in)
			r, err = http.ReadRequest(b)
			return err
		}
		return parse, func() string {
			return fmt.Sprintf("%s %s %s %s", r.Method, r.URL.Path, r.Host, r.Referer())
		}
	}},
}

func TestParsersAgree(t *testing.T) {
	if len(browserRequest) != 500 {
		t.Errorf("%d bytes", len(browserRequest))
	}
	for _, p := range parsers {
		parse, describe := p.new()
		for range 2 {
			if err := parse(); err != nil {
				t.Fatal(p.name, err)
			}
			if got := describe(); got != "GET /static/app/index.html device.local:8080 http://device.local:8080/" {
				t.Errorf("%s: %s", p.name, got)
			}
		}
	}
}

func BenchmarkParse(b *testing.B) {
	for _, p := range parsers {
		b.Run(p.name, func(b *testing.B) {
			parse, _ := p.new()
			b.SetBytes(int64(len(browserRequest)))
			measure(b, func(int) {
				if err := parse(); err != nil {
					b.Fatal(err)
				}
			})
		})
	}
}
