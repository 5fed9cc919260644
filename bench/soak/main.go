// Command soak keeps examples/testee under a mixed load for some time, and tells whether anything
// of it grows: resident memory, descriptors, threads, and the processor time for each operation. It
// builds and starts the program itself, on loopback, and ends it.
//
//	go run ./bench/soak -time 15m
//	go run ./bench/soak -time 15m -tls ecdsa -clients 0 -idle 10000 -handshakes 200
//
// It exits with 1 if an operation failed, if something grew, or if the program did not come to rest
// after the load.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"
)

// config is what the command line says.
type config struct {
	length time.Duration
	poller string
	scale  int  // clients of each kind
	each   bool // print each sample

	tls        string // the kind of key, if the load is over TLS
	idle       int    // WebSockets that rest
	handshakes int    // a second
}

const (
	maxLength = 24 * time.Hour
	maxScale  = 100
	maxIdle   = 15_000
	maxRate   = 1000
)

func main() {
	var c config
	flag.DurationVar(&c.length, "time", 15*time.Minute, "length of the load, 24h at most; slopes are judged from 2m on")
	flag.StringVar(&c.poller, "poller", "auto", "auto, epoll or select")
	flag.IntVar(&c.scale, "clients", 8, "clients of each kind, 100 at most")
	flag.StringVar(&c.tls, "tls", "", "ecdsa or rsa: all over TLS, with a key of that kind (P-256, 2048 bits)")
	flag.IntVar(&c.idle, "idle", 0, "WebSockets that rest, 15000 at most; with -clients 0, whose broadcasts would reach them")
	flag.IntVar(&c.handshakes, "handshakes", 0, "connections a second with one request each, 1000 at most")
	flag.BoolVar(&c.each, "v", false, "print each sample")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ok, err := run(ctx, c, os.Stdout)
	if err != nil {
		fmt.Fprintln(os.Stderr, "soak:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run builds the program, loads it for c.length or until ctx is done, prints a report to w, and
// reports whether all is well.
func run(ctx context.Context, c config, w io.Writer) (ok bool, err error) {
	if c.length <= 0 || c.length > maxLength || c.scale < 0 || c.scale > maxScale {
		return false, fmt.Errorf("-time must be in 0s to %v, -clients in 0 to %d", maxLength, maxScale)
	}
	if c.idle < 0 || c.idle > maxIdle || c.idle > 0 && c.scale > 0 || c.handshakes < 0 || c.handshakes > maxRate || c.scale+c.handshakes == 0 {
		return false, fmt.Errorf("-idle must be in 0 to %d, and needs -clients 0 and -handshakes; those in 0 to %d", maxIdle, maxRate)
	}
	dir, err := os.MkdirTemp("", "mangusta-soak")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(dir)
	bin := filepath.Join(dir, "testee")
	build := exec.Command("go", "build", "-o", bin, "github.com/seed4930a636/mangusta/examples/testee")
	if out, err := build.CombinedOutput(); err != nil {
		return false, fmt.Errorf("go build: %w\n%s", err, out)
	}
	args := []string{"-poller", c.poller}
	var to target
	if c.tls != "" {
		cert, key, err := certificate(dir, c.tls)
		if err != nil {
			return false, err
		}
		args = append(args, "-tls-cert", cert, "-tls-key", key)
		to.tls = anybody
	}
	p, err := start(bin, args...)
	if err != nil {
		return false, err
	}
	defer p.stop()
	to.addr = p.addr
	before, err := p.look()
	if err != nil {
		return false, err
	}

	fmt.Fprintf(w, "%v of load, %d clients of each kind, %d idle WebSockets, %d handshakes a second, TLS %q, poller %s\n",
		c.length, c.scale, c.idle, c.handshakes, c.tls, c.poller)
	crowd, err := gather(ctx, to, c.idle)
	if err != nil {
		return false, err
	}
	defer crowd.leave()
	loading, stop := context.WithCancel(ctx)
	defer stop()
	time.AfterFunc(c.length, stop) // no deadline: a dial would fail with it an instant before loading is done
	l := begin(loading, to, c.scale, c.handshakes)
	samples, err := collect(loading, p, l, c, w)
	stop()
	l.wait()
	if err != nil {
		return false, err
	}
	if err := crowd.alive(); err != nil {
		l.fail(err)
	}
	crowd.leave()
	after, err := p.rest(before.files)
	if err != nil {
		return false, err
	}
	return judge(w, report{samples: samples, before: before, after: after, errs: l.errors(), ops: l.counts()}), nil
}

// collect samples the program until ctx is done, 200 times or so, but not more often than each 50
// ms.
func collect(ctx context.Context, p *process, l *load, c config, w io.Writer) (list []sample, err error) {
	tick := time.NewTicker(max(c.length/200, 50*time.Millisecond))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return list, nil
		case <-tick.C:
		}
		s, err := p.look()
		if err != nil {
			return list, err
		}
		s.ops = l.total()
		list = append(list, s)
		if c.each {
			fmt.Fprintf(w, "%8.1fs  RSS %6d KiB, live %3d MiB, %4d descriptors, %2d threads, CPU %v, %d operations\n",
				s.at.Seconds(), s.rss>>10, s.live, s.files, s.threads, s.cpu, s.ops)
		}
	}
}
