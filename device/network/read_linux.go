package network

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Read returns the present Status. It waits for the kernel, so a handler must not call it. Safe for
// concurrent use.
func Read() (Status, error) {
	for try := 0; ; try++ {
		s, err := read()
		switch {
		case err == nil, err == errInterrupted && try == 3: // of several moments, then: a later one will be better
			return s, nil
		case err != errInterrupted:
			return Status{}, fmt.Errorf("network: %w", err)
		}
	}
}

// read returns the Status; with errInterrupted one that may not be consistent.
func read() (Status, error) {
	s := Status{Interfaces: []Interface{}, Routes: []Route{}, DNS: []netip.Addr{}}
	interrupted, in := false, make([]byte, room)
	for _, part := range []struct {
		question uint16
		add      func(*Status, []byte)
	}{{unix.RTM_GETLINK, (*Status).addLink}, {unix.RTM_GETADDR, (*Status).addAddress}, {unix.RTM_GETROUTE, (*Status).addRoute}} {
		err := dump(in, part.question, func(kind uint16, body []byte) {
			if kind == part.question-2 { // RTM_GETLINK is answered by RTM_NEWLINK, and so on
				part.add(&s, body)
			}
		})
		if err != nil && err != errInterrupted {
			return s, err
		}
		interrupted = interrupted || err != nil
	}
	slices.SortStableFunc(s.Routes, func(a, b Route) int {
		return cmp.Or(cmp.Compare(a.To.Addr().BitLen(), b.To.Addr().BitLen()), cmp.Compare(min(a.To.Bits(), 1), min(b.To.Bits(), 1)))
	})
	for i := range s.Interfaces {
		if f := &s.Interfaces[i]; f.Running && !f.Loopback {
			f.Speed = speedOf(f.Name)
		}
	}
	s.DNS = nameServers(resolvConf)
	if interrupted {
		return s, errInterrupted
	}
	return s, nil
}

// addLink reads a struct ifinfomsg.
func (s *Status) addLink(b []byte) {
	if len(b) < unix.SizeofIfInfomsg || len(s.Interfaces) >= maxInterfaces {
		return
	}
	flags := binary.NativeEndian.Uint32(b[8:])
	f := Interface{
		Index: int(int32(binary.NativeEndian.Uint32(b[4:]))), Addresses: []netip.Prefix{},
		Up: flags&unix.IFF_UP != 0, Running: flags&unix.IFF_RUNNING != 0, Loopback: flags&unix.IFF_LOOPBACK != 0,
	}
	ethernet := binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER
	attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			f.Name = strings.ToValidUTF8(string(bytes.TrimRight(v, "\x00")), "?")
		case unix.IFLA_MTU:
			f.MTU = int(number(v))
		case unix.IFLA_ADDRESS:
			if ethernet && len(v) == 6 {
				f.MAC = fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", v[0], v[1], v[2], v[3], v[4], v[5])
			}
		case unix.IFLA_STATS64:
			f.Counters.read(v)
		}
	})
	s.Interfaces = append(s.Interfaces, f)
}

// read reads the beginning of a struct rtnl_link_stats64.
func (c *Counters) read(b []byte) {
	for i, to := range []*uint64{&c.ReceivedPackets, &c.SentPackets, &c.ReceivedBytes, &c.SentBytes,
		&c.ReceiveErrors, &c.SendErrors, &c.ReceiveDropped, &c.SendDropped} {
		if len(b) >= 8*(i+1) {
			*to = binary.NativeEndian.Uint64(b[8*i:])
		}
	}
}

// addAddress reads a struct ifaddrmsg.
func (s *Status) addAddress(b []byte) {
	if len(b) < unix.SizeofIfAddrmsg {
		return
	}
	var local, address netip.Addr
	attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFA_LOCAL: // of a point-to-point link, IFA_ADDRESS is the other end
			local = addressOf(v)
		case unix.IFA_ADDRESS:
			address = addressOf(v)
		}
	})
	if !local.IsValid() {
		local = address
	}
	p := netip.PrefixFrom(local, int(b[1]))
	f := s.byIndex(number(b[4:]))
	if p.IsValid() && f != nil && len(f.Addresses) < maxAddresses {
		f.Addresses = append(f.Addresses, p)
	}
}

func (s *Status) byIndex(index uint32) *Interface {
	for i := range s.Interfaces {
		if uint32(s.Interfaces[i].Index) == index {
			return &s.Interfaces[i]
		}
	}
	return nil
}

// addRoute reads a struct rtmsg.
func (s *Status) addRoute(b []byte) {
	if len(b) < unix.SizeofRtMsg {
		return
	}
	family, bits, table, kind := b[0], int(b[1]), uint32(b[4]), b[7]
	r := Route{To: netip.PrefixFrom(netip.IPv4Unspecified(), 0)}
	switch family {
	case unix.AF_INET:
	case unix.AF_INET6:
		r.To = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	default:
		return
	}
	var ways []byte
	attributes(b[unix.SizeofRtMsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.RTA_TABLE:
			table = number(v) // rtmsg has room for eight bits
		case unix.RTA_DST:
			r.To = netip.PrefixFrom(addressOf(v), bits)
		case unix.RTA_PRIORITY:
			r.Metric = number(v)
		case unix.RTA_PREFSRC:
			r.Source = addressOf(v)
		case unix.RTA_MULTIPATH:
			ways = v
		}
		s.readWay(&r, kind, v)
	})
	if table != unix.RT_TABLE_MAIN || kind != unix.RTN_UNICAST || !r.To.IsValid() || binary.NativeEndian.Uint32(b[8:])&unix.RTM_F_CLONED != 0 {
		return
	}
	if ways == nil {
		s.keepRoute(r)
	}
	for len(ways) >= unix.SizeofRtNexthop { // a struct rtnexthop, with attributes of its own
		n := int(binary.NativeEndian.Uint16(ways))
		if n < unix.SizeofRtNexthop || n > len(ways) {
			return
		}
		way := r
		if f := s.byIndex(number(ways[4:])); f != nil {
			way.Interface = f.Name
		}
		attributes(ways[unix.SizeofRtNexthop:n], func(kind uint16, v []byte) { s.readWay(&way, kind, v) })
		s.keepRoute(way)
		ways = ways[min(aligned(n), len(ways)):]
	}
}

// readWay reads the attributes that a route has once, or for each of its ways.
func (s *Status) readWay(r *Route, kind uint16, v []byte) {
	switch kind {
	case unix.RTA_GATEWAY:
		r.Gateway = addressOf(v)
	case unix.RTA_VIA: // a gateway of another family: a struct rtvia
		if len(v) > 2 {
			r.Gateway = addressOf(v[2:])
		}
	case unix.RTA_OIF:
		if f := s.byIndex(number(v)); f != nil {
			r.Interface = f.Name
		}
	}
}

// keepRoute keeps a route if there is room. A default route takes the place of another: it must not
// be missing in a list that is too long.
func (s *Status) keepRoute(r Route) {
	if len(s.Routes) < maxRoutes {
		s.Routes = append(s.Routes, r)
		return
	}
	s.MoreRoutes++
	if r.To.Bits() > 0 {
		return
	}
	if i := slices.IndexFunc(s.Routes, func(o Route) bool { return o.To.Bits() > 0 }); i >= 0 {
		s.Routes[i] = r
	}
}

// speedOf returns the speed of a link in Mbit/s; 0 if it tells none.
func speedOf(name string) int {
	if strings.ContainsAny(name, "/\x00") || name == "." || name == ".." {
		return 0 // the kernel allows none of these
	}
	text, err := readSmall("/sys/class/net/" + name + "/speed")
	if err != nil { // EINVAL: a kind of link without a speed
		return 0
	}
	n, _ := strconv.Atoi(strings.TrimSpace(text))
	return max(n, 0)
}

// readSmall reads the first 64 KiB of a file.
func readSmall(name string) (string, error) {
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, 64<<10))
	return string(b), err
}

// resolvConf are the files with the name servers. The first often names a resolver on this machine,
// systemd's, whose own servers are in the second.
var resolvConf = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// nameServers returns the name servers of the first file; of the next if those are all on this
// machine.
func nameServers(files []string) []netip.Addr {
	best := []netip.Addr{}
	for _, name := range files {
		text, err := readSmall(name)
		if err != nil {
			continue
		}
		if list := parseResolvConf(text); len(list) > 0 {
			best = list
		}
		if slices.ContainsFunc(best, func(a netip.Addr) bool { return !a.IsLoopback() }) {
			break
		}
	}
	return best
}

// parseResolvConf returns the name servers in a resolv.conf(5), eight at most.
func parseResolvConf(text string) (list []netip.Addr) {
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 2 || words[0] != "nameserver" || len(list) == 8 {
			continue
		}
		if a, err := netip.ParseAddr(words[1]); err == nil && !slices.Contains(list, a) {
			list = append(list, a)
		}
	}
	return list
}
