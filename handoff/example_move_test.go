package handoff_test

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A WebSocket moves to the next process, with what the program knows of it. Here both processes are
// in one, and the client too.
func ExampleOptions_move() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)

	type session struct {
		User     string
		Messages int
	}
	options := handoff.Options{
		Path: filepath.Join(dir, "handoff.sock"),
		Move: true,
		Save: func(c *conn.Conn) ([]byte, bool) {
			s, ok := c.Data.(*session)
			if !ok {
				return nil, true // HTTP between two requests
			}
			b, err := json.Marshal(s)
			return b, err == nil // else the connection stays here, and is drained
		},
		Restore: func(c *conn.Conn, r handoff.Record) error {
			if r.Kind != websocket.MoveKind {
				return nil
			}
			s := new(session)
			if err := json.Unmarshal(r.User, s); err != nil {
				return err
			}
			c.Data = s
			return websocket.Restore(c, r.State, nil) // fires *websocket.Open with Moved set
		},
	}

	process := func(name string) (addr string, ended chan error) {
		up, err := handoff.Begin(options)
		if err != nil {
			fmt.Println(err)
			return
		}
		m, err := mgr.New(mgr.Options{Inherit: up})
		if err != nil {
			fmt.Println(err)
			return
		}
		l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *http.Message:
				if websocket.Upgrade(c, ev, nil) == nil {
					c.Data = &session{User: "Ann"}
				}
			case *websocket.Message:
				s := c.Data.(*session)
				s.Messages++
				websocket.Send(c, ev.Op, fmt.Appendf(nil, "the %s process has message %d of %s: %s", name, s.Messages, s.User, ev.Data))
			}
		})
		if err != nil {
			fmt.Println(err)
			return
		}
		addr = l.LocalAddr().String()
		if err := up.Ready(m); err != nil {
			fmt.Println(err)
			return
		}
		ended = make(chan error, 1)
		go func() { ended <- m.Run(context.Background()) }()
		return addr, ended
	}

	addr, first := process("first")
	client, err := mgr.New(mgr.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	n := 0
	websocket.Connect(client, "ws://"+addr, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *websocket.Open:
			websocket.Send(c, websocket.Text, []byte("hello"))
		case *websocket.Message:
			fmt.Printf("%s\n", ev.Data)
			if n++; n == 1 {
				go func() { // the client does not notice
					process("second")
					fmt.Println("the first has ended:", <-first)
					client.Do(func() { websocket.Send(c, websocket.Text, []byte("hello again")) })
				}()
				return
			}
			client.Close()
		}
	}, nil)
	client.Run(context.Background())
	// Output:
	// the first process has message 1 of Ann: hello
	// the first has ended: <nil>
	// the second process has message 2 of Ann: hello again
}

// The same lines serve for the first start of a program and for each later one.
func ExampleProcess_Ready() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path, url := filepath.Join(dir, "handoff.sock"), "http://127.0.0.1:0"
	handle := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*http.Message); ok {
			http.Reply(c, 200, "text/plain", "hello\n")
		}
	}

	run := func(ctx context.Context) error {
		up, err := handoff.Begin(handoff.Options{Path: path}) // is there a process before this one?
		if err != nil {
			return err
		}
		defer up.Close()
		m, err := mgr.New(mgr.Options{Inherit: up}) // or mgr.NewLoops
		if err != nil {
			return err
		}
		if _, err := http.Listen(m, url, handle); err != nil { // takes the socket of the process before
			return err
		}
		if err := up.Ready(m); err != nil { // the process before has stopped accepting
			return err
		}
		return m.Run(ctx) // nil when a later process has taken over
	}

	ctx, stop := context.WithCancel(context.Background())
	old := make(chan error)
	go func() { old <- run(ctx) }()
	for _, err := os.Stat(path); err != nil; _, err = os.Stat(path) { // until it waits for its successor
	}
	next := make(chan error)
	go func() { next <- run(ctx) }()
	fmt.Println("the old process:", <-old)
	stop()
	fmt.Println("the new process:", <-next)
	// Output:
	// the old process: <nil>
	// the new process: context canceled
}
