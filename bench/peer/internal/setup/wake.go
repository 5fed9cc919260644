package setup

import (
	"fmt"
	"log"
	"slices"
	"time"
)

// Pings measures the wake-ups that the flags ask for and prints their latency in nanoseconds, in
// JSON. ring wakes the loop, whose handler sends on seen when it runs.
func (f Flags) Pings(ring func() error, seen <-chan time.Time) {
	n := f.Wake
	took := make([]time.Duration, n)
	for i := range took {
		f.rest() // until the loop is asleep
		start := time.Now()
		if err := ring(); err != nil {
			log.Fatal(err)
		}
		took[i] = (<-seen).Sub(start)
	}
	slices.Sort(took)
	fmt.Printf("{\"n\": %d, \"p50\": %d, \"p99\": %d}\n", n, took[n/2], took[n-1-n/100])
}

// rest passes the pause, asleep or running.
func (f Flags) rest() {
	if !f.Running && f.Pause > 0 {
		time.Sleep(f.Pause)
	}
	for begin := time.Now(); f.Running && time.Since(begin) < f.Pause; {
		continue
	}
}
