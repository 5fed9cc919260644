//go:build !linux && !darwin && !openbsd

package conn

import "golang.org/x/sys/unix"

// writev makes a write(2) of each piece: x/sys has no writev here.
func writev(fd int, pieces [][]byte) (int, error) {
	sent := 0
	for _, p := range pieces {
		if len(p) == 0 {
			continue
		}
		n, err := unix.Write(fd, p)
		if err != nil && sent > 0 {
			return sent, nil // the next call will meet the error again
		}
		if err != nil {
			return 0, err
		}
		if sent += n; n < len(p) {
			break
		}
	}
	return sent, nil
}
