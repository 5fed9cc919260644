// Command restart is replaced by a new version of itself without a client that notices. It counts
// the messages of each WebSocket, and echoes each with its number. Install a new binary over the old
// one, and send SIGUSR2: WebSockets and idle connections move to the new process, and the counts go
// on. Or start the new one by hand, or by systemd.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"log"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/handoff"
	"github.com/seed4930a636/mangusta/handoff/systemd"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// A count is how many messages of a WebSocket have been echoed.
type count struct{ n uint64 }

func handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Message:
		if !ev.Match("/ws") {
			http.Reply(c, 200, "text/plain", "process %d\n", os.Getpid())
		} else if websocket.Upgrade(c, ev, nil) == nil {
			c.Data = new(count)
		}
	case *websocket.Message:
		k := c.Data.(*count)
		k.n++
		websocket.Send(c, ev.Op, fmt.Appendf(nil, "process %d, message %d: %s", os.Getpid(), k.n, ev.Data))
	}
}

// save returns what must not be lost when c moves.
func save(c *conn.Conn) ([]byte, bool) {
	if k, ok := c.Data.(*count); ok {
		return binary.BigEndian.AppendUint64(nil, k.n), true
	}
	return nil, true
}

// restore is save's counterpart in the next process.
func restore(c *conn.Conn, r handoff.Record) error {
	if r.Kind != websocket.MoveKind {
		return nil
	}
	if len(r.User) != 8 {
		return errors.New("no count")
	}
	c.Data = &count{binary.BigEndian.Uint64(r.User)}
	return websocket.Restore(c, r.State, nil)
}

func main() {
	listen := flag.String("listen", "http://127.0.0.1:8000", "`URL` to listen on")
	path := flag.String("handoff", "/tmp/mangusta-restart.sock", "`path` of the socket on which a process waits for its successor")
	loops := flag.Int("loops", 1, "how many loops; 0 is one for each processor")
	host := flag.String("host", "localhost", "`name` of this server, besides its own addresses")
	flag.Parse()
	if err := run(*listen, *path, *loops, *host); err != nil {
		log.Fatal(err)
	}
}

func run(listen, path string, loops int, host string) error {
	up, err := handoff.Begin(handoff.Options{Path: path, Move: true, Save: save, Restore: restore, Log: slog.Default()})
	if err != nil {
		return err
	}
	defer up.Close()
	sockets, err := systemd.Listeners()
	if err != nil {
		return err
	}
	manager, err := systemd.NewNotifier()
	if err != nil {
		return err
	}
	m, err := mgr.NewLoops(loops, mgr.Options{Inherit: mgr.Inherits{up, sockets}})
	if err != nil {
		return err
	}
	l, err := http.Listen(m, listen, handle, http.Options{Hosts: []string{host}})
	if err != nil {
		return err
	}
	if err := up.Ready(m); err != nil {
		return err
	}
	manager.MainPID() // says that it is ready, too
	manager.Watchdog(m)
	log.Println("listening on", l.LocalAddr())

	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGUSR2, syscall.SIGTERM, os.Interrupt)
	go func() {
		for sig := range signals {
			if sig == syscall.SIGUSR2 {
				replace(manager)
				continue
			}
			ctx, done := context.WithTimeout(context.Background(), 5*time.Second)
			manager.Stopping()
			m.Shutdown(ctx)
			done()
		}
	}()
	return m.Run(context.Background()) // nil when a successor has all connections
}

// replace starts the successor. If it fails, this process goes on.
func replace(manager *systemd.Notifier) {
	next, err := handoff.Spawn(manager.Environ()...)
	if err != nil {
		log.Println(err)
		return
	}
	go func() {
		if state, err := next.Wait(); err != nil || !state.Success() {
			log.Println("the new process has ended:", state, err)
		}
	}()
}
