// Package network tells of a machine's interfaces, routes and name servers, for a page that shows
// them.
//
//	s, err := network.Read()
//
//	w, err := network.Watch(m, func(s network.Status) { … publish … }, network.Options{
//		Watched: func() bool { return hub.Subscribers("network") > 0 },
//	})
//
// Read asks the kernel by netlink (rtnetlink(7)), and reads what netlink does not tell: the speed
// of a link from /sys, the name servers from /etc/resolv.conf. Watch listens to the kernel's
// announcements. It costs nothing while nothing changes and no page watches the counters.
//
// It works on Linux alone; elsewhere the error is errors.ErrUnsupported.
package network
