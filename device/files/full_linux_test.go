package files

import (
	"strings"
	"syscall"
	"testing"

	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/internal/selftest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A disk that is full, in a mount namespace of its own: 507, and nothing is left.
func TestFullDisk(t *testing.T) {
	if !selftest.InNamespace(t, syscall.CLONE_NEWNS, "true") {
		return
	}
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		disk := t.TempDir()
		if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=512k"); err != nil {
			t.Skip(err)
		}
		t.Cleanup(func() { syscall.Unmount(disk, syscall.MNT_DETACH) })
		r := serveIn(t, disk, p, Options{})
		r.want(201, "", "PUT", "/a", strings.Repeat("x", 100<<10))
		r.want(507, "the disk is full", "PUT", "/a", strings.Repeat("y", 1<<20))
		r.wantFile("a", strings.Repeat("x", 100<<10))
		r.wantNothingLeft()
		r.want(201, "", "PUT", "/b", strings.Repeat("y", 300<<10))
		r.want(200, "", "DELETE", "/b", "")
		r.want(201, "", "PUT", "/b", strings.Repeat("y", 300<<10))
	})
}
