package dns

import (
	"encoding/binary"
	"fmt"
	"slices"
)

// A Service is something that this host offers, or that Browse has found.
type Service struct {
	// Name is what people see: "Boiler in the cellar", 1 to 63 bytes of UTF-8. If another service
	// of the type has it, " (2)" or the like is appended.
	Name string
	Type string   // such as "_http._tcp"
	Port uint16   // of the SRV record
	TXT  []string // such as "path=/"; 255 bytes each
	// Subtypes are kinds of the type, such as "_printer": a client that browses for
	// _printer._sub._http._tcp finds only services that have it (RFC 6763 §7.1). 1 to 63 bytes
	// each, 16 at most. Browse does not tell them.
	Subtypes []string
}

// SetHost announces the addresses of this host as label.local. If another host has that name, -2 or
// the like is appended. told, which may be nil, is called with the label when it stands, and again
// if it has to change. There is one host; SetHost may be called once.
func (d *Multicast) SetHost(label string, told func(label string)) error {
	if d.ended || d.host != nil || !isName(label+".local") || nameOf(label).labels() == nil || len(nameOf(label).labels()) != 1 {
		return fmt.Errorf("dns: multicast: host %q: %w", label, errHost)
	}
	k := &claim{d: d, base: label, n: 1, in: d.local, told: told}
	k.unique = func(on *Interface) []record {
		name := k.name()
		var list []record
		for _, p := range on.Addrs {
			a := p.Addr()
			kind := uint16(kindA)
			if a.Is6() {
				kind = kindAAAA
			}
			list = append(list, record{name, kind, true, hostTTL, string(a.AsSlice())})
		}
		return list
	}
	k.shared = func() []record { return nil }
	k.others = func(on *Interface) (list []record) {
		for _, p := range on.Addrs { // no other host has the address
			list = append(list, record{nameOf(reverse(p.Addr())), kindPTR, true, hostTTL, string(k.name()) + "\x00"})
		}
		return list
	}
	d.host = k
	d.add(k)
	return nil
}

// Announce announces a service of this host, for which SetHost must have been called. told, which
// may be nil, is called with the name of the service when it stands, and again if it has to change.
// The result withdraws the service.
func (d *Multicast) Announce(s Service, told func(name string)) (withdraw func(), err error) {
	kind, err := typeOf(s.Type)
	switch {
	case err != nil:
	case d.ended || d.host == nil:
		err = errHost
	case s.Name == "" || len(s.Name) > 63:
		err = errLabel
	}
	text := ""
	for _, t := range s.TXT {
		if len(t) > 255 {
			err = fmt.Errorf("a string of TXT has more than 255 bytes")
			break
		}
		text += string([]byte{byte(len(t))}) + t
	}
	for _, sub := range s.Subtypes {
		if sub == "" || len(sub) > 63 || len(s.Subtypes) > mostSubtypes {
			err = fmt.Errorf("%d subtypes, and %q: 16 of 1 to 63 bytes at most", len(s.Subtypes), sub)
			break
		}
	}
	if len(text) > 1000 {
		err = fmt.Errorf("TXT has %d bytes, 1000 at most", len(text))
	}
	if err != nil {
		return nil, fmt.Errorf("dns: announce %q: %w", s.Name, err)
	}
	if text == "" {
		text = "\x00" // RFC 6763 §6.1
	}
	subtypes := slices.Clone(s.Subtypes)
	k := &claim{d: d, base: s.Name, n: 1, in: kind + d.local, told: told}
	k.unique = func(*Interface) []record {
		srv := string(binary.BigEndian.AppendUint16([]byte{0, 0, 0, 0}, s.Port)) + string(d.host.name()) + "\x00"
		return []record{{k.name(), kindSRV, true, hostTTL, srv}, {k.name(), kindTXT, true, otherTTL, text}}
	}
	k.shared = func() []record {
		list := []record{{k.in, kindPTR, false, otherTTL, string(k.name()) + "\x00"}, {typesName, kindPTR, false, otherTTL, string(k.in) + "\x00"}}
		for _, sub := range subtypes {
			list = append(list, record{k.in.in("_sub").in(sub), kindPTR, false, otherTTL, string(k.name()) + "\x00"})
		}
		return list
	}
	k.others = func(*Interface) []record { return nil }
	d.add(k)
	return func() {
		if k.kind != gone {
			k.goodbye()
			k.stop()
			d.own = slices.DeleteFunc(d.own, func(x *claim) bool { return x == k })
		}
	}, nil
}

var errHost = fmt.Errorf("SetHost comes first, once, with one label of letters, digits and -")

// typesName has the types of all services (RFC 6763 §9).
var typesName = nameOf("_services._dns-sd._udp.local")

const mostSubtypes = 16

// typeOf reads the type of a service, _name._tcp or _name._udp (RFC 6763 §7).
func typeOf(s string) (wname, error) {
	n := nameOf(s)
	l := n.labels()
	if len(l) != 2 || l[0][0] != '_' || l[1] != "_tcp" && l[1] != "_udp" {
		return "", fmt.Errorf("type %q is not like _http._tcp", s)
	}
	return n, nil
}
