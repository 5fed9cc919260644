package conn

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"

	_ "github.com/seed4930a636/mangusta/internal/unixonly"
)

// maxPieces bounds what one Writev takes; pieces after that are left to the next call.
const maxPieces = 64

// CloseWrite ends the stream towards the peer: shutdown(SHUT_WR).
func (s *Socket) CloseWrite(fd int) error { return unix.Shutdown(fd, unix.SHUT_WR) }

// InputWaits reports whether a read would not wait: bytes, the end or an error have come.
func (s *Socket) InputWaits(fd int) bool {
	var b [1]byte
	for {
		if _, _, err := unix.Recvfrom(fd, b[:], unix.MSG_PEEK); err != unix.EINTR {
			return err != unix.EAGAIN
		}
	}
}

// Close closes the descriptor.
func (s *Socket) Close(fd int) error { return closeFD(fd) }

// closeFD is close(2), never called again after EINTR: Linux and the BSDs have given the descriptor
// up by then, and another goroutine may have got the number for a file of its own, which a second
// close would take away from it.
func closeFD(fd int) error {
	if err := unix.Close(fd); err != unix.EINTR {
		return err
	}
	return nil
}

// A File is the Transport of descriptors that are no sockets: pipes, terminals, devices. They must
// be non-blocking. One File serves any number of descriptors and goroutines.
//
// The calls tell Go's scheduler, unlike those of a Socket: some drivers block all the same. And
// there is no MSG_NOSIGNAL to give: a write to a broken pipe raises SIGPIPE, which the Go runtime
// catches, so that EPIPE is all one sees. (Package os kills the program for file descriptors 1 and
// 2, but does so itself, in os.File.Write.)
type File struct{}

var errHalfClose = errors.New("conn: close write: the descriptor is not a socket")

// Read is read(2).
func (File) Read(fd int, p []byte) (int, error) { return count(unix.Read(fd, p)) }

// Write is write(2).
func (File) Write(fd int, p []byte) (int, error) { return count(unix.Write(fd, p)) }

// Writev sends the first pieces, 64 at most.
func (File) Writev(fd int, pieces [][]byte) (int, error) {
	return count(writev(fd, pieces[:min(len(pieces), maxPieces)]))
}

// CloseWrite returns an error: only sockets have an end of the stream that is not the end of the
// descriptor.
func (File) CloseWrite(fd int) error { return errHalfClose }

// Close closes the descriptor.
func (File) Close(fd int) error { return closeFD(fd) }

// count makes the -1 of a failed call a 0, as io.Reader and io.Writer have it.
func count(n int, err error) (int, error) {
	if err != nil {
		return 0, err
	}
	return n, nil
}

// IsSocket reports whether fd is a socket, and so needs a Socket as its Transport rather than a
// File.
func IsSocket(fd int) (bool, error) {
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return false, os.NewSyscallError("fstat", err)
	}
	return st.Mode&unix.S_IFMT == unix.S_IFSOCK, nil
}
