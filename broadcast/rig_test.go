package broadcast

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// pollers runs f under each poller.
func pollers(t *testing.T, f func(t *testing.T, p mgr.Poller)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, p) })
	}
}

// rig is a hub on a manager that runs, and a server on which /ws and /events subscribe to the
// patterns of their query.
type rig struct {
	t    *testing.T
	m    *mgr.Manager
	hub  *Hub
	addr string
	sub  SubscribeOptions
	conn conn.Limits
	door *Door // that /hub leads to

	lagCode websocket.Code // of websocket.Options
	log     conn.Logger    // nil is stderr
	newest  uint64         // the ID of the connection that has subscribed last
	stop    func()         // ends the loop
}

// newRig starts one. change may alter the rig before the server listens.
func newRig(t *testing.T, p mgr.Poller, opts Options, change ...func(*rig)) *rig {
	r := &rig{t: t}
	m, err := mgr.New(mgr.Options{Poller: p, Log: rigLog{r}})
	if err != nil {
		t.Fatal(err)
	}
	if opts.EncodeEvent == nil {
		opts.EncodeEvent = bare
	}
	r.m, r.hub = m, NewHub(opts, m)
	for _, f := range change {
		f(r)
	}
	l, err := http.Listen(m, "http://127.0.0.1:0", r.handle)
	if err != nil {
		t.Fatal(err)
	}
	r.addr = l.LocalAddr().String()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	r.stop = func() {
		cancel()
		<-done
		m.Close()
	}
	t.Cleanup(r.stop)
	return r
}

// rigLog is what the manager of a rig logs to: rig.log, or stderr.
type rigLog struct{ r *rig }

func (l rigLog) Warn(msg string, args ...any) { l.Error(msg, args...) }
func (l rigLog) Error(msg string, args ...any) {
	if l.r.log != nil {
		l.r.log.Error(msg, args...)
	} else {
		fmt.Fprintln(os.Stderr, append([]any{msg}, args...)...)
	}
}

// bare is an EncodeEvent that makes what a WebSocket gets by default.
func bare(b []byte, m *Message) (string, []byte) { return m.Topic, append(b, m.Data...) }

func (r *rig) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		if ev.Match("/hub") {
			r.door.Serve(c, ev)
			return
		}
		if ev.Match("/mangusta.*") {
			Script(c, ev)
			return
		}
		if r.conn != (conn.Limits{}) {
			c.SetLimits(&r.conn)
		}
		patterns, _ := ev.Var("topic")
		from, _ := ev.Var("since")
		since, _ := strconv.ParseUint(from, 10, 64)
		if id := http.LastEventID(ev); id != nil {
			since, _ = strconv.ParseUint(string(id), 10, 64)
		}
		if ev.Match("/ws") {
			websocket.Upgrade(c, ev, &websocket.Options{LagCode: r.lagCode})
		} else {
			http.StartEvents(c)
		}
		r.newest = c.ID()
		o := r.sub
		o.Since = since
		if p, ok := ev.Var("policy"); ok {
			o.Policy = policyNames[p]
			// The kernel is to hold little for a subscriber that does not read.
			unix.SetsockoptInt(c.FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096)
		}
		for p := range strings.SplitSeq(patterns, ",") {
			if err := r.hub.Subscribe(c, p, o); err != nil {
				r.t.Errorf("Subscribe(%q): %v", p, err)
			}
		}
	case *websocket.Message:
		op, pattern, _ := strings.Cut(string(ev.Data), " ")
		switch op {
		case "sub":
			r.hub.Subscribe(c, pattern, r.sub)
		case "unsub":
			r.hub.Unsubscribe(c, pattern)
		}
		websocket.Send(c, websocket.Text, fmt.Appendf(nil, "done %s", ev.Data))
	}
}

var policyNames = map[string]Policy{"oldest": DropOldest, "skip": SkipNew, "latest": KeepLatest, "close": Disconnect}

// do runs f on the loop and waits for it.
func (r *rig) do(f func()) {
	r.t.Helper()
	done := make(chan struct{})
	if err := r.m.Do(func() { defer close(done); f() }); err != nil {
		r.t.Fatal(err)
	}
	<-done
}

func (r *rig) publish(topic, data string) Receipt {
	r.t.Helper()
	x, err := r.hub.Publish(topic, []byte(data))
	if err != nil {
		r.t.Errorf("Publish(%q): %v", topic, err)
	}
	return x
}

// until waits until ok says so of the hub's figures.
func (r *rig) until(what string, ok func(Stats) bool) Stats {
	r.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		s := r.hub.Stats()
		if ok(s) {
			return s
		}
		if time.Now().After(end) {
			r.t.Fatalf("%s does not come: %+v", what, s)
		}
	}
}

// idle waits until everything published has been distributed.
func (r *rig) idle() Stats {
	r.t.Helper()
	s := r.until("an empty queue", func(s Stats) bool { return s.Queued == 0 })
	r.do(func() {}) // after the distribution of the last one
	r.do(func() {})
	return s
}

// client is a WebSocket or a stream of events that has subscribed.
type client struct {
	t *testing.T
	net.Conn
	r      *bufio.Reader
	events bool
	id     string // of the last event
	kind   string // its type
}

func (r *rig) dial() net.Conn {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.(*net.TCPConn).SetReadBuffer(64 << 10)
	c.SetDeadline(time.Now().Add(4 * patience))
	return c
}

// ws opens a WebSocket with a query such as "topic=a/%23&since=5".
func (r *rig) ws(query string) *client {
	r.t.Helper()
	return r.open("GET /ws?"+query+" HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", false)
}

// sse opens a stream of events. last is its Last-Event-ID, if it is not empty.
func (r *rig) sse(query, last string) *client {
	r.t.Helper()
	if last != "" {
		last = "Last-Event-ID: " + last + "\r\n"
	}
	return r.open("GET /events?"+query+" HTTP/1.1\r\nHost: x\r\n"+last+"\r\n", true)
}

func (r *rig) open(request string, events bool) *client {
	r.t.Helper()
	c := &client{t: r.t, Conn: r.dial(), events: events}
	c.r = bufio.NewReader(c.Conn)
	io.WriteString(c, request)
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			r.t.Fatal(err)
		}
		if line == "\r\n" {
			break
		}
	}
	return c
}

// read returns the next message, or the error that ended the connection.
func (c *client) read() (string, error) {
	if c.events {
		return c.readEvent()
	}
	h, err := ws.ReadHeader(c.r)
	if err != nil {
		return "", err
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(c.r, p); err != nil {
		return "", err
	}
	switch h.OpCode {
	case ws.OpClose:
		code, _ := ws.ParseCloseFrameData(p)
		return "", fmt.Errorf("close %d", code)
	case ws.OpPing, ws.OpPong:
		return c.read()
	}
	return string(p), nil
}

// readEvent returns the data of the next event.
func (c *client) readEvent() (string, error) {
	var data, kind string
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		switch name, value, _ := strings.Cut(line, ": "); name {
		case "id":
			c.id = value
		case "event":
			kind = value
		case "data":
			data = value
		case "":
			if kind != "" {
				c.kind = kind
				return data, nil
			}
		}
	}
}

// end reads up to the end of the connection, says what that was, and closes this side too.
func (c *client) end() string {
	defer c.Close()
	for {
		if _, err := c.read(); err != nil {
			return err.Error()
		}
	}
}

// want reads messages and compares them.
func (c *client) want(messages ...string) {
	c.t.Helper()
	for _, want := range messages {
		got, err := c.read()
		if err != nil {
			c.t.Fatalf("%v instead of %q", err, want)
		}
		if got != want {
			c.t.Fatalf("got %q, want %q", got, want)
		}
	}
}

// say sends a text message.
func (c *client) say(s string) {
	c.t.Helper()
	if err := ws.WriteFrame(c.Conn, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(s)))); err != nil {
		c.t.Fatal(err)
	}
}
