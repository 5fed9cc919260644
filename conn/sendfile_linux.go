package conn

import "golang.org/x/sys/unix"

// SendFile is sendfile(2). It sends up to n bytes when they are in memory, and else flushMax at
// most, because the loop then waits for a disk. sendfile knows no MSG_NOSIGNAL: the SIGPIPE of a
// broken connection reaches the Go runtime, which does nothing with it.
func (s *Socket) SendFile(fd, file int, off int64, n int) (int, error) {
	if n > flushMax {
		if cached(file, off, n) {
			return sendfileCached(fd, file, off, n)
		}
		n = flushMax
	}
	return count(unix.Sendfile(fd, file, &off, n))
}
