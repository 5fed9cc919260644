package systemd

import "os"

// ListenersFrom is Listeners for one descriptor, which is not 3.
func ListenersFrom(fd int) (*Sockets, error) {
	os.Setenv("LISTEN_FDS", "1")
	return listeners(fd)
}
