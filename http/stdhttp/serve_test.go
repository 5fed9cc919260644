package stdhttp

import (
	"context"
	"fmt"
	"io"
	"log"
	nethttp "net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/http/pprof"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A handler sees, and its client gets, the same as with net/http's own server.
func TestSameAsNetHTTP(t *testing.T) {
	x := nethttp.NewServeMux()
	x.HandleFunc("/request/{id}", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		body, err := io.ReadAll(r.Body)
		fmt.Fprintln(w, r.Method, r.URL, r.RequestURI, r.Proto, r.ContentLength, r.TransferEncoding, r.Header, r.PathValue("id"),
			r.FormValue("q"), len(body), err, r.Trailer, r.Close, r.Context().Value(nethttp.LocalAddrContextKey) != nil)
	})
	x.HandleFunc("/empty", func(nethttp.ResponseWriter, *nethttp.Request) {})
	x.HandleFunc("/small", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "<html>small") })
	x.HandleFunc("/large", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		for range 1000 {
			io.WriteString(w, strings.Repeat("x", 100))
		}
	})
	x.HandleFunc("/declared", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "100000")
		io.WriteString(w, strings.Repeat("y", 100_000))
	})
	x.HandleFunc("/status", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Set("X-Line", "one\r\nInjected: two")
		w.WriteHeader(418)
		w.WriteHeader(419)
		w.Header().Set("X-Late", "no")
	})
	x.HandleFunc("/204", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(204)
		if _, err := io.WriteString(w, "x"); err != nethttp.ErrBodyNotAllowed {
			t.Error(err)
		}
	})
	x.HandleFunc("/304", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("ETag", `"e"`)
		w.WriteHeader(304)
	})
	x.HandleFunc("/untyped", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	})
	x.HandleFunc("/encoded", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		io.WriteString(w, "no gzip")
	})
	x.HandleFunc("/toolong", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "3")
		n, err := io.WriteString(w, "abc")
		n2, err2 := io.WriteString(w, "d")
		if n != 3 || err != nil || n2 != 0 || err2 != nethttp.ErrContentLength {
			t.Error(n, err, n2, err2)
		}
	})
	x.HandleFunc("/redirect", func(w nethttp.ResponseWriter, r *nethttp.Request) { nethttp.Redirect(w, r, "/small?x=1", 302) })
	x.HandleFunc("/error", func(w nethttp.ResponseWriter, r *nethttp.Request) { nethttp.Error(w, "no", 403) })
	x.HandleFunc("/flush", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.WriteString(w, "part one, ")
		w.(nethttp.Flusher).Flush()
		io.WriteString(w, "part two")
	})
	ref := httptest.NewUnstartedServer(x)
	ref.Config.ErrorLog = log.New(io.Discard, "", 0)
	ref.Start()
	defer ref.Close()
	both(t, x, Options{}, func(r *rig) {
		for _, c := range []struct{ method, path, body string }{
			{"GET", "/request/7?q=a%20b", ""}, {"POST", "/request/x%2Fy", "q=form"}, {"PUT", "/request/8", strings.Repeat("b", 500_000)},
			{"CUSTOM", "/request/9", "z"},
			{"GET", "/empty", ""}, {"GET", "/small", ""}, {"GET", "/large", ""}, {"GET", "/declared", ""}, {"GET", "/status", ""},
			{"GET", "/204", ""}, {"GET", "/304", ""}, {"GET", "/untyped", ""}, {"GET", "/encoded", ""}, {"GET", "/toolong", ""},
			{"GET", "/redirect", ""}, {"GET", "/error", ""}, {"GET", "/flush", ""}, {"GET", "/nowhere", ""},
			{"HEAD", "/empty", ""}, {"HEAD", "/small", ""}, {"HEAD", "/large", ""}, {"HEAD", "/declared", ""}, {"HEAD", "/204", ""},
		} {
			got, gotBody := r.do(c.method, c.path, c.body)
			theirs := *r
			theirs.addr = ref.Listener.Addr().String()
			want, wantBody := theirs.do(c.method, c.path, c.body)
			if gotBody != wantBody || got.StatusCode != want.StatusCode || got.ContentLength != want.ContentLength ||
				got.Close != want.Close {
				r.Errorf("%s %s:\n%d %d %v %.300q\nwant\n%d %d %v %.300q", c.method, c.path, got.StatusCode, got.ContentLength, got.Close,
					gotBody, want.StatusCode, want.ContentLength, want.Close, wantBody)
			}
			got.Header.Del("Date")
			want.Header.Del("Date")
			if g, w := fmt.Sprint(got.Header), fmt.Sprint(want.Header); g != w {
				r.Errorf("%s %s: %s, want %s", c.method, c.path, g, w)
			}
		}
	})
}

func TestFileServer(t *testing.T) {
	dir := t.TempDir()
	data := strings.Repeat("0123456789abcdef", 1<<16)
	if err := os.WriteFile(filepath.Join(dir, "a.txt"), []byte(data), 0o644); err != nil {
		t.Fatal(err)
	}
	both(t, nethttp.FileServer(nethttp.Dir(dir)), Options{}, func(r *rig) {
		resp, body := r.get("/a.txt")
		if body != data || resp.ContentLength != int64(len(data)) {
			r.Error(resp.Status, len(body), resp.ContentLength)
		}
		req, _ := nethttp.NewRequest("GET", "http://"+r.addr+"/a.txt", nil)
		req.Header.Set("Range", "bytes=5-9")
		if resp, body := r.send(req); resp.StatusCode != 206 || body != "56789" {
			r.Error(resp.Status, body)
		}
		req.Header.Del("Range")
		req.Header.Set("If-Modified-Since", resp.Header.Get("Last-Modified"))
		if resp, body := r.send(req); resp.StatusCode != 304 || body != "" {
			r.Error(resp.Status, body)
		}
		if resp, _ := r.do("HEAD", "/a.txt", ""); resp.ContentLength != int64(len(data)) {
			r.Error("HEAD: ", resp.ContentLength)
		}
		if resp, body := r.get("/"); resp.StatusCode != 200 || !strings.Contains(body, `href="a.txt"`) {
			r.Error(resp.Status, body)
		}
	})
}

func TestPprof(t *testing.T) {
	both(t, nethttp.HandlerFunc(pprof.Index), Options{}, func(r *rig) {
		if resp, body := r.get("/debug/pprof/"); resp.StatusCode != 200 || !strings.Contains(body, "goroutine") {
			r.Error(resp.Status, body)
		}
		if resp, body := r.get("/debug/pprof/goroutine?debug=1"); resp.StatusCode != 200 || !strings.Contains(body, "stdhttp") {
			r.Error(resp.Status, body)
		}
	})
}

func TestTimeoutHandler(t *testing.T) {
	slow := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/slow" {
			<-r.Context().Done()
			return
		}
		io.WriteString(w, "in time")
	})
	both(t, nethttp.TimeoutHandler(slow, 200*time.Millisecond, "too late"), Options{}, func(r *rig) {
		if resp, body := r.get("/slow"); resp.StatusCode != 503 || body != "too late" {
			r.Error(resp.Status, body)
		}
		if resp, body := r.get("/"); resp.StatusCode != 200 || body != "in time" {
			r.Error(resp.Status, body)
		}
	})
}

func TestReverseProxy(t *testing.T) {
	large := strings.Repeat("l", 2<<20)
	behind := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/hints":
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			io.WriteString(w, "hinted")
		case "/cut":
			w.Header().Set("Content-Length", "1000000")
			io.WriteString(w, strings.Repeat("c", 100_000))
			w.(nethttp.Flusher).Flush()
			panic(nethttp.ErrAbortHandler)
		case "/large":
			io.WriteString(w, large)
		default:
			io.Copy(w, r.Body)
		}
	}))
	defer behind.Close()
	to, _ := url.Parse(behind.URL)
	proxy := httputil.NewSingleHostReverseProxy(to)
	proxy.ErrorLog = log.New(io.Discard, "", 0)
	both(t, proxy, Options{}, func(r *rig) {
		if _, body := r.get("/large"); body != large {
			r.Error(len(body))
		}
		if resp, body := r.do("POST", "/echo", large[:1<<20]); body != large[:1<<20] {
			r.Error(resp.Status, len(body))
		}
		_, b := r.dial("GET /hints HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, _ := r.read(b); resp.StatusCode != 103 || resp.Header.Get("Link") == "" {
			r.Error(resp)
		}
		if resp, body := r.read(b); resp.StatusCode != 200 || body != "hinted" {
			r.Error(resp.Status, body)
		}
		resp, err := r.client().Get("http://" + r.addr + "/cut")
		if err == nil {
			_, err = io.ReadAll(resp.Body)
			resp.Body.Close()
		}
		if err == nil {
			r.Error("a truncated answer looks complete")
		}
	})
}

func TestPipelinedAnswersKeepTheirOrder(t *testing.T) {
	echo := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprint(w, r.URL.Path, string(b))
	})
	both(t, echo, Options{}, func(r *rig) {
		var in strings.Builder
		const n = 200
		for i := range n {
			fmt.Fprintf(&in, "GET /%d HTTP/1.1\r\nHost: x\r\n\r\nPOST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", i)
		}
		_, b := r.dial(in.String())
		for i := range n {
			if _, body := r.read(b); body != fmt.Sprintf("/%d", i) {
				r.Fatal(i, body)
			}
			if _, body := r.read(b); body != "/pabc" {
				r.Fatal(i, body)
			}
		}
	})
}

func TestOverTheQueue503(t *testing.T) {
	let := make(chan struct{})
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { <-let }), Options{Workers: 2, Queue: 3},
		func(r *rig) {
			var held []func()
			for range 5 {
				_, b := r.dial(getX)
				held = append(held, func() {
					if resp, _ := r.read(b); resp.StatusCode != 200 {
						r.Error(resp.Status)
					}
				})
			}
			eventually(r, "two running and three waiting", func() bool {
				running, waiting := r.h.Running()
				return running == 2 && waiting == 3
			})
			_, b := r.dial(getX)
			if resp, _ := r.read(b); resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
				r.Error(resp)
			}
			for range 5 {
				let <- struct{}{}
			}
			for _, wait := range held {
				wait()
			}
		})
}

func TestARequestWhoseClientHasGoneLeavesTheQueue(t *testing.T) {
	let := make(chan struct{})
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { <-let }), Options{Workers: 1, Queue: 1},
		func(r *rig) {
			r.dial(getX)
			eventually(r, "one running", func() bool { running, _ := r.h.Running(); return running == 1 })
			c, _ := r.dial(getX)
			eventually(r, "one waiting", func() bool { _, waiting := r.h.Running(); return waiting == 1 })
			reset(c)
			eventually(r, "none waiting", func() bool { _, waiting := r.h.Running(); return waiting == 0 })
			let <- struct{}{}
		})
}

func TestShutdownWaitsForHandlers(t *testing.T) {
	t.Parallel() // it waits for peers that do not close
	started, let := make(chan struct{}, 2), make(chan struct{})
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		started <- struct{}{}
		<-let
		io.WriteString(w, strings.Repeat("d", 100_000))
	}), Options{}, func(r *rig) {
		_, b := r.dial(getX)
		await(r, started, "the handler")
		over := make(chan error, 1)
		go func() { over <- r.m.Shutdown(context.Background()) }()
		select {
		case err := <-over:
			r.Fatal("Shutdown did not wait: ", err)
		case <-time.After(100 * time.Millisecond): // long enough for a wrong Shutdown to return
		}
		let <- struct{}{}
		if resp, body := r.read(b); len(body) != 100_000 || !resp.Close {
			r.Error(resp, len(body))
		}
		if err := await(r, over, "Shutdown"); err != nil {
			r.Error(err)
		}
	})
}
