package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// passages makes a function for Broadcast of one for passages.
func passages(f func(x *passage)) func(*conn.Conn) {
	return func(c *conn.Conn) {
		if x := passageOf(c); x != nil {
			f(x)
		}
	}
}

// The statuses of a server's failures.
func TestFailures(t *testing.T) {
	silent := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) { io.Copy(io.Discard, in) })
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		for _, c := range []struct {
			name, to string
			want     int
		}{
			{"nobody listens", nowhere(t), 502},
			{"no response", raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) { http.ReadRequest(in) }), 502},
			{"a timeout", silent, 504},
			{"no HTTP", says(t, "SSH-2.0-OpenSSH_9.2\n"), 502},
			{"a head cut short", raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
				http.ReadRequest(in)
				io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le")
			}), 502},
			{"two lengths", says(t, "HTTP/1.1 200 OK\nContent-Length: 1\nContent-Length: 2\n\nab"), 502},
			{"a length and chunks", says(t, "HTTP/1.1 200 OK\nContent-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n"), 502},
			{"a switch that nobody asked for", says(t, "HTTP/1.1 101 S\nUpgrade: x\nConnection: Upgrade\n\n"), 502},
		} {
			r := start(t, poller, "-to", c.to, "-timeout", "100ms")
			for _, method := range []string{"GET", "POST", "PUT"} {
				resp, _ := r.exchange(method, method+" / HTTP/1.1\nHost: localhost\nContent-Length: 0\nConnection: close\n\n")
				if resp.StatusCode != c.want {
					t.Errorf("%s, %s: %d, want %d", c.name, method, resp.StatusCode, c.want)
				}
			}
			r.on(func(p *proxy) {
				if u := p.upstreams.all[0]; p.figures.failures[c.want] != 3 || u.failures != 3 || u.until == 0 {
					t.Errorf("%s: %d counted, and %d of the server", c.name, p.figures.failures[c.want], u.failures)
				}
				if s := p.client.Stats(); s.Conns != 0 {
					t.Errorf("%s: %+v", c.name, s)
				}
			})
		}
	})
}

// More requests than connections wait; too many get 503.
func TestTooMany(t *testing.T) {
	silent := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) { io.Copy(io.Discard, in) })
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", silent, "-max-conns", "1", "-max-waiting", "3")
		c, in := r.dial()
		for range 4 {
			other, _ := r.dial()
			io.WriteString(other, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		}
		r.eventually("the queue is full", func(p *proxy) bool { return p.client.Stats().Waiting == 3 })
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 503 {
			t.Errorf("%+v %v", resp, err)
		}
	})
}

// A response that is cut never ends well for the client.
func TestCutResponses(t *testing.T) {
	reset := func(c *net.TCPConn) { c.SetLinger(0) }
	for _, c := range []struct {
		name, response string
		end            func(*net.TCPConn)
		again          bool // the end of the connection is the end of the body: only a reset is a cut
	}{
		{"length", "HTTP/1.1 200 OK\nContent-Length: 10\n\nabc", nil, false},
		{"length, reset", "HTTP/1.1 200 OK\nContent-Length: 10\n\nabc", reset, false},
		{"chunks", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n", nil, false},
		{"in a chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nabc", nil, false},
		{"bad chunk", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabcd\nx", nil, false},
		{"before the trailers", "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3\nabc\n0\n", nil, false},
		{"until the end, reset", "HTTP/1.0 200 OK\n\nabc", reset, true},
	} {
		proceed := make(chan bool)
		to := raw(t, func(n int, s *net.TCPConn, in *bufio.Reader) {
			http.ReadRequest(in)
			io.WriteString(s, lines(c.response))
			<-proceed
			if c.end != nil {
				c.end(s)
			}
		})
		underBoth(t, func(t *testing.T, poller mgr.Poller) {
			r := start(t, poller, "-to", to)
			for _, version := range []string{"1.0", "1.1"} {
				client, in := r.dial()
				fmt.Fprintf(client, "GET / HTTP/%s\r\nHost: localhost\r\n\r\n", version)
				resp, err := http.ReadResponse(in, nil)
				if err != nil {
					t.Fatal(c.name, err)
				}
				b := make([]byte, 1)
				if c.name != "in a chunk" {
					io.ReadFull(resp.Body, b) // it has begun
				}
				proceed <- true
				if rest, err := io.ReadAll(resp.Body); err == nil {
					t.Errorf("%s, HTTP/%s: a clean end after %q", c.name, version, rest)
				}
			}
			r.eventually("they are counted", func(p *proxy) bool { return p.figures.cut == 2 && p.upstreams.all[0].failures == 2 })
		})
	}
}

// A client that goes takes its request along, wherever that is.
func TestClientGoes(t *testing.T) {
	arrived, gone := make(chan bool, 10), make(chan bool, 10)
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/begun" {
			io.WriteString(w, "abc")
			http.NewResponseController(w).Flush()
		}
		arrived <- true
		if r.Method == "POST" {
			if _, err := io.Copy(io.Discard, r.Body); err == nil {
				t.Error("a clean end of a body that was cut")
			}
			gone <- true // net/http ends the context of a request that it has read
			return
		}
		<-r.Context().Done()
		gone <- true
	})
	bad := func(c *net.TCPConn) { io.WriteString(c, "x") }
	for name, c := range map[string]struct {
		request string
		end     func(*net.TCPConn)
	}{
		"waiting":             {"GET /wait HTTP/1.1\nHost: localhost\n\n", nil},
		"reset":               {"GET /wait HTTP/1.1\nHost: localhost\n\n", func(c *net.TCPConn) { c.SetLinger(0) }},
		"begun":               {"GET /begun HTTP/1.1\nHost: localhost\n\n", nil},
		"uploading":           {"POST /wait HTTP/1.1\nHost: localhost\nContent-Length: 100\n\nabc", nil},
		"uploading in chunks": {"POST /wait HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n3\nabc\n", nil},
		"a bad chunk":         {"POST /wait HTTP/1.1\nHost: localhost\nTransfer-Encoding: chunked\n\n3\nabc\n", bad},
	} {
		underBoth(t, func(t *testing.T, poller mgr.Poller) {
			r := start(t, poller, "-to", to)
			client, _ := r.dial()
			io.WriteString(client, lines(c.request))
			select {
			case <-arrived:
			case <-time.After(time.Minute):
				t.Fatal(name, ": the server got no request")
			}
			if c.end != nil {
				c.end(client)
			}
			client.Close()
			select {
			case <-gone:
			case <-time.After(time.Minute):
				t.Error(name, ": the server was not told")
			}
			r.eventually("it is over", func(p *proxy) bool { return p.client.Stats().Conns == 0 && p.figures.clientGone == 1 })
		})
	}
}

// With -half-closed a client may end its side and still gets its response.
func TestHalfClosedClient(t *testing.T) {
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(20 * time.Millisecond) // so that the proxy sees the end of the client's side first, which nothing tells
		io.WriteString(w, "ok")
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-half-closed")
		c, in := r.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		c.CloseWrite()
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 200 {
			t.Errorf("%+v %v", resp, err)
		}
	})
}

// Servers get requests by turns; one that fails is left out for a while, and its requests go to
// another where that can do no harm.
func TestSeveralServers(t *testing.T) {
	name := func(s string) string {
		return server(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, s) })
	}
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", name("a"), "-to", nowhere(t), "-to", name("b"), "-fail-time", "1h", "-max-fails", "2")
		got := map[string]int{}
		for i := range 20 {
			method, body := "GET", ""
			if i%2 == 1 {
				method, body = "POST", "abc"
			}
			resp, b := r.exchange(method, fmt.Sprintf("%s / HTTP/1.1\nHost: localhost\nContent-Length: %d\nConnection: close\n\n%s", method, len(body), body))
			if resp.StatusCode != 200 {
				t.Errorf("%s: %d", method, resp.StatusCode)
			}
			got[b]++
		}
		if got["a"] < 8 || got["b"] < 8 || got["a"]+got["b"] != 20 {
			t.Errorf("%v", got)
		}
		r.on(func(p *proxy) {
			if u := p.upstreams.all[1]; u.requests != 2 || u.failures != 2 || p.figures.retries != 2 {
				t.Errorf("the one that fails: %d requests, %d failures, %d retries", u.requests, u.failures, p.figures.retries)
			}
		})
	})
}

// A request that a server may have acted on goes to no other one, unless it is idempotent.
func TestRepeatsWhatDoesNoHarm(t *testing.T) {
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		for _, c := range []struct {
			request string
			want    int
		}{
			{"GET / HTTP/1.1\nHost: localhost\n\n", 200},
			{"DELETE / HTTP/1.1\nHost: localhost\n\n", 200},
			{"POST / HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n", 502},
			{"PUT / HTTP/1.1\nHost: localhost\nContent-Length: 3\n\nabc", 502}, // the body has been passed on
			{"BREW / HTTP/1.1\nHost: localhost\n\n", 502},
		} {
			var first, second atomic.Int32
			cuts := raw(t, func(n int, s *net.TCPConn, in *bufio.Reader) {
				req, err := http.ReadRequest(in)
				if err == nil {
					io.Copy(io.Discard, req.Body)
					first.Add(1)
				}
			})
			ok := server(t, func(w http.ResponseWriter, r *http.Request) { second.Add(1) })
			resp, _ := start(t, poller, "-to", cuts, "-to", ok).exchange("", c.request)
			if n := int32(1); resp.StatusCode != c.want || first.Load() != n || second.Load() != map[int]int32{200: 1, 502: 0}[c.want] {
				t.Errorf("%q: %d, %d and %d times", c.request, resp.StatusCode, first.Load(), second.Load())
			}
		}
		// All fail: each is asked once.
		r := start(t, poller, "-to", nowhere(t), "-to", nowhere(t), "-to", nowhere(t), "-max-fails", "1")
		for i := range 3 { // the second time all are left out
			if resp, _ := r.get("/"); resp.StatusCode != 502 {
				t.Errorf("%d", resp.StatusCode)
			}
			r.on(func(p *proxy) {
				for _, u := range p.upstreams.all {
					if u.requests != i+1 {
						t.Errorf("%d requests, want %d", u.requests, i+1)
					}
				}
			})
		}
	})
}

// Requests that can be read in two ways reach no server.
func TestSmuggling(t *testing.T) {
	const smuggled = "GET /smuggled HTTP/1.1\nHost: localhost\n\n"
	for _, head := range []string{
		"Content-Length: 5\nTransfer-Encoding: chunked\n\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\nContent-Length: 5\n\n0\n\n" + smuggled,
		"Content-Length: 5\nContent-Length: 6\n\nabcdef" + smuggled,
		"Content-Length: 5, 5\n\nabcde" + smuggled,
		"Content-Length: +5\n\nabcde" + smuggled,
		"Content-Length: 0x5\n\nabcde" + smuggled,
		"Content-Length : 5\n\nabcde" + smuggled,
		"Content-Length: 99999999999999999999\n\n" + smuggled,
		"Transfer-Encoding: chunked, identity\n\n0\n\n" + smuggled,
		"Transfer-Encoding: xchunked\n\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\nTransfer-Encoding: identity\n\n0\n\n" + smuggled,
		"Transfer-Encoding\x0b: chunked\n\n0\n\n" + smuggled,
		"Transfer-Encoding: \x0bchunked\n\n0\n\n" + smuggled,
		" Transfer-Encoding: chunked\n\n0\n\n" + smuggled,
		"X: y\n Content-Length: 5\n\nabcde" + smuggled,
		"X: y\x00\nContent-Length: 0\n\n" + smuggled,
		"X: y\rTransfer-Encoding: chunked\n\n0\n\n" + smuggled,
		"Host: other\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n6\nabc\n\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n0x3\nabc\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n3;\rx\nabc\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n-1\nabc\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n10000000000000003\nabc\n0\n\n" + smuggled,
		"Transfer-Encoding: chunked\n\n0\nContent-Length: 5\n\n" + smuggled,
	} {
		to := server(t, func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path != "/" {
				t.Errorf("%q: a server got %s", head, r.URL)
			}
			if b, err := io.ReadAll(r.Body); err == nil {
				t.Errorf("%q: a server got %q", head, b)
			}
		})
		underBoth(t, func(t *testing.T, poller mgr.Poller) {
			r := start(t, poller, "-to", to)
			c, in := r.dial()
			io.WriteString(c, lines("POST / HTTP/1.1\nHost: localhost\n"+head))
			out, _ := io.ReadAll(in) // the connection ends
			s := string(out)
			if n := strings.Count(s, "HTTP/1.1 "); n != 1 || !strings.HasPrefix(s, "HTTP/1.1 4") && !strings.HasPrefix(s, "HTTP/1.1 501") {
				t.Errorf("%q:\n%s", head, s)
			}
		})
	}
	// A response that would be read as two, and a server's bytes that nobody asked for.
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", says(t, "HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 8\n\nsmuggled"))
		for range 3 {
			if resp, b := r.get("/"); resp.StatusCode != 200 || b != "ok" {
				t.Errorf("%d %q", resp.StatusCode, b)
			}
		}
	})
}
