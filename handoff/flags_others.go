//go:build !linux

package handoff

// See conn: not all systems have these flags. read and rest set close-on-exec, and the Go runtime
// catches SIGPIPE.
const (
	cmsgCloexec = 0
	msgNoSignal = 0
)
