package metrics

import (
	"bytes"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// writeProcess leaves out what it cannot read: /proc may not be there.
func writeProcess(w *Writer) {
	if b, err := os.ReadFile("/proc/self/statm"); err == nil {
		if f := bytes.Fields(b); len(f) > 1 {
			pages, _ := strconv.ParseUint(string(f[1]), 10, 64)
			w.Gauge("process_resident_memory_bytes", "Resident memory.", float64(pages)*float64(os.Getpagesize()))
		}
	}
	if d, err := os.Open("/proc/self/fd"); err == nil {
		names, err := d.Readdirnames(-1)
		d.Close()
		if err == nil {
			w.Gauge("process_open_fds", "Descriptors open.", float64(len(names)-1)) // without the directory itself
		}
	}
	var limit unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_NOFILE, &limit) == nil {
		w.Gauge("process_max_fds", "Descriptors that may be open.", float64(limit.Cur))
	}
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) == nil {
		seconds := float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		w.Counter("process_cpu_seconds_total", "Time of the processors, the kernel's included.", seconds)
	}
}
