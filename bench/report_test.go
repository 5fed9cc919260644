package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func run1(ops int, cpu time.Duration) result {
	return result{Ops: ops, Seconds: 1, User: cpu / 4, System: cpu - cpu/4, Load: time.Second / 2, P50: 10 * time.Microsecond,
		P99: 20 * time.Microsecond, RSS: 1 << 20}
}

func TestTableHasMediansAndRatios(t *testing.T) {
	w := work{name: "w", title: "a work", servers: []server{{name: "floor"}, {name: "mangusta"}, {name: "other"}}}
	ms := time.Millisecond
	lost := run1(1000, ms)
	lost.Invalid = "3 messages were lost"
	rep := newReport(3)
	tab := rep.add(w, [][]result{
		{run1(1000, 4*ms), run1(1000, 9*ms), run1(1000, 5*ms)},
		{run1(1000, 10*ms), run1(1000, 6*ms), lost},
		{lost, lost, lost},
	})
	floor, own, other := tab.Rows[0], tab.Rows[1], tab.Rows[2]
	if floor.Cost != 5 || floor.User != 1.25 || floor.System != 3.75 || floor.Floor != 1 || floor.Invalid != "" {
		t.Errorf("floor: %+v", floor)
	}
	if own.Cost != 6 || own.Floor != 1.2 || own.Mangusta != 1 || own.Invalid != "1 of 3 rounds: 3 messages were lost" {
		t.Errorf("mangusta: %+v", own)
	}
	if floor.Mangusta != 5.0/6 || floor.Rate != 1000 || floor.Load != 0.5 || floor.Busy != 0.005 || floor.RSS != 1 {
		t.Errorf("floor: %+v", floor)
	}
	if other.Cost != 0 || other.Invalid != "3 of 3 rounds: 3 messages were lost" {
		t.Errorf("other: %+v", other)
	}
	var out bytes.Buffer
	tab.print(&out)
	for _, want := range []string{"w: a work", "other: INVALID: 3 of 3 rounds", "mangusta: INVALID: 1 of 3 rounds"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
	out.Reset()
	if err := rep.draw(&out); err != nil || strings.Count(out.String(), "<rect") != 3 || !strings.Contains(out.String(), "1.20 × floor") {
		t.Errorf("chart: %v\n%s", err, &out)
	}
}

func TestSaysWhenTheLoadIsTheBottleneck(t *testing.T) {
	r := run1(1000, time.Millisecond)
	r.Load = 990 * time.Millisecond
	tab := newReport(1).add(work{name: "w", servers: []server{{name: "mangusta"}}}, [][]result{{r}})
	var out bytes.Buffer
	tab.print(&out)
	if !strings.Contains(out.String(), "the load generator was busy for 99% of the time") {
		t.Error(out.String())
	}
}

func TestWorksAreChosenByNameOrSet(t *testing.T) {
	seen := map[string]bool{}
	for _, w := range works() {
		if seen[w.name] {
			t.Errorf("%s is there twice", w.name)
		}
		seen[w.name] = true
	}
	quick, usual, all := choose(works(), always, nil, nil), choose(works(), usually, nil, nil), choose(works(), onlyAll, nil, nil)
	if len(quick) == 0 || len(quick) >= len(usual) || len(usual) >= len(all) || len(all) != len(works()) {
		t.Errorf("%d quick, %d usual, %d in all of %d", len(quick), len(usual), len(all), len(works()))
	}
	only, _ := pattern("^broadcast-1k-10000x1-deflated-goroutine$")
	peers, _ := pattern("gws")
	named := choose(works(), always, only, peers)
	if len(named) != 1 || len(named[0].servers) != 1 || named[0].servers[0].name != "gws" {
		t.Errorf("chosen by name: %+v", named)
	}
	if none := choose(works(), onlyAll, only, only); len(none) != 0 {
		t.Errorf("a work without servers is chosen: %+v", none)
	}
}
