package main

import (
	"embed"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// floorName and ringName are programs in C: what the kernel alone costs, with epoll and with
// io_uring. Their modes are told in floor/floor.c and floor/uring.c.
const (
	floorName = "floor"
	ringName  = "floor-uring"
)

//go:embed floor
var floorSource embed.FS

// floorServer returns the floor in one of its modes that serve.
func floorServer(mode string) server {
	return server{name: "floor", program: floorName, args: []string{mode, "PORT"}}
}

// ringServer returns the floor over io_uring.
func ringServer(mode string) server {
	return server{name: "floor io_uring", program: ringName, args: []string{mode, "PORT"}}
}

// isFloor tells whether a program is in C.
func isFloor(program string) bool { return program == floorName || program == ringName }

// haveRing tells whether this kernel makes the ring that floor/uring.c needs.
var haveRing = sync.OnceValue(func() bool {
	const singleIssuer, deferTaskrun = 1 << 12, 1 << 13  // IORING_SETUP_SINGLE_ISSUER, IORING_SETUP_DEFER_TASKRUN: Linux 6.1
	params := [30]uint32{2: singleIssuer | deferTaskrun} // struct io_uring_params
	fd, _, errno := unix.Syscall(unix.SYS_IO_URING_SETUP, 1, uintptr(unsafe.Pointer(&params)), 0)
	if errno != 0 {
		return false
	}
	unix.Close(int(fd))
	return true
})

// buildFloor makes a floor with gcc.
func buildFloor(dir, name, source string) error {
	files := filepath.Join(dir, "c")
	if _, err := os.Stat(files); err != nil {
		if err := os.CopyFS(files, floorSource); err != nil {
			return err
		}
	}
	out, err := exec.Command("gcc", "-O2", "-pthread", "-o", filepath.Join(dir, name), filepath.Join(files, "floor", source)).CombinedOutput()
	if err != nil {
		return fmt.Errorf("gcc: %w\n%s", err, out)
	}
	return nil
}
