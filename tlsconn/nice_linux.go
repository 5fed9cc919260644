package tlsconn

import "golang.org/x/sys/unix"

// setNice gives the calling thread the nice value n. On Linux 0 is the thread, not the process. If
// it is refused, the thread works as the others do.
func setNice(n int) { _ = unix.Setpriority(unix.PRIO_PROCESS, 0, n) }
