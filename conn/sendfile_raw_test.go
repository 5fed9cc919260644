//go:build linux && !race && (amd64 || arm64 || loong64 || mips64 || mips64le || ppc64le || riscv64)

package conn

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"
)

// sendTo has a Socket send n bytes of f from off to a file, which takes them all, unlike a socket.
func sendTo(t *testing.T, f *os.File, off, n int) int {
	t.Helper()
	to, _ := tempFile(t, 0)
	sent, err := new(Socket).SendFile(int(to.Fd()), int(f.Fd()), int64(off), n)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

func TestALargerStepOfAFileInMemory(t *testing.T) {
	f, _ := tempFile(t, fileMax)
	if !cached(int(f.Fd()), 0, fileMax) {
		t.Skip("this file system does not tell what is in memory")
	}
	n := 0
	for try := 0; try < 100 && n != fileMax; try++ { // a signal, of Go's scheduler say, cuts sendfile(2) short
		n = sendTo(t, f, 0, fileMax)
	}
	if n != fileMax {
		t.Errorf("sent %d bytes, want %d", n, fileMax)
	}
}

func TestASmallerStepOfAFileThatIsNotInMemory(t *testing.T) {
	f, _ := tempFile(t, fileMax)
	f.Sync() // what is to be written yet stays in memory
	if err := unix.Fadvise(int(f.Fd()), 0, 0, unix.FADV_DONTNEED); err != nil || cached(int(f.Fd()), 0, fileMax) {
		t.Skip("the file stays in memory: ", err)
	}
	if n := sendTo(t, f, 0, fileMax); n != flushMax {
		t.Errorf("sent %d bytes, want %d", n, flushMax)
	}
}

func TestASmallerStepOfAFileThatIsPartlyInMemory(t *testing.T) {
	const half = 8 << 20 // the kernel drops no less than one of its large pages
	f, _ := tempFile(t, 2*half)
	f.Sync()
	unix.Fadvise(int(f.Fd()), 0, half, unix.FADV_DONTNEED)
	if fd := int(f.Fd()); cached(fd, half-fileMax, fileMax) || !cached(fd, half, fileMax) {
		t.Skip("the file stays in memory, or this file system does not tell")
	}
	if n := sendTo(t, f, half-fileMax/2, fileMax); n != flushMax {
		t.Errorf("sent %d bytes, want %d", n, flushMax)
	}
}

func TestNothingIsCachedBehindTheEndOrOfAPipe(t *testing.T) {
	f, _ := tempFile(t, 1000)
	if cached(int(f.Fd()), 900, 101) {
		t.Error("the byte behind the end")
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	w.WriteString("x")
	if cached(int(r.Fd()), 0, 1) {
		t.Error("the byte in a pipe")
	}
}

func TestSendingOfAFileAllocatesNothing(t *testing.T) {
	f, _ := tempFile(t, fileMax)
	to, _ := tempFile(t, 0)
	s := new(Socket)
	in, out := int(f.Fd()), int(to.Fd())
	if n := testing.AllocsPerRun(10, func() { s.SendFile(out, in, 0, fileMax) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
