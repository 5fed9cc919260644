// Command bench measures mangusta beside its peers on this machine: each server in turn, several
// rounds interleaved, the server pinned to one processor with GOMAXPROCS=1 and the load to another.
// The figure that counts is the processor time of the whole server process for one operation, as a
// ratio to others in the same run: to a floor in C that does as little as can be done, and to
// mangusta. README.md tells what each work is, and how each peer is set up.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"regexp"
	"time"
)

// config is what the command line says.
type config struct {
	set         picked
	only, peers *regexp.Regexp
	rounds      int
	length      time.Duration
	json, chart string // files
	perf        string // directory
	base        string // the root of another checkout
	then, now   string // reports to compare; without now, that of this run is compared
	list        bool
}

func parse() (c config, err error) {
	quick := flag.Bool("quick", false, "the main works only, one short round: half a minute")
	all := flag.Bool("all", false, "all combinations of broadcast too")
	only := flag.String("only", "", "works whose name matches this `regexp`")
	servers := flag.String("servers", "", "servers whose name matches this `regexp`")
	flag.IntVar(&c.rounds, "rounds", 3, "rounds of each work; the median is printed")
	flag.DurationVar(&c.length, "time", time.Second, "length of one load; wrk takes whole seconds")
	flag.StringVar(&c.json, "json", "", "`file` for all figures, - for standard output")
	flag.StringVar(&c.chart, "chart", "bench.html", "`file` for the chart, empty for none")
	flag.StringVar(&c.perf, "perf", "", "`directory` for a profile of each run, from perf record; profiling adds to the figures")
	flag.StringVar(&c.base, "base", "", "compare with another checkout of mangusta, whose root is `directory`, pair by pair; peers are left out")
	flag.StringVar(&c.then, "compare", "", "compare with the report in this `file` of -json: that of this run, or, if the argument after the flags is another such file, that one, and measure nothing")
	flag.BoolVar(&c.list, "list", false, "print the names of the works")
	flag.Parse()
	c.now = flag.Arg(0)
	if flag.NArg() > 1 || c.now != "" && c.then == "" {
		return c, fmt.Errorf("an argument too many: %q", flag.Args())
	}
	c.set = usually
	if *all {
		c.set = onlyAll
	}
	if *quick {
		c.set, c.rounds, c.length = always, 1, 300*time.Millisecond
	}
	if c.only, err = pattern(*only); err != nil {
		return c, err
	}
	c.peers, err = pattern(*servers)
	return c, err
}

// pattern compiles s; nil stands for the empty one.
func pattern(s string) (*regexp.Regexp, error) {
	if s == "" {
		return nil, nil
	}
	return regexp.Compile(s)
}

func main() {
	c, err := parse()
	if err == nil {
		err = run(c, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(c config, w io.Writer) error {
	var then *report
	if c.then != "" {
		var err error
		if then, err = loadReport(c.then); err != nil {
			return err
		}
	}
	if c.now != "" {
		now, err := loadReport(c.now)
		if err == nil {
			now.compare(w, then)
		}
		return err
	}
	chosen := choose(works(), c.set, c.only, c.peers)
	if c.base != "" {
		chosen = against(chosen)
	}
	if c.list {
		for _, x := range chosen {
			fmt.Fprintf(w, "%-40s %s\n", x.name, x.title)
		}
		return nil
	}
	raiseLimit()
	needed := tools(chosen)
	if c.perf != "" {
		needed = append(needed, perf)
	}
	provide(os.Stderr, needed...)
	chosen = possible(chosen)
	bin, err := os.MkdirTemp("", "mangusta-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(bin)
	if err := build(bin, c.base, programs(chosen), c.perf != ""); err != nil {
		return err
	}
	rep := newReport(c.rounds)
	fmt.Fprintf(w, "%s, %s, rounds: %d\n", rep.System, rep.Go, rep.Rounds)
	for _, x := range chosen {
		rep.add(x, x.rounds(bench{bin, c.perf}, c.rounds, c.length)).print(w)
	}
	if then != nil {
		rep.compare(w, then)
	}
	return rep.save(c, w)
}

// save writes the files that were asked for.
func (rep *report) save(c config, w io.Writer) error {
	if c.chart != "" {
		f, err := os.Create(c.chart)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := rep.draw(f); err != nil {
			return err
		}
		fmt.Fprintf(w, "\nThe chart is in %s.\n", c.chart)
	}
	if c.json == "" {
		return nil
	}
	b, err := json.MarshalIndent(rep, "", "\t")
	if err != nil {
		return err
	}
	if c.json == "-" {
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	return os.WriteFile(c.json, append(b, '\n'), 0o644)
}
