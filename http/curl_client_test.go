package http_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	mggzip "github.com/seed4930a636/mangusta/http/gzip"
	"github.com/seed4930a636/mangusta/mgr"
)

// A curlTest has a server, and curl as its client. (curl has no pipelining any more:
// TestNetKeepAliveAndPipeline has.)
type curlTest struct {
	*testing.T
	addr string // with http://
	dir  string // under /files/
}

// lines are 200 kB in which each place looks different.
var lines = func() []byte {
	var b []byte
	for i := range 20_000 {
		b = fmt.Appendf(b, "%09d\n", i)
	}
	return b
}()

func withCurl(t *testing.T, f func(t *curlTest)) {
	if _, err := exec.LookPath("curl"); err != nil {
		t.Skip("SKIPPED, NOT TESTED: there is no curl here (apt-get install curl)")
	}
	dir := t.TempDir()
	for name, data := range map[string][]byte{"lines.txt": lines, "page.html": []byte("<p>plain"), "page.html.gz": zipped(t, "<p>zipped")} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			m, err := mgr.New(mgr.Options{Poller: p})
			if err != nil {
				t.Fatal(err)
			}
			o := mghttp.Options{MaxBody: 4 << 20, Compress: mggzip.New(mggzip.Options{})}
			l, err := mghttp.Listen(m, "http://127.0.0.1:0", curlRoutes(root).Serve, o)
			if err != nil {
				t.Fatal(err)
			}
			ran := make(chan error, 1)
			addr := "http://" + l.LocalAddr().String()
			go func() { ran <- m.Run(context.Background()) }()
			f(&curlTest{t, addr, dir})
			m.Close()
			if err := <-ran; err != nil {
				t.Error(err)
			}
		})
	}
}

func curlRoutes(root *os.Root) *mghttp.Mux {
	x := mghttp.NewMux()
	x.MustHandle("/files/", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.ServeDir(c, m, root, mghttp.FileOptions{Prefix: "/files", Precompressed: true})
	})
	x.MustHandle("/echo", func(c *conn.Conn, m *mghttp.Message) {
		mghttp.ReplyBytes(c, 200, "application/octet-stream", m.Body)
	})
	x.MustHandle("GET /text", func(c *conn.Conn, _ *mghttp.Message) { mghttp.ReplyBytes(c, 200, "text/plain", lines) })
	x.MustHandle("GET /stream", func(c *conn.Conn, _ *mghttp.Message) {
		mghttp.Begin(c, 200, "text/plain")
		mghttp.WriteChunk(c, lines[:50_000])
		mghttp.WriteChunk(c, lines[50_000:])
		mghttp.End(c)
	})
	x.MustHandle("/refused", func(*conn.Conn, *mghttp.Message) {}, mghttp.Guard(func(c *conn.Conn, _ *mghttp.Request) bool {
		mghttp.Error(c, 403)
		return false
	}))
	return x
}

func zipped(t *testing.T, s string) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Write([]byte(s))
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// curl returns what curl prints, and what it tells with -v.
func (t *curlTest) curl(args ...string) (out, told string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stderr bytes.Buffer
	// An upload that waits for a 100 in vain fails: curl would send it after 100 s, and is ended
	// before.
	cmd := exec.CommandContext(ctx, "curl", append([]string{"-sSv", "--noproxy", "*", "--expect100-timeout", "100"}, args...)...)
	cmd.Stderr = &stderr
	b, err := cmd.Output()
	if err != nil {
		t.Fatalf("curl %q: %v\n%s", args, err, stderr.Bytes())
	}
	return string(b), stderr.String()
}

// wants fails unless each piece is in what curl told.
func (t *curlTest) wants(told string, pieces ...string) {
	t.Helper()
	for _, p := range pieces {
		if !strings.Contains(told, p) {
			t.Errorf("curl told no %q:\n%s", p, told)
		}
	}
}

// RFC 9110 14.2, 13.1.2 and 13.1.3
func TestCurlRangesAndConditions(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		file := t.addr + "/files/lines.txt"
		for _, r := range []struct{ ask, want string }{
			{"10-19", string(lines[10:20])},
			{"199990-", string(lines[199_990:])},
			{"-1", "\n"},
			{"0-199999", string(lines)},
		} {
			out, told := t.curl("-r", r.ask, file)
			if out != r.want {
				t.Errorf("%s: %.80q", r.ask, out)
			}
			t.wants(told, "< HTTP/1.1 206 Partial Content", "< Content-Range: bytes ")
		}
		out, told := t.curl("-r", "0-9,100000-100009", file)
		t.wants(told, "multipart/byteranges")
		if !strings.Contains(out, string(lines[:9])) || !strings.Contains(out, string(lines[100_000:100_009])) {
			t.Error(out)
		}
		_, told = t.curl("-r", "200000-", file)
		t.wants(told, "< HTTP/1.1 416 ", "< Content-Range: bytes */200000")

		etag := filepath.Join(t.TempDir(), "etag")
		t.curl("--etag-save", etag, "-o", os.DevNull, file)
		out, told = t.curl("--etag-compare", etag, file)
		t.wants(told, "< HTTP/1.1 304 Not Modified")
		if out != "" {
			t.Errorf("a 304 with %d bytes", len(out))
		}
		_, told = t.curl("-z", filepath.Join(t.dir, "lines.txt"), file)
		t.wants(told, "< HTTP/1.1 304 Not Modified")
	})
}

// An interrupted download goes on where it ended.
func TestCurlResumes(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		file := filepath.Join(t.TempDir(), "part")
		for _, have := range []int{1, 77_777, 199_999} {
			if err := os.WriteFile(file, lines[:have], 0o644); err != nil {
				t.Fatal(err)
			}
			_, told := t.curl("-C", "-", "-o", file, t.addr+"/files/lines.txt")
			t.wants(told, "< HTTP/1.1 206 Partial Content", fmt.Sprintf("< Content-Length: %d\r\n", len(lines)-have))
			if got, err := os.ReadFile(file); err != nil || !bytes.Equal(got, lines) {
				t.Errorf("resumed at %d: %d bytes, %v", have, len(got), err)
			}
		}
	})
}

// RFC 9110 10.1.1: the body comes when it is wanted, and not at all when it is refused.
func TestCurlExpects100(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		body := filepath.Join(t.TempDir(), "body")
		if err := os.WriteFile(body, bytes.Repeat(lines, 10), 0o644); err != nil {
			t.Fatal(err)
		}
		for _, more := range [][]string{nil, {"-H", "Transfer-Encoding: chunked"}} {
			send := append([]string{"-H", "Expect: 100-continue", "--data-binary", "@" + body}, more...)
			out, told := t.curl(append(send, t.addr+"/echo")...)
			t.wants(told, "< HTTP/1.1 100 Continue", "< HTTP/1.1 200 OK")
			if len(out) != 10*len(lines) {
				t.Errorf("%d bytes came back", len(out))
			}
			for path, status := range map[string]string{"/refused": "403", "/nowhere": "404"} {
				out, told = t.curl(append(send, "-o", os.DevNull, "-w", "%{http_code} %{size_upload}", t.addr+path)...)
				if out != status+" 0" || strings.Contains(told, "100 Continue") {
					t.Errorf("%s: status and bytes sent: %s\n%s", path, out, told)
				}
			}
		}
	})
}

// RFC 9112 9.3: several requests on one connection; HTTP/1.0 asks for that.
func TestCurlKeepsAlive(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		for _, version := range [][]string{{"--http1.1"}, {"--http1.0", "-H", "Connection: keep-alive"}} {
			args := append(version, "-w", "%{num_connects}\n")
			for _, path := range []string{"/text", "/files/lines.txt", "/nowhere", "/files/page.html"} {
				args = append(args, "-o", os.DevNull, t.addr+path)
			}
			if out, _ := t.curl(args...); out != "1\n0\n0\n0\n" {
				t.Errorf("%v: connections made: %q", version, out)
			}
		}
	})
}

func TestCurlHTTP10(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		for _, path := range []string{"/text", "/stream", "/files/lines.txt"} {
			out, told := t.curl("--http1.0", t.addr+path)
			if out != string(lines) {
				t.Errorf("%s: %d bytes", path, len(out))
			}
			t.wants(told, "> GET "+path+" HTTP/1.0", "< HTTP/1.1 200 OK", "< Connection: close")
			if strings.Contains(told, "chunked") {
				t.Errorf("%s: a chunked body in an answer to HTTP/1.0", path)
			}
		}
		if out, _ := t.curl("--http1.0", "-d", "body", t.addr+"/echo"); out != "body" {
			t.Error(out)
		}
	})
}

// RFC 9110 12.5.3
func TestCurlCompressed(t *testing.T) {
	withCurl(t, func(t *curlTest) {
		for _, path := range []string{"/text", "/stream"} {
			out, told := t.curl("--compressed", t.addr+path)
			t.wants(told, "< Content-Encoding: gzip", "< Vary: Accept-Encoding")
			if out != string(lines) {
				t.Errorf("%s: %d bytes", path, len(out))
			}
			if out, told = t.curl(t.addr + path); out != string(lines) || strings.Contains(told, "Content-Encoding") {
				t.Errorf("%s: %d bytes for a client that asked for no coding", path, len(out))
			}
		}
		if out, _ := t.curl("--compressed", t.addr+"/files/page.html"); out != "<p>zipped" {
			t.Error(out)
		}
		if out, _ := t.curl(t.addr + "/files/page.html"); out != "<p>plain" {
			t.Error(out)
		}
	})
}
