package systemd

import "golang.org/x/sys/unix"

// monotonic returns the microseconds of CLOCK_MONOTONIC, by which systemd orders reloads.
func monotonic() (usec int64, ok bool) {
	var ts unix.Timespec
	err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts)
	return ts.Nano() / 1000, err == nil
}
