package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
	"time"
)

// The ranks are those that tables of the sign test give.
func TestIntervalOfTheMedian(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 0, 5: 0, 6: 1, 8: 1, 9: 2, 10: 2, 12: 3, 15: 4, 20: 6, 25: 8, 30: 10, 40: 14, 50: 18} {
		if k := outside(n); k != want {
			t.Errorf("%d samples: %d, want %d", n, k, want)
		}
	}
}

func TestPairsAreComparedRoundByRound(t *testing.T) {
	lost := result{Invalid: "lost"}
	var own, base []result
	for i := range 20 { // the machine becomes slower and slower
		d := time.Duration(i+1) * time.Millisecond
		own, base = append(own, run1(1000, 9*d)), append(base, run1(1000, 10*d))
	}
	own, base = append(own, lost, run1(1000, 1)), append(base, run1(1000, 1), lost)
	p := pair("mangusta", perOperation, own, base)
	if p.Pairs != 20 || p.Median < 0.899 || p.Median > 0.901 || p.Low < 0.899 || p.High > 0.901 {
		t.Errorf("%+v", p)
	}
	var out bytes.Buffer
	p.print(&out)
	pair("few", perOperation, own[:3], base[:3]).print(&out)
	pair("none", perOperation, own[20:], base[20:]).print(&out)
	for _, want := range []string{"mangusta/base: 0.900, the median of 20 pairs; 95 %: 0.900 to 0.900\n", "median of 3 pairs: too few", "none: no valid pair\n"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
}

func TestBaseRunsBesideEachOfOurServers(t *testing.T) {
	var names []string
	for _, w := range against([]work{
		{name: "a", servers: []server{{name: "floor"}, {name: "mangusta epoll", program: "testee"}, {name: "gws"}}},
		{name: "b", servers: []server{{name: "gws"}}},
		{name: "sizes", what: programSize, servers: []server{{name: "mangusta", program: "hello"}}},
	}) {
		for _, s := range w.servers {
			names = append(names, w.name+": "+s.name+" "+s.program)
		}
	}
	if want := []string{"a: mangusta epoll testee", "a: base epoll base/testee"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}
