package main

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

// A server is a program that is measured, as it is started for a work.
type server struct {
	name    string
	program string   // a name in packages, floorName, ringName or nginxName
	args    []string // ADDR, PORT and DIR stand for where to listen and what files to serve
	config  string   // the text of a file CONFIG, for those that have their settings there
	both    bool     // on both processors, with GOMAXPROCS=2; the load takes its part of one of them
}

// A work is what servers are measured at.
type work struct {
	name    string // for -only
	title   string
	what    measure
	pick    picked
	once    bool // does not vary: one round is enough
	needs   []tool
	with    []string // programs that run needs besides those of the servers
	servers []server
	run     func(b bench, s server, length time.Duration) (result, error)
}

// bench is what every run has.
type bench struct {
	bin  string // directory of the programs
	perf string // directory for profiles, empty for none
}

// measure is what the figures of a work are about.
type measure uint8

const (
	perOperation measure = iota // processor time of the server
	perIdle                     // memory of an idle connection
	latency                     // of a wake-up
	footprint                   // of a program: its size, its start, its memory
	programSize                 // its size alone
	besideWork                  // latency while the server does something else, and while it does not
)

// picked is when a work is part of a run that does not name it.
type picked uint8

const (
	always  picked = iota // with -quick too
	usually               // without -quick
	onlyAll               // with -all
)

// loader is a load generator.
type loader interface {
	run(p *process, length time.Duration) (result, error)
}

// under returns a work's run function: start the server, put the load on it, stop it.
func under(l loader) func(bench, server, time.Duration) (result, error) {
	return func(b bench, s server, length time.Duration) (result, error) {
		p, err := start(b.bin, s)
		if err != nil {
			return result{}, err
		}
		stop, err := p.profile(b.perf, s.name)
		if err != nil {
			p.stop()
			return result{}, err
		}
		r, err := l.run(p, length)
		stop()
		p.stop()
		if err != nil && p.said.Len() > 0 {
			err = fmt.Errorf("%w; it said: %.500s", err, p.said.Bytes())
		}
		return r, err
	}
}

// works returns all works in the order in which they run.
func works() []work {
	return slices.Concat(httpWorks(), clientWorks(), proxyWorks(), websocketWorks(), broadcastWorks(), loopsWorks(), restWorks(), tlsWorks(), sizeWorks())
}

// choose returns the works whose name matches only, or those of the set when it is nil, with the
// servers that match peers.
func choose(all []work, set picked, only, peers *regexp.Regexp) []work {
	var chosen []work
	for _, w := range all {
		if only != nil && !only.MatchString(w.name) || only == nil && w.pick > set {
			continue
		}
		if peers != nil {
			w.servers = slices.DeleteFunc(slices.Clone(w.servers), func(s server) bool { return !peers.MatchString(s.name) })
		}
		if len(w.servers) > 0 {
			chosen = append(chosen, w)
		}
	}
	return chosen
}

// possible drops the works and servers that need a tool which is not there.
func possible(ws []work) []work {
	var left []work
	for _, w := range ws {
		if slices.ContainsFunc(w.needs, func(t tool) bool { return !have(t.name) }) {
			continue
		}
		if !have(gcc.name) {
			w.servers = slices.DeleteFunc(slices.Clone(w.servers), func(s server) bool { return isFloor(s.program) })
		}
		if !haveRing() {
			w.servers = slices.DeleteFunc(slices.Clone(w.servers), func(s server) bool { return s.program == ringName })
		}
		if _, found := nginxPath(); !found {
			w.servers = slices.DeleteFunc(slices.Clone(w.servers), func(s server) bool { return s.program == nginxName })
		}
		left = append(left, w)
	}
	return left
}

// programs returns the names of the programs that the works need.
func programs(ws []work) []string {
	var names []string
	for _, w := range ws {
		for _, p := range w.with {
			if !slices.Contains(names, p) {
				names = append(names, p)
			}
		}
		for _, s := range w.servers {
			if !slices.Contains(names, s.program) {
				names = append(names, s.program)
			}
		}
	}
	return names
}

// tools returns what the works need.
func tools(ws []work) []tool {
	ts := []tool{taskset}
	for _, w := range ws {
		for _, t := range w.needs {
			if !slices.Contains(ts, t) {
				ts = append(ts, t)
			}
		}
	}
	if slices.ContainsFunc(programs(ws), isFloor) {
		ts = append(ts, gcc)
	}
	if _, found := nginxPath(); !found && slices.Contains(programs(ws), nginxName) {
		ts = append(ts, nginxTool)
	}
	return ts
}

// rounds runs each server of w in turn, n times, every other time in the opposite order.
func (w work) rounds(b bench, n int, length time.Duration) [][]result {
	if w.once {
		n = 1
	}
	runs := make([][]result, len(w.servers))
	for round := range n {
		for i := range w.servers {
			if round%2 == 1 {
				i = len(w.servers) - 1 - i
			}
			r, err := w.run(b, w.servers[i], length)
			if err != nil {
				r = result{Invalid: err.Error()}
			}
			runs[i] = append(runs[i], r)
		}
	}
	return runs
}

// size names a number of bytes.
func size(n int) string {
	switch {
	case n >= 1<<20:
		return fmt.Sprintf("%dm", n>>20)
	case n >= 1<<10:
		return fmt.Sprintf("%dk", n>>10)
	}
	return fmt.Sprint(n)
}
