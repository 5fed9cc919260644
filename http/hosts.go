package http

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// errOtherHost names the host: the owner of a device has to know it in order to allow it.
func errOtherHost(host []byte) *wire.Refusal {
	return &wire.Refusal{Status: 421, Text: fmt.Sprintf("%q is none of Options.Hosts and no name of this machine", host)}
}

// AnyHost is the entry of Options.Hosts that turns the check off.
const AnyHost = "*"

// A hostCheck tells whether a request is for this server: Options.Hosts and HostFunc.
type hostCheck struct {
	on    bool
	names []string // in lower case, without a dot at the end
	addrs []netip.Addr
	more  func(host []byte) bool // Options.HostFunc
	known []byte                 // the Host that was let in last, not by more: most likely that of the next request
}

// newHostCheck returns an error for an entry that no Host could match.
func newHostCheck(hosts []string, more func(host []byte) bool) (h hostCheck, err error) {
	h.on, h.more = more != nil, more
	for _, host := range hosts {
		if host == AnyHost {
			return hostCheck{}, nil
		}
		h.on = true
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			h.addrs = append(h.addrs, a.Unmap().WithZone(""))
			continue
		}
		if strings.IndexByte(host, ':') >= 0 || wire.CheckHost([]byte(host), false) != nil {
			return hostCheck{}, fmt.Errorf("Options.Hosts: %q is neither a host name nor an address without a port", host)
		}
		h.names = append(h.names, string(wire.AppendHost(nil, []byte(host))))
	}
	return h, nil
}

// allows reports whether a request with this Host is let in on c. A request without one, as
// HTTP/1.0 allows it, comes from no browser, and is let in.
func (h *hostCheck) allows(c *conn.Conn, host []byte) bool {
	return !h.on || bytes.Equal(host, h.known) || h.judge(c, host)
}

// judge is allows for another host than the last one.
func (h *hostCheck) judge(c *conn.Conn, host []byte) bool {
	if len(host) == 0 {
		return true
	}
	var room [wire.MaxHost]byte
	name := wire.AppendHost(room[:0], host)
	if !h.named(name) && !h.addressed(c, name) {
		return h.more != nil && h.more(name)
	}
	h.known = append(h.known[:0], host...)
	return true
}

// named reports whether name is an entry of Options.Hosts, localhost, or a name of the machine.
func (h *hostCheck) named(name []byte) bool {
	for _, n := range h.names {
		if string(name) == n {
			return true
		}
	}
	if string(name) == "localhost" {
		return true
	}
	// The kernel is asked each time: a device may get its name after its server was started.
	machine, err := os.Hostname()
	if err != nil || machine == "" {
		return false
	}
	var room [wire.MaxHost]byte
	machine = string(wire.AppendHost(room[:0], []byte(machine)))
	label, _, _ := strings.Cut(machine, ".")
	bare, isLocal := bytes.CutSuffix(name, []byte(".local")) // RFC 6762: the name in multicast DNS
	return string(name) == machine || string(name) == label || isLocal && string(bare) == label
}

// addressed reports whether name is the IP literal of an entry of Options.Hosts, or of an address
// of this machine. A browser sends such a Host only for a URL with that address: a page of another
// name cannot make it do so.
func (h *hostCheck) addressed(c *conn.Conn, name []byte) bool {
	if len(name) == 0 || name[0] != '[' && !wire.IsDigit(name[0]) {
		return false
	}
	name = bytes.TrimSuffix(bytes.TrimPrefix(name, []byte("[")), []byte("]"))
	a, err := netip.ParseAddr(string(name))
	if err != nil {
		return false
	}
	a = a.Unmap()
	// The connection's own address costs no system call. It may also be link-local, with a zone,
	// which a Host never has (RFC 3986 3.2.2).
	return slices.Contains(h.addrs, a) || a == c.LocalAddr().Addr().Unmap().WithZone("") || conn.IsLocal(a)
}
