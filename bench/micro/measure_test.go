// Package micro has benchmarks that compare parts of mangusta with what does the same elsewhere.
package micro

import (
	"syscall"
	"testing"
	"time"
)

// processor returns the processor time used so far.
func processor() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs f, which takes a number, as a benchmark. It tells the processor time too, to which
// other load on the machine adds little.
func measure(b *testing.B, f func(i int)) {
	b.ReportAllocs()
	for i := range 100 {
		f(i)
	}
	i, before := 0, processor()
	for b.Loop() {
		f(i)
		i++
	}
	b.ReportMetric(float64(processor()-before)/float64(i), "cpu-ns/op")
}
