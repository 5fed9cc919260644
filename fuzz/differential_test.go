package fuzz

import (
	"bufio"
	"bytes"
	"io"
	nethttp "net/http"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/http"
)

// FuzzDifferential: of a stream that both read, net/http and we see the same requests, and neither
// finds one where the other sees a body. They may differ in what one of them refuses, and in what
// comes after that.
func FuzzDifferential(f *testing.F) {
	const next = "GET /next HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, s := range [][3]string{
		{"POST / HTTP/1.1", "Host: h\r\nContent-Length: 5", "hello" + next},
		{"POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n" + next},
		{"POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding: chunked", "5;a=\"b\"\r\nhello\r\n0\r\nX: y\r\n\r\n" + next},
		{"POST / HTTP/1.1", "Host: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + next},
		{"POST / HTTP/1.1", "Host: h\r\nContent-Length: 5\r\nContent-Length: 5", "hello" + next},
		{"POST / HTTP/1.1", "Host: h\r\nTransfer-Encoding:\x0bchunked", "0\r\n\r\n" + next},
		{"GET /a?b HTTP/1.0", "Connection: keep-alive\r\nContent-Length: 0", next},
		{"HEAD http://i/ HTTP/1.1", "Host: h\r\nA:b \r\na: \tc", "\r\n" + next},
		{"OPTIONS * HTTP/1.1", "Host: [::1]:80\r\nConnection: foo, close", next},
		{"GET / HTTP/1.1", "Host: h\r\nA: b\r\n c", next},
		{"GET / HTTP/1.1", "Host: h\nContent-Length: 5", next},
	} {
		f.Add(s[0], s[1], s[2])
	}
	f.Fuzz(func(t *testing.T, line, fields, body string) {
		if len(line)+len(fields)+len(body) > 1000 {
			return
		}
		in := []byte(line + "\r\n" + fields + "\r\n\r\n" + body)
		r := serveBytes(http.NewServer(httpOptions), bytes.Clone(in))
		compare(t, in, r.requests)
		if !r.c.IsOpen() || strings.Contains(line, "EARLY") {
			return // refused, or the last that this connection was for
		}
		// All that net/http finds to be complete must have come to our handler.
		if n := countRequests(in); n > len(r.requests) {
			t.Fatalf("we wait for more behind %d requests: %q; net/http finds %d", len(r.requests), r.events, n)
		}
	})
}

// countRequests returns how many complete requests net/http finds in a stream.
func countRequests(in []byte) (n int) {
	br := bufio.NewReader(bytes.NewReader(in))
	for {
		if b, err := br.Peek(2); err == nil && string(b) == "\r\n" {
			br.Discard(2)
		}
		q, err := nethttp.ReadRequest(br)
		if err != nil {
			return n
		}
		if _, err := io.Copy(io.Discard, q.Body); err != nil {
			return n
		}
		n++
	}
}
