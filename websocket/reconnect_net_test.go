package websocket_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	nethttp "net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/tcptest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// restarting is a server that can be taken down and up again at the same place.
type restarting struct {
	t    *testing.T
	p    mgr.Poller
	url  string
	opts http.Options

	m   *mgr.Manager
	ran chan error
	mu  sync.Mutex
	got []string // the messages of all lives
	say chan string
}

func newRestarting(t *testing.T, p mgr.Poller, url string, opts http.Options) *restarting {
	s := &restarting{t: t, p: p, url: url, opts: opts, say: make(chan string, 1000)}
	t.Cleanup(func() {
		if s.m != nil {
			s.kill()
		}
	})
	return s
}

func (s *restarting) up() {
	s.t.Helper()
	m, err := mgr.New(mgr.Options{Poller: s.p})
	if err != nil {
		s.t.Fatal(err)
	}
	_, err = http.Listen(m, s.url, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			websocket.Upgrade(c, ev, nil)
		case *websocket.Message:
			s.mu.Lock()
			s.got = append(s.got, string(ev.Data))
			s.mu.Unlock()
			s.say <- string(ev.Data)
			websocket.Send(c, ev.Op, ev.Data)
		}
	}, s.opts)
	if err != nil {
		s.t.Fatal(err)
	}
	s.m, s.ran = m, make(chan error, 1)
	go func() { s.ran <- m.Run(context.Background()) }()
}

// down shuts the server down: it says 1001.
func (s *restarting) down() {
	s.t.Helper()
	if err := s.m.Shutdown(context.Background()); err != nil {
		s.t.Error(err)
	}
	<-s.ran
	s.m = nil
}

// kill closes all connections without a word.
func (s *restarting) kill() {
	s.m.Close()
	<-s.ran
	s.m = nil
}

// keeper is a Reconnector on a loop of its own.
type keeper struct {
	*client
	r      *websocket.Reconnector
	states chan string
	echoes chan string
}

func keep(t *testing.T, c *client, url string, o *websocket.ReconnectOptions, h conn.Handler) *keeper {
	t.Helper()
	k := &keeper{client: c, states: make(chan string, 1000), echoes: make(chan string, 1000)}
	c.do(func() (err error) {
		k.r, err = websocket.Reconnect(c.Manager, url, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *websocket.State:
				text := ev.Phase.String()
				if ev.Code != 0 {
					text += fmt.Sprintf(" %d", ev.Code)
				}
				k.states <- text
			case *websocket.Message:
				k.echoes <- string(ev.Data)
			}
			if h != nil {
				h(c, ev)
			}
		}, o)
		return err
	})
	return k
}

func (k *keeper) send(text string) {
	k.t.Helper()
	k.do(func() error { _, err := k.r.Send(websocket.Text, []byte(text)); return err })
}

// await waits for a state.
func (k *keeper) await(want string) {
	k.t.Helper()
	var seen []string
	for end := time.After(time.Minute); ; {
		select {
		case got := <-k.states:
			if got == want {
				return
			}
			seen = append(seen, got)
		case <-end:
			k.t.Fatalf("no state %q; there were %q", want, seen)
		}
	}
}

func (k *keeper) awaitEcho(want string) {
	k.t.Helper()
	select {
	case got := <-k.echoes:
		if got != want {
			k.t.Fatalf("echo %q, want %q", got, want)
		}
	case <-time.After(time.Minute):
		k.t.Fatalf("no echo %q", want)
	}
}

func (k *keeper) close() {
	k.t.Helper()
	k.do(func() error { k.r.Close(); return nil })
	k.await("closed 1000")
}

var soon = websocket.ReconnectOptions{MinDelay: time.Millisecond, MaxDelay: 10 * time.Millisecond}

// A server that restarts, in an orderly way and not, that is not there at first, and for a while:
// messages that were sent in the meantime arrive, in order.
func TestReconnectToAServerThatRestarts(t *testing.T) {
	for _, tls := range []bool{false, true} {
		onBoth(t, func(t *testing.T, p mgr.Poller) {
			path := "unix://" + filepath.Join(t.TempDir(), "s")
			opts, o, scheme := http.Options{}, soon, "ws://"
			o.Address = path
			if tls {
				own, err := tlsconn.SelfSigned(t.TempDir(), []string{"h.test"})
				if err != nil {
					t.Fatal(err)
				}
				opts, o.TLS, scheme = http.Options{TLS: own, Hosts: []string{"*"}}, insecure(t), "wss://"
			}
			s := newRestarting(t, p, path, opts)
			k := keep(t, clientManager(t, p), scheme+"h.test/x", &o, nil)
			k.send("before the server")
			k.await("waiting")
			s.up()
			k.await("open")
			k.awaitEcho("before the server")
			for n := range 6 {
				s.t.Helper()
				if n%2 == 0 {
					s.down()
					k.await("waiting 1001")
				} else {
					s.kill()
					k.await("waiting 1006")
				}
				for i := range 3 {
					k.send(fmt.Sprintf("%d.%d", n, i))
				}
				s.up()
				k.await("open")
				for i := range 3 {
					k.awaitEcho(fmt.Sprintf("%d.%d", n, i))
				}
			}
			k.close()
			if n := len(s.got); n != 19 {
				t.Errorf("the servers got %d messages: %q", n, s.got)
			}
		})
	}
}

// A name that is not known at first, a redirect, a refusal with Retry-After.
func TestReconnectByNameAndRedirect(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		s := serve(t, p, nil, nil)
		_, port, _ := net.SplitHostPort(s.addr)
		var mu sync.Mutex
		var asked []string
		web := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			mu.Lock()
			asked = append(asked, r.Host)
			n := len(asked)
			mu.Unlock()
			if n == 1 {
				w.Header().Set("Retry-After", "0")
				nethttp.Error(w, "busy", 503)
				return
			}
			nethttp.Redirect(w, r, "ws://127.0.0.1:"+port+"/there", 307)
		}))
		defer web.Close()
		_, at, _ := net.SplitHostPort(web.Listener.Addr().String())
		lookups := 0
		m, err := mgr.New(mgr.Options{Poller: p, Resolver: mgr.ResolverFunc(func(m *mgr.Manager, name string, found func(mgr.Resolved)) func() {
			lookups++
			r := mgr.Resolved{Addrs: []netip.Addr{netip.MustParseAddr("127.0.0.1")}}
			if lookups == 1 {
				r = mgr.Resolved{Err: fmt.Errorf("no such name yet")}
			}
			m.AfterFunc(0, func() { found(r) })
			return func() {}
		})})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- m.Run(context.Background()) }()
		defer func() { m.Close(); <-ran }()
		o := soon
		o.MaxRedirects = 1
		k := keep(t, &client{Manager: m, server: server{t: t}}, "ws://device.example:"+at+"/", &o, nil)
		k.send("a")
		for _, want := range []string{"connecting", "waiting", "connecting", "waiting", "connecting", "open"} {
			if got := <-k.states; got != want {
				t.Fatalf("%s, want %s", got, want)
			}
		}
		k.awaitEcho("a")
		k.do(func() error { // it is the connection after the redirect
			if c := k.r.Conn(); c == nil || fmt.Sprint(c.RemoteAddr().Port()) != port {
				t.Errorf("the connection is %v", c)
			}
			return nil
		})
		k.close()
		mu.Lock()
		defer mu.Unlock()
		if len(asked) != 2 || asked[0] != "device.example:"+at {
			t.Errorf("asked %q", asked)
		}
	})
}

// A handler that panics in any event costs the connection, never the Reconnector.
func TestReconnectSurvivesPanics(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		path := "unix://" + filepath.Join(t.TempDir(), "s")
		m, err := mgr.New(mgr.Options{Poller: p, Log: mgr.Silent})
		if err != nil {
			t.Fatal(err)
		}
		ran := make(chan error, 1)
		go func() { ran <- m.Run(context.Background()) }()
		defer func() { m.Close(); <-ran }()
		s := newRestarting(t, p, path, http.Options{})
		o := soon
		o.Address = path
		seen := map[string]bool{}
		k := keep(t, &client{Manager: m, server: server{t: t}}, "ws://h.test/", &o, func(c *conn.Conn, ev conn.Event) {
			name := ev.EventName()
			if st, ok := ev.(*websocket.State); ok {
				name += " " + st.Phase.String()
			}
			if !seen[name] { // once in each kind of event
				seen[name] = true
				panic("on purpose, in " + name)
			}
		})
		k.send("a")
		k.await("waiting")
		s.up()
		k.await("open")
		var open bool
		for range 200 { // whatever panicked last, it comes to rest
			k.do(func() error { open = k.r.Phase() == websocket.PhaseOpen; return nil })
			if open {
				break
			}
			time.Sleep(5 * time.Millisecond) // the handler has panicked, so no event tells
		}
		s.kill()
		k.await("waiting 1006")
		s.up()
		k.await("open")
		k.send("b")
		for got := ""; got != "b"; {
			select {
			case got = <-k.echoes:
			case <-time.After(time.Minute):
				t.Fatal("no echo")
			}
		}
		k.do(func() error { k.r.Close(); return nil })
		for got := ""; !strings.HasPrefix(got, "closed"); {
			select {
			case got = <-k.states:
			case <-time.After(time.Minute):
				t.Fatal("it did not close")
			}
		}
		var all map[string]bool
		k.do(func() error { all = maps.Clone(seen); return nil })
		for _, want := range []string{"websocket.State connecting", "websocket.State waiting", "websocket.State open", "websocket.Open", "conn.Open", "conn.Close", "conn.Error"} {
			if !all[want] {
				t.Errorf("no panic in %s; there were %v", want, all)
			}
		}
	})
}

// A manager that shuts down does not wait for the next attempt, and makes none.
func TestReconnectAndShutdown(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		s := serve(t, p, nil, nil)
		c := clientManager(t, p)
		k := keep(t, c, "ws://"+s.addr, &soon, nil)
		k.await("open")
		lost := keep(t, c, "ws://"+tcptest.FullBacklog(t), &soon, nil)
		o := soon
		o.MinDelay, o.MaxDelay = time.Hour, 2*time.Hour
		o.Address = "unix:///no/such/socket"
		waits := keep(t, c, "ws://h.test/", &o, nil)
		waits.await("waiting")
		if err := c.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		k.await("closed 1001")
		lost.await("closed")
	})
}

// Ten Reconnectors with a server that ends connections at random: at the end all are closed, and
// nothing is left on the loop.
func TestReconnectManyTimes(t *testing.T) {
	onBoth(t, func(t *testing.T, p mgr.Poller) {
		n := 0
		s := serveWith(t, mgr.Options{Poller: p}, nil, func(c *conn.Conn, ev conn.Event) {
			if m, ok := ev.(*websocket.Message); ok {
				if n++; n%7 == 0 {
					c.Close()
					return
				}
				websocket.Send(c, m.Op, m.Data)
			}
		})
		c := clientManager(t, p)
		o := soon
		o.Stable = time.Nanosecond
		echoes := make(chan bool, 10000)
		var list []*websocket.Reconnector
		closed := make(chan bool, 100)
		c.do(func() error {
			for range 10 {
				var r *websocket.Reconnector
				next := func() { r.Send(websocket.Text, []byte("x")) }
				r, err := websocket.Reconnect(c.Manager, "ws://"+s.addr, func(_ *conn.Conn, ev conn.Event) {
					switch ev := ev.(type) {
					case *websocket.State:
						switch ev.Phase {
						case websocket.PhaseOpen:
							next()
						case websocket.PhaseClosed:
							closed <- true
						}
					case *websocket.Message:
						echoes <- true
						next()
					}
				}, &o)
				if err != nil {
					return err
				}
				list = append(list, r)
			}
			return nil
		})
		for range 500 {
			select {
			case <-echoes:
			case <-time.After(time.Minute):
				t.Fatal("no echo")
			}
		}
		c.do(func() error {
			for _, r := range list {
				r.Close()
			}
			return nil
		})
		for range list {
			<-closed
		}
		for len(s.ended) > 0 {
			<-s.ended
		}
		c.do(func() error {
			if st := c.Stats(); st.Panics > 0 {
				t.Errorf("%d panics", st.Panics)
			}
			return nil
		})
	})
}

// Close in the first event of the connection that a redirect leads to: neither that one nor the one
// before stays open.
func TestReconnectorClosedInARedirect(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		served := make(chan bool, 10)
		web := httptest.NewServer(nethttp.HandlerFunc(func(w nethttp.ResponseWriter, r *nethttp.Request) {
			if r.URL.Path != "/there" {
				nethttp.Redirect(w, r, "/there", 307)
				return
			}
			served <- true
			<-r.Context().Done()
		}))
		defer web.Close()
		m, err := mgr.New(mgr.Options{Poller: p})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		var r *websocket.Reconnector
		opens, closes, over := 0, 0, false
		o := &websocket.ReconnectOptions{}
		o.MaxRedirects = 1
		r, err = websocket.Reconnect(m, "ws"+strings.TrimPrefix(web.URL, "http"), func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Open:
				if opens++; opens == 2 {
					r.Close()
				}
			case *conn.Close:
				closes++
			case *websocket.State:
				over = ev.Phase == websocket.PhaseClosed
			}
		}, o)
		if err != nil {
			t.Fatal(err)
		}
		for !over {
			m.Poll(-1)
		}
		for range 100 { // what is closing may take some turns
			m.Poll(0)
		}
		if opens != 2 || closes != 2 || m.Stats().Conns != 0 {
			t.Errorf("%d connections were opened, %d closed, %d are left", opens, closes, m.Stats().Conns)
		}
	}
}
