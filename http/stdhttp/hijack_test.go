package stdhttp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	nethttp "net/http"
	"os"
	"strings"
	"testing"
	"time"
)

func takes(t *testing.T, f func(c net.Conn, b *bufio.ReadWriter, r *nethttp.Request)) nethttp.Handler {
	return nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		io.Copy(io.Discard, r.Body)
		c, b, err := w.(nethttp.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		f(c, b, r)
		if _, err := io.WriteString(w, "x"); err != nethttp.ErrHijacked {
			t.Error("Write behind Hijack: ", err)
		}
		if _, _, err := nethttp.NewResponseController(w).Hijack(); err != nethttp.ErrHijacked {
			t.Error("Hijack behind Hijack: ", err)
		}
	})
}

// Bytes that came with the request, and later ones, of any number both ways; and the end of either
// side.
func TestHijackEchoes(t *testing.T) {
	both(t, takes(t, func(c net.Conn, b *bufio.ReadWriter, r *nethttp.Request) {
		b.WriteString("HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n")
		b.Flush()
		n, err := io.Copy(c, b)
		fmt.Fprintf(c, "%d %v %s", n, err, c.RemoteAddr())
		c.Close()
		if _, err := c.Write([]byte("x")); !errors.Is(err, net.ErrClosed) {
			t.Error("Write behind Close: ", err)
		}
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
			t.Error("Read behind Close: ", err)
		}
		if r.Context().Err() != nil {
			t.Error("the context has ended before the handler")
		}
	}), Options{Buffer: 10_000}, func(r *rig) {
		for _, head := range []string{getX, chunkedPost + "\r\n3\r\nabc\r\n0\r\n\r\n"} {
			c, b := r.dial(head + "early")
			if line, err := b.ReadString('\n'); line != "HTTP/1.1 101 Switching Protocols\r\n" {
				r.Fatal(line, err)
			}
			for line := ""; line != "\r\n"; {
				line, _ = b.ReadString('\n')
			}
			large := strings.Repeat("0123456789", 100_000)
			go func() {
				io.WriteString(c, large)
				c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(b)
			if want := "early" + large + fmt.Sprintf("%d <nil> %s", len(large)+5, c.LocalAddr()); err != nil || string(got) != want {
				r.Fatalf("%d bytes, %v, want %d", len(got), err, len(want))
			}
		}
	})
}

// The connection outlives the handler, and its worker.
func TestHijackOutlivesTheHandler(t *testing.T) {
	conns := make(chan net.Conn, 1)
	both(t, takes(t, func(c net.Conn, _ *bufio.ReadWriter, _ *nethttp.Request) { conns <- c }), Options{}, func(r *rig) {
		client, b := r.dial(getX)
		c := await(r, conns, "the connection")
		eventually(r, "the handler to return", func() bool { n, _ := r.h.Running(); return n == 0 })
		c.Write([]byte("late\n"))
		if line, err := b.ReadString('\n'); line != "late\n" {
			r.Error(line, err)
		}
		c.(interface{ CloseWrite() error }).CloseWrite()
		if rest, err := io.ReadAll(b); len(rest) != 0 || err != nil {
			r.Error(rest, err)
		}
		io.WriteString(client, "reply")
		client.(*net.TCPConn).CloseWrite()
		if got, err := io.ReadAll(c); string(got) != "reply" || err != nil {
			r.Error(string(got), err)
		}
		c.Close()
	})
}

func TestHijackDeadlinesAndEnds(t *testing.T) {
	conns := make(chan net.Conn, 1)
	both(t, takes(t, func(c net.Conn, _ *bufio.ReadWriter, _ *nethttp.Request) { conns <- c }), Options{Buffer: 10_000}, func(r *rig) {
		client, _ := r.dial(getX)
		c := await(r, conns, "the connection")
		c.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
		_, err := c.Read(make([]byte, 1))
		var timeout net.Error
		if !errors.Is(err, os.ErrDeadlineExceeded) || !errors.As(err, &timeout) || !timeout.Timeout() {
			r.Error("read: ", err)
		}
		c.SetWriteDeadline(time.Now().Add(50 * time.Millisecond))
		for err = nil; err == nil; {
			_, err = c.Write(make([]byte, 100_000))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			r.Error("write: ", err)
		}
		c.SetDeadline(time.Time{})
		reset(client)
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, ErrConnection) {
			r.Error("read after a reset: ", err)
		}
		if _, err := c.Write(make([]byte, 1)); !errors.Is(err, ErrConnection) {
			r.Error("write after a reset: ", err)
		}
		c.Close()
	})
}

func TestHijackIsRefused(t *testing.T) {
	both(t, nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
		if r.URL.Path == "/begun" {
			w.(nethttp.Flusher).Flush()
		}
		_, _, err := w.(nethttp.Hijacker).Hijack()
		if err == nil {
			t.Error(r.URL.Path, ": no error")
		}
		fmt.Fprint(w, errors.Is(err, errBegun))
	}), Options{}, func(r *rig) {
		if _, body := r.get("/begun"); body != "true" {
			r.Error(body)
		}
		c, b := r.dial(chunkedPost + "\r\n3\r\nabc\r\n")
		resp, err := nethttp.ReadResponse(b, nil)
		if err != nil {
			r.Fatal(err)
		}
		io.WriteString(c, "0\r\n\r\n")
		if body, _ := io.ReadAll(resp.Body); string(body) != "true" {
			r.Error(string(body))
		}
	})
}
