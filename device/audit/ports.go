package audit

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// A Port is open on the machine: a TCP socket that listens, or a UDP socket without a peer.
type Port struct {
	Network string         `json:"network"` // tcp or udp
	Addr    netip.AddrPort `json:"addr"`
	Program string         `json:"program,omitempty"` // its name and number, where this process may see it
}

// clear are services that send passwords in the clear, or need none.
var clear = map[uint16]string{21: "ftp", 23: "telnet", 69: "tftp", 161: "snmp", 512: "rexec", 513: "rlogin", 514: "rsh", 2323: "telnet", 2375: "docker", 5555: "adb", 6379: "redis", 1883: "mqtt without TLS"}

func isLoopback(u string) bool {
	at, err := url.Parse(u)
	if err != nil {
		return false
	}
	if at.Hostname() == "localhost" {
		return true
	}
	a, err := netip.ParseAddr(at.Hostname())
	return err == nil && a.Unmap().IsLoopback()
}

// listeners looks at the ports of the firmware.
func (r *Report) listeners(o Options) {
	for _, l := range o.Listeners {
		at, err := url.Parse(l.URL)
		switch {
		case err != nil:
			r.found(Unsafe, fmt.Sprintf("the listener %q is malformed", l.URL), "it is not known what it opens", "correct the settings")
		case at.Scheme == "http" && !l.Redirects && !isLoopback(l.URL):
			r.found(Unsafe, l.URL+" speaks HTTP without TLS", "everybody on the way can read passwords and change pages", "use HTTPS there, or listen on a loopback address")
		}
	}
}

// ports looks at the ports of the machine.
func (r *Report) ports(o Options) {
	if o.Proc == "-" {
		return
	}
	programs := socketOwners(o.Proc)
	var failed error
	for _, file := range []string{"tcp", "tcp6", "udp", "udp6"} {
		list, err := readPorts(filepath.Join(o.Proc, "net", file), strings.TrimSuffix(file, "6"), programs)
		if err != nil && !isMissing(err) {
			failed = err
		}
		for _, p := range list {
			if !slices.ContainsFunc(r.Ports, func(q Port) bool { return q == p }) {
				r.Ports = append(r.Ports, p)
			}
		}
	}
	if failed != nil {
		r.found(Warning, fmt.Sprintf("the open ports are not known: %v", failed), "other programs may be reached from the network", "run the audit where it can read "+o.Proc)
	}
	for _, p := range r.Ports {
		if p.Addr.Addr().Unmap().IsLoopback() || r.isOurs(p) {
			continue
		}
		what := fmt.Sprintf("%s %s is open%s", p.Network, p.Addr, map[bool]string{true: ", by " + p.Program}[p.Program != ""])
		if name := clear[p.Addr.Port()]; name != "" {
			r.found(Unsafe, what+": "+name, "it takes commands or passwords without encryption", "turn it off, or have it listen on a loopback address")
		} else if p.Network == "tcp" {
			r.found(Warning, what, "each open port can be attacked, and this one is not the firmware's", "turn it off if it is not needed")
		} else {
			r.found(Note, what, "each open port can be attacked, and this one is not the firmware's", "turn it off if it is not needed")
		}
	}
}

// isOurs reports whether a port is one of the firmware's listeners.
func (r *Report) isOurs(p Port) bool {
	return p.Network == "tcp" && slices.ContainsFunc(r.Listeners, func(l Listener) bool {
		at, err := url.Parse(l.URL)
		if err != nil {
			return false
		}
		a, err := netip.ParseAddr(at.Hostname())
		if at.Hostname() == "" {
			a, err = netip.IPv6Unspecified(), nil // as conn.ParseAddr has it
		}
		return err == nil && strconv.Itoa(int(p.Addr.Port())) == at.Port() && (a.Unmap() == p.Addr.Addr().Unmap() || a.IsUnspecified() && p.Addr.Addr().IsUnspecified())
	})
}

// readPorts reads a file such as /proc/net/tcp: see proc_net_tcp(5).
func readPorts(file, network string, programs map[string]string) (list []Port, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // the names of the columns
	for lines.Scan() {
		cols := strings.Fields(lines.Text())
		if len(cols) < 10 {
			continue
		}
		const listens, unconnected = "0A", "07"
		if network == "tcp" && cols[3] != listens || network == "udp" && cols[3] != unconnected {
			continue
		}
		addr, err := parseHexAddr(cols[1])
		if err != nil {
			return list, fmt.Errorf("%s: %w", file, err)
		}
		list = append(list, Port{network, addr, programs[cols[9]]})
	}
	return list, lines.Err()
}

// parseHexAddr reads "0100007F:1F90": words of 32 bits in the byte order of the machine.
func parseHexAddr(s string) (netip.AddrPort, error) {
	host, port, _ := strings.Cut(s, ":")
	raw, err := hex.DecodeString(host)
	if err != nil || len(raw) != 4 && len(raw) != 16 {
		return netip.AddrPort{}, fmt.Errorf("%q is no address", s)
	}
	n, err := strconv.ParseUint(port, 16, 16)
	if err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q has no port", s)
	}
	for i := 0; i < len(raw); i += 4 {
		binary.NativeEndian.PutUint32(raw[i:], binary.BigEndian.Uint32(raw[i:]))
	}
	a, _ := netip.AddrFromSlice(raw)
	return netip.AddrPortFrom(a.Unmap(), uint16(n)), nil
}

// socketOwners returns the programs by the inodes of their sockets: those that this process may see.
func socketOwners(proc string) map[string]string {
	owners := map[string]string{}
	links, err := filepath.Glob(filepath.Join(proc, "[0-9]*", "fd", "*"))
	if err != nil {
		return owners
	}
	for _, link := range links {
		to, err := os.Readlink(link)
		inode, ok := strings.CutPrefix(to, "socket:[")
		if err != nil || !ok {
			continue
		}
		dir := filepath.Dir(filepath.Dir(link))
		name, err := os.ReadFile(filepath.Join(dir, "comm"))
		if err != nil {
			continue
		}
		owners[strings.TrimSuffix(inode, "]")] = strings.TrimSpace(string(name)) + " (" + filepath.Base(dir) + ")"
	}
	return owners
}
