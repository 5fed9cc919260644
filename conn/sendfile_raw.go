//go:build linux && !race && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64le || riscv64)

package conn

import (
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// cached reports whether the n bytes at off can be read without waiting for a disk: all their pages
// are in the page cache, cachestat(2) says, and the last has its content, or a read that must not
// wait would fail. Pages that the kernel reads ahead get theirs in order. (Asked about a page that
// is not there, such a read would begin to read ahead in that place.)
//
// Where this cannot be known, the answer is no: kernels before 6.5, some file systems, and files
// that the process may neither write nor owns.
func cached(file int, off int64, n int) bool {
	size := int64(os.Getpagesize())
	span := unix.CachestatRange{Off: uint64(off), Len: uint64(n)}
	var stat unix.Cachestat_t
	_, _, errno := syscall.RawSyscall6(unix.SYS_CACHESTAT, uintptr(file), uintptr(unsafe.Pointer(&span)), uintptr(unsafe.Pointer(&stat)), 0, 0, 0)
	last := off + int64(n) - 1
	if errno != 0 || stat.Cache <= uint64(last/size-off/size) {
		return false
	}
	var b byte
	iov := unix.Iovec{Base: &b, Len: 1}
	got, _, errno := syscall.RawSyscall6(unix.SYS_PREADV2, uintptr(file), uintptr(unsafe.Pointer(&iov)), 1, uintptr(last), 0, unix.RWF_NOWAIT)
	return errno == 0 && got == 1
}

// sendfileCached is sendfile(2) for what does not wait. A call of this length that Go's scheduler
// is told of costs much: with GOMAXPROCS=1 the runtime's monitor finds it each time, and has
// another thread take over.
func sendfileCached(fd, file int, off int64, n int) (int, error) {
	sent, _, errno := syscall.RawSyscall6(unix.SYS_SENDFILE, uintptr(fd), uintptr(file), uintptr(unsafe.Pointer(&off)), uintptr(n), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(sent), nil
}
