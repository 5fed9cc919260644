package network

import (
	"net/netip"
	"slices"
)

// A Status is what Read has found. Lists are in the kernel's order, but for routes.
type Status struct {
	Interfaces []Interface `json:"interfaces"`

	// Routes are the unicast routes of the main table: those of IPv4 first, and of each the default
	// first. MoreRoutes is how many there are besides these, which are 256 at most.
	Routes     []Route `json:"routes"`
	MoreRoutes int     `json:"more_routes,omitempty"`

	DNS []netip.Addr `json:"dns"`
}

// An Interface is one of the first 256.
type Interface struct {
	Index    int    `json:"index"`
	Name     string `json:"name"`
	MAC      string `json:"mac,omitempty"` // of an Ethernet, such as "02:42:ac:11:00:02"
	Loopback bool   `json:"loopback,omitempty"`
	Up       bool   `json:"up"`              // it is switched on
	Running  bool   `json:"running"`         // it works: there is a carrier
	MTU      int    `json:"mtu"`             // bytes
	Speed    int    `json:"speed,omitempty"` // Mbit/s; 0 is not known

	Addresses []netip.Prefix `json:"addresses"` // the first 64
	Counters  Counters       `json:"counters"`
}

// Counters are those of an Interface since it exists.
type Counters struct {
	ReceivedBytes   uint64 `json:"received_bytes"`
	ReceivedPackets uint64 `json:"received_packets"`
	ReceiveErrors   uint64 `json:"receive_errors"`
	ReceiveDropped  uint64 `json:"receive_dropped"`
	SentBytes       uint64 `json:"sent_bytes"`
	SentPackets     uint64 `json:"sent_packets"`
	SendErrors      uint64 `json:"send_errors"`
	SendDropped     uint64 `json:"send_dropped"`
}

// A Route is one way; a route with several ways is several of them.
type Route struct {
	To        netip.Prefix `json:"to"`               // 0.0.0.0/0 or ::/0 is the default
	Gateway   netip.Addr   `json:"gateway,omitzero"` // none for a network that is directly connected
	Interface string       `json:"interface,omitempty"`
	Metric    uint32       `json:"metric,omitempty"` // the least wins
	Source    netip.Addr   `json:"source,omitzero"`  // the address that is preferred
}

const (
	maxInterfaces = 256
	maxAddresses  = 64
	maxRoutes     = 256
)

// equal reports whether s and t are the same, but for the counters unless they matter.
func (s *Status) equal(t *Status, counters bool) bool {
	return s.MoreRoutes == t.MoreRoutes && slices.Equal(s.Routes, t.Routes) && slices.Equal(s.DNS, t.DNS) &&
		slices.EqualFunc(s.Interfaces, t.Interfaces, func(a, b Interface) bool {
			return a.Index == b.Index && a.Name == b.Name && a.MAC == b.MAC && a.Loopback == b.Loopback &&
				a.Up == b.Up && a.Running == b.Running && a.MTU == b.MTU && a.Speed == b.Speed &&
				slices.Equal(a.Addresses, b.Addresses) && (!counters || a.Counters == b.Counters)
		})
}
