package handoff_test

import (
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
