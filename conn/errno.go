package conn

import (
	"errors"
	"syscall"
)

// ErrnoReason tells which Reason a connection ends for when reading from it or writing to it has
// failed with err.
func ErrnoReason(err error) Reason {
	errno, _ := errors.AsType[syscall.Errno](err)
	switch errno {
	case syscall.ECONNRESET:
		return Reset
	case syscall.EPIPE:
		return BrokenPipe
	case syscall.ETIMEDOUT:
		return TimedOut
	case syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.ECONNREFUSED:
		return Unreachable
	}
	return IOError
}
