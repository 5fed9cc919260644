package stdhttp

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	nethttp "net/http"
	"os"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// Files of a multipart form that are on disk are gone when the handler has returned, or panicked.
func TestTempFilesOfFormsAreRemoved(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	var form bytes.Buffer
	mw := multipart.NewWriter(&form)
	w, _ := mw.CreateFormFile("f", "f")
	w.Write(make([]byte, 1<<20))
	mw.Close()
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		r.ParseMultipartForm(1 << 10)
		f, _, err := r.FormFile("f")
		if err != nil {
			t.Error(err)
			return
		}
		f.Close()
		if names, _ := os.ReadDir(os.TempDir()); len(names) != 1 {
			t.Error("while the handler runs: ", names)
		}
		if r.URL.Path == "/panic" {
			panic(nethttp.ErrAbortHandler)
		}
	}), Options{}, func(r *rig) {
		for _, path := range []string{"/", "/panic"} {
			req, _ := nethttp.NewRequest("POST", "http://"+r.addr+path, bytes.NewReader(form.Bytes()))
			req.Header.Set("Content-Type", mw.FormDataContentType())
			if resp, err := r.client().Do(req); err == nil {
				resp.Body.Close()
			}
			eventually(r, "the handler to return", func() bool { n, _ := r.h.Running(); return n == 0 })
			if names, _ := os.ReadDir(os.TempDir()); len(names) != 0 {
				r.Error(path, ": left behind: ", names)
			}
		}
	})
}

// The trailers of short replies come as those of long ones do.
func TestTrailersOfShortReplies(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		switch r.URL.Path {
		case "/announced":
			w.Header().Set("Trailer", "X-Sum, Content-Type")
			io.WriteString(w, "hello\n")
		case "/prefix":
			io.WriteString(w, "hello\n")
			w.Header().Set(nethttp.TrailerPrefix+"X-Sum", "abc")
			w.Header().Set(nethttp.TrailerPrefix+"Content-Length", "7")
		case "/empty":
			w.Header().Set("Trailer", "X-Sum")
		case "/length":
			w.Header().Set("Trailer", "X-Sum")
			w.Header().Set("Content-Length", "6")
			io.WriteString(w, "hello\n")
		case "/204":
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(204)
		}
		w.Header().Set("X-Sum", "abc")
	}), Options{}, func(r *rig) {
		for path, want := range map[string]string{
			"/announced": "200 -1 hello\n map[X-Sum:[abc]]", "/prefix": "200 -1 hello\n map[X-Sum:[abc]]",
			"/empty": "200 -1  map[X-Sum:[abc]]", "/length": "200 6 hello\n map[]", "/204": "204 0  map[]",
		} {
			resp, body := r.get(path)
			for name, v := range resp.Trailer {
				if v == nil {
					delete(resp.Trailer, name) // announced, and not sent
				}
			}
			if got := fmt.Sprint(resp.StatusCode, " ", resp.ContentLength, " ", body, " ", resp.Trailer); got != want {
				r.Errorf("%s: %q, want %q", path, got, want)
			}
		}
		_, b := r.dial("GET /announced HTTP/1.0\r\n\r\n")
		if resp, body := r.read(b); body != "hello\n" || resp.ContentLength != 6 {
			r.Error("HTTP/1.0: ", resp, body)
		}
		if resp, _ := r.do("HEAD", "/announced", ""); resp.StatusCode != 200 {
			r.Error("HEAD: ", resp)
		}
	})
}

func TestCloseNotifier(t *testing.T) {
	ended := make(chan bool, 1)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		//lint:ignore SA1019 gin's Context.Stream asks for it
		gone := w.(nethttp.CloseNotifier).CloseNotify()
		io.WriteString(w, "event")
		w.(nethttp.Flusher).Flush()
		if r.URL.Path == "/wait" {
			ended <- <-gone
			return
		}
		select {
		case <-gone:
			t.Error("told that a client has gone which has not")
		default:
		}
	}), Options{}, func(r *rig) {
		if _, body := r.get("/"); body != "event" {
			r.Error(body)
		}
		c, b := r.dial("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
		if _, err := nethttp.ReadResponse(b, nil); err != nil {
			r.Error(err)
		}
		c.Close()
		if !await(r, ended, "CloseNotify") {
			r.Error("the channel says false")
		}
	})
}

// Flushed bytes go out before the connection is cut, and bytes written after them do not make the
// reply complete.
func TestAPanicKeepsWhatWasFlushed(t *testing.T) {
	large := strings.Repeat("x", 1<<20)
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		text := "flushed"
		if r.URL.Path == "/large" {
			text = large
		}
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", "100")
		}
		io.WriteString(w, text)
		w.(nethttp.Flusher).Flush()
		if r.URL.Path == "/length" {
			return // too short
		}
		panic(nethttp.ErrAbortHandler)
	}), Options{}, func(r *rig) {
		for path, want := range map[string]string{"/": "flushed", "/large": large, "/length": "flushed"} {
			for range 20 {
				resp, err := r.client().Get("http://" + r.addr + path)
				if err != nil {
					r.Fatal(path, ": ", err)
				}
				body, err := io.ReadAll(resp.Body)
				resp.Body.Close()
				if string(body) != want || err == nil {
					r.Fatalf("%s: %d bytes, %v", path, len(body), err)
				}
			}
		}
	})
}

// RFC 9110 9.3.7: OPTIONS * is a ping of the server. As with net/http, the handler does not see it.
func TestOptionsStar(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { w.WriteHeader(400) }), Options{}, func(r *rig) {
		for _, in := range []string{"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
			"OPTIONS http://x HTTP/1.1\r\nHost: x\r\n\r\n"} {
			_, b := r.dial(in)
			if resp, _ := r.read(b); resp.StatusCode != 200 || resp.ContentLength != 0 || resp.Close {
				r.Errorf("%q: %v", in, resp)
			}
		}
	})
}

// A handler of a route finds the values of the wildcards where net/http's own mux puts them.
func TestPathValuesBehindAMux(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	inner := nethttp.NewServeMux()
	show := func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprintf(w, "%s|%s|%s|%s", r.PathValue("id"), r.PathValue("rest"), r.PathValue("sub"), r.PathValue("none"))
	}
	inner.HandleFunc("/both/{sub}/x", show)
	h, hInner := New(m, nethttp.HandlerFunc(show), Options{}), New(m, inner, Options{})
	x := http.NewMux()
	x.MustHandle("GET /std/{id}/{rest...}", h.Serve)
	x.MustHandleEvents("POST /stream/{id}", h.Handle)
	x.MustHandle("GET /both/{id}/x", hInner.Serve)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t, m, h, l.LocalAddr().String()}
	go m.Run(context.Background())
	for _, test := range [][3]string{{"GET", "/std/a%2Fb/c/d", "a/b|c/d||"}, {"POST", "/stream/7", "7|||"}, {"GET", "/both/3/x", "3||3|"}} {
		if _, body := r.do(test[0], test[1], "x"); body != test[2] {
			t.Errorf("%s: %q, want %q", test[1], body, test[2])
		}
	}
}

// RFC 9111 5.4: Pragma: no-cache of a client without Cache-Control means the same.
func TestPragmaIsCacheControl(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprint(w, r.Header["Cache-Control"])
	}), Options{}, func(r *rig) {
		for fields, want := range map[string]string{
			"Pragma: no-cache\r\n": "[no-cache]", "Pragma: no-cache\r\nCache-Control: max-age=0\r\n": "[max-age=0]", "Pragma: x\r\n": "[]",
		} {
			_, b := r.dial("GET / HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n")
			if _, body := r.read(b); body != want {
				r.Errorf("%q: %s, want %s", fields, body, want)
			}
		}
	})
}
