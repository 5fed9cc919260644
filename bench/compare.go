package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
)

// loadReport reads a report that -json has written.
func loadReport(name string) (*report, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	rep := new(report)
	if err := json.Unmarshal(b, rep); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	for i := range rep.Works {
		t := &rep.Works[i]
		for what, unit := range units {
			if unit == t.What { // footprint and programSize have one unit, and are compared by the same figure
				t.what = what
			}
		}
	}
	return rep, nil
}

// A spread is what the valid rounds of a row have measured.
type spread struct {
	rounds           int
	median, min, max float64
}

func (t *table) spread(r *row) spread {
	var costs []float64
	for _, x := range r.Runs {
		if x.Invalid == "" {
			costs = append(costs, t.what.cost(x))
		}
	}
	if len(costs) == 0 {
		return spread{}
	}
	slices.Sort(costs)
	return spread{len(costs), costs[(len(costs)-1)/2], costs[0], costs[len(costs)-1]}
}

func (s spread) String() string { return fmt.Sprintf("%.2f (%.2f to %.2f)", s.median, s.min, s.max) }

// compare writes what each server cost then and costs now, where both reports have it. Machines and
// hours differ, and the floor with them, so the ratios to the floor of the same run say more than the
// costs. A change is marked if no round of the one lies among those of the other.
func (rep *report) compare(w io.Writer, then *report) {
	fmt.Fprintf(w, "\nthen: %s, %s, %s, rounds: %d\nnow:  %s, %s, %s, rounds: %d\n",
		then.When, then.System, then.Go, then.Rounds, rep.When, rep.System, rep.Go, rep.Rounds)
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(tw, "work\tserver\tunit\tthen\tnow\tnow/then\t/floor then\t/floor now\tapart\t")
	for i := range rep.Works {
		t := &rep.Works[i]
		at := slices.IndexFunc(then.Works, func(o table) bool { return o.Name == t.Name })
		if at < 0 {
			continue
		}
		before := &then.Works[at]
		for j := range t.Rows {
			r := &t.Rows[j]
			k := slices.IndexFunc(before.Rows, func(o row) bool { return o.Server == r.Server })
			if k < 0 {
				continue
			}
			old, now := before.spread(&before.Rows[k]), t.spread(r)
			if old.rounds == 0 || now.rounds == 0 {
				fmt.Fprintf(tw, "%s\t%s\t%s\tno valid round\t\t\t\t\t\t\n", t.Name, r.Server, t.What)
				continue
			}
			apart := ""
			if now.min > old.max || now.max < old.min {
				apart = "yes"
			}
			fmt.Fprintf(tw, "%s\t%s\t%s\t%s\t%s\t%.3f\t%s\t%s\t%s\t\n", t.Name, r.Server, t.What, old, now, now.median/old.median,
				toFloor.cell(before.Rows[k]), toFloor.cell(*r), apart)
		}
	}
	tw.Flush()
}
