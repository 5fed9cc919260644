package mgr

import "golang.org/x/sys/unix"

// pollable reports whether fd can be polled: /dev/null and its like cannot. select calls those
// ready for ever, while epoll refuses them (EPERM): so an epoll is asked, whichever poller is in
// use. If that fails, nothing is known, and the answer is yes.
func pollable(fd int) bool {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return true
	}
	defer unix.Close(ep)
	return unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{}) != unix.EPERM
}
