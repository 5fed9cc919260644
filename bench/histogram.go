package main

import (
	"math/bits"
	"time"
)

// histogram counts durations with a resolution of 3 %.
type histogram struct {
	counts [64 * 32]uint64
	n      uint64
}

// add counts d.
func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))]++
	h.n++
}

// bucket is exact below 64; above, each power of two has 32 of them.
func bucket(v uint64) int {
	if v < 64 {
		return int(v)
	}
	exp := bits.Len64(v) - 6
	return exp*32 + int(v>>exp)
}

// lowest is the inverse of bucket.
func lowest(i int) uint64 {
	if i < 64 {
		return uint64(i)
	}
	exp := i/32 - 1
	return uint64(i-exp*32) << exp
}

// quantile returns the duration that the share q of those counted do not exceed.
func (h *histogram) quantile(q float64) time.Duration {
	rank, seen := uint64(q*float64(h.n)), uint64(0)
	for i, n := range h.counts {
		seen += n
		if seen > rank {
			return time.Duration(lowest(i))
		}
	}
	return 0
}
