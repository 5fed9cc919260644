package conn

import "golang.org/x/sys/unix"

// SendFile is sendfile(2). The call tells Go's scheduler, unlike the others of a Socket: it may wait for a disk. It
// knows no MSG_NOSIGNAL: the SIGPIPE of a broken connection reaches the Go runtime, which does nothing with it.
func (s *Socket) SendFile(fd, file int, off int64, n int) (int, error) {
	return count(unix.Sendfile(fd, file, &off, n))
}
