package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
)

// A report is what a run of the harness has measured.
type report struct {
	When   string  `json:"when"`
	System string  `json:"system"`
	Go     string  `json:"go"`
	Rounds int     `json:"rounds"`
	Works  []table `json:"works"`
}

// A table is one work.
type table struct {
	Name  string    `json:"name"`
	Title string    `json:"title"`
	What  string    `json:"what"` // that Cost is, with its unit
	Rows  []row     `json:"rows"`
	Pairs []pairing `json:"pairs,omitempty"` // with -base
	what  measure
}

// A row is one server: the median of its valid rounds in each column.
type row struct {
	Server   string   `json:"server"`
	Rate     float64  `json:"rate"`                // operations a second
	Cost     float64  `json:"cost"`                // what the work is about, in the unit that the table says
	User     float64  `json:"user_us"`             // processor time of an operation in user mode
	System   float64  `json:"system_us"`           // and in the kernel
	P50      float64  `json:"p50_us"`              // latency
	P99      float64  `json:"p99_us"`              //
	Idle     float64  `json:"idle_us,omitempty"`   // p90 while nothing else goes on
	Beside   float64  `json:"beside_us,omitempty"` // p90 beside other work
	RSS      float64  `json:"rss_mib"`             // of the server
	Busy     float64  `json:"server_busy"`         // share of the time that the server's processor was at work for it
	Load     float64  `json:"load_busy"`           // the same for the load generator
	Floor    float64  `json:"floor_ratio,omitempty"`
	Mangusta float64  `json:"mangusta_ratio,omitempty"`
	Invalid  string   `json:"invalid,omitempty"`
	Runs     []result `json:"runs"`
}

func newReport(rounds int) *report {
	return &report{When: time.Now().UTC().Format(time.DateTime), System: system(), Go: runtime.Version(), Rounds: rounds}
}

var units = map[measure]string{perOperation: "CPU µs/op", perIdle: "bytes of RSS each", latency: "p50 in µs", footprint: "MiB", programSize: "MiB", besideWork: "p90 beside / p90 idle"}

// cost is what a run is compared by.
func (what measure) cost(r result) float64 {
	switch what {
	case perIdle:
		return r.Each
	case latency:
		return micros(r.P50)
	case footprint, programSize:
		return r.Size / (1 << 20)
	case besideWork:
		return float64(r.Beside) / float64(max(r.Idle, 1))
	}
	return micros(r.User+r.System) / float64(max(r.Ops, 1))
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// add makes a table of the rounds of w.
func (rep *report) add(w work, runs [][]result) *table {
	t := table{Name: w.name, Title: w.title, What: units[w.what], what: w.what}
	for i, s := range w.servers {
		t.Rows = append(t.Rows, newRow(s.name, w.what, runs[i]))
	}
	for i := 1; i < len(w.servers); i++ {
		if strings.HasPrefix(w.servers[i].program, baseName+"/") {
			t.Pairs = append(t.Pairs, pair(w.servers[i-1].name, w.what, runs[i-1], runs[i]))
		}
	}
	base := func(name string) float64 {
		for _, r := range t.Rows {
			if r.Server == name || strings.HasPrefix(r.Server, name+" ") {
				return r.Cost
			}
		}
		return 0
	}
	floor, own := base("floor"), base("mangusta")
	for i := range t.Rows {
		r := &t.Rows[i]
		if floor > 0 {
			r.Floor = r.Cost / floor
		}
		if own > 0 {
			r.Mangusta = r.Cost / own
		}
	}
	rep.Works = append(rep.Works, t)
	return &rep.Works[len(rep.Works)-1]
}

func newRow(name string, what measure, runs []result) row {
	r := row{Server: name, Runs: runs}
	var valid []result
	for _, x := range runs {
		if x.Invalid == "" {
			valid = append(valid, x)
		}
	}
	if bad := len(runs) - len(valid); bad > 0 {
		i := slices.IndexFunc(runs, func(x result) bool { return x.Invalid != "" })
		r.Invalid = fmt.Sprintf("%d of %d rounds: %s", bad, len(runs), runs[i].Invalid)
	}
	if len(valid) == 0 {
		return r
	}
	over := func(f func(x result) float64) float64 { return median(valid, f) }
	perSecond := func(x float64, r result) float64 {
		if r.Seconds == 0 {
			return 0
		}
		return x / r.Seconds
	}
	r.Rate = over(func(x result) float64 { return perSecond(float64(x.Ops), x) })
	r.Cost = over(what.cost)
	r.User = over(func(x result) float64 { return micros(x.User) / float64(x.Ops) })
	r.System = over(func(x result) float64 { return micros(x.System) / float64(x.Ops) })
	r.P50 = over(func(x result) float64 { return micros(x.P50) })
	r.P99 = over(func(x result) float64 { return micros(x.P99) })
	r.Idle = over(func(x result) float64 { return micros(x.Idle) })
	r.Beside = over(func(x result) float64 { return micros(x.Beside) })
	r.RSS = over(func(x result) float64 { return x.RSS / (1 << 20) })
	r.Busy = over(func(x result) float64 { return perSecond((x.User + x.System).Seconds(), x) })
	r.Load = over(func(x result) float64 { return perSecond(x.Load.Seconds(), x) })
	return r
}

// median returns the value in the middle; of an even number, the lower one of the two.
func median(rs []result, f func(result) float64) float64 {
	vs := make([]float64, len(rs))
	for i, r := range rs {
		vs[i] = f(r)
	}
	slices.Sort(vs)
	return vs[(len(vs)-1)/2]
}

// column is one of a printed table.
type column struct {
	head string
	cell func(r row) string
}

func number(decimals int, f func(r row) float64) func(r row) string {
	return func(r row) string { return fmt.Sprintf("%.*f", decimals, f(r)) }
}

// known leaves the cell empty where there is no figure.
func known(decimals int, f func(r row) float64) func(r row) string {
	return func(r row) string {
		if f(r) == 0 {
			return "-"
		}
		return number(decimals, f)(r)
	}
}

func ratio(f func(r row) float64) func(r row) string { return known(2, f) }

func percent(f func(r row) float64) func(r row) string {
	return func(r row) string { return fmt.Sprintf("%.0f%%", 100*f(r)) }
}

var (
	p50     = column{"p50 µs", known(1, func(r row) float64 { return r.P50 })}
	p99     = column{"p99 µs", known(1, func(r row) float64 { return r.P99 })}
	rss     = column{"RSS MiB", number(1, func(r row) float64 { return r.RSS })}
	toFloor = column{"/floor", ratio(func(r row) float64 { return r.Floor })}
	toOurs  = column{"/mangusta", ratio(func(r row) float64 { return r.Mangusta })}
	costOf  = func(head string, decimals int) column {
		return column{head, number(decimals, func(r row) float64 { return r.Cost })}
	}
	columns = map[measure][]column{
		perOperation: {
			{"ops/s", number(0, func(r row) float64 { return r.Rate })}, costOf("CPU µs/op", 2),
			{"user", number(2, func(r row) float64 { return r.User })}, {"system", number(2, func(r row) float64 { return r.System })},
			p50, p99, rss, toFloor, toOurs,
			{"server CPU", percent(func(r row) float64 { return r.Busy })}, {"load CPU", percent(func(r row) float64 { return r.Load })},
		},
		perIdle:     {costOf("bytes each", 0), rss, toOurs},
		latency:     {p50, p99, toFloor, toOurs},
		footprint:   {costOf("MiB", 2), {"start ms", number(1, func(r row) float64 { return r.P50 / 1000 })}, rss, toOurs},
		programSize: {costOf("MiB", 2), toOurs},
		besideWork: {
			{"p90 idle µs", number(0, func(r row) float64 { return r.Idle })}, {"p90 beside µs", number(0, func(r row) float64 { return r.Beside })},
			costOf("ratio", 2), {"handshakes/s", number(0, func(r row) float64 { return r.Rate })},
			{"server CPU", percent(func(r row) float64 { return r.Busy })},
		},
	}
)

// print writes t as text.
func (t *table) print(w io.Writer) {
	fmt.Fprintf(w, "\n%s: %s\n", t.Name, t.Title)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	cols := columns[t.what]
	fmt.Fprint(tw, "\t")
	for _, c := range cols {
		fmt.Fprintf(tw, "%s\t", c.head)
	}
	fmt.Fprintln(tw)
	for _, r := range t.Rows {
		fmt.Fprintf(tw, "%s\t", r.Server)
		for _, c := range cols {
			if r.Cost == 0 {
				fmt.Fprint(tw, "-\t")
				continue
			}
			fmt.Fprintf(tw, "%s\t", c.cell(r))
		}
		fmt.Fprintln(tw)
	}
	tw.Flush()
	for _, p := range t.Pairs {
		p.print(w)
	}
	for _, r := range t.Rows {
		if r.Invalid != "" {
			fmt.Fprintf(w, "%s: INVALID: %s\n", r.Server, r.Invalid)
		}
		if r.Load > loadBound {
			fmt.Fprintf(w, "%s: the load generator was busy for %.0f%% of the time: ops/s and latency are its own limit\n", r.Server, 100*r.Load)
		}
	}
}

// loadBound is the share of busy time from which on the load generator is the bottleneck.
const loadBound = 0.95
