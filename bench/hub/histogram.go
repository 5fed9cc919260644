package main

import (
	"math/bits"
	"time"
)

// A histogram counts times, to within 1/32 of each: 32 buckets for each power of two of µs.
type histogram struct {
	counts [32 * 40]uint64
	n      uint64
	max    time.Duration
}

func (h *histogram) add(d time.Duration) {
	h.n++
	h.max = max(h.max, d)
	h.counts[bucketOf(uint64(max(d.Microseconds(), 0)))]++
}

// bucketOf returns the bucket of so many µs.
func bucketOf(us uint64) int {
	if us < 32 {
		return int(us)
	}
	e := bits.Len64(us) - 6 // us>>e is 32 to 63
	return min(32*e+int(us>>e), 32*40-1)
}

// upperOf returns the highest time of a bucket.
func upperOf(bucket int) time.Duration {
	if bucket < 64 {
		return time.Duration(bucket) * time.Microsecond
	}
	e := bucket/32 - 1
	return time.Duration((uint64(bucket-32*e)+1)<<e-1) * time.Microsecond
}

// at returns the time that this part of all was below.
func (h *histogram) at(part float64) time.Duration {
	if part >= 1 {
		return h.max.Round(time.Microsecond)
	}
	seen := uint64(0)
	for i, n := range h.counts {
		if seen += n; float64(seen) >= part*float64(h.n) {
			return min(upperOf(i), h.max.Round(time.Microsecond))
		}
	}
	return h.max
}

func (h *histogram) merge(x *histogram) {
	for i, n := range x.counts {
		h.counts[i] += n
	}
	h.n += x.n
	h.max = max(h.max, x.max)
}
