package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// program is one run of the example.
type program struct {
	t    *testing.T
	url  string
	stop func() // ends it in good order and waits for that
}

// start runs the program with these arguments, on a free port unless they name one.
func start(t *testing.T, args ...string) *program {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	out, in := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, append([]string{"-listen", "127.0.0.1:0", "-state", filepath.Join(t.TempDir(), "device.json")}, args...), in, io.Discard)
		in.CloseWithError(fmt.Errorf("the program ended: %w", err))
		ended <- err
	}()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		cancel()
		t.Fatal(err)
	}
	p := &program{t: t, url: strings.TrimPrefix(strings.TrimSpace(line), "device dashboard at ")}
	stopped := false
	p.stop = func() {
		t.Helper()
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("the program ended with %v", err)
			}
		case <-time.After(patience):
			t.Error("the program did not end")
		}
	}
	t.Cleanup(p.stop)
	return p
}

// startFast is a program that samples five times a second.
func startFast(t *testing.T, args ...string) *program {
	t.Helper()
	file := filepath.Join(t.TempDir(), "device.json")
	if err := saveState(file, State{IntervalMS: minInterval.Milliseconds()}); err != nil {
		t.Fatal(err)
	}
	return start(t, append([]string{"-state", file}, args...)...)
}

func (p *program) get(path string) (*http.Response, string) {
	p.t.Helper()
	reply, err := http.Get(p.url + strings.TrimPrefix(path, "/"))
	if err != nil {
		p.t.Fatal(err)
	}
	defer reply.Body.Close()
	body, err := io.ReadAll(reply.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply, string(body)
}

// page is a browser's side of the dialogue.
type page struct {
	t    *testing.T
	conn net.Conn
	in   io.ReadWriter
}

func (p *program) open() *page {
	p.t.Helper()
	c, early, _, err := ws.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"ws")
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	pg := &page{t: p.t, conn: c, in: c}
	if early != nil { // frames that came together with the handshake
		pg.in = struct {
			io.Reader
			io.Writer
		}{early, c}
	}
	return pg
}

func (pg *page) send(text string) {
	pg.t.Helper()
	if err := wsutil.WriteClientText(pg.conn, []byte(text)); err != nil {
		pg.t.Fatal(err)
	}
}

// want reads on to the next document of that type, which ok, when it is not nil, agrees with.
func (pg *page) want(kind string, ok func(doc map[string]any) bool) map[string]any {
	pg.t.Helper()
	for {
		if doc := pg.next(); doc["type"] == kind && (ok == nil || ok(doc)) {
			return doc
		}
	}
}

func (pg *page) next() map[string]any {
	pg.t.Helper()
	text, err := wsutil.ReadServerText(pg.in)
	if err != nil {
		pg.t.Fatalf("waiting for a document: %v", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(text, &doc); err != nil {
		pg.t.Fatalf("%v in %s", err, text)
	}
	return doc
}

// eachPoller runs a test under both back ends.
func eachPoller(t *testing.T, f func(t *testing.T, poller string)) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) { f(t, poller) })
	}
}
