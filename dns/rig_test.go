package dns_test

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/dns"
	"github.com/seed4930a636/mangusta/mgr"
)

func underBoth(t *testing.T, f func(t *testing.T, o mgr.Options)) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) { f(t, mgr.Options{Poller: p, Log: mgr.Silent}) })
	}
}

// rig is a manager, a Resolver, and its servers. The test turns the loop itself.
type rig struct {
	t testing.TB
	m *mgr.Manager
	r *dns.Resolver
}

func newRig(t testing.TB, mo mgr.Options, o dns.Options) *rig {
	t.Helper()
	if o.Hosts == "" {
		o.Hosts = "/nonexistent"
	}
	if !o.HasSource() { // each address has a way of its own, so that the routes of this machine do not count
		o = o.WithSource(func(to netip.Addr) (netip.Addr, error) { return to, nil })
	}
	r := dns.New(o)
	mo.Resolver = r
	m, err := mgr.New(mo)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return &rig{t, m, r}
}

func servers(list ...*server) (a []netip.AddrPort) {
	for _, s := range list {
		a = append(a, s.addr)
	}
	return a
}

// until turns the loop until done says so.
func (r *rig) until(done func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !done(); {
		if err := r.m.Poll(10 * time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
		if time.Now().After(end) {
			r.t.Fatal("it never came")
		}
	}
}

// addrs looks name up.
func (r *rig) addrs(name string) (got []string, err error) {
	r.t.Helper()
	done := false
	r.r.Addrs(r.m, name, func(a []netip.Addr, e error) {
		for _, x := range a {
			got = append(got, x.String())
		}
		done, err = true, e
	})
	r.until(func() bool { return done })
	return got, err
}

func (r *rig) want(name string, want ...string) {
	r.t.Helper()
	got, err := r.addrs(name)
	if err != nil || !slices.Equal(got, want) {
		r.t.Errorf("%s: %v, %v; want %v", name, got, err, want)
	}
}

func (r *rig) wantError(name string, kind error) {
	r.t.Helper()
	got, err := r.addrs(name)
	var e *dns.Error
	if len(got) > 0 || !errors.Is(err, kind) || !errors.As(err, &e) || e.Name != name || !strings.HasPrefix(err.Error(), "dns: "+name+": ") {
		r.t.Errorf("%s: %v, %v; want %v", name, got, err, kind)
	}
}
