package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// baseName is what the programs of the other checkout are called, and where they are built.
const baseName = "base"

// against leaves only our own servers in the works, each followed by the same program of another
// checkout.
func against(ws []work) []work {
	var left []work
	for _, w := range ws {
		var pairs []server
		for _, s := range w.servers {
			if rest, ok := strings.CutPrefix(s.name, "mangusta"); ok && w.what != programSize {
				pairs = append(pairs, s, server{name: baseName + rest, program: baseName + "/" + s.program, args: s.args, both: s.both})
			}
		}
		if w.servers = pairs; len(pairs) > 0 {
			left = append(left, w)
		}
	}
	return left
}

// A pairing compares the rounds of a server with those of the same program of the other checkout.
type pairing struct {
	Server string  `json:"server"`
	Pairs  int     `json:"pairs"`
	Median float64 `json:"median"` // of the ratios, pair by pair: below 1 this checkout costs less
	Low    float64 `json:"low"`    // Low to High holds the true median with a probability of 95 % at least
	High   float64 `json:"high"`   // both 0 if there are too few pairs to say
}

// pair makes a pairing of the rounds in which both were valid; the rounds at one index are a pair.
func pair(name string, what measure, own, base []result) pairing {
	var ratios []float64
	for i := range own {
		if own[i].Invalid == "" && base[i].Invalid == "" {
			ratios = append(ratios, what.cost(own[i])/what.cost(base[i]))
		}
	}
	p := pairing{Server: name, Pairs: len(ratios)}
	if len(ratios) == 0 {
		return p
	}
	slices.Sort(ratios)
	n := len(ratios)
	p.Median = (ratios[(n-1)/2] + ratios[n/2]) / 2
	if k := outside(n); k > 0 {
		p.Low, p.High = ratios[k-1], ratios[n-k]
	}
	return p
}

// outside returns the largest k for which the k-th smallest and the k-th largest of n samples
// enclose the median with a probability of 95 % at least, 0 if there is none. How many samples are
// below the median is a binomial number.
func outside(n int) (k int) {
	term, below := 1.0, 0.0
	for range n {
		term /= 2
	}
	for k < n/2 {
		if below += term; 2*below > 0.05 {
			break
		}
		k++
		term = term * float64(n-k+1) / float64(k)
	}
	return k
}

// print writes p as one line.
func (p pairing) print(w io.Writer) {
	switch {
	case p.Pairs == 0:
		fmt.Fprintf(w, "%s: no valid pair\n", p.Server)
	case p.High == 0:
		fmt.Fprintf(w, "%s/base: %.3f, the median of %d pairs: too few for an interval\n", p.Server, p.Median, p.Pairs)
	default:
		fmt.Fprintf(w, "%s/base: %.3f, the median of %d pairs; 95 %%: %.3f to %.3f\n", p.Server, p.Median, p.Pairs, p.Low, p.High)
	}
}
