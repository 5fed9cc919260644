// Package sidebyside runs subtests at the same time. It is for those that wait most of the time:
// t.Parallel runs as many at once as there are processors, which is too few for them.
package sidebyside

import (
	"sync"
	"testing"
)

// Run runs a subtest of each name, up to most of them at once, and returns when all have ended. The
// subtests get the index of their name. They must not change what belongs to the whole process, nor
// call t.Parallel.
func Run(t *testing.T, most int, names []string, test func(t *testing.T, i int)) {
	t.Helper()
	next := make(chan int)
	var lanes sync.WaitGroup
	for range min(most, len(names)) {
		lanes.Go(func() {
			for i := range next {
				t.Run(names[i], func(t *testing.T) { test(t, i) })
			}
		})
	}
	for i := range names {
		next <- i
	}
	close(next)
	lanes.Wait()
}
