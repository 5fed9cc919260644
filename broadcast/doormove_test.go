package broadcast_test

import (
	"bufio"
	"context"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// The processes of these tests are this test binary: TestMain runs the server if the environment
// says so. Their engine is a connection to the test, which has the store.

func TestMain(m *testing.M) {
	if dir := os.Getenv("DOOR_DIR"); dir != "" {
		if err := serveDoor(dir); err != nil {
			fmt.Fprintln(os.Stderr, "server", os.Getpid(), err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// doorSpread is the time in which clients are told of the restart.
const doorSpread = 20 * time.Millisecond

// serveDoor is the server: a Door, which takes the token "good", and clients with a cookie. It says
// "ready ADDRESS" on its standard output, and ends when another process has replaced it.
func serveDoor(dir string) error {
	var door *broadcast.Door
	up, err := handoff.Begin(handoff.Options{Path: filepath.Join(dir, "handoff"), Move: true, Spread: doorSpread,
		Deadline: 10 * time.Minute, // those that cannot move are not left until then
		Save:     func(c *conn.Conn) ([]byte, bool) { return door.Save(c) },
		Restore: func(c *conn.Conn, r handoff.Record) error {
			if r.Kind == websocket.MoveKind {
				return door.Restore(c, r.State, r.User)
			}
			return nil
		}})
	if err != nil {
		return err
	}
	p, err := mgr.ParsePoller(os.Getenv("DOOR_POLLER"))
	if err != nil {
		return err
	}
	m, err := mgr.New(mgr.Options{Poller: p, Inherit: up, Memory: -1})
	if err != nil {
		return err
	}
	opts := broadcast.Options{Encode: broadcast.Framed, History: broadcast.History{Count: 1 << 20}}
	if os.Getenv("DOOR_ENGINE") != "" {
		c, err := net.Dial("unix", filepath.Join(dir, "engine"))
		if err != nil {
			return err
		}
		opts.Engine = newFarEngine(c)
	}
	hub := broadcast.NewHub(opts, m)
	door = broadcast.NewDoor(hub, broadcast.DoorOptions{Authorize: func(r *http.Request, token string) (broadcast.Rights, error) {
		if token != "good" && (r == nil || r.Header("Cookie") == nil) {
			return broadcast.Rights{}, errors.New("no token")
		}
		return broadcast.Rights{Publish: func(string) bool { return true }}, nil
	}})
	x := http.NewMux()
	x.MustHandle("/hub", door.Serve)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		return err
	}
	if err := up.Ready(m); err != nil {
		return err
	}
	fmt.Println("ready", l.LocalAddr())
	return m.Run(context.Background())
}

// A farEngine is an enginetest.Engine of another process.
type farEngine struct {
	c   net.Conn
	in  *gob.Decoder
	mu  sync.Mutex
	out *gob.Encoder

	number uint64
	done   map[uint64]func(uint64, error)
}

// word is what the two ends say to each other.
type word struct {
	Kind   string // publish, done, begin, after, deliver
	Number uint64
	Offset uint64
	Entry  *broadcast.Entry
	Info   broadcast.Info
}

func newFarEngine(c net.Conn) *farEngine {
	return &farEngine{c: c, in: gob.NewDecoder(c), out: gob.NewEncoder(c), done: make(map[uint64]func(uint64, error))}
}

func (e *farEngine) Publish(x *broadcast.Entry, done func(uint64, error)) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.number++
	e.done[e.number] = done
	return e.out.Encode(&word{Kind: "publish", Number: e.number, Entry: x})
}

func (e *farEngine) Run(sink broadcast.Sink) error {
	for {
		var w word
		if err := e.in.Decode(&w); err != nil {
			return err
		}
		switch w.Kind {
		case "begin":
			after := sink.Begin(w.Info)
			e.mu.Lock()
			e.out.Encode(&word{Kind: "after", Offset: after})
			e.mu.Unlock()
		case "deliver":
			sink.Deliver(w.Entry)
		case "done":
			e.mu.Lock()
			done := e.done[w.Number]
			delete(e.done, w.Number)
			e.mu.Unlock()
			done(w.Offset, nil)
		}
	}
}

func (e *farEngine) Close() error { return e.c.Close() }

// serveEngine is the other end of a farEngine.
func serveEngine(c net.Conn, log *enginetest.Log) {
	e, far := log.Engine(), newFarEngine(c)
	after := make(chan uint64, 1)
	go e.Run(&farSink{far, after})
	defer e.Close()
	defer close(after)
	for {
		var w word
		if far.in.Decode(&w) != nil {
			return
		}
		switch w.Kind {
		case "after":
			after <- w.Offset
		case "publish":
			e.Publish(w.Entry, func(at uint64, _ error) { far.say(&word{Kind: "done", Number: w.Number, Offset: at}) })
		}
	}
}

func (e *farEngine) say(w *word) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.out.Encode(w)
}

type farSink struct {
	far   *farEngine
	after chan uint64
}

func (s *farSink) Begin(i broadcast.Info) uint64 {
	s.far.say(&word{Kind: "begin", Info: i})
	return <-s.after
}
func (s *farSink) Deliver(e *broadcast.Entry) { s.far.say(&word{Kind: "deliver", Entry: e}) }
func (s *farSink) Down(error)                 {}

// A doorProcess is a server.
type doorProcess struct {
	*exec.Cmd
	out *bufio.Reader
}

// doors starts servers one after the other.
type doors struct {
	t      *testing.T
	dir    string
	poller mgr.Poller
	addr   string
	env    []string
}

func (d *doors) start() *doorProcess {
	d.t.Helper()
	cmd, out := selftest.Start(d.t, append(append(os.Environ(), "DOOR_DIR="+d.dir, "DOOR_POLLER="+d.poller.String()), d.env...))
	p := &doorProcess{cmd, bufio.NewReader(out)}
	d.t.Cleanup(func() { p.Process.Kill(); p.Wait() })
	line, err := p.out.ReadString('\n')
	addr := ""
	if _, e := fmt.Sscanf(line, "ready %s", &addr); e != nil || d.addr != "" && addr != d.addr {
		d.t.Fatalf("the server says %q, %v", line, err)
	}
	if d.addr == "" {
		d.addr = addr
	}
	return p
}

// A visitor is a client of the Door, which reads what comes: numbers, which must come each once and
// in order, whatever becomes of the link.
type visitor struct {
	d      *doors
	header string // of the handshake
	events bool
	offset string // of the last message
	next   int
	ends   []string // of links
	resets int
	c      net.Conn
	r      *bufio.Reader
	err    error
	done   chan struct{}
}

const handshakeFields = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// open opens a link, which goes on after the last message.
func (v *visitor) open() error {
	c, err := net.Dial("tcp", v.d.addr)
	if err != nil {
		return err
	}
	v.d.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(60 * time.Second))
	v.c, v.r = c, bufio.NewReader(c)
	fields := handshakeFields
	if v.events {
		fields = "Host: x\r\nLast-Event-ID: " + v.offset + "\r\n"
	}
	fmt.Fprintf(c, "GET /hub?topic=n&since=%s HTTP/1.1\r\n%s%s\r\n", v.offset, fields, v.header)
	for {
		line, err := v.r.ReadString('\n')
		if err != nil || line == "\r\n" {
			return err
		}
	}
}

// run reads up to the message last.
func (v *visitor) run(last int) {
	defer close(v.done)
	for v.next <= last && v.err == nil {
		text, end := v.read()
		if end != "" {
			v.ends = append(v.ends, end)
			v.err = v.open()
			continue
		}
		var doc struct {
			Offset json.Number
			Data   *int
			Missed *int
			Reset  bool
		}
		if err := json.Unmarshal([]byte(text), &doc); err != nil {
			v.err = fmt.Errorf("%q: %w", text, err)
		}
		if doc.Reset {
			v.resets++
		} else if doc.Missed != nil {
			v.err = errors.New(text)
		}
		if doc.Data == nil {
			continue
		}
		if *doc.Data != v.next {
			v.err = fmt.Errorf("message %d instead of %d", *doc.Data, v.next)
		}
		v.next++
		v.offset = doc.Offset.String()
	}
}

// read returns a message, or how the link has ended.
func (v *visitor) read() (text, end string) {
	if v.events {
		for {
			line, err := v.r.ReadString('\n')
			if err != nil {
				return "", err.Error()
			}
			if line == "0\r\n" {
				return "", "the end of the stream"
			}
			if data, ok := strings.CutPrefix(line, "data: "); ok {
				return strings.TrimSpace(data), ""
			}
		}
	}
	h, err := ws.ReadHeader(v.r)
	if err != nil {
		return "", err.Error()
	}
	p := make([]byte, h.Length)
	if _, err := io.ReadFull(v.r, p); err != nil {
		return "", err.Error()
	}
	if h.OpCode == ws.OpClose {
		code, _ := ws.ParseCloseFrameData(p)
		v.c.Close()
		return "", fmt.Sprint("close ", code)
	}
	if h.OpCode != ws.OpText {
		return "{}", ""
	}
	return string(p), ""
}

// Clients of a Door pass to the process that replaces theirs, or come back with their offset: amid a
// flood of messages each of them gets each message once.
func TestClientsOfADoorPassToTheNextProcess(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			d := &doors{t: t, dir: t.TempDir(), poller: p, env: []string{"DOOR_ENGINE=1"}}
			l, err := net.Listen("unix", filepath.Join(d.dir, "engine"))
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			log := enginetest.NewLog()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go serveEngine(c, log)
				}
			}()
			old := d.start()
			first := fmt.Sprint(log.Last())
			const bearer, cookie = "Authorization: Bearer good\r\n", "Cookie: a=b\r\n"
			all := []*visitor{{header: cookie}, {header: cookie, events: true}}
			for range 10 {
				all = append(all, &visitor{header: bearer})
			}
			const last = 2000
			for _, v := range all {
				v.d, v.offset, v.done = d, first, make(chan struct{})
				if err := v.open(); err != nil {
					t.Fatal(err)
				}
				go v.run(last)
			}
			publisher := log.Engine()
			stop, replaced := make(chan struct{}), false
			go func() {
				defer close(stop)
				for n := range last {
					publisher.Publish(&broadcast.Entry{Topic: "n", Data: fmt.Append(nil, n), ID: fmt.Sprint(n), Time: time.Now()}, func(uint64, error) {})
					if n%4 == 0 {
						time.Sleep(time.Millisecond)
					}
				}
			}()
			for range 2 {
				next := d.start()
				if err := old.Wait(); err != nil {
					t.Errorf("the old process: %v", err)
				}
				old, replaced = next, true
			}
			<-stop
			publisher.Publish(&broadcast.Entry{Topic: "n", Data: fmt.Append(nil, last), ID: "last", Time: time.Now()}, func(uint64, error) {})
			moved := 0
			for i, v := range all {
				<-v.done
				if v.err != nil || v.next != last+1 || v.resets != 0 {
					t.Errorf("client %d: %v at %d, %d resets, ends %q", i, v.err, v.next, v.resets, v.ends)
				}
				if len(v.ends) == 0 {
					moved++
				}
				for _, end := range v.ends {
					if want := map[bool]string{true: "the end of the stream", false: "close 1012"}[v.events]; end != want {
						t.Errorf("client %d: its link ended by %s", i, end)
					}
				}
			}
			for _, v := range all[:2] {
				if len(v.ends) != 2 {
					t.Errorf("a client that cannot move: %q", v.ends)
				}
			}
			if t.Logf("%d of 10 WebSockets moved both times", moved); moved == 0 && replaced {
				t.Error("none has moved")
			}
			// A client that has moved is still one of the Door.
			for i, v := range all[2:] {
				ws.WriteFrame(v.c, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(`{"publish":"m","data":1,"id":5}`))))
				if text, end := v.read(); !strings.HasPrefix(text, `{"reply":5,"offset":`) {
					t.Errorf("client %d: %s%s", i, text, end)
				}
			}
		})
	}
}

// Without an engine the next process has another stream, and a client that passes to it is told so.
func TestWithoutAnEngineClientsThatPassAreReset(t *testing.T) {
	d := &doors{t: t, dir: t.TempDir(), poller: mgr.Auto}
	old := d.start()
	v := &visitor{d: d, header: "Authorization: Bearer good\r\n"}
	if err := v.open(); err != nil {
		t.Fatal(err)
	}
	say := func(text string) { ws.WriteFrame(v.c, ws.MaskFrameInPlace(ws.NewTextFrame([]byte(text)))) }
	say(`{"publish":"n","data":1}`)
	if text, end := v.read(); !strings.HasSuffix(text, `"data":1}`) {
		t.Fatal(text, end)
	}
	d.start()
	if err := old.Wait(); err != nil {
		t.Error(err)
	}
	if text, end := v.read(); text != `{"missed":0,"reset":true}` {
		t.Fatal(text, end)
	}
	say(`{"publish":"n","data":2}`)
	if text, end := v.read(); !strings.HasSuffix(text, `"data":2}`) {
		t.Fatal(text, end)
	}
}

// A client that cannot move, and is found out late since half of a message has come, is told of the
// restart then, and not when all others are.
func TestAClientThatIsBusyFirstIsToldOfTheRestart(t *testing.T) {
	d := &doors{t: t, dir: t.TempDir(), poller: mgr.Auto}
	old := d.start()
	v := &visitor{d: d, header: "Cookie: a=b\r\n"}
	if err := v.open(); err != nil {
		t.Fatal(err)
	}
	ws.WriteFrame(v.c, ws.MaskFrameInPlace(ws.NewFrame(ws.OpText, false, []byte(`{"ping":`))))
	ws.WriteFrame(v.c, ws.MaskFrameInPlace(ws.NewPingFrame(nil)))
	if text, end := v.read(); text != "{}" { // the server has read the half
		t.Fatal(text, end)
	}
	d.start()
	time.Sleep(3 * doorSpread) // the time at which all are told is over
	ws.WriteFrame(v.c, ws.MaskFrameInPlace(ws.NewFrame(ws.OpContinuation, true, []byte(`true}`))))
	if text, end := v.read(); !strings.HasPrefix(text, `{"pong":`) {
		t.Fatal(text, end)
	}
	if text, end := v.read(); end != "close 1012" {
		t.Error(text, end)
	}
	if err := old.Wait(); err != nil {
		t.Error(err)
	}
}
