package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// groups are the kinds of changes that the kernel tells of (rtnetlink(7)).
const groups = unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR | unix.RTMGRP_IPV4_ROUTE | unix.RTMGRP_IPV6_ROUTE

// watchNetwork has changed called, on the loop of m, for each change of the network. Its messages
// are datagrams, so the socket is a connection as a UDP socket is.
func watchNetwork(m *mgr.Manager, changed func(texts ...string)) error {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("netlink: %w", err)
	}
	if err = unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err == nil {
		l := &links{names: map[int]string{}, states: map[int]string{}}
		l.learn()
		_, err = m.Wrap(fd, func(c *conn.Conn, ev conn.Event) {
			switch ev := ev.(type) {
			case *conn.Datagram:
				if id, ok := ev.From.NetlinkPort(); ok && id == 0 { // any process may send to a netlink socket
					changed(l.read(ev.Data)...)
				}
			case *conn.Undelivered: // ENOBUFS: the kernel had more to say than its buffer holds
				l.learn()
				changed("some changes were missed")
			}
		})
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("netlink: %w", err)
	}
	return nil
}

// links knows the interfaces by their index.
type links struct {
	names  map[int]string
	states map[int]string
}

// learn asks for all interfaces.
func (l *links) learn() {
	list, err := net.Interfaces()
	if err != nil {
		return // the names are numbers then
	}
	for _, i := range list {
		l.names[i.Index] = i.Name
		l.states[i.Index] = linkState(i.Flags&net.FlagUp != 0, i.Flags&net.FlagRunning != 0)
	}
}

func linkState(up, running bool) string {
	switch {
	case !up:
		return "down"
	case !running:
		return "up, without a carrier"
	}
	return "up"
}

func (l *links) name(index int) string {
	if name := l.names[index]; name != "" {
		return name
	}
	return fmt.Sprintf("interface %d", index)
}

// read returns what the messages in b say, one text for each change.
func (l *links) read(b []byte) (texts []string) {
	messages, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return nil
	}
	for i := range messages {
		m := &messages[i]
		if len(m.Data) < headerOf(m.Header.Type) {
			continue // ParseNetlinkRouteAttr would panic
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			continue
		}
		by := map[uint16][]byte{}
		for _, a := range attrs {
			by[a.Attr.Type&^unix.NLA_F_NESTED] = a.Value
		}
		text := ""
		switch m.Header.Type {
		case unix.RTM_NEWLINK, unix.RTM_DELLINK:
			text = l.link(m, by)
		case unix.RTM_NEWADDR, unix.RTM_DELADDR:
			text = l.address(m, by)
		case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
			text = l.route(m, by)
		}
		if text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// headerOf returns how long the header of a message of that type is.
func headerOf(kind uint16) int {
	switch kind {
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		return unix.SizeofIfInfomsg
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		return unix.SizeofIfAddrmsg
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		return unix.SizeofRtMsg
	}
	return 0
}

// link reads a struct ifinfomsg. The kernel tells of a link for many reasons: one whose state is as
// it was has nothing to say.
func (l *links) link(m *syscall.NetlinkMessage, by map[uint16][]byte) string {
	if m.Data[0] != unix.AF_UNSPEC {
		return "" // of a bridge
	}
	index := int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	flags := binary.NativeEndian.Uint32(m.Data[8:])
	if name := by[unix.IFLA_IFNAME]; len(name) > 1 {
		l.names[index] = string(name[:len(name)-1])
	}
	name := l.name(index)
	if m.Header.Type == unix.RTM_DELLINK {
		delete(l.names, index)
		delete(l.states, index)
		return name + " is gone"
	}
	was, known := l.states[index]
	state := linkState(flags&unix.IFF_UP != 0, flags&unix.IFF_RUNNING != 0)
	l.states[index] = state
	switch {
	case !known:
		return fmt.Sprintf("%s is new, and %s", name, state)
	case was != state:
		return fmt.Sprintf("%s is %s", name, state)
	}
	return ""
}

// address reads a struct ifaddrmsg.
func (l *links) address(m *syscall.NetlinkMessage, by map[uint16][]byte) string {
	b := by[unix.IFA_LOCAL] // of a point-to-point link, IFA_ADDRESS is the other end
	if b == nil {
		b = by[unix.IFA_ADDRESS]
	}
	ip, ok := netip.AddrFromSlice(b)
	if !ok {
		return ""
	}
	name := l.name(int(binary.NativeEndian.Uint32(m.Data[4:])))
	if m.Header.Type == unix.RTM_DELADDR {
		return fmt.Sprintf("%s has no longer %s/%d", name, ip, m.Data[1])
	}
	return fmt.Sprintf("%s has %s/%d", name, ip, m.Data[1])
}

// route reads a struct rtmsg. Only those of the main table, and none that stands for one connection.
func (l *links) route(m *syscall.NetlinkMessage, by map[uint16][]byte) string {
	if m.Data[4] != unix.RT_TABLE_MAIN || binary.NativeEndian.Uint32(m.Data[8:])&unix.RTM_F_CLONED != 0 {
		return ""
	}
	to := "the default route"
	if ip, ok := netip.AddrFromSlice(by[unix.RTA_DST]); ok {
		to = fmt.Sprintf("the route to %s/%d", ip, m.Data[1])
	} else if m.Data[0] == unix.AF_INET6 {
		to = "the default route of IPv6"
	}
	way := ""
	if ip, ok := netip.AddrFromSlice(by[unix.RTA_GATEWAY]); ok {
		way = " by " + ip.String()
	}
	if b := by[unix.RTA_OIF]; len(b) >= 4 {
		way += " on " + l.name(int(binary.NativeEndian.Uint32(b)))
	}
	if m.Header.Type == unix.RTM_DELROUTE {
		return to + way + " is gone"
	}
	return to + " goes" + way
}
