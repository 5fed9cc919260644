package main

import (
	"context"
	"errors"
	"fmt"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
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

	cases int
	done  context.CancelFunc // ends the loop
	err   error
}

// runClient returns when all cases have run, or when one could not be begun.
func runClient(m *mgr.Manager, url string, opts *websocket.Options) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	loop, done := context.WithCancel(ctx)
	defer done()
	t := &client{m: m, base: strings.TrimSuffix(url, "/"), opts: websocket.ClientOptions{Options: *opts}, done: done}
	t.count()
	m.Run(loop)
	switch {
	case t.err != nil:
		return fmt.Errorf("testee: %w", t.err)
	case ctx.Err() != nil:
		return errors.New("testee: interrupted")
	}
	fmt.Printf("%d cases have run\n", t.cases)
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
	}, func() {
		if t.cases < 0 {
			t.fail(errors.New("/getCaseCount gave no number"))
			return
		}
		t.run(1)
	})
}

// run runs case n and those behind it.
func (t *client) run(n int) {
	if n > t.cases {
		t.connect("/updateReports?agent=mangusta", nil, t.done)
		return
	}
	echo := func(c *conn.Conn, msg *websocket.Message) { websocket.Send(c, msg.Op, msg.Data) }
	t.connect(fmt.Sprintf("/runCase?case=%d&agent=mangusta", n), echo, func() { t.run(n + 1) })
}

// connect gives the messages of a connection to message, and calls then when it has ended.
func (t *client) connect(path string, message func(*conn.Conn, *websocket.Message), then func()) {
	open := false
	handle := func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			open = true
		case *websocket.Message:
			if message != nil {
				message(c, ev)
			}
		case *conn.Error:
			if !open {
				t.fail(fmt.Errorf("%s: %w", path, ev.Err))
			}
		case *conn.Close:
			if t.err == nil {
				then()
			}
		}
	}
	if _, err := websocket.Connect(t.m, t.base+path, handle, &t.opts); err != nil {
		t.fail(err)
	}
}

// fail ends the run.
func (t *client) fail(err error) {
	if t.err == nil {
		t.err = err
	}
	t.done()
}
