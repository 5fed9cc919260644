//go:build !linux

package mgr

import "golang.org/x/sys/unix"

// enonet is an errno of Linux alone. This one is no result of accept.
const enonet = unix.Errno(1 << 20)
