package conn

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"testing"
)

func TestErrnoReason(t *testing.T) {
	tests := []struct {
		err  error
		want Reason
	}{
		{syscall.ECONNRESET, Reset},
		{syscall.EPIPE, BrokenPipe},
		{syscall.ETIMEDOUT, TimedOut},
		{syscall.EHOSTUNREACH, Unreachable},
		{syscall.ENETUNREACH, Unreachable},
		{syscall.EIO, IOError},
		{fmt.Errorf("tls: %w", os.NewSyscallError("read", syscall.ECONNRESET)), Reset},
		{errors.New("no errno in it"), IOError},
	}
	for _, tt := range tests {
		if got := ErrnoReason(tt.err); got != tt.want {
			t.Errorf("ErrnoReason(%v) = %v, want %v", tt.err, got, tt.want)
		}
	}
}
