//go:build !linux || race || 386 || s390x

package conn

import "golang.org/x/sys/unix"

// A Socket is the Transport of stream sockets, which must be non-blocking. It belongs to one loop
// and serves all its sockets. Errors are bare errnos.
//
// A write to a broken connection raises SIGPIPE, which cannot kill the program: the Go runtime
// catches it, and EPIPE is all one sees. (Package os kills the program for file descriptors 1 and
// 2, but does so itself, in os.File.Write.)
type Socket struct{}

// Read receives into p, which must not be empty: 0 bytes mean the end of the stream.
func (s *Socket) Read(fd int, p []byte) (int, error) { return count(unix.Read(fd, p)) }

// Write sends p, or the beginning of it.
func (s *Socket) Write(fd int, p []byte) (int, error) { return count(unix.Write(fd, p)) }

// Writev sends the first pieces, 64 at most, or the beginning of them.
func (s *Socket) Writev(fd int, pieces [][]byte) (int, error) {
	return count(writev(fd, pieces[:min(len(pieces), maxPieces)]))
}
