package main

import (
	"bufio"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// Several ranges come as parts, each with its own Content-Range; those that overlap or touch as one
// (RFC 9110 14.6, 15.3.7.2).
func TestProbeParts(t *testing.T) {
	cases := []struct{ value, parts string }{
		{"bytes=0-2,5-7", "0-2=abc 5-7=fgh"},
		{"bytes=5-7,0-2", "5-7=fgh 0-2=abc"},
		{"bytes=0-0,-1", "0-0=a 25-25=z"},
		{"bytes=0-0, 2-2 ,\t4-4", "0-0=a 2-2=c 4-4=e"},
		{"bytes=,0-0,,2-2,", "0-0=a 2-2=c"},
		{"bytes=0-3,2-5,9-9", "0-5=abcdef 9-9=j"},
		{"bytes=9-9,0-3,4-5", "9-9=j 0-5=abcdef"},
		{"bytes=0-0,99-,2-2", "0-0=a 2-2=c"},
		{"bytes=0-0,24-99", "0-0=a 24-25=yz"},
		{"bytes=0-0,-2", "0-0=a 24-25=yz"},
	}
	underProbes(t, func(t *testing.T, addr string) {
		for _, tc := range cases {
			p := probe{send: "GET /static/a.txt HTTP/1.1\nHost: h\nRange: " + tc.value + "\n\n"}
			out, err := talk(addr, false, p.bytes(), []byte(marker))
			if err == nil {
				err = p.judge("206", false, out)
			}
			if err != nil {
				t.Errorf("%s: %v", tc.value, err)
				continue
			}
			r, _, _ := parseReply(out, false)
			if got, err := parts(&r); err != nil || got != tc.parts || r.field("Content-Range") != "" || r.field("ETag") != probeTag {
				t.Errorf("%s: %s, %v; %s", tc.value, got, err, r.head)
			}
		}
	})
}

// parts tells the ranges of a multipart/byteranges.
func parts(r *reply) (string, error) {
	kind, params, err := mime.ParseMediaType(r.field("Content-Type"))
	if err != nil || kind != "multipart/byteranges" {
		return kind, err
	}
	var all []string
	for m := multipart.NewReader(strings.NewReader(r.body), params["boundary"]); ; {
		p, err := m.NextPart()
		if err == io.EOF {
			return strings.Join(all, " "), nil
		}
		if err != nil {
			return "", err
		}
		b, err := io.ReadAll(p)
		where, ok := strings.CutPrefix(p.Header.Get("Content-Range"), "bytes ")
		where, ok2 := strings.CutSuffix(where, "/26")
		if err != nil || !ok || !ok2 || p.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
			return "", fmt.Errorf("part %v: %w", p.Header, err)
		}
		all = append(all, where+"="+string(b))
	}
}

// A file that becomes shorter while it is sent ends in a cut connection, and holds up no other
// connection.
func TestProbeTruncatedFile(t *testing.T) {
	t.Parallel()
	const size = 256 << 20
	dir := t.TempDir()
	path := filepath.Join(dir, "shrinks.bin")
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			if err := os.WriteFile(path, nil, 0o644); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, size); err != nil {
				t.Fatal(err)
			}
			addr := programtest.Start(t, "-listen", "127.0.0.1:0", "-poller", poller, "-dir", dir).Addr
			c := dial(t, addr)
			fmt.Fprintf(c, "GET /static/shrinks.bin HTTP/1.1\r\nHost: h\r\n\r\n"+marker)
			resp, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil || resp.ContentLength != size {
				t.Fatal(resp, err)
			}
			if err := os.Truncate(path, size/2); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, resp.Body); err == nil || n > size/2 {
				t.Errorf("%d bytes, %v", n, err)
			}
			p := probe{send: getLine + "\n", want: "200"}
			if err := p.run(addr, false); err != nil {
				t.Error(err)
			}
		})
	}
}
