// Command device is a firmware-style dashboard in one binary: it measures the machine it runs on and shows the figures on
// a web page, live over WebSocket. The page is embedded; `CGO_ENABLED=0 go build` makes the binary static.
//
//	go run ./examples/device [-listen 127.0.0.1:8080] [-poller auto|epoll|select] [-state FILE]
//
// The sampler has a goroutine of its own, since statfs(2) and fsync(2) may wait for a disk. It encodes each sample once and
// hands it to the loop, through its socketpair, where package broadcast gives it to all pages: a new page gets the latest one,
// and so does one that is too slow for all of them. The figures that belong to the loop are asked for with Manager.Do; what the
// pages want goes the other way through a channel. See hub.go.
//
// The sample interval, which any page can set, is kept in FILE: by default $XDG_STATE_HOME/mangusta/device.json, which is
// ~/.local/state/mangusta/device.json where the variable is not set, and mangusta-device.json in the temporary directory
// where there is no home directory. A device gives it a path on its writable partition.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// config is what the command line says, and for tests where the machine's figures are.
type config struct {
	listen, poller, state string
	proc, sys             string
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2) // the flag package has said what is wrong
	case err != nil:
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

var errUsage = errors.New("device: wrong command line")

// run is the program, from its arguments to its end when ctx is done.
func run(ctx context.Context, args []string, out, errOut io.Writer) error {
	cfg, err := parseFlags(args, errOut)
	if err != nil {
		return err
	}
	d, err := newDevice(cfg, errOut)
	if err != nil {
		return err
	}
	fmt.Fprintf(out, "device dashboard at %s\n", d.url)
	return d.run(ctx)
}

func parseFlags(args []string, errOut io.Writer) (config, error) {
	cfg := config{proc: "/proc", sys: "/sys"}
	f := flag.NewFlagSet("device", flag.ContinueOnError)
	f.SetOutput(errOut)
	f.StringVar(&cfg.listen, "listen", "tcp://127.0.0.1:8080",
		"`address`: HOST:PORT, tcp://HOST:PORT or unix:///PATH; no host is all of them")
	f.StringVar(&cfg.poller, "poller", "auto", "auto, epoll or select")
	f.StringVar(&cfg.state, "state", defaultStatePath(), "`file` that keeps the sample interval; another file found there becomes FILE.bad")
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return cfg, err
		}
		return cfg, errUsage
	}
	if f.NArg() > 0 {
		fmt.Fprintf(errOut, "device: unexpected argument %q\n", f.Arg(0))
		return cfg, errUsage
	}
	return cfg, nil
}
