package dns

import (
	"net/netip"
	"slices"
	"syscall"
	"unsafe"
)

// interfaces lists the interfaces that are up, can multicast, and have addresses, as netlink has
// them (rtnetlink(7)).
func interfaces() ([]Interface, error) {
	usable := map[int]bool{}
	err := dump(syscall.RTM_GETLINK, func(m *syscall.NetlinkMessage) {
		if m.Header.Type == syscall.RTM_NEWLINK && len(m.Data) >= syscall.SizeofIfInfomsg {
			link := (*syscall.IfInfomsg)(unsafe.Pointer(&m.Data[0]))
			const want = syscall.IFF_UP | syscall.IFF_MULTICAST
			usable[int(link.Index)] = link.Flags&want == want && link.Flags&syscall.IFF_LOOPBACK == 0
		}
	})
	if err != nil {
		return nil, err
	}
	found := map[int][]netip.Prefix{}
	err = dump(syscall.RTM_GETADDR, func(m *syscall.NetlinkMessage) {
		if m.Header.Type != syscall.RTM_NEWADDR || len(m.Data) < syscall.SizeofIfAddrmsg {
			return
		}
		head := (*syscall.IfAddrmsg)(unsafe.Pointer(&m.Data[0]))
		if !usable[int(head.Index)] {
			return
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(m)
		if err != nil {
			return
		}
		var addr netip.Addr
		for _, a := range attrs {
			// With a point-to-point link IFA_ADDRESS is the peer's; IFA_LOCAL is ours.
			if a.Attr.Type == syscall.IFA_LOCAL || a.Attr.Type == syscall.IFA_ADDRESS && !addr.IsValid() {
				addr, _ = netip.AddrFromSlice(a.Value)
			}
		}
		if addr.IsValid() {
			found[int(head.Index)] = append(found[int(head.Index)], netip.PrefixFrom(addr, int(head.Prefixlen)))
		}
	})
	var list []Interface
	for index, addrs := range found {
		slices.SortFunc(addrs, netip.Prefix.Compare)
		list = append(list, Interface{Index: index, Addrs: addrs})
	}
	slices.SortFunc(list, func(a, b Interface) int { return a.Index - b.Index })
	return list, err
}

func dump(what int, f func(*syscall.NetlinkMessage)) error {
	b, err := syscall.NetlinkRIB(what, syscall.AF_UNSPEC)
	if err != nil {
		return err
	}
	list, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		return err
	}
	for i := range list {
		f(&list[i])
	}
	return nil
}
