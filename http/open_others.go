//go:build !linux

package http

import (
	"os"

	"golang.org/x/sys/unix"
)

// readOnly opens a file to be sent. O_NONBLOCK: a FIFO without a writer is opened at once, and then
// found to be one.
const readOnly = os.O_RDONLY | unix.O_NONBLOCK

// writeOnly opens a file for an upload.
const writeOnly = os.O_WRONLY
