package http

import (
	"errors"
	"strings"
	"testing"
)

// A RequestParser gives the same request however the bytes come, one request after the other.
func TestRequestParser(t *testing.T) {
	p := NewRequestParser(Options{MaxHead: 1000})
	post := "POST /a%20b?c=d HTTP/1.1\r\nHost: h:1\r\nContent-Length: 3\r\nA: b\r\n\r\n"
	want := `POST /a%20b?c=d path="/a b" query="c=d" host="h:1" 1.1 [Host=h:1;Content-Length=3;A=b;]`
	for range 2 {
		for step := 1; step <= len(post)+3; step++ {
			b := []byte(post + "xyz")
			for end := 0; ; {
				end = min(end+step, len(b))
				r, n, err := p.Parse(b[:end])
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					continue
				}
				if got := describe(r); n != len(post) || got != want {
					t.Fatalf("in steps of %d: %d bytes, %s", step, n, got)
				}
				break
			}
		}
		for in, status := range map[string]int{
			"GET / HTTP/1.1\r\n\r\n":            400,
			"GET / HTTP/2.0\r\n":                505,
			strings.Repeat("a: b\r\n", 1):       400,
			post[:24] + "\r\nA: b\r\n c\r\n":    400,
			"GET /" + strings.Repeat("a", 9000): 414,
		} {
			var bad *BadRequest
			if _, n, err := p.Parse([]byte(in)); n != 0 || !errors.As(err, &bad) || bad.Status != status {
				t.Errorf("%.40q: %d %v", in, n, err)
			}
		}
	}
}

func TestRequestParserAllocatesNothing(t *testing.T) {
	p := NewRequestParser(Options{})
	in := []byte(browserRequest)
	if n := testing.AllocsPerRun(100, func() {
		r, _, _ := p.Parse(in)
		r.Headers()
	}); n != 0 {
		t.Errorf("%v allocations per request", n)
	}
}
