// Package program is what the example programs have in common: the flags of the listener and the poller, and a graceful end.
package program

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Flags are the flags that every example takes.
type Flags struct {
	listen, poller *string
}

// Register adds -listen and -poller to the command line.
func Register(listen string) Flags {
	return Flags{
		listen: flag.String("listen", listen, "`address` to listen on: HOST:PORT, tcp://HOST:PORT or unix:///PATH"),
		poller: flag.String("poller", "auto", "auto, epoll or select"),
	}
}

// URL returns the address of -listen as a URL.
func (f Flags) URL() string {
	if strings.Contains(*f.listen, "://") {
		return *f.listen
	}
	return "tcp://" + *f.listen
}

// Manager makes the manager that the flags ask for; o is for the rest of its options. An argument that is no flag is an
// error: it was meant to be one.
func (f Flags) Manager(o mgr.Options) (*mgr.Manager, error) {
	if flag.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q; see -h", flag.Arg(0))
	}
	p, err := mgr.ParsePoller(*f.poller)
	if err != nil {
		return nil, err
	}
	o.Poller = p
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return mgr.New(o)
}

// Run says where l listens and runs the loop until SIGINT or SIGTERM, which shut it down within five seconds.
func Run(m *mgr.Manager, l *conn.Conn) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if at := l.LocalAddr(); at.IsValid() {
		fmt.Printf("listening on %s with %s\n", at, m.Poller())
	} else {
		fmt.Printf("listening with %s\n", m.Poller()) // on a unix socket
	}
	if err := m.Run(ctx); err == nil || ctx.Err() == nil {
		return err
	}
	stop() // a second signal ends the program at once
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	if err := m.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	fmt.Fprintln(os.Stderr, "some connections did not end in time and were cut")
	return nil
}

// Check ends the program with a message when err is not nil.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
