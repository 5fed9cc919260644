package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

// The server gets the fields of a request that a proxy passes on.
func TestPassesRequests(t *testing.T) {
	to := server(t, describe)
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-via", "p", "-host", "a.example")
		for _, c := range []struct {
			name, raw string
			want, not []string
		}{
			{"a GET", "GET /a/../b%2f?c=d HTTP/1.1\nHost: a.example\n\n",
				[]string{"GET /a/../b%2f?c=d a.example \"\"", "X-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Host: a.example\r\n",
					"X-Forwarded-Proto: http\r\n", "Forwarded: for=127.0.0.1;host=\"a.example\";proto=http\r\n", "Via: 1.1 p\r\n"}, []string{"Connection"}},
			{"absolute form", "GET http://a.example?x HTTP/1.1\nHost: b.example\n\n", []string{"GET /?x a.example"}, nil},
			{"a POST", "POST / HTTP/1.1\nHost: localhost\nContent-Length: 3\nContent-Type: a/b\n\nabc",
				[]string{`POST / localhost "abc"`, "Content-Length: 3\r\n", "Content-Type: a/b\r\n"}, nil},
			{"an empty POST", "POST / HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n", []string{`POST / localhost ""`, "Content-Length: 0\r\n"}, nil},
			{"chunks and trailers", "PUT / HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\nTrailer: Sum\n\n3\nabc\n2;x=y\nde\n0\nSum: 1\n\n",
				[]string{`PUT / localhost "abcde"`, "trailer Sum=[1]"}, []string{"Content-Length"}},
			{"HTTP/1.0", "POST / HTTP/1.0\nContent-Length: 2\n\nab", []string{`"ab"`, "Via: 1.0 p\r\n", "Forwarded: for=127.0.0.1;proto=http\r\n"}, nil},
			{"fields of the connection", "GET / HTTP/1.1\nHost: localhost\nConnection: X-Mine, keep-alive, X-Forwarded-For\nX-Mine: 1\nKeep-Alive: 5\nTE: trailers\n" +
				"Proxy-Authorization: Basic x\nProxy-Connection: close\nProxy: evil\nUpgrade: h2c\nX-Yours: 1\nCookie: a\nCookie: b\n\n",
				[]string{"X-Yours: 1\r\n", "Cookie: a\r\nCookie: b\r\n", "X-Forwarded-For: 127.0.0.1\r\n"},
				[]string{"X-Mine", "Keep-Alive", "Te:", "Proxy", "Upgrade", "Connection"}},
			{"forged", "GET / HTTP/1.1\nHost: localhost\nX-Forwarded-For: 6.6.6.6\nX_Forwarded_For: 6.6.6.6\nForwarded: for=6.6.6.6\nX-Forwarded-Proto: https\n" +
				"X-Forwarded-Host: 6.6.6.6\nX-Real-IP: 6.6.6.6\nVia: 1.1 other\n\n",
				[]string{"X-Forwarded-For: 127.0.0.1\r\n", "Via: 1.1 other\r\nVia: 1.1 p\r\n"}, []string{"6.6.6.6", "https"}},
			{"Max-Forwards", "OPTIONS / HTTP/1.1\nHost: localhost\nMax-Forwards: 3\n\n", []string{"Max-Forwards: 2\r\n"}, nil},
		} {
			resp, b := r.exchange("", c.raw)
			for _, want := range c.want {
				if resp.StatusCode != 200 || !strings.Contains(b, want) {
					t.Errorf("%s: %d, without %q:\n%s", c.name, resp.StatusCode, want, b)
				}
			}
			for _, not := range c.not {
				if strings.Contains(b, not) {
					t.Errorf("%s: with %q:\n%s", c.name, not, b)
				}
			}
		}
	})
}

// The fields in which a trusted proxy names the client are passed on and added to.
func TestTrustedProxy(t *testing.T) {
	to := server(t, describe)
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-trusted-proxy", "127.0.0.0/8", "-own-host")
		_, b := r.exchange("", "GET / HTTP/1.1\nHost: localhost\nX-Forwarded-For: 192.0.2.7\nForwarded: for=192.0.2.7\nX-Forwarded-Proto: https\nX-Forwarded-Host: public.example\n\n")
		for _, want := range []string{"GET / " + strings.TrimPrefix(to, "http://") + " ", "X-Forwarded-For: 192.0.2.7\r\nX-Forwarded-For: 127.0.0.1\r\n", "X-Forwarded-Proto: https\r\n",
			"X-Forwarded-Host: public.example\r\n", "Forwarded: for=192.0.2.7\r\nForwarded: for=127.0.0.1;host=\"localhost\";proto=http\r\n"} {
			if !strings.Contains(b, want) {
				t.Errorf("without %q:\n%s", want, b)
			}
		}
	})
}

// The proxy replies to some requests by itself.
func TestAnswersByItself(t *testing.T) {
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s has come through", r.Method, r.RequestURI)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-via", "me")
		for raw, want := range map[string]int{
			"TRACE / HTTP/1.1\nHost: localhost\n\n":                                       405,
			"CONNECT localhost:1 HTTP/1.1\nHost: localhost:1\n\n":                         501,
			"GET / HTTP/1.1\nHost: evil.example\n\n":                                      421,
			"GET / HTTP/1.1\nHost: localhost\nVia: 1.1 a, 1.1 me\n\n":                     508,
			"OPTIONS * HTTP/1.1\nHost: localhost\nMax-Forwards: 0\n\n":                    200,
			"POST / HTTP/1.1\nHost: localhost\nContent-Length: 1\nExpect: miracles\n\na":  417,
			"POST / HTTP/1.1\nHost: localhost\nTransfer-Encoding: gzip, chunked\n\n0\n\n": 501,
		} {
			if resp, _ := r.exchange("", raw); resp.StatusCode != want {
				t.Errorf("%q: %d, want %d", raw, resp.StatusCode, want)
			}
		}
	})
}

// The client gets the fields of a response that a proxy passes on.
func TestPassesResponses(t *testing.T) {
	const date = "Date: Sun, 06 Nov 1994 08:49:37 GMT"
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		for _, c := range []struct{ name, method, version, response, want string }{
			{"length", "GET", "1.1", "HTTP/1.1 200 Fine\n" + date + "\nContent-Length: 3\nContent-Type: a/b\nSet-Cookie: a\nSet-Cookie: b\nConnection: X-Mine\nX-Mine: 1\nKeep-Alive: 5\n\nabc",
				"HTTP/1.1 200 OK\nContent-Length: 3\n" + date + "\nContent-Type: a/b\nSet-Cookie: a\nSet-Cookie: b\nVia: 1.1 p\n\nabc"},
			{"chunks", "GET", "1.1", "HTTP/1.1 200 OK\n" + date + "\nTransfer-Encoding: chunked\nTrailer: Sum\n\n3\nabc\n0\nSum: 1\n\n",
				"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n" + date + "\nTrailer: Sum\nVia: 1.1 p\n\n3\nabc\n0\nSum: 1\n\n"},
			{"chunks to HTTP/1.0", "GET", "1.0", "HTTP/1.1 200 OK\n" + date + "\nTransfer-Encoding: chunked\nTrailer: Sum\n\n3\nabc\n0\nSum: 1\n\n",
				"HTTP/1.1 200 OK\nConnection: close\n" + date + "\nVia: 1.1 p\n\nabc"},
			{"HEAD", "HEAD", "1.1", "HTTP/1.1 200 OK\n" + date + "\nContent-Length: 1234\n\n", "HTTP/1.1 200 OK\nContent-Length: 1234\n" + date + "\nVia: 1.1 p\n\n"},
			{"HEAD without a length", "HEAD", "1.1", "HTTP/1.1 200 OK\n" + date + "\nTransfer-Encoding: chunked\n\n", "HTTP/1.1 200 OK\n" + date + "\nVia: 1.1 p\n\n"},
			{"204", "GET", "1.1", "HTTP/1.1 204 No\n" + date + "\n\n", "HTTP/1.1 204 No Content\n" + date + "\nVia: 1.1 p\n\n"},
			{"304", "GET", "1.1", "HTTP/1.1 304 No\n" + date + "\nETag: \"x\"\nContent-Length: 100\n\n", "HTTP/1.1 304 Not Modified\n" + date + "\nETag: \"x\"\nVia: 1.1 p\n\n"},
			{"empty", "GET", "1.1", "HTTP/1.1 200 OK\n" + date + "\nContent-Length: 0\n\n", "HTTP/1.1 200 OK\nContent-Length: 0\n" + date + "\nVia: 1.1 p\n\n"},
			{"interim", "GET", "1.1", "HTTP/1.1 103 Early\nLink: </a>\nConnection: B\nB: c\n\nHTTP/1.1 102 P\n\nHTTP/1.1 200 OK\n" + date + "\nContent-Length: 0\n\n",
				"HTTP/1.1 103 Early Hints\nLink: </a>\n\nHTTP/1.1 102 Processing\n\nHTTP/1.1 200 OK\nContent-Length: 0\n" + date + "\nVia: 1.1 p\n\n"},
			{"426", "GET", "1.1", "HTTP/1.1 426 U\n" + date + "\nUpgrade: h2c\nConnection: Upgrade\nContent-Length: 0\n\n",
				"HTTP/1.1 426 Upgrade Required\nContent-Length: 0\nConnection: Upgrade\n" + date + "\nUpgrade: h2c\nVia: 1.1 p\n\n"},
		} {
			t.Run(c.name, func(t *testing.T) {
				r := start(t, poller, "-to", says(t, c.response), "-via", "p")
				want := lines(c.want)
				conn, in := r.dial()
				for range 2 { // the second one finds both connections as they should be
					fmt.Fprintf(conn, "%s / HTTP/%s\r\nHost: localhost\r\n\r\n", c.method, c.version)
					b := make([]byte, len(want))
					if n, err := io.ReadFull(in, b); string(b) != want {
						t.Fatalf("got  %q %v\nwant %q", b[:n], err, want)
					}
					if c.version == "1.0" {
						if _, err := in.ReadByte(); err != io.EOF {
							t.Errorf("after the response: %v", err)
						}
						return
					}
				}
				r.on(func(p *proxy) {
					if s := p.client.Stats(); s.Conns != 1 || s.Idle != 1 {
						t.Errorf("connections to the server: %+v", s)
					}
				})
			})
		}
	})
}

// OPTIONS * has no path.
func TestPassesAnAsterisk(t *testing.T) {
	got := make(chan string, 1)
	to := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		line, _ := in.ReadString('\n')
		got <- line
		io.WriteString(c, lines("HTTP/1.1 204 No Content\n\n"))
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		resp, _ := start(t, poller, "-to", to).exchange("OPTIONS", "OPTIONS * HTTP/1.1\nHost: localhost\n\n")
		if line := <-got; resp.StatusCode != 204 || line != "OPTIONS * HTTP/1.1\r\n" {
			t.Errorf("%d %q", resp.StatusCode, line)
		}
	})
}

// A body that ends with the connection.
func TestPassesAResponseUntilTheEnd(t *testing.T) {
	to := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		http.ReadRequest(in)
		io.WriteString(c, "HTTP/1.0 200 OK\r\n\r\nabc")
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		if resp, b := start(t, poller, "-to", to).get("/"); b != "abc" || resp.TransferEncoding == nil {
			t.Errorf("%q %v", b, resp.TransferEncoding)
		}
	})
}

// Requests that came together are answered in their order, over one connection each way.
func TestPipeline(t *testing.T) {
	to := server(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.RequestURI) })
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		c, in := r.dial()
		for i := range 20 {
			fmt.Fprintf(c, "POST /%d HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc", i)
		}
		for i := range 20 {
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint("/", i) {
				t.Fatalf("%d: %q", i, b)
			}
		}
		r.on(func(p *proxy) {
			if s := p.client.Stats(); s.Conns != 1 {
				t.Errorf("%+v", s)
			}
		})
	})
}

// A client that asks before it sends a body is told what the server says.
func TestExpectContinue(t *testing.T) {
	asked := make(chan bool)
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/no" {
			http.Error(w, "no", 413)
			return
		}
		<-asked
		describe(w, r)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		c, in := r.dial()
		fmt.Fprintf(c, "POST /no HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 413 || !resp.Close {
			t.Fatalf("%+v %v", resp, err)
		}
		c, in = r.dial()
		fmt.Fprintf(c, "POST /yes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n")
		r.eventually("the request is on its way", func(p *proxy) bool { return p.client.Stats().Conns > p.client.Stats().Idle })
		asked <- true
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 100 {
			t.Fatalf("%+v %v", resp, err)
		}
		io.WriteString(c, "abc")
		resp, err := http.ReadResponse(in, nil)
		if err != nil || resp.StatusCode != 200 {
			t.Fatalf("%+v %v", resp, err)
		}
		if b, _ := io.ReadAll(resp.Body); !strings.Contains(string(b), `"abc"`) || !strings.Contains(string(b), "Expect: 100-continue") {
			t.Errorf("%s", b)
		}
	})
}
