package mgr

import (
	"math"
	"net/netip"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

func TestTheShareOfAnAddress(t *testing.T) {
	s := newShares(&Options{MaxConnsPerAddr: 1, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}})
	for peer, want := range map[string]string{
		"192.0.2.1:80":            "192.0.2.1",
		"[::ffff:192.0.2.1]:80":   "192.0.2.1",
		"[2001:db8:1:2:3::4]:80":  "2001:db8:1:2::",
		"[2001:db8:1:2:ff::]:443": "2001:db8:1:2::",
		"[2001:db8:1:3::4]:80":    "2001:db8:1:3::",
		"[fe80::1]:80":            "fe80::1",
		"10.9.8.7:80":             "invalid IP",
		"[::ffff:10.9.8.7]:80":    "invalid IP",
		"[fd00::1]:80":            "invalid IP",
	} {
		if got := s.owner(conn.PeerOf(netip.MustParseAddrPort(peer))); got.String() != want {
			t.Errorf("%s counts for %s, want %s", peer, got, want)
		}
	}
	if got := s.owner(conn.Peer{}); got.IsValid() {
		t.Errorf("a peer without an address counts for %s", got)
	}
	if off := newShares(&Options{}); off.owner(conn.PeerOf(netip.MustParseAddrPort("192.0.2.1:80"))).IsValid() {
		t.Error("without a limit addresses are counted")
	}
}

// The address of a connection may change with a PROXY header: the count of the old address goes
// down.
func TestAShareIsGivenBackToWhomItWasTakenFrom(t *testing.T) {
	s := newShares(&Options{MaxConnsPerAddr: 1})
	c := conn.New(new(conn.Shared), 3, 3, new(conn.Socket), &conn.Limits{}, nil)
	from := netip.MustParseAddr("192.0.2.1")
	if !s.take(from) {
		t.Error("full")
	}
	s.own(c, from)
	if s.take(from) {
		t.Error("not full")
	}
	c.Driver().SetRemote(conn.PeerOf(netip.MustParseAddrPort("192.0.2.9:80")))
	s.give(c)
	s.give(c)
	if len(s.open.of) != 0 || len(s.of) != 0 {
		t.Errorf("left: %v, %v", s.open.of, s.of)
	}
}

func TestMaxConnsFollowsTheDescriptors(t *testing.T) {
	for _, x := range []struct {
		soft  uint64
		maxFD int
		want  int
	}{
		{1024, math.MaxInt32, 1024 - 96},
		{1 << 20, fdSetSize - 1, fdSetSize - 96},
		{256, fdSetSize - 1, 256 - 48},
		{math.MaxUint64, math.MaxInt32, 1 << 20},
		{8, math.MaxInt32, 1},
	} {
		if got := defaultMaxConns(x.soft, x.maxFD); got != x.want {
			t.Errorf("%d descriptors up to %d: MaxConns %d, want %d", x.soft, x.maxFD, got, x.want)
		}
	}
	m, err := New(Options{Poller: Select})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.opts.MaxConns >= fdSetSize {
		t.Errorf("with select MaxConns is %d", m.opts.MaxConns)
	}
}
