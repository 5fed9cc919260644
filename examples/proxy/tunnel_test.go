package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// echoServer is a WebSocket server of package websocket, on a loop of its own.
func echoServer(t *testing.T) string {
	t.Helper()
	m, err := mgr.New(mgr.Options{Log: mgr.Silent})
	if err != nil {
		t.Fatal(err)
	}
	l, err := mghttp.Listen(m, "tcp://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *mghttp.Message:
			websocket.Upgrade(c, ev, &websocket.Options{MaxMessage: 16 << 20})
		case *websocket.Message:
			websocket.Send(c, ev.Op, ev.Data)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	url := "http://" + l.LocalAddr().String()
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() { m.Close(); <-ran })
	return url
}

// WebSockets pass, with messages of all sizes, and their closing handshake.
func TestWebSocket(t *testing.T) {
	to := echoServer(t)
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		c, in, _, err := ws.Dial(ctx, "ws://"+strings.Replace(r.addr, "127.0.0.1", "localhost", 1)+"/x")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if in != nil {
			t.Fatal("bytes that nobody has asked for")
		}
		for _, n := range []int{0, 1, 125, 126, 70_000, 8 << 20} {
			msg := bytes.Repeat([]byte("x"), n)
			go wsutil.WriteClientBinary(c, msg)
			got, err := wsutil.ReadServerBinary(c)
			if err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes: %d, %v", n, len(got), err)
			}
		}
		ws.WriteFrame(c, ws.MaskFrame(ws.NewCloseFrame(ws.NewCloseFrameBody(1000, "bye"))))
		if _, err := wsutil.ReadServerBinary(c); err == nil || !strings.Contains(err.Error(), "1000") {
			t.Errorf("%v", err)
		}
		c.Close()
		r.eventually("it is over", func(p *proxy) bool { return p.figures.openTunnels == 0 && p.figures.tunnels == 1 })
		r.on(func(p *proxy) {
			if s := p.client.Stats(); s.Conns != 0 {
				t.Errorf("%+v", s)
			}
		})
	})
}

const upgrade = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, X-Mine\r\nX-Mine: 1\r\nUpgrade: websocket\r\n\r\n"

// switches runs a server that switches protocols, and then runs serve.
func switches(t *testing.T, serve func(c *net.TCPConn, in *bufio.Reader)) string {
	return raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		req, err := http.ReadRequest(in)
		if err != nil {
			return
		}
		if req.Header.Get("Upgrade") != "websocket" || req.Header.Get("Connection") != "Upgrade" || req.Header.Get("X-Mine") != "" {
			t.Errorf("the server gets %v", req.Header)
		}
		io.WriteString(c, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Yours: 1\r\n\r\nfirst bytes ")
		serve(c, in)
	})
}

// After 101 bytes pass as they are, from the first one on; each side ends by itself.
func TestTunnel(t *testing.T) {
	to := switches(t, func(c *net.TCPConn, in *bufio.Reader) {
		b, err := io.ReadAll(in) // to the end of the client's side
		fmt.Fprintf(c, "%q %v", b, err)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to, "-via", "p")
		c, in := r.dial()
		io.WriteString(c, upgrade+"sent before the 101, ")
		want := "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Yours: 1\r\nVia: 1.1 p\r\n\r\nfirst bytes "
		b := make([]byte, len(want))
		if _, err := io.ReadFull(in, b); string(b) != want {
			t.Fatalf("%q %v", b, err)
		}
		io.WriteString(c, "sent after")
		c.CloseWrite()
		if b, err := io.ReadAll(in); string(b) != `"sent before the 101, sent after" <nil>` || err != nil {
			t.Errorf("%q %v", b, err)
		}
		r.eventually("it is over", func(p *proxy) bool { return p.figures.openTunnels == 0 && p.figures.clientGone == 0 })
	})
}

// A tunnel holds no more than its bound, in either direction.
func TestSlowTunnel(t *testing.T) {
	proceed, got := make(chan bool), make(chan string)
	to := switches(t, func(c *net.TCPConn, in *bufio.Reader) {
		go func() {
			io.Copy(c, zeros(size))
			c.CloseWrite()
		}()
		<-proceed
		n, err := io.Copy(io.Discard, in)
		got <- fmt.Sprint(n, err)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		r := start(t, poller, "-to", to)
		c, in := r.dial()
		io.WriteString(c, upgrade)
		if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
			t.Fatal(resp, err)
		}
		most := r.watch()
		go func() {
			io.Copy(c, zeros(size))
			c.CloseWrite()
		}()
		r.eventually("both have to wait", func(p *proxy) bool {
			n := 0
			p.m.Broadcast(func(c *conn.Conn) {
				if c.Paused() {
					n++
				}
			})
			return n == 2
		})
		proceed <- true
		if n, err := io.Copy(io.Discard, in); n != size+int64(len("first bytes ")) || err != nil {
			t.Errorf("the client got %d bytes, %v", n, err)
		}
		if s := <-got; s != fmt.Sprint(size, " <nil>") {
			t.Errorf("the server got %s bytes", s)
		}
		if n := most(); n > 2*bound {
			t.Errorf("%d bytes were held", n)
		}
	})
}

// A side that is reset takes the other one along.
func TestTunnelThatBreaks(t *testing.T) {
	for _, byServer := range []bool{false, true} {
		ended := make(chan error, 1)
		to := switches(t, func(c *net.TCPConn, in *bufio.Reader) {
			if byServer {
				in.ReadByte()
				c.SetLinger(0)
				return
			}
			_, err := io.Copy(io.Discard, in)
			ended <- err
		})
		underBoth(t, func(t *testing.T, poller mgr.Poller) {
			r := start(t, poller, "-to", to)
			c, in := r.dial()
			io.WriteString(c, upgrade)
			if resp, err := http.ReadResponse(in, nil); err != nil || resp.StatusCode != 101 {
				t.Fatal(resp, err)
			}
			c.Write([]byte("x"))
			if !byServer {
				c.SetLinger(0)
				c.Close()
				<-ended
			}
			io.ReadAll(in)
			r.eventually("it is over", func(p *proxy) bool {
				n := 0
				p.m.Broadcast(func(*conn.Conn) { n++ })
				return p.figures.openTunnels == 0 && n == 0
			})
		})
	}
}

// Only protocols of -upgrade are passed on, and only what was asked for is taken.
func TestUpgradesThatAreNotAllowed(t *testing.T) {
	to := server(t, describe)
	lies := raw(t, func(n int, c *net.TCPConn, in *bufio.Reader) {
		http.ReadRequest(in)
		io.WriteString(c, "HTTP/1.1 101 Go\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
		io.Copy(io.Discard, in)
	})
	underBoth(t, func(t *testing.T, poller mgr.Poller) {
		for _, c := range []struct {
			args []string
			raw  string
		}{
			{nil, "GET / HTTP/1.1\nHost: localhost\nConnection: Upgrade, HTTP2-Settings\nUpgrade: h2c\nHTTP2-Settings: x\n\n"},
			{nil, "GET / HTTP/1.1\nHost: localhost\nUpgrade: websocket\n\n"},
			{nil, "POST / HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\nContent-Length: 0\n\n"},
			{[]string{"-upgrade", "none"}, "GET / HTTP/1.1\nHost: localhost\nConnection: Upgrade\nUpgrade: websocket\n\n"},
		} {
			resp, b := start(t, poller, append(c.args, "-to", to)...).exchange("", c.raw)
			if resp.StatusCode != 200 || strings.Contains(b, "Upgrade") || strings.Contains(b, "Settings") {
				t.Errorf("%q: %d\n%s", c.raw, resp.StatusCode, b)
			}
		}
		r := start(t, poller, "-to", lies)
		if resp, _ := r.exchange("", strings.ReplaceAll(upgrade, "\r\n", "\n")); resp.StatusCode != 502 {
			t.Errorf("another protocol than the one that was asked for: %d", resp.StatusCode)
		}
		r.eventually("it is over", func(p *proxy) bool { return p.client.Stats().Conns == 0 })
	})
}
