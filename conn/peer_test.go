package conn

import (
	"net"
	"net/netip"
	"strconv"
	"testing"
	"unsafe"
)

func TestPeerIsSmall(t *testing.T) {
	if n := unsafe.Sizeof(Peer{}); n > 24 {
		t.Errorf("a Peer has %d bytes", n)
	}
}

// loopbackInterface returns the loopback interface as package net, which conn does without on
// Linux, knows it.
func loopbackInterface(t *testing.T) net.Interface {
	t.Helper()
	all, err := net.Interfaces()
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range all {
		if i.Flags&net.FlagLoopback != 0 {
			return i
		}
	}
	t.Skip("no loopback interface")
	return net.Interface{}
}

func TestPeerAddrPort(t *testing.T) {
	lo := loopbackInterface(t)
	linkLocal := netip.MustParseAddr("fe80::1").As16()
	tests := []struct {
		p    Peer
		want string
	}{
		{Peer{}, "invalid AddrPort"},
		{peer4([4]byte{10, 1, 2, 3}, 65535), "10.1.2.3:65535"},
		{peer6(netip.MustParseAddr("::ffff:10.1.2.3").As16(), 0, 80), "10.1.2.3:80"},
		{peer6(netip.MustParseAddr("2001:db8::1").As16(), 0, 80), "[2001:db8::1]:80"},
		{peer6(linkLocal, uint32(lo.Index), 80), "[fe80::1%" + lo.Name + "]:80"},
		{peer6(linkLocal, 123456789, 80), "[fe80::1%123456789]:80"},
	}
	for _, tt := range tests {
		if got := tt.p.AddrPort().String(); got != tt.want {
			t.Errorf("%#v: %s, want %s", tt.p, got, tt.want)
		}
		if tt.p == (Peer{}) {
			tt.want = "local"
		}
		if text, err := tt.p.MarshalText(); tt.p.String() != tt.want || string(text) != tt.want || err != nil {
			t.Errorf("%#v prints as %s, %s, %v, want %s", tt.p, tt.p, text, err, tt.want)
		}
	}
}

func TestZoneIndexTakesNamesAndNumbers(t *testing.T) {
	lo := loopbackInterface(t)
	for _, zone := range []string{lo.Name, strconv.Itoa(lo.Index)} {
		if got, err := zoneIndex(zone); err != nil || got != uint32(lo.Index) {
			t.Errorf("zoneIndex(%q) = %d, %v; want %d", zone, got, err, lo.Index)
		}
	}
	for _, zone := range []string{"nosuch0", "a-name-longer-than-any-interface-has", "4294967296"} {
		if got, err := zoneIndex(zone); err == nil {
			t.Errorf("zoneIndex(%q) = %d", zone, got)
		}
	}
}

func TestOwner(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"), netip.MustParsePrefix("fe80::9/128")}
	for _, tt := range []struct{ ip, want string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"},
		{"2001:db8:1:2:3::4", "2001:db8:1:2::"},
		{"2001:db8:1:2::4%eth0", "2001:db8:1:2::"},
		{"2001:db8:1:3::4", "2001:db8:1:3::"},
		{"::1", "::"},
		{"fe80::1", "fe80::1"},
		{"fe80::1%eth0", "fe80::1%eth0"},
		{"fe80::9%eth0", "invalid IP"},
		{"10.9.8.7", "invalid IP"},
		{"::ffff:10.9.8.7", "invalid IP"},
		{"fd00::1", "invalid IP"},
	} {
		if got := Owner(netip.MustParseAddr(tt.ip), trusted); got.String() != tt.want {
			t.Errorf("%s counts for %s, want %s", tt.ip, got, tt.want)
		}
	}
	if got := Owner(netip.Addr{}, nil); got.IsValid() {
		t.Errorf("no address counts for %s", got)
	}
}
