package clockskew

import (
	"os"
	"sync"
	"testing"
	"time"
)

// TestSet: the wall clock moves, and the monotonic one does not, on whichever stack the runtime
// asks for the time.
func TestSet(t *testing.T) {
	if !Supported {
		t.Skip("SKIPPED, NOT TESTED: the clock of a process can be moved on linux/amd64 alone")
	}
	defer Set(0)
	name := t.TempDir() + "/f"
	kernel := func() time.Time { // the file system asks the kernel
		if err := os.WriteFile(name, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime()
	}
	for _, by := range []time.Duration{time.Hour, -48 * time.Hour, 0, 2 * time.Second} {
		before := time.Now()
		Set(by)
		var all sync.WaitGroup
		for range 4 {
			all.Go(func() {
				for range 50 {
					if off := time.Since(kernel()); off > by+time.Minute || off < by-time.Minute {
						t.Errorf("set to %v, it is off by %v", by, off)
						return
					}
					if d := time.Since(before); d < 0 || d > time.Minute {
						t.Errorf("set to %v, %v have passed", by, d)
						return
					}
				}
			})
		}
		all.Wait()
	}
}
