// Command bench measures mangusta beside its peers on this machine: each server in turn, several rounds interleaved, the
// server pinned to one processor with GOMAXPROCS=1 and the load to another. The figure that counts is the processor
// time of the whole server process for one operation, as a ratio to mangusta's in the same run.
package main

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

var servers = []server{
	{"mangusta", "github.com/seed4930a636/mangusta/examples/testee", []string{"-listen", "ADDR"}},
	{"fasthttp", "github.com/seed4930a636/mangusta/bench/peer/fasthttp", []string{"ADDR"}},
	{"net-http", "github.com/seed4930a636/mangusta/bench/peer/nethttp", []string{"ADDR"}},
}

func main() {
	rounds := flag.Int("rounds", 3, "rounds of each measurement; the median is printed")
	length := flag.Duration("time", 5*time.Second, "length of one load")
	conns := flag.Int("conns", 64, "keep-alive connections of the plain load")
	sockets := flag.Int("idle", 10_000, "idle WebSocket connections; 0 leaves that out")
	flag.Parse()
	if err := run(*rounds, *length, *conns, *sockets); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(rounds int, length time.Duration, conns, sockets int) error {
	dir, err := os.MkdirTemp("", "mangusta-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	if err := build(dir, servers); err != nil {
		return err
	}
	if err := plain(dir, rounds, length, conns); err != nil {
		return err
	}
	if sockets == 0 {
		return nil
	}
	p, err := start(dir, servers[0])
	if err != nil {
		return err
	}
	defer p.stop()
	each, err := idle(p, "/ws", sockets)
	if err != nil {
		return err
	}
	fmt.Printf("\n%d idle WebSockets: %.0f bytes of RSS each\n", sockets, each)
	return nil
}

// plain prints the table of GET /plaintext.
func plain(dir string, rounds int, length time.Duration, conns int) error {
	runs := make([][]result, len(servers))
	for range rounds {
		for i, s := range servers {
			p, err := start(dir, s)
			if err != nil {
				return err
			}
			r, err := wrk(p, conns, length)
			p.stop()
			if err != nil {
				return fmt.Errorf("%s: %w", s.name, err)
			}
			runs[i] = append(runs[i], r)
		}
	}
	fmt.Printf("GET /plaintext, %d connections, median of %d rounds\n", conns, rounds)
	fmt.Printf("%-10s %12s %12s %10s %10s %8s\n", "server", "requests/s", "CPU µs/req", "user", "system", "ratio")
	base := median(runs[0]).perOp()
	for i, s := range servers {
		r := median(runs[i])
		per := func(d time.Duration) float64 { return float64(d) / float64(r.ops) / 1000 }
		fmt.Printf("%-10s %12.0f %12.2f %10.2f %10.2f %8.2f\n", s.name, r.rate, per(r.user+r.system), per(r.user),
			per(r.system), float64(r.perOp())/float64(base))
	}
	return nil
}

// median returns the run in the middle by processor time.
func median(rs []result) result {
	slices.SortFunc(rs, func(a, b result) int { return int(a.perOp() - b.perOp()) })
	return rs[len(rs)/2]
}
