package handoff_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// The processes of these tests are this test binary: TestMain runs the server if the environment
// says so.

func TestMain(m *testing.M) {
	if os.Getenv("HANDOFF_PATH") != "" {
		if err := serve(); err != nil {
			fmt.Fprintln(os.Stderr, "server", os.Getpid(), err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// counter is what the server knows of a WebSocket: how many messages it has echoed.
type counter struct{ n uint32 }

// serve is the server. It says "ready" on its standard output when it serves.
//
//	GET /pid   its number
//	GET /slow  the same, after 50 ms
//	GET /fill  the same, after it has opened as many descriptors as it may have; /free closes them
//	GET /ws    echoes each message behind the number that it has on its WebSocket
func serve() error {
	env := os.Getenv
	dieAt(env("HANDOFF_DIE"))
	o := handoff.Options{Path: env("HANDOFF_PATH"), Move: env("HANDOFF_MOVE") != "", Spread: 20 * time.Millisecond}
	if d, err := time.ParseDuration(env("HANDOFF_DEADLINE")); err == nil {
		o.Deadline = d
	}
	if d, err := time.ParseDuration(env("HANDOFF_PATIENCE")); err == nil {
		o.Patience = d
	}
	if env("HANDOFF_LOG") != "" {
		o.Log = printer{}
	}
	takeover := env("HANDOFF_TAKEOVER") != ""
	wsOpts := &websocket.Options{PingInterval: -1, Protocols: []string{"a", "b"},
		Compress: deflate.New(deflate.Options{Threshold: -1, ServerTakeover: takeover, ClientTakeover: takeover})}
	o.Save = func(c *conn.Conn) ([]byte, bool) {
		k, _ := c.Data.(*counter)
		if k == nil {
			return nil, true
		}
		return binary.BigEndian.AppendUint32(nil, k.n), true
	}
	o.Restore = func(c *conn.Conn, r handoff.Record) error {
		if r.Kind != websocket.MoveKind {
			return nil
		}
		c.Data = &counter{binary.BigEndian.Uint32(r.User)}
		return websocket.Restore(c, r.State, wsOpts)
	}
	up, err := handoff.Begin(o)
	if err != nil {
		return err
	}
	fmt.Println("begun")
	switch env("HANDOFF_FAIL") {
	case "start":
		os.Exit(3)
	case "hang":
		time.Sleep(time.Hour)
	}
	p, err := mgr.ParsePoller(env("HANDOFF_POLLER"))
	if err != nil {
		return err
	}
	n, _ := strconv.Atoi(env("HANDOFF_LOOPS"))
	m, err := mgr.NewLoops(max(n, 1), mgr.Options{Poller: p, Inherit: up, Memory: -1})
	if err != nil {
		return err
	}
	pid := strconv.Itoa(os.Getpid())
	var fill []int // of /fill
	h := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *http.Message:
			switch string(ev.Path) {
			case "/ws":
				if websocket.Upgrade(c, ev, wsOpts) == nil {
					c.Data = new(counter)
				}
			case "/slow":
				later := ev.Later()
				mgr.Of(c).AfterFunc(50*time.Millisecond, func() { later.Reply(200, "text/plain", pid) })
			case "/fill":
				for fd := 0; fd >= 0; {
					if fd, err = syscall.Dup(0); err == nil {
						fill = append(fill, fd)
					}
				}
				http.Reply(c, 200, "text/plain", "%s", pid)
			case "/free":
				for _, fd := range fill {
					syscall.Close(fd)
				}
				fill = nil
				http.Reply(c, 200, "text/plain", "%s", pid)
			default:
				http.Reply(c, 200, "text/plain", "%s", pid)
			}
		case *websocket.Message:
			k := c.Data.(*counter)
			k.n++
			websocket.Send(c, websocket.Text, fmt.Appendf(nil, "%d %s", k.n, ev.Data))
		}
	}
	https := make(map[*mgr.Manager]*http.Server)
	for _, m := range m.Managers() {
		https[m] = http.NewServer(http.Options{})
	}
	for _, url := range strings.Fields(env("HANDOFF_LISTEN")) {
		l := mgr.ListenOptions{Setup: func(c *conn.Conn) { http.Attach(c, https[mgr.Of(c)]) }}
		if strings.HasPrefix(url, "tls:") {
			if l.TLS, err = tlsconn.SelfSigned(env("HANDOFF_CERTS"), []string{"127.0.0.1"}); err != nil {
				return err
			}
		}
		if _, err := m.Listen(url, h, l); err != nil {
			return err
		}
	}
	if err := up.Ready(m); err != nil {
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		m.Close()
	}()
	fmt.Println("ready")
	return m.Run(context.Background())
}

// dieAt has this process end, as by SIGKILL, at the step of this name.
func dieAt(name string) {
	if name == "" {
		return
	}
	handoff.SetStep(func(s string) {
		if s == name {
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {}
		}
	})
}

type printer struct{}

func (printer) Warn(msg string, args ...any)  { fmt.Fprintln(os.Stderr, os.Getpid(), msg, args) }
func (printer) Error(msg string, args ...any) { fmt.Fprintln(os.Stderr, os.Getpid(), msg, args) }

// servers is a row of processes that replace each other, and where they listen.
type servers struct {
	t    *testing.T
	addr string
	env  []string
}

// newServers chooses a free port and a path.
func newServers(t *testing.T, p mgr.Poller, env ...string) *servers {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	ln.Close()
	s := &servers{t: t, addr: addr}
	s.env = append(os.Environ(), "HANDOFF_PATH="+filepath.Join(t.TempDir(), "handoff.sock"), "HANDOFF_LISTEN=tcp://"+addr,
		"HANDOFF_POLLER="+p.String())
	if testing.Verbose() {
		s.env = append(s.env, "HANDOFF_LOG=1")
	}
	s.env = append(s.env, env...)
	return s
}

// process is one of them.
type process struct {
	*exec.Cmd
	begun chan bool // closed when Begin has returned
	ready chan bool // closed when it serves; never if it fails
	ended chan error
}

// start starts a process.
func (s *servers) start(env ...string) *process {
	s.t.Helper()
	cmd, out := selftest.Start(s.t, append(slices.Clone(s.env), env...))
	p := &process{Cmd: cmd, begun: make(chan bool), ready: make(chan bool), ended: make(chan error, 1)}
	go func() {
		lines := bufio.NewScanner(out)
		for lines.Scan() {
			switch lines.Text() {
			case "begun":
				close(p.begun)
			case "ready":
				close(p.ready)
			}
		}
		p.ended <- cmd.Wait()
		close(p.ended)
	}()
	s.t.Cleanup(func() { cmd.Process.Kill(); <-p.ended })
	return p
}

const patience = 60 * time.Second

// wantReady waits until p serves.
func (p *process) wantReady(t *testing.T) {
	t.Helper()
	select {
	case <-p.ready:
	case err := <-p.ended:
		t.Fatalf("process %d has ended: %v", p.Process.Pid, err)
	case <-time.After(patience):
		t.Fatal("not ready")
	}
}

// wantEnd waits until p has ended, well or badly.
func (p *process) wantEnd(t *testing.T, well bool) {
	t.Helper()
	select {
	case err := <-p.ended:
		if (err == nil) != well {
			t.Errorf("process %d has ended: %v", p.Process.Pid, err)
		}
	case <-time.After(patience):
		t.Fatal("process does not end")
	}
}

// get makes a request on a connection of its own.
func (s *servers) get(path string) string {
	s.t.Helper()
	c := s.dial()
	defer c.Close()
	body, _, err := c.get(path)
	if err != nil {
		s.t.Fatal(err)
	}
	return body
}

// client is an HTTP connection of a test.
type client struct {
	net.Conn
	r *bufio.Reader
}

func (s *servers) dial() *client {
	s.t.Helper()
	c, err := dial(s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

func dial(addr string) (*client, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(patience))
	return &client{c, bufio.NewReader(c)}, nil
}

// get makes a request; last says that the server closes the connection after it.
func (c *client) get(path string) (body string, last bool, err error) {
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return "", false, err
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", false, err
		}
		line = strings.TrimSpace(line)
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimSpace(value)
		switch {
		case first && !strings.Contains(line, " 200 "):
			return "", false, fmt.Errorf("%s: %s", path, line)
		case strings.EqualFold(name, "Content-Length"):
			length, _ = strconv.Atoi(value)
		case strings.EqualFold(name, "Connection"):
			last = strings.EqualFold(value, "close")
		}
		if line == "" {
			break
		}
	}
	b := make([]byte, length)
	_, err = io.ReadFull(c.r, b)
	return string(b), last, err
}

// sockets are WebSockets that echo all the time, on a loop of the test.
type sockets struct {
	t    *testing.T
	m    *mgr.Manager
	wg   sync.WaitGroup
	each time.Duration // the longest pause of a client between an echo and the next message

	// Of the loop.
	stop    bool
	open    int
	codes   []websocket.Code // of Close frames
	proto   string           // that the last one to open got
	sent    int
	echoed  int
	dropped int
	longest time.Duration // between a message and its echo
	faults  []string
}

// echo opens n WebSockets and has them send.
func (s *servers) echo(n int, each time.Duration) *sockets {
	s.t.Helper()
	return s.echoOver(n, each, "ws://"+s.addr+"/ws", websocket.ClientOptions{})
}

// echoOver is echo by another URL, with options.
func (s *servers) echoOver(n int, each time.Duration, url string, o websocket.ClientOptions) *sockets {
	o.PingInterval = -1
	s.t.Helper()
	m, err := mgr.New(mgr.Options{Memory: -1})
	if err != nil {
		s.t.Fatal(err)
	}
	w := &sockets{t: s.t, m: m, each: each}
	opened := make(chan bool, n)
	w.wg.Go(func() { m.Run(context.Background()) })
	s.t.Cleanup(func() { m.Close(); w.wg.Wait() })
	w.on(func() {
		for i := range n {
			x := &socket{w: w, id: i}
			x.opened = opened
			if _, err := websocket.Connect(m, url, x.handle, &o); err != nil {
				s.t.Error(err)
			}
		}
	})
	for range n {
		select {
		case <-opened:
		case <-time.After(patience):
			s.t.Fatal("WebSockets do not open")
		}
	}
	return w
}

func (w *sockets) on(f func()) {
	done := make(chan bool)
	w.m.Complete(func() { f(); close(done) })
	<-done
}

// socket is one of them.
type socket struct {
	w      *sockets
	id     int
	opened chan bool
	n      int
	at     time.Time
	waits  bool // for an echo
}

func (x *socket) send(c *conn.Conn) {
	w := x.w
	if w.stop || !c.IsOpen() {
		return
	}
	x.n++
	w.sent++
	x.at, x.waits = time.Now(), true
	websocket.Send(c, websocket.Text, fmt.Appendf(nil, "socket %d message %d", x.id, x.n))
}

func (x *socket) handle(c *conn.Conn, ev conn.Event) {
	w := x.w
	switch ev := ev.(type) {
	case *websocket.Open:
		w.open++
		w.proto = ev.Protocol
		x.opened <- true
		x.send(c)
	case *websocket.Message:
		if want := fmt.Sprintf("%d socket %d message %d", x.n, x.id, x.n); string(ev.Data) != want {
			w.faults = append(w.faults, fmt.Sprintf("got %q, want %q", ev.Data, want))
		}
		w.echoed++
		x.waits = false
		w.longest = max(w.longest, time.Since(x.at))
		w.m.AfterFunc(time.Duration(uint64(x.id*7919+x.n*104729)%uint64(w.each+1)), func() { x.send(c) })
	case *websocket.Control:
		if ev.Op == websocket.Close {
			w.codes = append(w.codes, ev.Code)
		}
	case *conn.Close:
		if !w.stop || x.waits {
			w.dropped++
			w.faults = append(w.faults, fmt.Sprintf("socket %d: %v", x.id, ev.Reason))
		}
	}
}

// wantAll stops the sending, and checks that each message has come back once, on the WebSocket on
// which it was sent.
func (w *sockets) wantAll() { w.t.Helper(); w.wantAllBut(0) }

// wantAllBut is wantAll if up to n WebSockets may have died with their process. It returns how many
// have.
func (w *sockets) wantAllBut(n int) (dropped int) {
	w.t.Helper()
	w.on(func() { w.stop = true })
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		done := false
		w.on(func() { done = w.echoed+w.dropped >= w.sent || w.dropped > n })
		if done || time.Now().After(end) {
			break
		}
	}
	w.on(func() {
		dropped = w.dropped
		if w.echoed > w.sent || w.echoed+w.dropped < w.sent || w.dropped > n || len(w.faults) > w.dropped {
			w.t.Errorf("%d messages sent, %d echoed; %d WebSockets dropped; %q", w.sent, w.echoed, w.dropped, w.faults[:min(len(w.faults), 5)])
		}
	})
	return dropped
}

// requests are HTTP clients that make requests all the time.
type requests struct {
	wg   sync.WaitGroup
	quit chan bool

	mu      sync.Mutex
	n       int
	dropped []string
	longest time.Duration
	by      map[string]int // process → replies
}

// load has n clients make requests on connections that they keep; /slow is every fourth.
func (s *servers) load(n int) *requests {
	r := &requests{quit: make(chan bool), by: make(map[string]int)}
	for i := range n {
		r.wg.Go(func() {
			var c *client
			for k := i; ; k++ {
				select {
				case <-r.quit:
					return
				default:
				}
				path := "/pid"
				if k%4 == 0 {
					path = "/slow"
				}
				began := time.Now()
				var err error
				if c == nil {
					c, err = dial(s.addr)
				}
				last, pid := true, ""
				if err == nil {
					pid, last, err = c.get(path)
				}
				r.mu.Lock()
				r.n++
				r.by[pid]++
				r.longest = max(r.longest, time.Since(began))
				if err != nil {
					r.dropped = append(r.dropped, err.Error())
				}
				r.mu.Unlock()
				if last {
					if c != nil {
						c.Close()
					}
					c = nil
				}
				time.Sleep(time.Millisecond) // the rate
			}
		})
	}
	s.t.Cleanup(r.end)
	return r
}

func (r *requests) end() {
	select {
	case <-r.quit:
	default:
		close(r.quit)
	}
	r.wg.Wait()
}

func (r *requests) wantAll(t *testing.T) {
	t.Helper()
	r.end()
	if len(r.dropped) > 0 {
		t.Errorf("%d of %d requests dropped: %q", len(r.dropped), r.n, r.dropped[:min(len(r.dropped), 5)])
	}
}

// underBoth runs a test with each poller in the servers.
func underBoth(t *testing.T, f func(t *testing.T, p mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}
