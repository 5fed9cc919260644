package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/mgr"
)

// nginx as the server: files, ranges, conditions, and uploads that it refuses by their length.
func TestToNginx(t *testing.T) {
	dir := t.TempDir()
	file := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
	if err := os.WriteFile(filepath.Join(dir, "file"), file, 0o644); err != nil {
		t.Fatal(err)
	}
	to := "http://" + programtest.Nginx(t, fmt.Sprintf("server { listen 80; root %s; client_max_body_size 1k; location /moved { return 301 /file; } }", dir))
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-own-host")
		c := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
		defer c.CloseIdleConnections()
		do := func(method, path string, body io.Reader, fields ...string) (*http.Response, []byte) {
			t.Helper()
			req, err := http.NewRequest(method, "http://"+r.addr+path, body)
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(fields); i += 2 {
				req.Header.Set(fields[i], fields[i+1])
			}
			resp, err := c.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp, b
		}
		resp, b := do("GET", "/file", nil)
		if resp.StatusCode != 200 || !bytes.Equal(b, file) || !strings.HasPrefix(resp.Header.Get("Server"), "nginx") {
			t.Errorf("%d, %d bytes, %v", resp.StatusCode, len(b), resp.Header)
		}
		tag := resp.Header.Get("ETag")
		if resp, b := do("GET", "/file", nil, "Range", "bytes=5-9"); resp.StatusCode != 206 || string(b) != "56789" {
			t.Errorf("a range: %d %q", resp.StatusCode, b)
		}
		if resp, b := do("GET", "/file", nil, "If-None-Match", tag); resp.StatusCode != 304 || len(b) > 0 || resp.Header.Get("ETag") != tag {
			t.Errorf("a condition: %d %q %v", resp.StatusCode, b, resp.Header)
		}
		if resp, _ := do("HEAD", "/file", nil); resp.StatusCode != 200 || resp.ContentLength != int64(len(file)) {
			t.Errorf("HEAD: %d, length %d", resp.StatusCode, resp.ContentLength)
		}
		if resp, _ := do("GET", "/moved", nil); resp.StatusCode != 301 {
			t.Errorf("a redirect: %d", resp.StatusCode)
		}
		if resp, _ := do("POST", "/file", bytes.NewReader(file), "Expect", "100-continue"); resp.StatusCode != 413 {
			t.Errorf("too much: %d", resp.StatusCode)
		}
		if resp, _ := do("GET", "/none", nil); resp.StatusCode != 404 {
			t.Errorf("nothing: %d", resp.StatusCode)
		}
	})
}

// nginx as the client, and another one as the server: a request passes three proxies.
func TestBetweenTwoNginx(t *testing.T) {
	to := server(t, describe)
	behind := programtest.Nginx(t, fmt.Sprintf("server { listen 80; location / { proxy_pass %s; proxy_http_version 1.1; proxy_set_header Host $http_host; } }", to))
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", "http://"+behind, "-trusted-proxy", "127.0.0.1", "-via", "p", "-host", "a.example")
		front := programtest.Nginx(t, fmt.Sprintf("server { listen 80; location / { proxy_pass http://%s; proxy_http_version 1.1; proxy_request_buffering off; "+
			"proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For 192.0.2.7; proxy_set_header Connection \"\"; } }", r.addr))
		for _, length := range []int64{300_000, -1} {
			req, err := http.NewRequest("POST", "http://"+front+"/x", bytes.NewReader(bytes.Repeat([]byte("y"), 300_000)))
			if err != nil {
				t.Fatal(err)
			}
			req.Host, req.ContentLength = "a.example", length
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != 200 {
				t.Fatalf("%d %v", resp.StatusCode, err)
			}
			for _, want := range []string{"POST /x a.example \"yyyy", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 127.0.0.1\r\n", "Via: 1.1 p\r\n"} {
				if !strings.Contains(string(b), want) {
					t.Errorf("without %q:\n%.400s … %.900s", want, b, b[max(0, len(b)-900):])
				}
			}
			if !bytes.Contains(b, bytes.Repeat([]byte("y"), 300_000)) {
				t.Error("the body is not whole")
			}
		}
		http.DefaultClient.CloseIdleConnections()
	})
}
