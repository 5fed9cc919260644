package conntest

import (
	"golang.org/x/sys/unix"
)

// Files is the double of a kernel that sends files by itself, as sendfile(2) does; see
// Options.Files. What it sends goes through the Wire: to Sent, as far as there is Room.
type Files struct {
	*Wire // New sets it

	Fail  []error // of the next calls, one each
	Calls int
	Most  int // bytes that a call was asked for at most
}

// SendFile sends up to n bytes of file from the offset off.
func (f *Files) SendFile(_, file int, off int64, n int) (int, error) {
	f.Calls++
	f.Most = max(f.Most, n)
	if len(f.Fail) > 0 {
		err := f.Fail[0]
		f.Fail = f.Fail[1:]
		return -1, err
	}
	if f.Room >= 0 {
		n = min(n, f.Room)
	}
	if n == 0 {
		return -1, unix.EAGAIN
	}
	b := make([]byte, n)
	n, err := unix.Pread(file, b, off)
	if err != nil {
		return -1, err
	}
	f.take(b[:n])
	return n, nil
}
