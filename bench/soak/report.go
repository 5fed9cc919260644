package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"time"
)

// report is what a run has found.
type report struct {
	samples       []sample
	before, after sample // without load
	errs          []error
	ops           map[string]int64
}

const (
	warmUp   = 3               // one part in so many of the samples is left out: heaps and caches grow
	judgedAt = 2 * time.Minute // a shorter run says nothing about slopes
)

// A measure is one figure of a sample. It grows if the fitted line rises by more than rise within
// the run and by more than perHour; both are larger for a large figure: share of it, and four times
// that.
type measure struct {
	name          string
	unit          string
	of            func(before, s sample) float64
	rise, perHour float64
	share         float64
}

var measures = []measure{
	{"RSS", "KiB", func(_, s sample) float64 { return float64(s.rss) / 1024 }, 1024, 4096, 0.05},
	{"live heap", "MiB", func(_, s sample) float64 { return float64(s.live) }, 2, 8, 0.05},
	{"descriptors", "", func(_, s sample) float64 { return float64(s.files) }, 8, 30, 0},
	{"threads", "", func(_, s sample) float64 { return float64(s.threads) }, 2, 8, 0},
	{"CPU", "µs an operation", perOperation, 20, 60, 0.1},
}

// perOperation is the processor time for each operation between two samples.
func perOperation(before, s sample) float64 {
	if s.ops == before.ops {
		return 0
	}
	return float64((s.cpu - before.cpu).Microseconds()) / float64(s.ops-before.ops)
}

// judge prints r and reports whether all is well.
func judge(w io.Writer, r report) (ok bool) {
	var bad []string
	for _, name := range slices.Sorted(maps.Keys(r.ops)) {
		fmt.Fprintf(w, "%-20s %d operations\n", name, r.ops[name])
		if r.ops[name] == 0 && len(r.samples) > 0 && r.length() > stay {
			bad = append(bad, name+" did nothing")
		}
	}
	for _, err := range r.errs {
		bad = append(bad, err.Error())
	}
	fmt.Fprintf(w, "%-12s %10s %10s %10s %10s %14s\n", "", "before", "first", "last", "after", "slope an hour")
	list := r.samples[len(r.samples)/warmUp:]
	for _, m := range measures {
		bad = append(bad, m.show(w, list, r)...)
	}
	if r.after.files > r.before.files {
		bad = append(bad, fmt.Sprintf("%d descriptors are open after the load, %d were before", r.after.files, r.before.files))
	}
	if len(bad) == 0 && r.length() < judgedAt {
		fmt.Fprintf(w, "ok, but slopes are judged from %v on\n", judgedAt)
	} else if len(bad) == 0 {
		fmt.Fprintln(w, "ok: nothing grows")
	}
	for _, s := range bad {
		fmt.Fprintln(w, "FAIL:", s)
	}
	return len(bad) == 0
}

// length is the time from the first sample to the last.
func (r report) length() time.Duration {
	if len(r.samples) == 0 {
		return 0
	}
	return r.samples[len(r.samples)-1].at - r.samples[0].at
}

// show prints m, and returns what is wrong with it.
func (m measure) show(w io.Writer, list []sample, r report) (bad []string) {
	if len(list) < 3 {
		return []string{"too few samples"}
	}
	var hours, values []float64
	for i := 1; i < len(list); i++ {
		hours = append(hours, list[i].at.Hours())
		values = append(values, m.of(list[i-1], list[i]))
	}
	k := slope(hours, values)
	fmt.Fprintf(w, "%-12s %10.0f %10.0f %10.0f %10.0f %+14.1f %s\n", m.name, m.of(sample{}, r.before), values[0], values[len(values)-1],
		m.of(sample{}, r.after), k, m.unit)
	more := m.share * values[0]
	if rise := k * (hours[len(hours)-1] - hours[0]); r.length() >= judgedAt && rise > max(m.rise, more) && k > max(m.perHour, 4*more) {
		return []string{fmt.Sprintf("%s grows: by %.1f %s in this run, %.1f an hour", m.name, rise, m.unit, k)}
	}
	return nil
}

// slope is the median of the slopes between all pairs of points (Theil and Sen): single peaks do
// not bend it.
func slope(x, y []float64) float64 {
	var all []float64
	for i := range x {
		for j := i + 1; j < len(x); j++ {
			if x[j] != x[i] {
				all = append(all, (y[j]-y[i])/(x[j]-x[i]))
			}
		}
	}
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}
