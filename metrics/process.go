package metrics

import "runtime"

// Process is the source of the figures that the Go runtime and the kernel have of the process.
// Reading it stops all goroutines for a moment (runtime.ReadMemStats).
func Process(w *Writer) {
	var s runtime.MemStats
	runtime.ReadMemStats(&s)
	w.Gauge("go_goroutines", "Goroutines.", float64(runtime.NumGoroutine()))
	w.Gauge("go_memstats_heap_alloc_bytes", "Bytes of heap objects.", float64(s.HeapAlloc))
	w.Gauge("go_memstats_sys_bytes", "Bytes that the runtime has from the system.", float64(s.Sys))
	w.Counter("go_gc_cycles_total", "Garbage collections.", float64(s.NumGC))
	w.Counter("go_gc_pause_seconds_total", "Time for which they have stopped the program.", float64(s.PauseTotalNs)/1e9)
	writeProcess(w)
}
