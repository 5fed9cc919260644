//go:build !linux

package systemd

// monotonic is for systemd, which runs on Linux alone.
func monotonic() (usec int64, ok bool) { return 0, false }
