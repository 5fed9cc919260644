package handoff_test

import (
	"errors"
	"net"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/handoff"
)

// A process that has bound the path listens on it in a moment: it is no dead one.
func TestAPathThatIsBoundIsTriedAgain(t *testing.T) {
	defer handoff.SetRefusals(handoff.SetRefusals(10_000))
	path := filepath.Join(t.TempDir(), "s")
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: path}); err != nil {
		t.Fatal(err)
	}
	began := make(chan error, 1)
	go func() {
		p, err := handoff.Begin(handoff.Options{Path: path})
		if err == nil {
			p.Close()
		}
		began <- err
	}()
	select {
	case err := <-began:
		t.Fatal("Begin took the process for a dead one:", err)
	case <-time.After(30 * time.Millisecond): // time for the fault; without it nothing depends on this
	}
	if err := unix.Listen(fd, 1); err != nil {
		t.Fatal(err)
	}
	peer, _, err := unix.Accept(fd)
	if err != nil {
		t.Fatal(err)
	}
	// The process dies, and leaves nothing.
	unix.Unlink(path)
	unix.Close(fd)
	unix.Close(peer)
	if err := <-began; err != nil {
		t.Error(err)
	}
}

// Begin waits for Patience in all, not for each frame: an old process may be as slow as it likes.
func TestBeginIsPatientOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		for range 1200 { // a minute
			if _, err := c.Write(handoff.Frame('P', 0, nil)); err != nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		c.Write(handoff.Frame('A', 0, []byte("that was long")))
	}()
	p, err := handoff.Begin(handoff.Options{Path: path, Patience: 200 * time.Millisecond})
	if err == nil {
		p.Close()
	}
	if err == nil || errors.Is(err, handoff.ErrAborted) {
		t.Errorf("Begin waited until the old process had said all: %v", err)
	}
}
