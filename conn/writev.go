//go:build linux || darwin || openbsd

package conn

import "golang.org/x/sys/unix"

func writev(fd int, pieces [][]byte) (int, error) { return unix.Writev(fd, pieces) }
