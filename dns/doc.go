// Package dns resolves names on the loop of a mgr.Manager, and announces and finds services on the
// local network.
//
// A Resolver is a stub resolver (RFC 1034 §5.3.1): it asks the name servers of /etc/resolv.conf, or
// those that it is given, and no goroutine waits for them. As mgr.Options.Resolver it lets
// Manager.Connect, and all that stands on it, take host names:
//
//	m, err := mgr.New(mgr.Options{Resolver: dns.New()})
//	c, err := m.Connect("tcp://example.org:80", h)
//
// Programs may ask it themselves: Resolver.Addrs, SRV, TXT and PTR.
//
// A Multicast announces this host and what it offers on the local network, answers for its names and
// defends them, and finds the services of others: multicast DNS and DNS-SD (RFC 6762, RFC 6763), known
// as Bonjour and Avahi.
//
// Messages of name servers are read and written by golang.org/x/net/dns/dnsmessage; those of multicast
// DNS, whose names may have any text, by this package itself. A program that does not import it has
// none of this.
package dns
