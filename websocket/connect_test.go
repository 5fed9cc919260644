package websocket_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// client is a manager of its own in a goroutine, and the notes of its connections.
type client struct {
	*mgr.Manager
	server // for its notes
	conn   *conn.Conn
}

// clientManager starts a manager.
func clientManager(t *testing.T, p mgr.Poller) *client {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p, Limits: conn.Limits{Send: 64 << 20}})
	if err != nil {
		t.Fatal(err)
	}
	c := &client{Manager: m, server: server{t: t, ended: make(chan string, 1000)}}
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ran; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return c
}

// dialClient connects to url.
func dialClient(t *testing.T, p mgr.Poller, url string, o *websocket.ClientOptions, h conn.Handler) *client {
	t.Helper()
	c := clientManager(t, p)
	c.connect(url, o, h)
	return c
}

func (c *client) connect(url string, o *websocket.ClientOptions, h conn.Handler) {
	c.t.Helper()
	handle := func(x *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Connect:
			c.note("connect")
		case *websocket.Open:
			c.note("open %q", ev.Protocol)
		case *websocket.Redirect:
			c.note("redirect %s", ev.URL)
		case *websocket.Message:
			c.note("%s %s", ev.Op, short(ev.Data))
		case *websocket.Control:
			if ev.Op == websocket.Close {
				c.note("end %d %q clean=%v", ev.Code, ev.Reason, ev.Clean)
			}
		case *conn.Error:
			if e, ok := errors.AsType[*websocket.HandshakeError](ev.Err); ok {
				c.note("error %s: %d %s %q", ev.Reason, e.Status, e.Reason, e.Body)
			} else {
				c.note("error %s", ev.Reason)
			}
		case *conn.Close:
			c.note("closed")
			c.ended <- ev.Reason.String()
		}
		if h != nil {
			h(x, ev)
		}
	}
	c.do(func() (err error) {
		c.conn, err = websocket.Connect(c.Manager, url, handle, o)
		return err
	})
}

// do calls f on the loop.
func (c *client) do(f func() error) {
	c.t.Helper()
	done := make(chan error, 1)
	if err := c.Do(func() { done <- f() }); err != nil {
		c.t.Fatal(err)
	}
	if err := <-done; err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) close() {
	c.t.Helper()
	c.do(func() error { return websocket.CloseWith(c.conn, websocket.CloseNormal, "") })
}

// onBoth runs a dialogue with the client on each poller.
func onBoth(t *testing.T, dialogue func(t *testing.T, p mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { dialogue(t, p) })
	}
}

// scripted is a server that reads requests and sends what reply makes of each.
func scripted(t *testing.T, reply func(n int, req *nethttp.Request) []byte, then func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for n := 0; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := (&server{t: t}).peerOf(c)
			req, err := nethttp.ReadRequest(p.r)
			if err != nil {
				t.Error(err)
				c.Close()
				return
			}
			c.Write(reply(n, req))
			if then != nil {
				then(c)
			}
			c.Close()
		}
	}()
	return l.Addr().String()
}

func TestClientAndServerTalk(t *testing.T) {
	opts := &websocket.Options{Protocols: []string{"two", "one"}, MaxMessage: 4 << 20}
	underBoth(t, opts, nil, func(t *testing.T, s *server) {
		big := bytes.Repeat([]byte("0123456789"), 300_000)
		h := func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *websocket.Open:
				websocket.Send(c, websocket.Text, []byte("hello"))
			case *websocket.Message:
				if ev.Op == websocket.Text {
					websocket.Send(c, websocket.Binary, big)
				} else {
					websocket.CloseWith(c, 4000, "enough")
				}
			}
		}
		o := &websocket.ClientOptions{Options: websocket.Options{Protocols: []string{"one", "two"}, MaxMessage: 4 << 20}}
		for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
			c := dialClient(t, p, "ws://"+s.addr+"/x?y", o, h)
			c.wantNotes("connect", `open "two"`, `text "hello"`, "binary "+short(big), `end 4000 "" clean=true`, "closed")
			s.wantNotes(`open "two"`, `text "hello"`, "binary "+short(big), `end 4000 "enough" clean=true`, "closed")
		}
	})
}

func TestClientOverAUnixSocket(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		path := "unix://" + filepath.Join(t.TempDir(), "s")
		c := clientManager(t, p)
		host := make(chan string, 1)
		c.do(func() error {
			_, err := http.Listen(c.Manager, path, func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*http.Message); ok {
					host <- string(m.Host) + string(m.Target)
					websocket.Upgrade(c, m, nil)
				}
			})
			return err
		})
		c.connect("ws://inside/x", &websocket.ClientOptions{Address: path}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*websocket.Open); ok {
				websocket.CloseWith(c, websocket.CloseNormal, "")
			}
		})
		c.wantNotes("connect", opened, normally, "closed")
		if got := <-host; got != "inside/x" {
			t.Errorf("the request was for %s", got)
		}
	})
}

// Frames that the server sends with its reply are not lost, however they are cut.
func TestFramesInThePacketOfTheResponse(t *testing.T) {
	frames := cat(bare(0x81, "first"), bare(0x88, closing(1000, "")))
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		c := clientManager(t, p)
		rest := make(chan []byte, 1)
		addr := scripted(t, func(n int, req *nethttp.Request) []byte {
			all := append(switching(req), frames...)
			cut := len(all) - n
			rest <- all[cut:]
			return all[:cut]
		}, func(c net.Conn) {
			c.Write(<-rest)
			var b [100]byte
			c.Read(b[:]) // the server's Close frame
		})
		for range len(frames) + 4 {
			c.connect("ws://"+addr, nil, nil)
			c.wantNotes("connect", opened, `text "first"`, normally, "closed")
		}
	})
}

func TestHandshakeRefusedOverTheWire(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		web := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			switch r.URL.Path {
			case "/chunked":
				w.WriteHeader(500)
				w.(nethttp.Flusher).Flush()
				fmt.Fprint(w, "sorry")
			default:
				nethttp.Error(w, "not here", 404)
			}
		}))
		defer web.Close()
		c := clientManager(t, p)
		base := "ws" + strings.TrimPrefix(web.URL, "http")
		c.connect(base, nil, nil)
		c.wantNotes("connect", `error protocol error: 404 the server responded with 404 Not Found "not here\n"`, "closed")
		c.connect(base+"/chunked", nil, nil)
		c.wantNotes("connect", `error protocol error: 500 the server responded with 500 Internal Server Error "sorry"`, "closed")

		closed, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		closed.Close()
		c.connect("ws://"+closed.Addr().String(), nil, nil)
		c.wantNotes(`error unreachable: 0 conn: unreachable: connect: connection refused ""`, "closed")
	})
}

// The timeout covers the attempt to connect and the wait for the response together.
func TestHandshakeTimeoutOverTheWire(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		c := dialClient(t, p, "ws://"+l.Addr().String(), &websocket.ClientOptions{HandshakeTimeout: 50 * time.Millisecond}, nil)
		c.wantNotes("connect", `error deadline passed: 0 the request took too long ""`, "closed")
	})
}

func TestRedirectsAreFollowedByOption(t *testing.T) {
	end := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*websocket.Open); ok {
			if c.Data != "mine" {
				t.Errorf("Data is %v", c.Data)
			}
			websocket.CloseWith(c, websocket.CloseNormal, "")
		}
		if _, ok := ev.(*conn.Open); ok {
			c.Data = "mine"
		}
	}
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		asked := make(chan string, 100)
		web := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			asked <- r.URL.Path + " " + r.Header.Get("Authorization") + r.Header.Get("Origin")
			to := map[string]string{"/a": "/b", "/b": "http://" + s.addr + "/ws", "/loop": "/loop", "/tls": "https://h/"}[r.URL.Path]
			nethttp.Redirect(w, r, to, nethttp.StatusTemporaryRedirect)
		}))
		defer web.Close()
		base := "ws" + strings.TrimPrefix(web.URL, "http")
		o := &websocket.ClientOptions{MaxRedirects: 2, Origin: "http://" + s.addr,
			Options: websocket.Options{Header: []websocket.Header{{"Authorization", "secret"}}}}
		c := dialClient(t, mgr.Auto, base+"/a", o, end)
		for range 3 {
			<-c.ended
		}
		c.mu.Lock()
		slices.Sort(c.notes) // those of three connections
		got := c.notes
		c.notes = nil
		c.mu.Unlock()
		want := []string{"closed", "closed", "closed", "connect", "connect", "connect", normally, opened,
			"redirect " + base + "/b", "redirect ws://" + s.addr + "/ws"}
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("events:\n  got  %s\n  want %s", got, want)
		}
		for _, want := range []string{"/a secret" + o.Origin, "/b secret" + o.Origin} {
			if got := <-asked; got != want {
				t.Errorf("asked %s, want %s", got, want)
			}
		}
		s.wantNotes(opened, normally, "closed")

		c.connect(base+"/loop", &websocket.ClientOptions{MaxRedirects: 2}, nil)
		for range 2 {
			<-c.ended
		}
		c.wantNotes("connect", "redirect "+base+"/loop", "closed", "connect", "redirect "+base+"/loop", "closed", "connect",
			"error protocol error: 307 the server responded with 307 Temporary Redirect, a redirect to /loop, after 2 others "+
				`"<a href=\"/loop\">Temporary Redirect</a>.\n\n"`, "closed")
	})
}

// Headers for one server are not sent to another.
func TestRedirectElsewhereDropsTheHeaders(t *testing.T) {
	headers := make(chan nethttp.Header, 1)
	other := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) { headers <- r.Header }))
	defer other.Close()
	web := httptest.NewServer(nethttp.RedirectHandler(other.URL, nethttp.StatusFound))
	defer web.Close()
	o := &websocket.ClientOptions{MaxRedirects: 1, Options: websocket.Options{Header: []websocket.Header{{"Cookie", "secret"}}}}
	c := dialClient(t, mgr.Auto, "ws"+strings.TrimPrefix(web.URL, "http"), o, nil)
	if got := (<-headers).Get("Cookie"); got != "" {
		t.Errorf("the cookie %q went along", got)
	}
	<-c.ended
	<-c.ended
}

func TestConnectFailsAtOnce(t *testing.T) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for url, want := range map[string]string{
		"wss://127.0.0.1/":   `websocket: connect to wss://127.0.0.1/: wss needs ClientOptions.TLS, such as a *tlsconn.Client`,
		"ws://example.org/x": "websocket: connect to ws://example.org/x: mgr: connect: tcp://example.org:80: a host name needs mgr.Options.Resolver",
		"ws://127.0.0.1:0x":  `websocket: connect to "ws://127.0.0.1:0x": `,
	} {
		if _, err := websocket.Connect(m, url, nil, nil); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v, want %s…", url, err, want)
		}
	}
}

// Peers that have sent their Close frame do not delay the end of a server, even when they keep TCP
// open.
func TestShutdownIsQuickWhenThePeersHaveClosed(t *testing.T) {
	t.Parallel() // it waits for peers that do not close
	underBoth(t, &websocket.Options{CloseTimeout: time.Minute}, nil, func(t *testing.T, s *server) {
		p := s.open()
		done := make(chan error, 1)
		go func() { done <- s.Shutdown(context.Background()) }()
		p.want(0x88, closing(1001, ""))
		p.send(masked(0x88, closing(1001, "")))
		begun := time.Now()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if d := time.Since(begun); d > 20*time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// The client's manager tells the server that it goes away, and lets the server close.
func TestShutdownOfAClient(t *testing.T) {
	underBoth(t, nil, nil, func(t *testing.T, s *server) {
		open := make(chan bool, 1)
		c := dialClient(t, mgr.Auto, "ws://"+s.addr, nil, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*websocket.Open); ok {
				open <- true
			}
		})
		<-open
		if err := c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		s.wantNotes(opened, `end 1001 "" clean=true`, "closed")
		c.wantNotes("connect", opened, `end 1001 "" clean=true`, "closed")
	})
}
