package clockskew

import (
	"sync"
	"sync/atomic"
	"time"
	_ "unsafe" // for go:linkname
)

// Supported says whether Set works here.
const Supported = true

// The runtime calls this function of the kernel for each time.Now, once for either clock.
//
//go:linkname vdsoClockgettimeSym runtime.vdsoClockgettimeSym
var vdsoClockgettimeSym uintptr

var (
	real    uintptr // what vdsoClockgettimeSym was; skew_linux_amd64.s calls it
	seconds int64   // are added to CLOCK_REALTIME there
	once    sync.Once
)

// shimAddress returns where shim is.
func shimAddress() uintptr

// Set makes time.Now differ from the clock of the machine by so many whole seconds, in all of this
// process. The monotonic clock, and with it timers and time.Since, stay as they are. It panics
// where the runtime does not ask the vDSO. Safe for concurrent use.
func Set(by time.Duration) {
	once.Do(func() {
		if vdsoClockgettimeSym == 0 {
			panic("clockskew: the kernel has no vDSO")
		}
		atomic.StoreUintptr(&real, vdsoClockgettimeSym)
		atomic.StoreUintptr(&vdsoClockgettimeSym, shimAddress())
	})
	atomic.StoreInt64(&seconds, int64(by/time.Second))
}
