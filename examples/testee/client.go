package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/tlsconn"
	"github.com/seed4930a636/mangusta/websocket"
)

// client runs the cases of a fuzzing server, one after the other, each on a connection of its own:
//
//	/getCaseCount                     answers the number of cases, as text
//	/runCase?case=n&agent=mangusta    sends what the case has, and closes; every message is echoed
//	/updateReports?agent=mangusta     has the reports written
type client struct {
	m    *mgr.Manager
	base string // ws://HOST:PORT
	opts websocket.ClientOptions

	cases  int
	failed int                // cases that could not be begun
	done   context.CancelFunc // ends the loop
	err    error              // why the run ends: there are no cases, or the reports cannot be written
}

// runClient returns when all cases have run and the reports are written. A case that fails ends
// that case alone.
func runClient(m *mgr.Manager, url string, opts *websocket.Options, insecure bool) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	loop, done := context.WithCancel(ctx)
	defer done()
	t := &client{m: m, base: strings.TrimSuffix(url, "/"), opts: websocket.ClientOptions{Options: *opts}, done: done}
	if strings.HasPrefix(t.base, "wss://") {
		tls, err := tlsconn.NewClient(tlsconn.ClientConfig{Insecure: insecure})
		if err != nil {
			return fmt.Errorf("testee: %w", err)
		}
		t.opts.TLS = tls
	}
	t.count()
	m.Run(loop)
	switch {
	case t.err != nil:
		return fmt.Errorf("testee: %w", t.err)
	case ctx.Err() != nil:
		return errors.New("testee: interrupted")
	}
	if t.failed > 0 {
		fmt.Printf("%d cases have run, %d could not be begun\n", t.cases-t.failed, t.failed)
	} else {
		fmt.Printf("%d cases have run\n", t.cases)
	}
	return m.Close()
}

// count asks how many cases there are.
func (t *client) count() {
	t.cases = -1
	t.connect("/getCaseCount", func(_ *conn.Conn, msg *websocket.Message) {
		n, err := strconv.Atoi(string(msg.Data))
		if err != nil {
			t.fail(fmt.Errorf("/getCaseCount answered %.40q", msg.Data))
			return
		}
		t.cases = n
	}, func(err error) {
		switch {
		case err != nil:
			t.fail(err)
		case t.cases < 0:
			t.fail(errors.New("/getCaseCount gave no number"))
		default:
			t.run(1)
		}
	})
}

// run runs case n and those after it.
func (t *client) run(n int) {
	if n > t.cases {
		t.connect("/updateReports?agent=mangusta", nil, func(err error) {
			if err != nil {
				t.fail(err)
			}
			t.done()
		})
		return
	}
	echo := func(c *conn.Conn, msg *websocket.Message) { websocket.Send(c, msg.Op, msg.Data) }
	t.connect(fmt.Sprintf("/runCase?case=%d&agent=mangusta", n), echo, func(err error) {
		if err != nil {
			fmt.Fprintf(os.Stderr, "testee: case %d: %v\n", n, err)
			t.failed++
		}
		t.run(n + 1)
	})
}

// connect gives the messages of a connection to message, and calls then when it has ended: with an
// error when there never was a WebSocket.
func (t *client) connect(path string, message func(*conn.Conn, *websocket.Message), then func(error)) {
	open, failure := false, errors.New("the connection ended before the handshake")
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			open = true
		case *websocket.Message:
			if message != nil && t.err == nil {
				message(c, ev)
			}
		case *conn.Error:
			failure = ev.Err
		case *conn.Close:
			switch {
			case t.err != nil: // said already
			case open:
				then(nil)
			default:
				then(fmt.Errorf("%s: %w", path, failure))
			}
		}
	}
	if _, err := websocket.Connect(t.m, t.base+path, handle, &t.opts); err != nil {
		t.m.AfterFunc(0, func() { then(fmt.Errorf("%s: %w", path, err)) }) // not from here: all cases may fail like this
	}
}

// fail ends the run.
func (t *client) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.done()
}
