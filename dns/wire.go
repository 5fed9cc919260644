package dns

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"strings"
)

// Multicast DNS has names that dnsmessage refuses: those of services are text, with dots and spaces
// within a label (RFC 6763 §4.1.1). So its messages are read and written here.

// A wname is a name as it stands in a message, each label after its length, without the root.
type wname string

// record is one resource record. data is the rdata with its names written out.
type record struct {
	name  wname
	kind  uint16
	flush bool // the cache-flush bit (RFC 6762 §10.2)
	ttl   uint32
	data  string
}

// ask is one question.
type asked struct {
	name    wname
	kind    uint16
	unicast bool // the unicast-response bit (RFC 6762 §5.4)
}

// packet is a message. Records and questions of another class than IN are left out.
type packet struct {
	id       uint16
	response bool
	more     bool // TC: further known answers follow
	asked    []asked
	answers  []record
	claims   []record // the authority section: what a prober wants to have
	extra    []record
}

// The kinds of record that multicast DNS needs.
const (
	kindA    = 1
	kindPTR  = 12
	kindTXT  = 16
	kindAAAA = 28
	kindSRV  = 33
	kindNSEC = 47
	kindAny  = 255
	classIN  = 1
	classTop = 1 << 15
)

var errPacket = errors.New("not a DNS message")

// readPacket reads a message. What it returns does not refer to b.
func readPacket(b []byte) (*packet, error) {
	if len(b) < 12 {
		return nil, errPacket
	}
	flags := binary.BigEndian.Uint16(b[2:])
	// RFC 6762 §18.3, §18.11: other opcodes and response codes are passed over.
	if flags>>11&15 != 0 || flags&15 != 0 {
		return nil, errPacket
	}
	p := &packet{id: binary.BigEndian.Uint16(b), response: flags&(1<<15) != 0, more: flags&(1<<9) != 0}
	off := 12
	for range binary.BigEndian.Uint16(b[4:]) {
		name, at, err := readName(b, off)
		if err != nil || at+4 > len(b) {
			return nil, errPacket
		}
		class := binary.BigEndian.Uint16(b[at+2:])
		if class&^classTop == classIN || class&^classTop == kindAny {
			p.asked = append(p.asked, asked{name, binary.BigEndian.Uint16(b[at:]), class&classTop != 0})
		}
		off = at + 4
	}
	for i, list := range []*[]record{&p.answers, &p.claims, &p.extra} {
		for range binary.BigEndian.Uint16(b[6+2*i:]) {
			r, at, err := readRecord(b, off)
			if err != nil {
				return nil, err
			}
			if r.kind != 0 {
				*list = append(*list, r)
			}
			off = at
		}
	}
	return p, nil
}

// readRecord reads the record at off. Its kind is 0 if it is to be left out.
func readRecord(b []byte, off int) (r record, end int, err error) {
	name, at, err := readName(b, off)
	if err != nil || at+10 > len(b) {
		return r, 0, errPacket
	}
	kind, class := binary.BigEndian.Uint16(b[at:]), binary.BigEndian.Uint16(b[at+2:])
	ttl := seconds(binary.BigEndian.Uint32(b[at+4:]))
	at += 10
	end = at + int(binary.BigEndian.Uint16(b[at-2:]))
	if end > len(b) {
		return r, 0, errPacket
	}
	if class&^classTop != classIN {
		return r, end, nil
	}
	data, err := readData(b, kind, at, end)
	return record{name, kind, class&classTop != 0, ttl, data}, end, err
}

// readData returns the rdata at b[at:end] with its names written out.
func readData(b []byte, kind uint16, at, end int) (string, error) {
	fixed := 0
	switch kind {
	case kindPTR:
	case kindSRV:
		fixed = 6
	case kindNSEC: // a name and a bitmap
		name, after, err := readName(b, at)
		if err != nil || after > end {
			return "", errPacket
		}
		return string(name) + "\x00" + string(b[after:end]), nil
	case kindA:
		if end-at != 4 {
			return "", errPacket
		}
		return string(b[at:end]), nil
	case kindAAAA:
		if end-at != 16 {
			return "", errPacket
		}
		return string(b[at:end]), nil
	default:
		return string(b[at:end]), nil
	}
	if at+fixed > end {
		return "", errPacket
	}
	name, after, err := readName(b, at+fixed)
	if err != nil || after != end {
		return "", errPacket
	}
	return string(b[at:at+fixed]) + string(name) + "\x00", nil
}

// maxPointers bounds the pointers of a name: each leads to a label or more, of which a name has 127 at
// most. Without a bound a message of 9000 bytes could have a chain of 1500, and 1500 names that begin it.
const maxPointers = 127

// readName reads the name at off, and returns what comes after it. A pointer must lead back, to
// before all that was read of the name: so no chain of pointers goes in a circle.
func readName(b []byte, off int) (name wname, next int, err error) {
	var out []byte
	low := off
	for hops := 0; ; {
		if off >= len(b) {
			return "", 0, errPacket
		}
		n := int(b[off])
		switch {
		case n == 0:
			if next == 0 {
				next = off + 1
			}
			return wname(out), next, nil
		case n < 64:
			if off+1+n > len(b) || len(out)+1+n > 254 {
				return "", 0, errPacket
			}
			out = append(out, b[off:off+1+n]...)
			off += 1 + n
		case n >= 0xc0 && off+1 < len(b):
			to := n&0x3f<<8 | int(b[off+1])
			if hops++; to >= low || hops > maxPointers {
				return "", 0, errPacket
			}
			if next == 0 {
				next = off + 2
			}
			off, low = to, to
		default:
			return "", 0, errPacket
		}
	}
}

// key returns n in lower case: names that differ in case are the same (RFC 6762 §16). The lengths
// of labels are below 'A'.
func (n wname) key() wname {
	for i := range len(n) {
		if b := n[i]; 'A' <= b && b <= 'Z' {
			return wname(lower(string(n), i))
		}
	}
	return n
}

// labels splits n.
func (n wname) labels() (list []string) {
	for len(n) > 0 {
		list = append(list, string(n[1:1+n[0]]))
		n = n[1+n[0]:]
	}
	return list
}

// String joins the labels with dots, for names of hosts and types.
func (n wname) String() string { return strings.Join(n.labels(), ".") }

// nameOf returns a name of text, whose dots separate labels. It is "" if that is none.
func nameOf(text string) (n wname) {
	for label := range strings.SplitSeq(strings.TrimSuffix(text, "."), ".") {
		if label == "" || len(label) > 63 {
			return ""
		}
		n += wname(rune(len(label))) + wname(label)
	}
	if len(n) > 254 {
		return ""
	}
	return n
}

// in returns the name of label in n. A label may have any bytes.
func (n wname) in(label string) wname { return wname(rune(len(label))) + wname(label) + n }

// target returns the name in the data of a PTR or SRV record.
func (r *record) target() wname {
	d := r.data
	if r.kind == kindSRV {
		if len(d) < 7 {
			return ""
		}
		d = d[6:]
	}
	return wname(strings.TrimSuffix(d, "\x00"))
}

// nsec returns the record that says of which kinds name has records, and so that it has no others,
// in the form that multicast DNS has (RFC 6762 §6.1). Kinds are below 256.
func nsec(name wname, ttl uint32, kinds ...uint16) record {
	var bits [32]byte
	n := 0
	for _, kind := range kinds {
		bits[kind/8] |= 0x80 >> (kind % 8)
		n = max(n, int(kind/8)+1)
	}
	return record{name, kindNSEC, true, ttl, string(name) + "\x00" + string([]byte{0, byte(n)}) + string(bits[:n])}
}

// denial returns the name in the data of an NSEC record, and the bitmap after it.
func (r *record) denial() (name wname, bitmap string) {
	i := 0
	for i < len(r.data) && r.data[i] != 0 {
		i += 1 + int(r.data[i])
	}
	if i >= len(r.data) {
		return "", ""
	}
	return wname(r.data[:i]), r.data[i+1:]
}

// denies reports whether an NSEC record says that its name has no records of a kind below 256.
// Other forms than that of RFC 6762 say nothing.
func (r *record) denies(kind uint16) bool {
	name, bitmap := r.denial()
	if r.kind != kindNSEC || name.key() != r.name.key() {
		return false
	}
	n := len(bitmap) - 2
	if n < 1 || n > 32 || bitmap[0] != 0 || int(bitmap[1]) != n {
		return false
	}
	i := int(kind / 8)
	return i >= n || bitmap[2+i]&(0x80>>(kind%8)) == 0
}

// port returns the port of a SRV record.
func (r *record) port() uint16 { return uint16(r.data[4])<<8 | uint16(r.data[5]) }

// addr returns the address of an A or AAAA record.
func (r *record) addr() netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(r.data))
	return a.Unmap()
}

// strings returns the strings of a TXT record.
func (r *record) strings() (list []string) {
	for d := r.data; len(d) > 0; {
		n := int(d[0])
		if 1+n > len(d) {
			break
		}
		if n > 0 {
			list = append(list, d[1:1+n])
		}
		d = d[1+n:]
	}
	return list
}

// sameAs reports whether two records say the same; the case of a name in them does not count.
func (r *record) sameAs(o *record) bool {
	if r.kind != o.kind || r.name.key() != o.name.key() {
		return false
	}
	if r.kind == kindPTR {
		return r.target().key() == o.target().key()
	}
	if r.kind == kindNSEC {
		name, bits := r.denial()
		oname, obits := o.denial()
		return name.key() == oname.key() && bits == obits
	}
	if r.kind == kindSRV && len(r.data) > 6 && len(o.data) > 6 {
		return r.data[:6] == o.data[:6] && r.target().key() == o.target().key()
	}
	return r.data == o.data
}

// writer puts a message together, with its names compressed.
type writer struct {
	b     []byte
	names map[wname]int
}

// packetMost is how long a message may be. It fits into one frame of Ethernet (RFC 6762 §17).
const packetMost = 1400

func newWriter(id uint16, flags uint16) *writer {
	w := &writer{b: make([]byte, 12, 512), names: map[wname]int{}}
	binary.BigEndian.PutUint16(w.b, id)
	binary.BigEndian.PutUint16(w.b[2:], flags)
	return w
}

const (
	flagResponse = 1<<15 | 1<<10 // with AA
	flagMore     = 1 << 9
)

func (w *writer) count(section int) {
	binary.BigEndian.PutUint16(w.b[4+2*section:], binary.BigEndian.Uint16(w.b[4+2*section:])+1)
}

func (w *writer) name(n wname) {
	for len(n) > 0 {
		if at, ok := w.names[n]; ok {
			w.b = binary.BigEndian.AppendUint16(w.b, 0xc000|uint16(at))
			return
		}
		if len(w.b) < 0x4000 {
			w.names[n] = len(w.b)
		}
		w.b = append(w.b, n[:1+n[0]]...)
		n = n[1+n[0]:]
	}
	w.b = append(w.b, 0)
}

func (w *writer) ask(q asked) {
	w.name(q.name)
	class := uint16(classIN)
	if q.unicast {
		class |= classTop
	}
	w.b = binary.BigEndian.AppendUint16(w.b, q.kind)
	w.b = binary.BigEndian.AppendUint16(w.b, class)
	w.count(0)
}

// record appends r to a section: 1 answers, 2 authority, 3 additional.
func (w *writer) record(section int, r record) {
	w.name(r.name)
	class := uint16(classIN)
	if r.flush {
		class |= classTop
	}
	w.b = binary.BigEndian.AppendUint16(w.b, r.kind)
	w.b = binary.BigEndian.AppendUint16(w.b, class)
	w.b = binary.BigEndian.AppendUint32(w.b, r.ttl)
	at := len(w.b)
	w.b = append(w.b, 0, 0)
	switch r.kind {
	case kindPTR:
		w.name(r.target())
	case kindSRV: // RFC 6762 §18.14: its name may be compressed, and that of NSEC
		w.b = append(w.b, r.data[:6]...)
		w.name(r.target())
	case kindNSEC:
		name, bitmap := r.denial()
		w.name(name)
		w.b = append(w.b, bitmap...)
	default:
		w.b = append(w.b, r.data...)
	}
	binary.BigEndian.PutUint16(w.b[at:], uint16(len(w.b)-at-2))
	w.count(section)
}

// fits reports whether one more record fits.
func (w *writer) fits(r record) bool { return len(w.b)+len(r.name)+len(r.data)+12 <= packetMost }
