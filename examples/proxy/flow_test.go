package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// size is that of the bodies that are too large to be held.
const size = 100 << 20

// bound is how much of them may be held: config.buffer in each place that has one, and what one
// read takes.
const bound = 2 << 20

// zeros gives n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// watch returns the most that the proxy has held until the function that it returns is called.
func (r *rig) watch() func() int {
	stop, most := make(chan bool), make(chan int)
	go func() {
		n := 0
		for {
			select {
			case <-stop:
				most <- n
				return
			case <-r.t.Context().Done(): // the test has failed
				return
			case <-time.After(time.Millisecond):
				n = max(n, r.held())
			}
		}
	}()
	return func() int { stop <- true; return <-most }
}

// A client that reads slowly makes the server wait.
func TestSlowClient(t *testing.T) {
	sent := make(chan int64, 10)
	for name, h := range map[string]http.HandlerFunc{
		"length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(size))
			n, _ := io.Copy(w, zeros(size))
			sent <- n
		},
		"chunks": func(w http.ResponseWriter, r *http.Request) {
			n, _ := io.Copy(w, zeros(size))
			sent <- n
		},
	} {
		to := server(t, h)
		underBoth(t, func(t *testing.T, poller mgr.Poller) {
			r := start(t, poller, "-to", to)
			c, in := r.dial()
			io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
			most := r.watch()
			r.eventually("the server has to wait", func(p *proxy) bool { return p.client.Stats().Conns == 1 && waits(p) })
			select {
			case n := <-sent:
				t.Fatalf("%s: the server has sent %d bytes", name, n)
			default:
			}
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			n, err := io.Copy(io.Discard, resp.Body)
			if n != size || err != nil {
				t.Errorf("%s: %d bytes, %v", name, n, err)
			}
			<-sent
			if n := most(); n > bound {
				t.Errorf("%s: %d bytes were held", name, n)
			}
			r.eventually("the connection to the server is kept", func(p *proxy) bool { return p.client.Stats().Idle == 1 })
		})
	}
}

// waits reports whether a server waits for its client.
func waits(p *proxy) bool {
	found := false
	p.m.Broadcast(passages(func(x *passage) { found = found || x.held != nil }))
	return found
}

// A server that reads slowly makes the client wait.
func TestSlowServer(t *testing.T) {
	proceed := make(chan bool)
	to := server(t, func(w http.ResponseWriter, r *http.Request) {
		<-proceed
		n, err := io.Copy(io.Discard, r.Body)
		fmt.Fprint(w, n, err)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		for _, head := range []string{fmt.Sprintf("Content-Length: %d", size), "Transfer-Encoding: chunked"} {
			c, in := r.dial()
			most := r.watch()
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n", head)
			go func() {
				if head[0] == 'C' {
					io.Copy(c, zeros(size))
					return
				}
				w := bufio.NewWriterSize(c, 64<<10)
				piece := make([]byte, 10_000)
				for left := size; left > 0; left -= len(piece) {
					piece = piece[:min(left, len(piece))]
					fmt.Fprintf(w, "%x\r\n%s\r\n", len(piece), piece)
				}
				io.WriteString(w, "0\r\n\r\n")
				w.Flush()
			}()
			r.eventually("the client has to wait", func(p *proxy) bool {
				found := false
				p.m.Broadcast(passages(func(x *passage) { found = found || x.c.Paused() }))
				return found
			})
			proceed <- true
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, _ := io.ReadAll(resp.Body); string(b) != fmt.Sprint(size, " <nil>") {
				t.Errorf("%s: %s", head, b)
			}
			if n := most(); n > bound {
				t.Errorf("%s: %d bytes were held", head, n)
			}
		}
	})
}

// A server that dribbles: each byte is passed on when it comes.
func TestDribble(t *testing.T) {
	next := make(chan bool)
	to := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		http.ReadRequest(in)
		for _, b := range []byte(lines("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\nX\n1;x=y\nY\n0001\nZ\n0\nSum: 1\n\n")) {
			c.Write([]byte{b})
			if 'X' <= b && b <= 'Z' {
				<-next
			}
		}
		http.ReadRequest(in)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		c, in := r.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		resp, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 10)
		for _, want := range "XYZ" {
			n, err := resp.Body.Read(b)
			if string(b[:n]) != string(want) || err != nil {
				t.Fatalf("%q %v, want %c", b[:n], err, want)
			}
			next <- true
		}
		if n, err := resp.Body.Read(b); n > 0 || err != io.EOF || resp.Trailer.Get("Sum") != "1" {
			t.Errorf("%q %v %v", b[:n], err, resp.Trailer)
		}
	})
}

// A response that comes before the request is there: the client gets it, and the server's
// connection is not used again.
func TestEarlyResponse(t *testing.T) {
	to := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		if _, err := http.ReadRequest(in); err != nil {
			return
		}
		io.WriteString(c, lines("HTTP/1.1 413 No\nContent-Length: 2\n\nno"))
		io.Copy(io.Discard, in)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		for range 2 {
			c, in := r.dial()
			fmt.Fprintf(c, "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n", size)
			go io.Copy(c, zeros(size))
			resp, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Fatal(err)
			}
			if b, err := io.ReadAll(resp.Body); resp.StatusCode != 413 || string(b) != "no" || err != nil {
				t.Errorf("%d %q %v", resp.StatusCode, b, err)
			}
			c.Close()
			r.eventually("the server's connection is closed", func(p *proxy) bool { return p.client.Stats().Conns == 0 })
		}
	})
}
