package dns_test

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

// Answers are kept for their TTL, and denials for that of the SOA (RFC 2308 §5).
func TestTTL(t *testing.T) {
	var least uint32
	s := newServer(t, func(q query) [][]byte {
		ttl := atomic.LoadUint32(&least)
		if q.kind != dnsmessage.TypeA {
			return to(q).soa("test.", 3600, 3600).send()
		}
		switch q.name {
		case "no.test.":
			return to(q).code(dnsmessage.RCodeNameError).soa("test.", 3600, ttl).send()
		case "nochain.test.":
			return to(q).code(dnsmessage.RCodeNameError).cname(q.name, "no.test.", ttl).soa("test.", 3600, 3600).send()
		case "nosoa.test.":
			return to(q).code(dnsmessage.RCodeNameError).send()
		case "wrong.test.":
			return to(q).code(dnsmessage.RCodeNameError).soa("other.", 3600, 3600).send()
		case "huge.test.":
			return to(q).ip(q.name, "192.0.2.1", 1<<31).send()
		case "chain.test.":
			return to(q).cname(q.name, "x.test.", ttl).ip("x.test.", "192.0.2.1", 3600).send()
		}
		return to(q).ip(q.name, "192.0.2.1", ttl).ip(q.name, "192.0.2.2", 3600).send()
	})
	for _, tc := range []struct {
		name string
		ttl  uint32
		kept bool
	}{
		{"x.test", 0, false}, {"x.test", 60, true}, {"no.test", 0, false}, {"no.test", 60, true}, {"nosoa.test", 60, false},
		{"wrong.test", 60, false}, {"huge.test", 60, false}, {"chain.test", 0, false}, {"chain.test", 60, true},
		{"nochain.test", 0, false}, {"nochain.test", 60, true},
	} {
		atomic.StoreUint32(&least, tc.ttl)
		r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s)})
		r.addrs(tc.name)
		before := len(s.queries())
		r.addrs(tc.name)
		if kept := len(s.queries()) == before; kept != tc.kept {
			t.Errorf("%s with TTL %d: kept %v", tc.name, tc.ttl, kept)
		}
	}
}

func TestCacheIsBounded(t *testing.T) {
	s := newServer(t, func(q query) [][]byte { return to(q).ip("x"+q.name, "192.0.2.1", 60).soa("test.", 60, 60).send() })
	r := newRig(t, mgr.Options{}, dns.Options{Servers: servers(s), CacheSize: 6})
	for _, name := range []string{"a", "b", "c", "a", "d"} { // b is used least recently
		r.addrs(name + ".test")
	}
	before := len(s.queries())
	for _, name := range []string{"a", "c", "d"} {
		r.addrs(name + ".test")
	}
	if n := len(s.queries()); n != before || r.r.Stats(r.m).Cached != 6 {
		t.Errorf("%d questions, %d answers kept", n-before, r.r.Stats(r.m).Cached)
	}
	r.addrs("b.test")
	if n := len(s.queries()); n != before+2 {
		t.Errorf("%d questions for what was pushed out", n-before)
	}
}

// One question serves all who ask it meanwhile; it ends when all have left.
func TestManyWaiters(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		release := make(chan struct{})
		s := newServer(t, func(q query) [][]byte {
			<-release
			return to(q).ip(q.name, "192.0.2.1", 60).send()
		})
		r := newRig(t, o, dns.Options{Servers: servers(s), MaxQueries: 4})
		got := 0
		var cancels []func()
		for range 100 {
			cancels = append(cancels, r.r.Addrs(r.m, "x.test", func(a []netip.Addr, err error) {
				if got++; err != nil || len(a) != 1 {
					t.Errorf("%v, %v", a, err)
				}
				if got == 7 {
					panic("one of them")
				}
			}))
		}
		left := r.r.Addrs(r.m, "y.test", func([]netip.Addr, error) { t.Error("called after cancel") })
		r.wantError("z.test", dns.ErrBusy)
		for _, cancel := range cancels[:50] {
			cancel()
			cancel()
		}
		left()
		if st := r.r.Stats(r.m); st.Pending != 2 || st.Queries != 4 || st.Shared != 198 {
			t.Errorf("%+v", st)
		}
		close(release)
		r.until(func() bool { return got >= 50 })
		r.until(func() bool { return r.m.Stats().Conns == 0 })
		if got != 50 || r.m.Stats().Panics != 1 {
			t.Errorf("called %d times, %d panics", got, r.m.Stats().Panics)
		}
	})
}

// RFC 8305 §3: IPv6 addresses are used at once, IPv4 ones wait 50 ms for them, and no longer.
func TestOneFamilyIsLate(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		for _, late := range []dnsmessage.Type{dnsmessage.TypeA, dnsmessage.TypeAAAA} {
			release := make(chan struct{})
			s := newServer(t, nil)
			s.set(func(q query) [][]byte {
				r := to(q)
				if q.kind == dnsmessage.TypeA {
					r.ip(q.name, "192.0.2.1", 60)
				} else {
					r.ip(q.name, "2001:db8::1", 60)
				}
				if q.kind == late {
					go func() {
						<-release
						to, _ := net.ResolveUDPAddr("udp", q.from)
						s.udp.WriteTo(r.bytes(), to)
					}()
					return nil
				}
				return r.send()
			})
			r := newRig(t, o, dns.Options{Servers: servers(s)})
			var got []string
			r.r.Resolve(r.m, "x.test", func(x mgr.Resolved) { got = append(got, fmt.Sprint(x.Addrs, x.More, x.Err)) })
			r.until(func() bool { return len(got) == 1 })
			close(release)
			r.until(func() bool { return len(got) == 2 })
			want := []string{"[192.0.2.1] true <nil>", "[2001:db8::1] false <nil>"}
			if late == dnsmessage.TypeA {
				want = []string{"[2001:db8::1] true <nil>", "[192.0.2.1] false <nil>"}
			}
			if !slices.Equal(got, want) {
				t.Errorf("%q, want %q", got, want)
			}
		}
	})
}

// A call that is taken back after the cache has answered for its first candidate leaves no question
// behind.
func TestCancelAfterAKnownCandidate(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		s := newServer(t, func(q query) [][]byte {
			if q.name == "x.a.test." {
				return to(q).code(dnsmessage.RCodeNameError).soa("test.", 3600, 3600).send()
			}
			return nil
		})
		r := newRig(t, o, dns.Options{Servers: servers(s), Search: []string{"a.test", "b.test"}})
		fail := func([]string, error) { t.Error("called after cancel") }
		left := r.r.TXT(r.m, "x", fail)
		r.until(func() bool { st := r.r.Stats(r.m); return st.Queries == 2 && st.Pending == 1 })
		left()
		left = r.r.TXT(r.m, "x", fail)
		left()
		if st := r.r.Stats(r.m); st.Pending != 0 {
			t.Errorf("%+v", st)
		}
	})
}
