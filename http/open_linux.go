package http

import (
	"os"

	"golang.org/x/sys/unix"
)

// readOnly opens a file to be sent. O_NONBLOCK: a FIFO without a writer is opened at once, and then
// found to be one. O_LARGEFILE: os.Root does not say it on 32-bit systems, where files of 2 GiB and
// more then give EOVERFLOW.
const readOnly = os.O_RDONLY | unix.O_NONBLOCK | unix.O_LARGEFILE

// writeOnly opens a file for an upload, of any size.
const writeOnly = os.O_WRONLY | unix.O_LARGEFILE
