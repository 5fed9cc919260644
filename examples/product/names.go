package main

import (
	"net/netip"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/dns"
)

// names returns the names by which the device is called. The last one has a number, where another
// device on the local network has the host name.
func (p *product) names() []string {
	s := p.dev.Get()
	name := strings.ToLower(s.Network.Hostname)
	list := []string{name + ".local", name}
	if found := strings.ToLower(s.Readings.Host); found != "" && found != list[0] {
		list = append(list, found)
	}
	return list
}

// isMyName is http.Options.HostFunc. A request for any other name is refused: a page of another
// site that lets its own name point to this device (DNS rebinding) would be of one origin with it.
func (p *product) isMyName(host []byte) bool {
	return slices.Contains(p.names(), string(host)) || p.cert != nil && p.cert.Serves(string(host))
}

// names are those by which others on the local network find the device, by multicast DNS:
// HOSTNAME.local, and its name in the lists of services.
type names struct {
	p        *product
	opts     dns.MulticastOptions
	port     uint16
	kinds    []string // of the services: the page is there under each
	dns      *dns.Multicast
	withdraw []func()
}

// announce announces the device at an address, by the names of the settings; a change takes effect at
// once. Nobody else reaches a loopback address, so nothing is announced there.
func (p *product) announce(at netip.AddrPort) {
	if at.Addr().IsLoopback() {
		return
	}
	n := &names{p: p, opts: dns.MulticastOptions{Addr: at.Addr()}, port: at.Port(), kinds: []string{"_http._tcp"}}
	if p.cfg.tls {
		n.kinds = append(n.kinds, "_https._tcp") // plain HTTP is led there
	}
	n.follow()
}

// follow takes the names from the settings, now and when they change.
func (n *names) follow() {
	n.host()
	n.p.dev.OnChange(func(c *device.Change) {
		switch {
		case c.Has("network.hostname"):
			n.host()
		case c.Has("name"):
			n.services()
		}
	})
}

// host claims the name of the host, and withdraws the one before it.
func (n *names) host() {
	if n.dns != nil {
		n.dns.Close()
	}
	n.withdraw = nil // Close has told that all is gone
	n.called("")
	var err error
	if n.dns, err = dns.NewMulticast(n.p.m, n.opts); err == nil {
		err = n.dns.SetHost(n.p.dev.Get().Network.Hostname, n.called)
	}
	if err != nil { // a device that cannot be found by name works all the same
		n.p.log.Error("the device has no name on the local network", "why", err)
		return
	}
	n.services()
}

// called is told the name that the host has got: another device may have the first one.
func (n *names) called(label string) {
	if label != "" {
		label += ".local"
	}
	n.p.set(func(s *Settings) { s.Readings.Host = label })
}

// services announces the page by the name of the device.
func (n *names) services() {
	for _, withdraw := range n.withdraw {
		withdraw()
	}
	n.withdraw = nil
	name := n.p.dev.Get().Name
	for len(name) > 63 { // that is as much as a name of a service has
		_, last := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-last]
	}
	for _, kind := range n.kinds {
		withdraw, err := n.dns.Announce(dns.Service{Name: name, Type: kind, Port: n.port, TXT: []string{"path=/"}}, nil)
		if err != nil {
			n.p.log.Error("the page is not announced", "type", kind, "why", err)
			continue
		}
		n.withdraw = append(n.withdraw, withdraw)
	}
}
