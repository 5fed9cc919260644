package network

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// groups are the kinds of changes that the kernel announces.
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// announcements has changed called on the loop for each announcement of the kernel, and ended when
// none will come any more.
func announcements(m *mgr.Manager, changed, ended func()) (*conn.Conn, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, os.NewSyscallError("bind", err)
	}
	c, err := m.Wrap(fd, func(_ *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Datagram:
			if id, ok := ev.From.NetlinkPort(); ok && id == 0 { // any process may send to a netlink socket
				changed()
			}
		case *conn.Undelivered: // ENOBUFS: there were more than the kernel's buffer holds
			changed()
		case *conn.Close:
			ended()
		}
	})
	if err != nil {
		unix.Close(fd)
		return nil, err
	}
	return c, nil
}
