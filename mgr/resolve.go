package mgr

import (
	"errors"
	"net/netip"
)

// ErrNoResolver is wrapped by the error of Connect for a URL with a host name, without
// Options.Resolver.
var ErrNoResolver = errors.New("a host name needs mgr.Options.Resolver, such as a *dns.Resolver")

// A Resolver finds the addresses of names: a *dns.Resolver, or the program's own. One Resolver may
// serve several managers, each on its own goroutine; Manager.Local is the place for what it keeps
// for each.
type Resolver interface {
	// Resolve looks for the addresses of name, which is a host name in ASCII, perhaps with a dot at
	// its end. It returns at once, and does not wait. found is called on the goroutine of m, before
	// Resolve returns or later: once, or several times, of which all but the last have More. A call
	// of cancel ends that; cancel may be nil if found has been called for the last time.
	//
	// m calls Resolve and cancel on its own goroutine. It calls cancel only if the last found has
	// not come, and ignores a found after it.
	Resolve(m *Manager, name string, found func(Resolved)) (cancel func())
}

// Resolved is what a Resolver has found.
type Resolved struct {
	// Addrs are in the order in which they should be tried; the Manager alternates the families.
	// They stay the Resolver's, and are valid until found returns.
	Addrs []netip.Addr
	// More says that found will be called again. IPv4 and IPv6 addresses are two questions to the
	// name server, and the second answer may be long in coming.
	More bool
	// Err says why the name has no addresses, or not all.
	Err error
}

// ResolverFunc is a function as a Resolver.
type ResolverFunc func(m *Manager, name string, found func(Resolved)) (cancel func())

// Resolve calls f.
func (f ResolverFunc) Resolve(m *Manager, name string, found func(Resolved)) (cancel func()) {
	return f(m, name, found)
}

// Local returns what key has in this manager, a value of a package's own; make makes it at the
// first call. It goes with the manager. Keys are of the package's own types, as those of contexts
// are.
func (m *Manager) Local(key any, make func() any) any {
	m.check("Local")
	v, ok := m.locals[key]
	if !ok {
		if m.locals == nil {
			m.locals = map[any]any{}
		}
		v = make()
		m.locals[key] = v
	}
	return v
}
