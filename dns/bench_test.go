package dns_test

import (
	"testing"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

// A name whose answers are in the cache costs no allocation.
func TestCachedLookupsAllocateNothing(t *testing.T) {
	r, found, got := cachedRig(t)
	for name := range map[string]bool{"both.test": true, "short": true, "missing.test": false} {
		r.addrs(name)
		*got = 0
		if n := testing.AllocsPerRun(200, func() { r.r.Resolve(r.m, name, found) }); n != 0 && name != "missing.test" {
			t.Errorf("%s: %v allocations", name, n)
		}
		if *got != 201 {
			t.Errorf("%s: answered %d times", name, *got)
		}
	}
}

func cachedRig(t testing.TB) (*rig, func(mgr.Resolved), *int) {
	s := newServer(t, zone(map[string][]string{"both.test.": {"192.0.2.1", "2001:db8::1"}, "short.test.": {"192.0.2.2"}}))
	r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s), Search: []string{"test"}})
	got := new(int)
	return r, func(x mgr.Resolved) { *got++ }, got
}

func BenchmarkCached(b *testing.B) {
	r, found, _ := cachedRig(b)
	r.addrs("both.test")
	b.ReportAllocs()
	for b.Loop() {
		r.r.Resolve(r.m, "both.test", found)
	}
}

// BenchmarkServer asks the server each time: two questions, two sockets.
func BenchmarkServer(b *testing.B) {
	s := newServer(b, zone(map[string][]string{"both.test.": {"192.0.2.1", "2001:db8::1"}}))
	r := newRig(b, mgr.Options{}, dns.Options{Servers: servers(s), CacheSize: -1})
	done := 0
	found := func(x mgr.Resolved) {
		if !x.More {
			done++
		}
	}
	b.ReportAllocs()
	for n := 1; b.Loop(); n++ {
		r.r.Resolve(r.m, "both.test", found)
		for done < n {
			r.m.Poll(-1)
		}
	}
}
