// Package program is what the example programs have in common: the flags of the listener and the
// poller, and a graceful end.
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
	memory         *int
	loops          *int // nil without -loops
}

// A Group is what a *mgr.Manager and *mgr.Loops have in common.
type Group interface {
	mgr.Group
	Run(ctx context.Context) error
	Shutdown(ctx context.Context) error
	BeginDrain()
	Close() error
	Poller() string
	Do(f func()) error
	Broadcast(f func(*conn.Conn)) error
}

// NewGroup makes loops managers, and one alone if that is 1; 0 is one for each processor.
func NewGroup(loops int, o mgr.Options) (Group, error) {
	if loops == 1 {
		return mgr.New(o)
	}
	return mgr.NewLoops(loops, o)
}

// drain is how long Run goes on after the first signal.
var drain time.Duration

// Register adds -listen, -poller, -memory and -drain to the command line.
func Register(listen string) Flags {
	flag.DurationVar(&drain, "drain", 0, "`time` between SIGTERM and the end of the listener, while /healthz says 503 and all else goes on")
	return Flags{
		listen: flag.String("listen", listen, "`address` to listen on: HOST:PORT, tcp://HOST:PORT or unix:///PATH"),
		poller: flag.String("poller", "auto", "auto, epoll or select"),
		memory: flag.Int("memory", 0, "what all connections may hold, in `bytes`; 0 is a quarter of the memory of the machine"),
	}
}

// RegisterLoops is Register with -loops, for programs that work on several.
func RegisterLoops(listen string) Flags {
	f := Register(listen)
	f.loops = LoopsFlag(flag.CommandLine)
	return f
}

// LoopsFlag adds -loops to a command line.
func LoopsFlag(f *flag.FlagSet) *int {
	return f.Int("loops", 1, "`number` of loops, each with its goroutine; 0 is one for each processor")
}

// URL returns the address of -listen as a URL.
func (f Flags) URL() string {
	if strings.Contains(*f.listen, "://") {
		return *f.listen
	}
	return "tcp://" + *f.listen
}

// Manager makes the manager that the flags ask for; o is for the rest of its options. An argument
// that is no flag is an error: it was meant to be one.
func (f Flags) Manager(o mgr.Options) (*mgr.Manager, error) {
	o, err := f.options(o)
	if err != nil {
		return nil, err
	}
	return mgr.New(o)
}

// Group is Manager for programs with -loops.
func (f Flags) Group(o mgr.Options) (Group, error) {
	o, err := f.options(o)
	if err != nil {
		return nil, err
	}
	return NewGroup(*f.loops, o)
}

func (f Flags) options(o mgr.Options) (mgr.Options, error) {
	if flag.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see -h", flag.Arg(0))
	}
	p, err := mgr.ParsePoller(*f.poller)
	if err != nil {
		return o, err
	}
	o.Poller, o.Memory = p, *f.memory
	o.NeedListener = true
	if o.Log == nil {
		o.Log = slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	return o, nil
}

// Run says where l listens and runs m until SIGINT or SIGTERM, which shut it down within
// five seconds. So does the end of the last listener, which is an error.
func Run(m Group, l *conn.Conn) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if at := l.LocalAddr(); at.IsValid() {
		fmt.Printf("listening on %s with %s\n", at, m.Poller())
	} else {
		fmt.Printf("listening with %s\n", m.Poller()) // on a unix socket
	}
	err := m.Run(ctx)
	lost := errors.Is(err, mgr.ErrNoListener)
	if err == nil || ctx.Err() == nil && !lost {
		return err
	}
	stop() // a second signal ends the program at once
	if drain > 0 {
		m.BeginDrain()
		ctx, cancel := context.WithTimeout(context.Background(), drain)
		defer cancel()
		if err := m.Run(ctx); err == nil || ctx.Err() == nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 4*time.Second)
	defer cancel()
	down := m.Shutdown(ctx)
	if errors.Is(down, context.DeadlineExceeded) {
		fmt.Fprintln(os.Stderr, "some connections did not end in time and were cut")
		down = nil
	}
	if lost {
		return err
	}
	return down
}

// Check ends the program with a message when err is not nil.
func Check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
