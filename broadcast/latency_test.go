package broadcast

import (
	"flag"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

var latency = flag.Bool("hub.latency", false, "measure the latency beside stalled subscribers, with -v")

// TestLatencyBesideStalledSubscribers logs how long a message takes to 45 subscribers, without and
// with 5 more that never read.
func TestLatencyBesideStalledSubscribers(t *testing.T) {
	if !*latency {
		t.Skip("a measurement: -hub.latency")
	}
	const readers, total = 45, 10_000
	for _, stalled := range []int{0, 5} {
		r := newRig(t, mgr.Auto, Options{}, func(r *rig) { r.sub = SubscribeOptions{Limit: Limit{1000, 256 << 10}} })
		for range stalled {
			r.ws("topic=a")
		}
		seen := make(chan struct{}, readers)
		var wg sync.WaitGroup
		for range readers {
			c := r.ws("topic=a")
			wg.Go(func() {
				for i := range total {
					if s, err := c.read(); err != nil || number(s) != i {
						t.Errorf("%q, %v instead of message %d", s, err, i)
					}
					seen <- struct{}{}
				}
			})
		}
		took := make([]time.Duration, total)
		for i := range took {
			start := time.Now()
			r.publish("a", numbered(i, 1<<10))
			for range readers {
				<-seen
			}
			took[i] = time.Since(start)
		}
		wg.Wait()
		slices.Sort(took)
		skipped := r.hub.Stats().Skipped
		t.Logf("%d stalled: to all %d p50 %v, p99 %v; %d skipped", stalled, readers, took[total/2], took[total*99/100], skipped)
		if (skipped > 0) != (stalled > 0) {
			t.Errorf("%d stalled, and %d skipped", stalled, skipped)
		}
	}
}
