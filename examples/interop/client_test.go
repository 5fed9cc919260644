package interop

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/gzip"
	"github.com/seed4930a636/mangusta/mgr"
)

// routes is a net/http server with what the other servers of this file have, too.
func routes() nethttp.Handler {
	m := nethttp.NewServeMux()
	m.HandleFunc("/hello", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "hello") })
	m.HandleFunc("/chunked", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Trailer", "X-Sum")
		for _, p := range []string{"one ", "two ", "three"} {
			io.WriteString(w, p)
			w.(nethttp.Flusher).Flush()
		}
		w.Header().Set("X-Sum", "3")
	})
	m.HandleFunc("/gzip", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, compressed) })
	m.HandleFunc("/etag", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("ETag", `"x"`)
		nethttp.ServeContent(w, r, "", time.Time{}, strings.NewReader("tagged"))
	})
	m.HandleFunc("/echo", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Write(b)
	})
	m.HandleFunc("/cut", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "0123456789")
		w.(nethttp.Flusher).Flush()
		panic(nethttp.ErrAbortHandler)
	})
	m.HandleFunc("/cutchunks", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.WriteString(w, "0123456789")
		w.(nethttp.Flusher).Flush()
		panic(nethttp.ErrAbortHandler)
	})
	m.HandleFunc("/slow", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for range 5 {
			io.WriteString(w, "piece ")
			w.(nethttp.Flusher).Flush()
			time.Sleep(20 * time.Millisecond) // so that most clients read the pieces one by one
		}
	})
	m.HandleFunc("/until", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		c, rw, err := w.(nethttp.Hijacker).Hijack()
		if err == nil {
			rw.WriteString("HTTP/1.1 200 OK\r\n\r\nuntil the end")
			rw.Flush()
			c.Close()
		}
	})
	m.HandleFunc("/hints", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		io.WriteString(w, "hinted")
	})
	return m
}

var compressed = strings.Repeat("compressed ", 1000)

// portOf starts a server in another language, and returns the port that it prints.
func portOf(t *testing.T, tool string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		t.Skipf("SKIPPED, NOT TESTED: there is no %s here", tool)
	}
	cmd := exec.Command(tool, args...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe() // its end ends the server
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		done := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		done.Stop()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// Our HTTP client with the servers of others: keep-alive, chunks, gzip, HEAD, 304, 100-continue,
// bodies that are slow, and those that are cut.
func TestOurHTTPClient(t *testing.T) {
	for _, peer := range []struct {
		name    string
		start   func(t *testing.T) string
		without string // what it does not have
		old     bool   // HTTP/1.0
	}{
		{name: "net/http", start: func(t *testing.T) string {
			srv := httptest.NewServer(routes())
			t.Cleanup(srv.Close)
			return srv.URL
		}},
		// nginx before 1.29 takes a 103 from behind for a response without an end. It passes no
		// trailers on.
		{name: "nginx", without: "hints sum", start: nginxRoutes},
		{name: "node", start: func(t *testing.T) string { return "http://127.0.0.1:" + portOf(t, "node", "testdata/http.js") }},
		{name: "python", without: "hints", start: func(t *testing.T) string {
			return "http://127.0.0.1:" + portOf(t, "python3", "testdata/http_server.py", "HTTP/1.1")
		}},
		{name: "python HTTP 1.0", without: "hints sum expect cutchunks", old: true, start: func(t *testing.T) string {
			return "http://127.0.0.1:" + portOf(t, "python3", "testdata/http_server.py", "HTTP/1.0")
		}},
	} {
		t.Run(peer.name, func(t *testing.T) {
			base := peer.start(t)
			for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
				t.Run(p.String(), func(t *testing.T) { askEverything(t, p, base, peer.without, peer.old) })
			}
		})
	}
}

// nginxRoutes is nginx with pages of its own, and before net/http for what it cannot do by itself.
func nginxRoutes(t *testing.T) string {
	srv := httptest.NewServer(routes())
	t.Cleanup(srv.Close)
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"hello": "hello", "gzip": compressed, "etag": "tagged"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return "http://" + programtest.Nginx(t, strings.NewReplacer("DIR", dir, "UPSTREAM", srv.Listener.Addr().String()).Replace(`
server {
	listen 80;
	default_type text/plain;
	gzip on; gzip_types text/plain; gzip_min_length 100; gzip_http_version 1.1;
	client_max_body_size 10m;
	root DIR;
	location ~ ^/(hello|gzip|etag)$ { }
	location / { proxy_pass http://UPSTREAM; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; }
}`))
}

// asker sends requests on a loop of its own, and waits for the responses.
type asker struct {
	t *testing.T
	m *mgr.Manager
	c *http.Client
}

// received is a response that stays valid.
type received struct {
	status  int
	length  int64
	body    string
	fields  map[string]string
	sum     string // of the trailers
	pieces  int    // of a streamed body
	hints   int    // interim responses
	err     error
	decoded bool
}

// do sends r. With a stream the body comes in pieces.
func (a *asker) do(r http.ClientRequest, stream bool) received {
	a.t.Helper()
	var got received
	r.Events = func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Interim:
			got.hints++
		case *http.ResponseHead:
			if got.status = ev.Status; stream {
				http.StreamResponse(c)
			}
		case *http.Chunk:
			got.pieces++
			got.body += string(ev.Data)
		}
	}
	done := make(chan bool, 1)
	if err := a.m.Do(func() {
		_, err := a.c.Do(&r, func(resp *http.Response, err error) {
			if got.err = err; err == nil {
				got.length, got.decoded = resp.Length, resp.Decoded
				got.body += string(resp.Body)
				got.fields = map[string]string{}
				for _, f := range resp.Headers() {
					got.fields[strings.ToLower(string(f.Name))] = string(f.Value)
				}
				for _, f := range resp.Trailers() {
					if string(f.Name) == "X-Sum" {
						got.sum = string(f.Value)
					}
				}
			}
			done <- true
		})
		if err != nil {
			got.err = err
			done <- true
		}
	}); err != nil {
		a.t.Fatal(err)
	}
	select {
	case <-done:
	case <-time.After(patience):
		a.t.Fatalf("%s: no end", r.URL)
	}
	return got
}

func (a *asker) conns() (n int) {
	done := make(chan bool)
	a.m.Do(func() { n = a.c.Stats().Conns; close(done) })
	<-done
	return n
}

func askEverything(t *testing.T, p mgr.Poller, base, without string, old bool) {
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	// 100 has to come: the body does not follow by itself.
	c, err := http.NewClient(m, http.ClientOptions{Decompress: gzip.NewDecompressor(), ContinueTimeout: patience, Timeout: patience})
	if err != nil {
		t.Fatal(err)
	}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	defer func() {
		m.Close()
		<-ran
	}()
	a := &asker{t, m, c}
	lacks := func(what string) bool { return strings.Contains(without, what) }
	check := func(what string, got received, status int, body string) {
		t.Helper()
		if got.err != nil || got.status != status || got.body != body {
			t.Errorf("%s: %d %.60q of %d bytes, %v; want %d %.60q", what, got.status, got.body, len(got.body), got.err, status, body)
		}
	}
	get := func(path string) http.ClientRequest { return http.ClientRequest{URL: base + path} }

	for range 3 {
		check("keep-alive", a.do(get("/hello"), false), 200, "hello")
	}
	if n := a.conns(); !old && n != 1 {
		t.Errorf("%d connections were made for three requests", n)
	}
	r := get("/hello")
	r.Method = "HEAD"
	got := a.do(r, false)
	check("HEAD", got, 200, "")
	if got.fields["content-length"] != "5" {
		t.Errorf("HEAD: the fields are %v", got.fields)
	}
	for _, stream := range []bool{false, true} {
		got = a.do(get("/chunked"), stream)
		check("chunked", got, 200, "one two three")
		if !stream && !lacks("sum") && got.sum != "3" {
			t.Errorf("the trailer is %q", got.sum)
		}
		got = a.do(get("/gzip"), stream)
		check("gzip", got, 200, compressed)
		got = a.do(get("/slow"), stream)
		check("slow", got, 200, strings.Repeat("piece ", 5))
		if stream && got.pieces < 3 {
			t.Errorf("a slow body came in %d pieces", got.pieces)
		}
		check("until the end", a.do(get("/until"), stream), 200, "until the end")
		if got = a.do(get("/cut"), stream); !errors.Is(got.err, http.ErrCut) {
			t.Errorf("cut: %v", got.err)
		}
		if got = a.do(get("/cutchunks"), stream); !lacks("cutchunks") && !errors.Is(got.err, http.ErrCut) {
			t.Errorf("cut in chunks: %v", got.err)
		}
	}
	got = a.do(get("/etag"), false)
	check("with a tag", got, 200, "tagged")
	r = get("/etag")
	r.SetHeader("If-None-Match", got.fields["etag"])
	check("not modified", a.do(r, false), 304, "")
	check("after 304", a.do(get("/hello"), false), 200, "hello")

	body := strings.Repeat("0123456789", 30_000)
	for _, expect := range []bool{false, true} {
		if expect && lacks("expect") {
			continue
		}
		r = get("/echo")
		r.Body, r.Expect = []byte(body), expect
		check(fmt.Sprintf("echo, expect %v", expect), a.do(r, false), 200, body)
		r = get("/echo")
		r.Source, r.Expect = http.FromReader(strings.NewReader(body)), expect
		if !old { // RFC 9112 7.1: a server of HTTP/1.0 does not know chunks
			check(fmt.Sprintf("echo of chunks, expect %v", expect), a.do(r, false), 200, body)
		}
	}
	if !lacks("hints") {
		got = a.do(get("/hints"), false)
		check("early hints", got, 200, "hinted")
		if got.hints != 1 {
			t.Errorf("%d interim responses", got.hints)
		}
	}
	got = a.do(get("/404"), false)
	check("not there", received{status: got.status, err: got.err}, 404, "")
}
