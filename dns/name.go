package dns

import (
	"net/netip"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
)

// canonical returns name in lower case and without the dot at its end. It allocates only if it has
// to change a letter.
func canonical(name string) string {
	name = strings.TrimSuffix(name, ".")
	for i := range len(name) {
		if b := name[i]; 'A' <= b && b <= 'Z' {
			return lower(name, i)
		}
	}
	return name
}

// lower returns s, whose first capital letter is at i, in lower case. (strings.ToLower would change
// bytes that are no UTF-8.)
func lower(s string, i int) string {
	b := []byte(s)
	for ; i < len(b); i++ {
		if 'A' <= b[i] && b[i] <= 'Z' {
			b[i] |= 0x20
		}
	}
	return string(b)
}

func isName(s string) bool { return conn.IsHostName(s) }

// under reports whether name, which is canonical, is domain or in it.
func under(name, domain string) bool {
	rest, ok := strings.CutSuffix(name, domain)
	return ok && (rest == "" || rest[len(rest)-1] == '.')
}

// reverse returns the name under which the names of an address are (RFC 1035 §3.5, RFC 3596 §2.5).
func reverse(a netip.Addr) string {
	a = a.Unmap()
	var b []byte
	if a.Is4() {
		ip := a.As4()
		return netip.AddrFrom4([4]byte{ip[3], ip[2], ip[1], ip[0]}).String() + ".in-addr.arpa"
	}
	const hex = "0123456789abcdef"
	ip := a.As16()
	for i := 15; i >= 0; i-- {
		b = append(b, hex[ip[i]&15], '.', hex[ip[i]>>4], '.')
	}
	return string(b) + "ip6.arpa"
}
