package mgr

import "golang.org/x/sys/unix"

// enonet: the machine is not on the network (accept(2)).
const enonet = unix.ENONET
