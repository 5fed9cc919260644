//go:build !linux

package conn

import "golang.org/x/sys/unix"

// The BSDs have flags for both, but not all of them, and Darwin has neither. A write to a broken
// connection raises SIGPIPE, which the Go runtime catches.
const (
	cmsgCloexec = 0
	msgNoSignal = 0
)

func closeOnExec(fd int) { unix.CloseOnExec(fd) }

// passCredentials does nothing: a sender would have to add them itself.
func passCredentials(int, bool) error { return nil }

func isCredentials(int32, []byte) bool { return false }

func credentials([]byte) Credentials { return Credentials{} }
