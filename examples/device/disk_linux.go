package main

import (
	"os"

	"golang.org/x/sys/unix"
)

func statfs(path string) (usage, error) {
	var st unix.Statfs_t
	for {
		err := unix.Statfs(path, &st)
		if err == unix.EINTR { // statfs(2): a signal came first
			continue
		}
		if err != nil {
			return usage{}, &os.PathError{Op: "statfs", Path: path, Err: err}
		}
		size := uint64(st.Bsize)
		return usage{total: st.Blocks * size, free: st.Bfree * size, avail: st.Bavail * size}, nil
	}
}
