package dns

import (
	"net/netip"
	"os"
	"strconv"
	"strings"
	"time"
)

// config is what resolv.conf(5) says.
type config struct {
	servers  []netip.AddrPort
	search   []string // domains, lower case, without the dot at the end
	ndots    int      // a name with as many dots is tried as it stands first
	timeout  time.Duration
	attempts int // rounds over all servers
	rotate   bool
	useTCP   bool // "options use-vc"
}

// Bounds of what a file may say.
const (
	mostServers  = 8
	mostSearch   = 16
	mostFile     = 1 << 20 // bytes of it that are read
	port         = 53
	mostAttempts = 5
	mostTimeout  = 30 * time.Second
)

func defaultConfig() config { return config{ndots: 1, timeout: 5 * time.Second, attempts: 2} }

// parseConfig reads the text of a resolv.conf. What it does not know it passes over, as the C
// library does: a file with a mistake must not leave the machine without names.
func parseConfig(text string) config {
	c := defaultConfig()
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "#") || strings.HasPrefix(line, ";") {
			continue
		}
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		switch f[0] {
		case "nameserver":
			if a, err := netip.ParseAddr(f[1]); err == nil && len(c.servers) < mostServers {
				c.servers = append(c.servers, netip.AddrPortFrom(a.Unmap(), port))
			}
		case "domain":
			c.search = searchList(f[1:2])
		case "search": // the last of domain and search counts
			c.search = searchList(f[1:])
		case "options":
			for _, o := range f[1:] {
				c.option(o)
			}
		}
	}
	c.complete()
	return c
}

// complete fills in the servers that are there when none is named.
func (c *config) complete() {
	if len(c.servers) == 0 {
		c.servers = []netip.AddrPort{
			netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port),
			netip.AddrPortFrom(netip.IPv6Loopback(), port),
		}
	}
}

func searchList(domains []string) (list []string) {
	for _, d := range domains {
		d = canonical(d)
		if d != "" && isName(d) && len(list) < mostSearch {
			list = append(list, d)
		}
	}
	return list
}

func (c *config) option(o string) {
	name, value, _ := strings.Cut(o, ":")
	n, err := strconv.Atoi(value)
	switch {
	case name == "rotate":
		c.rotate = true
	case name == "use-vc":
		c.useTCP = true
	case err != nil || n < 0:
	case name == "ndots":
		c.ndots = min(n, 15)
	case name == "timeout":
		c.timeout = min(max(time.Duration(min(n, 60))*time.Second, time.Second), mostTimeout)
	case name == "attempts":
		c.attempts = min(max(n, 1), mostAttempts)
	}
}

// candidates returns the names to ask for, in order: name itself, and name in each domain of the
// search list. name is canonical; rooted says that it had a dot at its end.
func (c *config) candidates(name string, rooted bool) []string {
	if rooted || len(c.search) == 0 {
		return []string{name}
	}
	asIs := strings.Count(name, ".") >= c.ndots
	var list []string
	if asIs {
		list = append(list, name)
	}
	for _, d := range c.search {
		if full := name + "." + d; len(full) <= 253 {
			list = append(list, full)
		}
	}
	if !asIs {
		list = append(list, name)
	}
	return list
}

// hosts is what hosts(5) says.
type hosts struct {
	addrs map[string][]netip.Addr
	names map[netip.Addr][]string
}

func parseHosts(text string) hosts {
	h := hosts{map[string][]netip.Addr{}, map[netip.Addr][]string{}}
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		a, err := netip.ParseAddr(f[0])
		if err != nil {
			continue
		}
		a = a.Unmap()
		for _, name := range f[1:] {
			if name = canonical(name); isName(name) {
				h.addrs[name] = append(h.addrs[name], a)
				h.names[a] = append(h.names[a], name)
			}
		}
	}
	return h
}

// file is a file that is read again when it has changed.
type file struct {
	path string
	mod  time.Time
	size int64
	read bool
}

// changed returns the text of the file if it is not what it was at the last call. A file that is
// not there is empty.
func (f *file) changed() (text string, changed bool) {
	var mod time.Time
	size := int64(-1)
	st, err := os.Stat(f.path)
	if err == nil {
		mod, size = st.ModTime(), st.Size()
	}
	if f.read && mod.Equal(f.mod) && size == f.size {
		return "", false
	}
	f.mod, f.size, f.read = mod, size, true
	if err != nil || size > mostFile || !st.Mode().IsRegular() {
		return "", true
	}
	b, err := os.ReadFile(f.path)
	if err != nil {
		f.read = false // once more, next time
		return "", true
	}
	return string(b), true
}
