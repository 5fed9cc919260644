package ctlpair

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A Bell wakes a loop out of its poller. New makes one of a socketpair; a test of a loop may give
// NewOver another.
type Bell struct {
	// FD is readable from the first Strike to the next Silence.
	FD int
	// Strike never blocks. An error says that nothing wakes the loop. Safe for concurrent use with
	// Silence.
	Strike func() error
	// Silence is called by the loop. If it fails, the loop is woken once more, for nothing.
	Silence func()
	// After calls f in another goroutine when d has passed.
	After func(d time.Duration, f func())
	Close func() error
}

var stroke = []byte{1}

// NewBell returns the doorbell that New makes, for tests that put faults in front of it.
func NewBell() (Bell, error) {
	fds, err := socketpair()
	if err != nil {
		return Bell{}, fmt.Errorf("ctlpair: %w", os.NewSyscallError("socketpair", err))
	}
	return bellOf(fds), nil
}

// bellOf returns a bell made of a socketpair: the loop reads fds[0], and a stroke is a byte written
// to fds[1].
func bellOf(fds [2]int) Bell {
	return Bell{
		FD:      fds[0],
		Strike:  func() error { return strike(fds[1]) },
		Silence: func() { silence(fds[0]) },
		After:   func(d time.Duration, f func()) { time.AfterFunc(d, f) },
		Close:   func() error { return closeBoth(fds) },
	}
}

// strike does not take EAGAIN for a bell that rings already: the pair holds one byte at most, so it
// is never full.
func strike(fd int) error {
	for {
		if _, err := unix.Write(fd, stroke); err != unix.EINTR {
			return err
		}
	}
}

func silence(fd int) {
	var b [8]byte
	for {
		if _, err := unix.Read(fd, b[:]); err != unix.EINTR {
			return
		}
	}
}

func closeBoth(fds [2]int) error {
	err := unix.Close(fds[0])
	if err2 := unix.Close(fds[1]); err == nil {
		err = err2
	}
	return err
}
