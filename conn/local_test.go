package conn

import (
	"net"
	"net/netip"
	"testing"
)

func TestIsLocalKnowsTheAddressesOfInterfacesAndNoOther(t *testing.T) {
	for _, c := range []struct {
		addr string
		want bool
	}{
		{"127.0.0.1", true}, {"127.9.8.7", true}, {"::ffff:127.0.0.1", true},
		{"0.0.0.0", false}, {"::", false}, {"255.255.255.255", false}, {"224.0.0.1", false}, {"ff02::1", false},
		{"192.0.2.1", false}, {"203.0.113.9", false}, {"2001:db8::1", false}, {"fe80::1%no-such-zone", false},
	} {
		if got := IsLocal(netip.MustParseAddr(c.addr)); got != c.want {
			t.Errorf("IsLocal(%s) = %v", c.addr, got)
		}
	}
	if IsLocal(netip.Addr{}) {
		t.Error("IsLocal of no address")
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		p, err := netip.ParsePrefix(a.String())
		if err == nil && !p.Addr().IsLinkLocalUnicast() && !IsLocal(p.Addr()) {
			t.Errorf("IsLocal(%s) = false, which is an address of an interface", p.Addr())
		}
	}
}
