package dns

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The examples of RFC 6724 §10.2, and more of the same kind. A route is written destination<source,
// or destination alone if there is no way there; they are in the order in which they should be
// tried.
func TestOrder(t *testing.T) {
	for _, tc := range []struct{ name, want string }{
		{"matching scope", "2001:db8:1::1<2001:db8:1::2 198.51.100.121<169.254.13.78"},
		{"matching scope, IPv4", "198.51.100.121<198.51.100.117 2001:db8:1::1<fe80::1"},
		{"higher precedence", "2001:db8:1::1<2001:db8:1::2 10.1.2.3<10.1.2.4"},
		{"smaller scope", "fe80::1<fe80::2 2001:db8:1::1<2001:db8:1::2"},
		{"longest prefix", "2001:db8:1::1<2001:db8:1::2 2001:db8:3ffe::1<2001:db8:3f44::2"},
		{"matching label", "2002:c633:6401::1<2002:c633:6401::2 2001:db8:1::1<2002:c633:6401::2"},
		{"label, not the prefix", "2001:db8:1::1<2001:db8:1::2 2002:c633:6401::1<2002:c633:6401::2"},
		{"avoid unusable", "10.1.2.3<10.1.2.4 2001:db8:1::1"},
		{"both unusable", "2001:db8:1::1 10.1.2.3"},
		{"unique local", "10.1.2.3<10.1.2.4 fd00::1<2001:db8::2"},
		{"loopback", "::1<::1 127.0.0.1<127.0.0.1"},
		{"Teredo", "10.1.2.3<10.1.2.4 2001:0:1::1<2001:0:1::2"},
		{"IPv4 keeps its order", "10.2.0.1<10.1.2.3 10.1.2.9<10.1.2.3"},
		{"no longest prefix for the interface", "2001:db8::1:0:0:1<2001:db8::2:0:0:1 2001:db8::2:0:0:2<2001:db8::2:0:0:1"},
	} {
		ways := map[netip.Addr]netip.Addr{}
		var want []netip.Addr
		for _, way := range strings.Fields(tc.want) {
			to, src, _ := strings.Cut(way, "<")
			a := netip.MustParseAddr(to)
			ways[a], _ = netip.ParseAddr(src)
			want = append(want, a)
		}
		o := order{source: func(to netip.Addr) (netip.Addr, error) { return ways[to], nil }}
		got := slices.Clone(want)
		if !strings.HasPrefix(tc.name, "IPv4 keeps") && !strings.HasPrefix(tc.name, "no longest") && tc.name != "both unusable" {
			slices.Reverse(got)
		}
		if o.sort(got, 1); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", tc.name, got, want)
		}
	}
}

// A route is asked for once in a while, not for each lookup; and if the kernel lacks descriptors,
// the order is that of the answer.
func TestOrderAsksRarely(t *testing.T) {
	asked := 0
	var fails error
	o := order{source: func(to netip.Addr) (netip.Addr, error) {
		asked++
		if to.Is6() {
			return netip.Addr{}, fails
		}
		return to, fails
	}}
	six, four := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("192.0.2.1")
	sort := func(now time.Duration, wantAsked int, want ...netip.Addr) {
		t.Helper()
		asked = 0
		got := []netip.Addr{six, four}
		if o.sort(got, int64(now)); !slices.Equal(got, want) || asked != wantAsked {
			t.Errorf("%v, asked for %d routes", got, asked)
		}
	}
	sort(time.Second, 2, four, six)
	sort(2*time.Second, 0, four, six)
	sort(6*time.Second, 2, four, six)
	fails = unix.EMFILE
	sort(7*time.Second, 0, four, six)
	sort(20*time.Second, 1, six, four)

	asked, fails = 0, nil
	one := []netip.Addr{six}
	o.sort(one, int64(21*time.Second))
	many := make([]netip.Addr, 3*mostSorted)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)})
	}
	o.sort(many, int64(22*time.Second))
	if asked != mostSorted {
		t.Errorf("asked for %d routes", asked)
	}
	for i := range 20 {
		for k := range many {
			many[k] = netip.AddrFrom4([4]byte{10, byte(i + 1), byte(k >> 8), byte(k)})
		}
		o.sort(many, int64(22*time.Second))
	}
	if len(o.ranks) > mostRanks+mostSorted {
		t.Errorf("%d ranks are kept", len(o.ranks))
	}
}

func TestSourceOf(t *testing.T) {
	src, err := sourceOf(netip.MustParseAddr("127.0.0.1"))
	if err != nil || src.String() != "127.0.0.1" {
		t.Errorf("to 127.0.0.1 from %v, %v", src, err)
	}
	if src, err := sourceOf(netip.MustParseAddr("fe80::1%nosuchlink")); err != nil || src.IsValid() {
		t.Errorf("by a link that is none: from %v, %v", src, err)
	}
	if fmt.Sprint(scopeOf(netip.MustParseAddr("ff05::1")), scopeOf(netip.MustParseAddr("fec0::1")), scopeOf(netip.MustParseAddr("10.0.0.1"))) != "5 5 14" {
		t.Error("scopes")
	}
}
