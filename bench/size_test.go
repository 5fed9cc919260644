package main

import (
	"runtime"
	"strings"
	"testing"
	"time"
)

// Programs on amd64, by Go 1.26, do not grow unnoticed: a change that makes them larger raises the
// bound, or links what it adds on mention alone (ARCHITECTURE.md, "Size").
func TestSizes(t *testing.T) {
	if !strings.HasPrefix(runtime.Version(), "go1.26") {
		t.Skip("the bounds are those of Go 1.26")
	}
	most := map[string]float64{"size-http": 2.50, "size-websocket-own": 2.80, "size-https": 5.30, "size-https-lean": 5.10}
	for _, w := range sizeWorks() {
		if most[w.name] == 0 {
			continue
		}
		r, err := w.run(bench{bin: t.TempDir()}, w.servers[0], time.Second)
		if err != nil {
			t.Fatal(err)
		}
		if got := r.Size / (1 << 20); got > most[w.name] {
			t.Errorf("%s: %.2f MiB on amd64, want %.2f at most", w.name, got, most[w.name])
		}
	}
}
