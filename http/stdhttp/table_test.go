package stdhttp

import (
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	nethttp "net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
)

// Each case is a request and a handler, as net/http's own tests have them. net/http's server gets
// the same request: its reply is the expectation, unless differs says what ours is, and why.
var serveCases = []struct {
	name, request string
	handler       nethttp.HandlerFunc
	differs       string
}{
	{"nothing written", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {}, ""},
	{"an empty write", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Write(nil) }, ""},
	{"an empty write, then text", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Write(nil); io.WriteString(w, "text") }, ""},
	{"length 0", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Header().Set("Content-Length", "0") }, ""},
	{"a malformed length", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "foo")
		io.WriteString(w, "text")
	}, "a length: it is known; theirs is chunked"},
	{"a negative length", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "-1")
		io.WriteString(w, "text")
	}, "a length: it is known; theirs is chunked"},
	{"the length of a HEAD", "HEAD", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Header().Set("Content-Length", "12345") }, ""},
	{"a HEAD whose handler writes", "HEAD", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "text") }, ""},
	{"a flush before all", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.(nethttp.Flusher).Flush()
		io.WriteString(w, "text")
	}, ""},
	{"a flush of a HEAD", "HEAD", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.(nethttp.Flusher).Flush() }, ""},
	{"a flush of HTTP/1.0", "GET 1.0", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.(nethttp.Flusher).Flush()
		io.WriteString(w, "text")
	}, ""},
	{"HTTP/1.0 keeps a connection", "GET 1.0 Connection: keep-alive", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "text") }, ""},
	{"HTTP/1.0 closes", "GET 1.0", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "text") }, ""},
	{"a client that closes", "GET Connection: close", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "text") }, ""},
	{"a handler that closes", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Connection", "close")
		io.WriteString(w, "text")
	}, ""},
	{"204 with a length", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.WriteHeader(204) }, ""},
	{"304 with a type", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Type", "text/x")
		w.WriteHeader(304)
	}, ""},
	{"a write after 304", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.WriteHeader(304)
		if _, err := io.WriteString(w, "x"); !errors.Is(err, nethttp.ErrBodyNotAllowed) {
			panic(err)
		}
	}, ""},
	{"status 999", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.WriteHeader(999) }, ""},
	{"an interim status", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Link", "</a>")
		w.WriteHeader(103)
		w.Header().Del("Link")
		w.WriteHeader(201)
	}, ""},
	{"types that are guessed", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "\x89PNG\r\n\x1a\n") }, ""},
	{"a type by copying", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.Copy(w, strings.NewReader("<html><body>")) }, ""},
	{"a type of two writes", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "<ht"); io.WriteString(w, "ml>") }, ""},
	{"an empty type", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header()["Content-Type"] = nil
		io.WriteString(w, "<html>")
	}, ""},
	{"no Date", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header()["X-A"] = nil
		w.Header()["X-B"] = []string{"1", "2"}
	}, ""},
	{"a line break in a value", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Header().Set("X-A", "a\nb\r\nc") }, ""},
	{"a name that is none", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.Header()["X A"] = []string{"x"} }, ""},
	{"a header after the head", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { w.WriteHeader(200); w.Header().Set("X-A", "late") }, ""},
	{"a header after a write", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.WriteString(w, "x")
		w.Header().Set("X-A", "late")
	}, ""},
	{"a body that is not read", "POST 1000", func(w nethttp.ResponseWriter, r *nethttp.Request) { io.WriteString(w, "text") }, ""},
	{"a body that is half read", "POST 1000", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.ReadFull(r.Body, make([]byte, 10))
		io.WriteString(w, "text")
	}, ""},
	{"a body that is closed", "POST 1000", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		r.Body.Close()
		_, err := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, errors.Is(err, nethttp.ErrBodyReadAfterClose))
	}, ""},
	{"a body and its end", "POST 1000", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		b, err := io.ReadAll(r.Body)
		_, again := r.Body.Read(make([]byte, 1))
		fmt.Fprint(w, len(b), err, again, r.ContentLength, r.TransferEncoding)
	}, ""},
	{"chunks and their end", "POST chunked", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, announced := r.Trailer["X-T"]
		b, err := io.ReadAll(r.Body)
		fmt.Fprint(w, string(b), err, r.ContentLength, r.TransferEncoding, announced, r.Trailer, r.Header["Trailer"])
	}, ""},
	{"a bounded body", "POST 1000", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, err := io.ReadAll(nethttp.MaxBytesReader(w, r.Body, 10))
		var long *nethttp.MaxBytesError
		if errors.As(err, &long) {
			nethttp.Error(w, "too long", 413)
		}
	}, "the connection goes on, if the rest of the body is short: MaxBytesReader tells servers of its own package alone"},
	{"a form", "POST form", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprint(w, r.FormValue("a"), r.PostForm, r.Form)
	}, ""},
	{"no body", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, r.Body == nethttp.NoBody, n, err, r.ContentLength, r.Close)
	}, ""},
	{"what is asked", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprint(w, r.Method, r.URL, r.RequestURI, r.Proto, r.ProtoMajor, r.ProtoMinor, r.Host, r.Header, r.TLS == nil, r.Pattern)
	}, ""},
	{"a redirect", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { nethttp.Redirect(w, r, "../b?c", 303) }, ""},
	{"an error page", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "3")
		nethttp.Error(w, "sorry", 500)
	}, ""},
	{"StripPrefix", "GET", nethttp.StripPrefix("/a", nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		fmt.Fprint(w, r.URL.Path)
	})).ServeHTTP, ""},
	{"MaxBytesHandler", "POST 1000", nethttp.MaxBytesHandler(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		_, err := io.ReadAll(r.Body)
		fmt.Fprint(w, err)
	}), 5000).ServeHTTP, ""},
	{"a ServeContent with a range", "GET Range: bytes=1-2", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), strings.NewReader("0123"))
	}, ""},
	{"a ServeContent of a HEAD", "HEAD", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.ServeContent(w, r, "a.txt", time.Unix(1e9, 0), strings.NewReader("0123"))
	}, ""},
	{"cookies", "GET Cookie: a=1; b=2", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		nethttp.SetCookie(w, &nethttp.Cookie{Name: "c", Value: "3"})
		nethttp.SetCookie(w, &nethttp.Cookie{Name: "d", Value: "4"})
		fmt.Fprint(w, r.Cookies())
	}, ""},
	{"basic auth", "GET Authorization: Basic YTpi", func(w nethttp.ResponseWriter, r *nethttp.Request) { fmt.Fprint(w, r.Header.Get("Authorization") != "") }, ""},
	{"a trailer of a long reply", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Trailer", "X-T")
		io.WriteString(w, strings.Repeat("x", 50_000))
		w.Header().Set("X-T", "t")
	}, ""},
	{"a trailer of a short reply", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Trailer", "X-T")
		io.WriteString(w, "x")
		w.Header().Set("X-T", "t")
	}, ""},
	{"a panic", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) { panic(nethttp.ErrAbortHandler) }, ""},
	{"a panic after a flush", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.WriteString(w, "flushed")
		w.(nethttp.Flusher).Flush()
		panic(nethttp.ErrAbortHandler)
	}, ""},
	{"less than the length", "GET", func(w nethttp.ResponseWriter, r *nethttp.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "short")
		w.(nethttp.Flusher).Flush()
	}, ""},
}

// asked makes a request of the short form of a case: the method, and a version, a length,
// "chunked", "form" or a field.
func asked(i int, s string) string {
	method, how, _ := strings.Cut(s, " ")
	version, rest := "1.1", ""
	if v, ok := strings.CutPrefix(how, "1.0"); ok {
		version, how = "1.0", strings.TrimSpace(v)
	}
	switch {
	case how == "1000":
		rest = "Content-Length: 1000\r\n\r\n" + strings.Repeat("b", 1000)
	case how == "chunked":
		rest = "Trailer: X-T\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-T: t\r\n\r\n"
	case how == "form":
		rest = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 7\r\n\r\na=1&b=2"
	case how != "":
		rest = how + "\r\n\r\n"
	default:
		rest = "\r\n"
	}
	return fmt.Sprintf("%s /a/%d?a=q HTTP/%s\r\nHost: h.test\r\n%s", method, i, version, rest)
}

// told is what matters of the replies to a request, and whether the connection goes on.
func (r *rig) told(method, in string) string {
	r.Helper()
	c, b := r.dial(in)
	var s strings.Builder
	for {
		resp, err := nethttp.ReadResponse(b, &nethttp.Request{Method: method})
		if err != nil {
			return s.String() + "no answer"
		}
		body, err := io.ReadAll(resp.Body)
		fmt.Fprintf(&s, "%d %.200q %v length %d %v close %v", resp.StatusCode, body, err, resp.ContentLength, resp.TransferEncoding, resp.Close)
		for _, name := range slices.Sorted(maps.Keys(resp.Header)) {
			if name != "Date" {
				fmt.Fprintf(&s, " %s=%q", name, resp.Header[name])
			}
		}
		for _, name := range slices.Sorted(maps.Keys(resp.Trailer)) {
			fmt.Fprintf(&s, " trailer %s=%q", name, resp.Trailer[name])
		}
		s.WriteByte('\n')
		if resp.StatusCode >= 200 {
			if resp.Close || err != nil {
				return s.String()
			}
			break
		}
	}
	io.WriteString(c, "GET /next HTTP/1.1\r\nHost: h.test\r\n\r\n")
	if resp, err := nethttp.ReadResponse(b, nil); err != nil || resp.StatusCode != 299 {
		return s.String() + "the connection does not go on"
	}
	return s.String()
}

func TestServeCases(t *testing.T) {
	h := nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/next" {
			w.WriteHeader(299)
			return
		}
		i := 0
		fmt.Sscanf(r.URL.Path, "/a/%d", &i)
		serveCases[i].handler(w, r)
	})
	ref := httptest.NewUnstartedServer(h)
	ref.Config.ErrorLog = log.New(io.Discard, "", 0)
	ref.Start()
	defer ref.Close()
	both(t, h, Options{}, func(r *rig) {
		theirs := *r
		theirs.addr = ref.Listener.Addr().String()
		for i, c := range serveCases {
			in := asked(i, c.request)
			method, _, _ := strings.Cut(c.request, " ")
			got, want := r.told(method, in), theirs.told(method, in)
			if same := got == want; same != (c.differs == "") {
				r.Errorf("%s:\n%s\nwant\n%s", c.name, got, want)
			}
		}
	})
}
