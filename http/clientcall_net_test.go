package http

import (
	"errors"
	"fmt"
	"io"
	"net"
	stdhttp "net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// The requests of a Client over sockets: methods and bodies, redirects, streamed responses, and the
// event style. The loop for them is in clientpool_net_test.go.

// A real server, net/http's, with methods, bodies, and connections that are kept.
func TestClientAgainstNetHTTP(t *testing.T) {
	var conns atomic.Int32
	srv := httptest.NewUnstartedServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Seen", fmt.Sprintf("%s %s %s %d", r.Method, r.URL, r.Header.Get("Content-Type"), r.ContentLength))
		switch r.URL.Path {
		case "/chunked":
			w.Write(b)
			w.(stdhttp.Flusher).Flush()
			w.Write(b)
		case "/close":
			w.Header().Set("Connection", "close")
		default:
			w.Write(b)
		}
	}))
	srv.Config.ConnState = func(_ net.Conn, s stdhttp.ConnState) {
		if s == stdhttp.StateNew {
			conns.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		conns.Store(0)
		for _, c := range []struct {
			r          ClientRequest
			seen, body string
		}{
			{ClientRequest{URL: srv.URL + "/a?b=c"}, "GET /a?b=c  0", ""},
			{ClientRequest{URL: srv.URL + "/", Body: []byte("abc"), ContentType: "text/plain"}, "POST / text/plain 3", "abc"},
			{ClientRequest{URL: srv.URL + "/chunked", Method: "PUT", Body: []byte("abc")}, "PUT /chunked  3", "abcabc"},
			{ClientRequest{URL: srv.URL + "/", Source: &bodyPieces{list: []string{"ab", "c"}}}, "POST /  -1", "abc"},
			{ClientRequest{URL: srv.URL + "/", Body: []byte("abc"), Expect: true}, "POST /  3", "abc"},
			{ClientRequest{URL: srv.URL + "/", Method: "HEAD"}, "HEAD /  0", ""},
			{ClientRequest{URL: srv.URL + "/", Method: "DELETE"}, "DELETE /  0", ""},
			{ClientRequest{URL: srv.URL + "/", Body: []byte(strings.Repeat("x", 900_000))}, "POST /  900000", strings.Repeat("x", 900_000)},
		} {
			got := l.do(&c.r)
			if got.err != nil || got.status != 200 || got.body != c.body || !strings.Contains(got.fields, "X-Seen="+c.seen+";") {
				t.Errorf("%s %s: %d %.80q %s %v", c.r.Method, c.r.URL, got.status, got.body, got.fields, got.err)
			}
		}
		if n := conns.Load(); n != 1 {
			t.Errorf("%d connections, want 1", n)
		}
		l.do(&ClientRequest{URL: srv.URL + "/close"})
		if s := l.stats(); s.Conns != 0 {
			t.Errorf("%+v after Connection: close", s)
		}
	})
}

// Redirects, by the rules of RFC 9110 15.4.
func TestClientRedirects(t *testing.T) {
	seen := func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %q auth=%q type=%q", r.Method, r.URL, b, r.Header.Get("Authorization"), r.Header.Get("Content-Type"))
	}
	other := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		if back := r.URL.Query().Get("back"); back != "" {
			w.Header().Set("Location", back)
			w.WriteHeader(302)
			return
		}
		seen(w, r)
	}))
	defer other.Close()
	mux := stdhttp.NewServeMux()
	mux.HandleFunc("/seen", seen)
	mux.HandleFunc("/to", func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		var status int
		fmt.Sscan(r.URL.Query().Get("s"), &status)
		io.Copy(io.Discard, r.Body)
		w.Header()["Location"] = []string{r.URL.Query().Get("l")}
		w.WriteHeader(status)
		io.WriteString(w, strings.Repeat("x", 1000))
	})
	mux.HandleFunc("/loop", func(w stdhttp.ResponseWriter, r *stdhttp.Request) { stdhttp.Redirect(w, r, "/loop", 302) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	underBothClients(t, ClientOptions{MaxRedirects: 3}, func(t *testing.T, l *clientLoop) {
		for _, c := range []struct {
			method, status, to, want string
		}{
			{"GET", "301", "/seen", `GET /seen "" auth="Bearer t" type=""`},
			{"GET", "302", "seen?a=b", `GET /seen?a=b "" auth="Bearer t" type=""`},
			{"POST", "301", "/seen", `GET /seen "" auth="Bearer t" type=""`},
			{"POST", "302", "/seen", `GET /seen "" auth="Bearer t" type=""`},
			{"POST", "303", "/seen", `GET /seen "" auth="Bearer t" type=""`},
			{"PUT", "303", "/seen", `GET /seen "" auth="Bearer t" type=""`},
			{"PUT", "301", "/seen", `PUT /seen "abc" auth="Bearer t" type="text/plain"`},
			{"POST", "307", "/seen", `POST /seen "abc" auth="Bearer t" type="text/plain"`},
			{"POST", "308", "/seen", `POST /seen "abc" auth="Bearer t" type="text/plain"`},
			{"GET", "302", other.URL + "/x", `GET /x "" auth="" type=""`},
			{"POST", "307", other.URL + "/x", `POST /x "abc" auth="" type="text/plain"`},
			{"GET", "302", other.URL + "/x?back=" + srv.URL + "/seen", `GET /seen "" auth="" type=""`},
		} {
			r := ClientRequest{URL: srv.URL + "/to?s=" + c.status + "&l=" + stdQuery(c.to), Method: c.method}
			if c.method != "GET" {
				r.Body, r.ContentType = []byte("abc"), "text/plain"
			}
			r.SetBearerAuth("t")
			if got := l.do(&r); got.err != nil || got.body != c.want {
				t.Errorf("%s %s to %s: %q %v, want %q", c.method, c.status, c.to, got.body, got.err, c.want)
			}
		}
		for _, c := range []struct{ url, why string }{
			{srv.URL + "/loop", "after 3 others"},
			{srv.URL + "/to?s=302&l=ftp://x/", "the scheme is not http or https"},
			{srv.URL + "/to?s=302&l=http://u:p@127.0.0.1/", "user information"},
		} {
			if got := l.do(&ClientRequest{URL: c.url}); !errors.Is(got.err, ErrRedirect) || !strings.Contains(got.err.Error(), c.why) {
				t.Errorf("%s: %v", c.url, got.err)
			}
		}
		got := l.do(&ClientRequest{URL: srv.URL + "/to?s=307&l=/seen", Source: &bodyPieces{list: []string{"x"}}})
		if got.status != 307 { // the body cannot be sent again
			t.Errorf("a Source: %+v", got)
		}
	})
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		if got := l.do(&ClientRequest{URL: srv.URL + "/loop"}); got.status != 302 {
			t.Errorf("%+v", got)
		}
	})
}

func stdQuery(s string) string {
	return strings.NewReplacer("?", "%3f", "&", "%26", "=", "%3d").Replace(s)
}

// Events of the response of a Client, with StreamResponse.
func TestClientStreams(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		for range 100 {
			w.Write(make([]byte, 100_000))
		}
	}))
	defer srv.Close()
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		n := 0
		r := &ClientRequest{URL: srv.URL, Events: func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *ResponseHead:
				StreamResponse(c)
			case *Chunk:
				n += len(ev.Data)
				c.Pause()
				c.Resume()
			}
		}}
		if got := l.do(r); got.err != nil || got.status != 200 || got.body != "" || n != 10_000_000 {
			t.Errorf("%+v, %d bytes", got, n)
		}
	})
}

// The event style over a socket.
func TestClientConnect(t *testing.T) {
	srv := httptest.NewServer(stdhttp.HandlerFunc(func(w stdhttp.ResponseWriter, r *stdhttp.Request) {
		io.WriteString(w, r.URL.Path)
	}))
	defer srv.Close()
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		got := make(chan string, 100)
		l.m.Do(func() {
			var c *conn.Conn
			c, err := Connect(l.m, srv.URL+"/first", func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *conn.Connect:
					Send(c, &ClientRequest{})
				case *Response:
					got <- string(ev.Body)
					if string(ev.Body) == "/first" {
						Send(c, &ClientRequest{URL: "/second"})
					} else {
						c.Close()
					}
				case *conn.Close:
					got <- "closed"
				}
			})
			if err != nil || c == nil {
				got <- err.Error()
			}
		})
		for _, want := range []string{"/first", "/second", "closed"} {
			if s := <-got; s != want {
				t.Fatalf("%q, want %q", s, want)
			}
		}
	})
}
