package dns

import "net/netip"

// WithSource returns o with another table of routes: source returns the address that datagrams to
// an address leave from.
func (o Options) WithSource(source func(to netip.Addr) (netip.Addr, error)) Options {
	o.source = source
	return o
}

// HasSource reports whether o has been given a table of routes.
func (o Options) HasSource() bool { return o.source != nil }
