package main

import (
	"net"
	"os"
	"path/filepath"
	"sort"
	"strings"

	"github.com/prometheus/procfs"
)

// maxInterfaces keeps the document small on machines with one veth for each container.
const maxInterfaces = 32

// systemNICs asks the kernel, which answers over netlink what the SIOCGIF ioctls would, IPv6
// included.
func systemNICs() ([]nic, error) {
	list, err := net.Interfaces()
	if err != nil {
		return nil, err
	}
	out := make([]nic, 0, len(list))
	for _, i := range list {
		n := nic{Interface: i, addrs: []string{}} // not nil: none is not unknown
		addrs, err := i.Addrs()
		if err != nil {
			continue // it went away between the two questions
		}
		for _, a := range addrs {
			n.addrs = append(n.addrs, a.String())
		}
		out = append(out, n)
	}
	return out, nil
}

// interfaces joins what the kernel says of each interface with its counters from /proc/net/dev.
// Either may be missing.
func (s *sampler) interfaces(elapsed float64) ([]Interface, *Traffic, error) {
	was := s.dev
	s.dev = nil
	var devErr error
	if fs, err := s.fs(); err != nil {
		devErr = err
	} else if s.dev, devErr = fs.NetDev(); devErr != nil {
		s.dev = nil
	}
	nics, err := s.nics()
	if err != nil {
		if s.dev == nil {
			return nil, nil, devErr
		}
		nics = namesOnly(s.dev)
	}
	sortNICs(nics)
	if len(nics) > maxInterfaces {
		nics = nics[:maxInterfaces]
	}

	out := make([]Interface, 0, len(nics))
	sum, hardware := &sums{}, &sums{}
	for _, n := range nics {
		i := Interface{Name: n.Name, Index: n.Index, MTU: n.MTU, MAC: n.HardwareAddr.String(), Addresses: n.addrs,
			Flags: flagNames(n.Flags)}
		if is, ok := s.dev[n.Name]; ok {
			errs, drops := is.RxErrors+is.TxErrors, is.RxDropped+is.TxDropped
			i.Rx, i.Tx, i.Errors, i.Drops = &is.RxBytes, &is.TxBytes, &errs, &drops
			if before, ok := was[n.Name]; ok {
				i.RxRate = rate(before.RxBytes, is.RxBytes, elapsed)
				i.TxRate = rate(before.TxBytes, is.TxBytes, elapsed)
			}
		}
		if n.Flags&net.FlagLoopback == 0 && n.Name != "lo" {
			sum.add(i)
			if s.isHardware(n.Name) {
				hardware.add(i)
			}
		}
		out = append(out, i)
	}
	if hardware.n > 0 {
		sum = hardware
	}
	return out, sum.traffic(), nil
}

// isHardware tells a device from a bridge, VLAN or tunnel over it, whose bytes would count twice.
func (s *sampler) isHardware(name string) bool {
	_, err := os.Stat(filepath.Join(s.sys, "class/net", name, "device"))
	return err == nil
}

type sums struct {
	rx, tx float64
	n      int // interfaces with known rates
}

func (t *sums) add(i Interface) {
	if i.RxRate == nil || i.TxRate == nil {
		return
	}
	t.rx += *i.RxRate
	t.tx += *i.TxRate
	t.n++
}

func (t *sums) traffic() *Traffic {
	if t.n == 0 {
		return nil
	}
	return &Traffic{Rx: t.rx, Tx: t.tx}
}

// namesOnly stands in where the kernel does not answer, as in a sandbox without netlink.
func namesOnly(dev procfs.NetDev) []nic {
	out := make([]nic, 0, len(dev))
	for name := range dev {
		out = append(out, nic{Interface: net.Interface{Name: name}})
	}
	return out
}

// sortNICs puts interfaces that are up first and loopback after the rest of its kind.
func sortNICs(nics []nic) {
	weight := func(n nic) int {
		w := 0
		if n.Flags&net.FlagUp == 0 {
			w += 2
		}
		if n.Flags&net.FlagLoopback != 0 {
			w++
		}
		return w
	}
	sort.Slice(nics, func(i, j int) bool {
		a, b := nics[i], nics[j]
		if wa, wb := weight(a), weight(b); wa != wb {
			return wa < wb
		}
		if a.Index != b.Index {
			return a.Index < b.Index
		}
		return a.Name < b.Name
	})
}

// flagNames never returns nil, for which the page would show "n/a", unless nothing is known.
func flagNames(f net.Flags) []string {
	if f == 0 {
		return nil
	}
	return strings.Split(f.String(), "|")
}
