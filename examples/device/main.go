// Command device is a firmware-style dashboard in one binary: it measures the machine it runs on
// and shows the figures on a web page, live over WebSocket. The page is embedded; `CGO_ENABLED=0 go
// build` makes the binary static.
//
//	go run ./examples/device [-listen 127.0.0.1:8080] [-poller auto|epoll|select] [-loops N] [-state FILE]
//		[-host NAME] [-origin ORIGIN] [-trusted-proxy NETWORK] [-max-per-address N]
//		[-tls DIR | -tls-cert FILE -tls-key FILE] [-ntp udp://HOST:123]...
//
// With -tls it speaks HTTPS, with a certificate that it makes at its first start and keeps in DIR.
// Browsers warn of that: the fingerprint, which it logs, tells the user that it is the right one.
//
// The sampler has a goroutine of its own, since statfs(2) and fsync(2) may wait for a disk. It
// encodes each sample once and hands it to the loop, through its socketpair, where package
// broadcast gives it to all pages: a new page gets the latest one, and so does one that is too slow
// for all of them. The figures that belong to the loop are asked for with Manager.Do; what the
// pages want goes the other way through a channel. See hub.go. The page subscribes with
// mangusta.js, and asks for a setting with POST.
//
// Changes of interfaces, addresses and routes come from the kernel by a netlink socket, and the
// time from a server by UDP (-ntp): both are connections of the first loop. Neither changes
// anything.
//
// The sample interval, which any page can set, is kept in FILE: by default
// $XDG_STATE_HOME/mangusta/device.json, which is ~/.local/state/mangusta/device.json where the
// variable is not set, and mangusta-device.json in the temporary directory where there is no home
// directory. A device gives it a path on its writable partition.
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

	"github.com/seed4930a636/mangusta/examples/internal/certs"
	common "github.com/seed4930a636/mangusta/examples/internal/program"
)

// config is what the command line says, and for tests where the machine's figures are.
type config struct {
	listen, poller, state string
	proc, sys             string
	perAddr, loops        int
	ntp                   []string
	web                   common.Web
	tls                   *certs.Flags
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
	cfg.web.Register(f)
	cfg.tls = certs.RegisterOwn(f)
	f.IntVar(&cfg.perAddr, "max-per-address", 64, "`connections` that one address may have, if it is none of -trusted-proxy; 0 is no limit")
	f.StringVar(&cfg.poller, "poller", "auto", "auto, epoll or select")
	f.StringVar(&cfg.state, "state", defaultStatePath(), "`file` that keeps the sample interval; another file found there becomes FILE.bad")
	f.Func("ntp", "`URL` of a time server, udp://HOST:123; may be given several times. The page shows how far the clock is off", func(url string) error {
		cfg.ntp = append(cfg.ntp, url)
		return nil
	})
	loops := common.LoopsFlag(f)
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
	cfg.loops = *loops
	return cfg, nil
}
