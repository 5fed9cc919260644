package middleware

import (
	"encoding/binary"
	"math"
	"net/netip"
	"testing"
	"time"
)

func TestRateLimit(t *testing.T) {
	r := newRig(t, okHandler, RateLimit(Rate{PerSecond: 0.5, Burst: 3}))
	for range 3 {
		r.want("GET /", nil, 200, "Retry-After:")
	}
	r.want("GET /", nil, 429, "Retry-After: 2")
	r.sh.Now += int64(1100 * time.Millisecond)
	r.want("GET /", nil, 429, "Retry-After: 1")
	r.sh.Now += int64(900 * time.Millisecond)
	r.want("GET /", nil, 200)
	r.want("GET /", nil, 429, "Retry-After: 2")
	r.sh.Now += int64(time.Hour) // the bucket does not grow past Burst
	for range 3 {
		r.want("GET /", nil, 200)
	}
	r.want("GET /", nil, 429)
}

func TestRateLimitByAddress(t *testing.T) {
	r := newRig(t, okHandler, RateLimit(Rate{PerSecond: 1}))
	for _, step := range []struct {
		from   string
		status int
	}{
		{"192.0.2.7", 200}, {"192.0.2.7", 429}, {"192.0.2.8", 200}, {"::ffff:192.0.2.8", 429},
		{"2001:db8::1", 200}, {"2001:db8:0:0:ffff::2", 429}, {"2001:db8:0:1::1", 200},
		{"::c000:207", 200}, // no kin of 192.0.2.7
		{"", 200}, {"", 429},
	} {
		r.from(step.from)
		r.want("GET /", nil, step.status)
		if t.Failed() {
			t.Fatal(step)
		}
	}
}

// Machines of one link have a bucket each, though they have a prefix in common.
func TestRateLimitOfLinkLocalAddresses(t *testing.T) {
	b := newBuckets(1, 1, 64)
	for _, from := range []string{"fe80::1", "fe80::2", "2001:db8::1"} {
		if wait := b.take(netip.MustParseAddr(from), 1); wait > 0 {
			t.Errorf("%s waits %v", from, wait)
		}
	}
	for _, from := range []string{"fe80::1", "2001:db8::2"} {
		if b.take(netip.MustParseAddr(from), 1) == 0 {
			t.Errorf("%s has more than its bucket", from)
		}
	}
}

func TestRateLimitBurstDefault(t *testing.T) {
	r := newRig(t, okHandler, RateLimit(Rate{PerSecond: 1.5}))
	r.want("GET /", nil, 200)
	r.want("GET /", nil, 200)
	r.want("GET /", nil, 429)
	wantPanic(t, "RateLimit: PerSecond must be positive, and at most 1e9", func() { RateLimit(Rate{}) })
}

// However many addresses come, the table keeps its size, and an address that asks far too often is
// not forgotten for others that ask once.
func TestRateLimitTableIsBounded(t *testing.T) {
	b := newBuckets(1, 4, 64)
	heavy := netip.MustParseAddr("192.0.2.7")
	now := int64(time.Hour)
	for range 4 {
		b.take(heavy, now)
	}
	for i := range 100_000 {
		var ip [4]byte
		binary.BigEndian.PutUint32(ip[:], uint32(i)|10<<24)
		if b.take(netip.AddrFrom4(ip), now) != 0 {
			t.Fatal("a new address has no token")
		}
	}
	if n := len(b.table) * ways; n != 64 {
		t.Errorf("%d places, want 64", n)
	}
	if b.take(heavy, now) == 0 {
		t.Error("the address that asked most was forgotten")
	}
}

func TestRateLimitExtremes(t *testing.T) {
	a := netip.MustParseAddr("192.0.2.7")
	for _, tt := range []struct {
		rate  float64
		burst int
	}{{1e9, 1}, {1e-300, 1}, {1e-300, math.MaxInt / 2}, {1e9, math.MaxInt / 2}} {
		b := newBuckets(tt.rate, tt.burst, 1)
		for range 3 {
			if b.take(a, 1) != 0 && tt.burst > 1 || b.take(a, 1) < 0 {
				t.Errorf("%+v", tt)
			}
		}
	}
}
