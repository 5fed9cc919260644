package conn

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// An Addr says where to listen or what to connect to.
type Addr struct {
	Network  string         // "tcp", "sctp", "udp", "unix" or "unixgram"
	AddrPort netip.AddrPort // of all but the unix sockets
	AnyStack bool           // without a host: all interfaces, IPv6 and IPv4; AddrPort is then [::]:port
	Path     string         // of unix sockets: a path, or "@name" in Linux's abstract name space
}

// ParseAddr reads an address in URL form:
//
//	tcp://127.0.0.1:80       one IPv4 address; tcp://localhost:80 means the same
//	tcp://[::1]:80           one IPv6 address
//	tcp://[fe80::1%25eth0]:80  with a zone, by name or number; a bare % does too
//	tcp://:80                all interfaces, IPv6 and IPv4
//	tcp://0.0.0.0:0          all IPv4 interfaces, and a port that the kernel chooses
//	sctp://127.0.0.1:80      one-to-one SCTP (RFC 6458 §4) where the kernel has it; in all other ways like tcp
//	unix:///run/x.sock       a path, taken as it stands: no percent-decoding; unix://x.sock is relative
//	unix://@name             an abstract name, on Linux; a file whose name begins with @ is unix://./@name
//	udp://127.0.0.1:53       datagrams, in all the forms of tcp
//	unixgram:///run/x.sock   datagrams, in all the forms of unix
//
// Host names other than localhost are refused.
func ParseAddr(url string) (Addr, error) {
	scheme, rest, ok := strings.Cut(url, "://")
	var a Addr
	var problem string
	switch {
	case !ok:
		problem = "no scheme, want tcp://host:port or unix:///path"
	case strings.EqualFold(scheme, "tcp"):
		a, problem = parseTCP(rest)
	case strings.EqualFold(scheme, "sctp"):
		a, problem = parseTCP(rest)
		a.Network = "sctp"
	case strings.EqualFold(scheme, "udp"):
		a, problem = parseTCP(rest)
		a.Network = "udp"
	case strings.EqualFold(scheme, "unix"):
		a, problem = parseUnix(rest)
	case strings.EqualFold(scheme, "unixgram"):
		a, problem = parseUnix(rest)
		a.Network = "unixgram"
	default:
		problem = fmt.Sprintf("unknown scheme %q, want tcp, udp, unix or unixgram", scheme)
	}
	if problem != "" {
		return Addr{}, fmt.Errorf("conn: address %q: %s", url, problem)
	}
	return a, nil
}

// parseTCP reads host:port, and returns what is wrong with it, or "".
func parseTCP(s string) (Addr, string) {
	host, port, problem := splitHostPort(s)
	if problem != "" {
		return Addr{}, problem
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return Addr{}, fmt.Sprintf("port %q is not a number from 0 to 65535", port)
	}
	if host == "" {
		any6 := netip.AddrPortFrom(netip.IPv6Unspecified(), uint16(n))
		return Addr{Network: "tcp", AddrPort: any6, AnyStack: true}, ""
	}
	ip, problem := parseHost(host)
	if problem != "" {
		return Addr{}, problem
	}
	return Addr{Network: "tcp", AddrPort: netip.AddrPortFrom(ip, uint16(n))}, ""
}

// splitHostPort leaves the brackets of an IPv6 address on host. port is never empty when there is
// no problem.
func splitHostPort(s string) (host, port, problem string) {
	if i := strings.IndexByte(s, '/'); i >= 0 {
		return "", "", fmt.Sprintf("unexpected %q after the port", s[i:])
	}
	if strings.HasPrefix(s, "[") {
		end := strings.IndexByte(s, ']')
		if end < 0 {
			return "", "", "no closing bracket"
		}
		host, s = s[:end+1], s[end+1:]
		if s != "" && s[0] != ':' {
			return "", "", fmt.Sprintf("unexpected %q after the closing bracket", s)
		}
	} else {
		end := strings.LastIndexByte(s, ':')
		if end < 0 {
			end = len(s)
		}
		host, s = s[:end], s[end:]
		if strings.Contains(host, ":") {
			return "", "", "an IPv6 address needs brackets, as in tcp://[::1]:80"
		}
	}
	if len(s) < 2 {
		return "", "", "no port"
	}
	return host, s[1:], ""
}

// parseHost reads an IPv4 address, a bracketed IPv6 address with or without a zone, or localhost.
func parseHost(host string) (netip.Addr, string) {
	if strings.EqualFold(host, "localhost") { // RFC 6761 §6.3: always the loopback address
		return netip.AddrFrom4([4]byte{127, 0, 0, 1}), ""
	}
	if host[0] != '[' {
		ip, err := netip.ParseAddr(host)
		if err == nil {
			return ip, ""
		}
		if strings.Trim(host, "0123456789.") == "" {
			return ip, fmt.Sprintf("%q is not an IPv4 address", host)
		}
		return ip, fmt.Sprintf("host names are not resolved, give an IP address instead of %q", host)
	}
	inner := host[1 : len(host)-1]
	bare, zone, zoned := strings.Cut(inner, "%")
	ip, err := netip.ParseAddr(bare)
	if err != nil || !ip.Is6() {
		return ip, fmt.Sprintf("%q is not an IPv6 address", bare)
	}
	ip = ip.Unmap()
	if !zoned {
		return ip, ""
	}
	// RFC 6874 §2: in a URL the % before the zone is written %25. "%25" with nothing after it is
	// zone 25, unencoded.
	if len(zone) > 2 && strings.HasPrefix(zone, "25") {
		zone = zone[2:]
	}
	if !validZone(zone) || !ip.Is6() {
		return ip, fmt.Sprintf("%q is not a zone of %s", zone, ip)
	}
	return ip.WithZone(zone), ""
}

// validZone refuses what no interface name has and what could not be read back from a URL.
func validZone(zone string) bool {
	return zone != "" && !strings.ContainsFunc(zone, func(r rune) bool {
		return r <= ' ' || r == 0x7f || r == '%' || r == '[' || r == ']'
	})
}

// sunPath is the size of sun_path, in which a path has a NUL at its end and an abstract name one at
// its start: 108 bytes on Linux, 104 on the BSDs.
const sunPath = len(unix.RawSockaddrUnix{}.Path)

func parseUnix(path string) (Addr, string) {
	switch {
	case path == "" || path == "@":
		return Addr{}, "no path"
	case strings.IndexByte(path, 0) >= 0:
		return Addr{}, "a NUL byte in the path"
	case path[0] == '@' && !abstractNames:
		return Addr{}, "abstract names (@name) exist on Linux only"
	case len(path) >= sunPath:
		return Addr{}, fmt.Sprintf("a path of %d bytes is too long, sun_path holds %d", len(path), sunPath-1)
	}
	return Addr{Network: "unix", Path: path}, ""
}

// String gives the URL from which ParseAddr makes a again.
func (a Addr) String() string {
	switch {
	case a.local():
		return a.Network + "://" + a.Path
	case a.AnyStack:
		return a.scheme() + "://:" + strconv.Itoa(int(a.AddrPort.Port()))
	}
	s := a.AddrPort.String()
	if before, zone, ok := strings.Cut(s, "%"); ok {
		s = before + "%25" + zone
	}
	return a.scheme() + "://" + s
}

func (a Addr) scheme() string {
	if a.Network == "" {
		return "tcp"
	}
	return a.Network
}

// local reports whether a is that of a unix socket.
func (a Addr) local() bool { return a.Network == "unix" || a.Network == "unixgram" }

// Datagrams reports whether a is one for datagrams: udp or unixgram.
func (a Addr) Datagrams() bool { return a.Network == "udp" || a.Network == "unixgram" }
