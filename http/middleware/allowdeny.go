package middleware

import (
	"net/netip"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Networks are the lists of AllowDeny.
type Networks struct {
	Allow  []netip.Prefix // empty allows all
	Deny   []netip.Prefix // wins over Allow
	Client Client
}

// AllowDeny replies with 403 to clients in Deny, and, if Allow has any networks, to clients outside
// of them. A client whose address is not known (of a unix socket, or of a proxy that hides it) is
// refused: it might be anyone. AllowDeny panics on a prefix that is not valid.
func AllowDeny(n Networks) Middleware {
	n.Allow, n.Deny = slices.Clone(n.Allow), slices.Clone(n.Deny)
	for _, list := range [][]netip.Prefix{n.Allow, n.Deny} {
		for _, p := range list {
			must(p.IsValid(), "AllowDeny: a prefix is not valid")
		}
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		a := n.Client.addr(c, r)
		ok := a.IsValid() && !http.InNetworks(a, n.Deny) && (len(n.Allow) == 0 || http.InNetworks(a, n.Allow))
		if !ok {
			http.Error(c, 403)
		}
		return ok
	})
}
