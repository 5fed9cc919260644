package http

import (
	"strings"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// Accepts returns the one of offers, media types such as "text/html" or "text/html; charset=utf-8",
// that the Accept fields of r prefer: the one with the highest q, then the one they name most
// specifically, then the first (RFC 9110 12.5.1). It is "" if none is acceptable: reply with 406.
// Without a valid Accept field it is the first offer.
func (r *Request) Accepts(offers ...string) string {
	best, bestQ, bestLevel := "", 0, 0
	for _, offer := range offers {
		if q, level := r.mediaQuality(offer); q > bestQ || q == bestQ && q > 0 && level > bestLevel {
			best, bestQ, bestLevel = offer, q, level
		}
	}
	return best
}

// mediaQuality returns the q, in thousandths, of the most specific media range that matches the
// offer, and how specific that is.
func (r *Request) mediaQuality(offer string) (q, level int) {
	silent := true
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, "Accept") {
			continue
		}
		v, more := f.Value, true
		for more {
			var element []byte
			element, v, more = wire.CutOutside(v, ',')
			m, ok := parseWeighted(element)
			if !ok || !isMediaRange(m.value) {
				continue
			}
			silent = false
			if l := m.matches(offer); l > level || l == level && l > 0 && m.q > q {
				q, level = m.q, l
			}
		}
	}
	if silent {
		return 1000, 0
	}
	return q, level
}

// AcceptsEncoding returns the one of offers, content codings such as "gzip", that the
// Accept-Encoding fields of r prefer: the one with the highest q, then the first (RFC 9110 12.5.3).
// "identity" is always on offer: put it among offers to prefer it over others, else it comes last.
// The result is "" if not even identity is acceptable. Without an Accept-Encoding field it is
// "identity": a client that says nothing may know no coding.
func (r *Request) AcceptsEncoding(offers ...string) string {
	if _, n := r.only("Accept-Encoding"); n == 0 {
		return "identity"
	}
	best, bestQ := "", 0
	for _, offer := range offers {
		if q := r.codingQuality(offer); q > bestQ {
			best, bestQ = offer, q
		}
	}
	if r.codingQuality("identity") > bestQ {
		best = "identity"
	}
	return best
}

// codingQuality returns the q of the coding, in thousandths and doubled.
func (r *Request) codingQuality(coding string) int {
	named, star := -1, -1
	for _, f := range r.lines() {
		if !wire.FoldEqual(f.Name, "Accept-Encoding") {
			continue
		}
		v, more := f.Value, true
		for more {
			var element []byte
			element, v, more = wire.CutOutside(v, ',')
			m, ok := parseWeighted(element)
			switch {
			case !ok:
			case isCoding(m.value, coding):
				named = max(named, m.q)
			case string(m.value) == "*":
				star = max(star, m.q)
			}
		}
	}
	switch {
	case named >= 0:
		return 2 * named
	case star >= 0:
		return 2 * star
	case strings.EqualFold(coding, "identity"):
		// RFC 9110 12.5.3: acceptable unless excluded, but any coding that is named is wanted more.
		return 1
	}
	return 0
}

// isCoding compares names of codings; x-gzip and x-compress are old names of gzip and compress (RFC
// 9110 8.4.1).
func isCoding(b []byte, coding string) bool {
	if wire.FoldEqual(b, "x-gzip") || wire.FoldEqual(b, "x-compress") {
		b = b[2:]
	}
	return wire.FoldEqual(b, coding)
}

// weighted is an element of a list with q-values.
type weighted struct {
	value  []byte // before the first ";"
	params []byte // from there on, up to the weight
	q      int    // thousandths
}

// parseWeighted parses an element. Parameters after the weight have no meaning (RFC 9110 12.5.1).
func parseWeighted(element []byte) (m weighted, ok bool) {
	m.value, _, _ = wire.CutOutside(element, ';')
	m.q = 1000
	rest := element[len(m.value):]
	m.params = rest
	for len(m.value) > 0 {
		name, value, next, ok := wire.NextParam(rest)
		if !ok {
			return m, false
		}
		if name == nil {
			return m, true
		}
		if wire.FoldEqual(name, "q") {
			m.params = m.params[:len(m.params)-len(rest)]
			m.q, ok = parseQ(value)
			return m, ok
		}
		rest = next
	}
	return m, false
}

// parseQ reads a qvalue (RFC 9110 12.4.2) as thousandths. Clients also send ".2" and more than
// three digits, with a clear meaning; to ignore those would refuse what the clients accept.
func parseQ(v []byte) (q int, ok bool) {
	i, digits := 0, 0
	for ; i < len(v) && wire.IsDigit(v[i]); i++ {
		q = min(q*10+int(v[i]-'0'), 2)
		digits++
	}
	q *= 1000
	if i < len(v) && v[i] == '.' {
		for place := 100; i+1 < len(v) && wire.IsDigit(v[i+1]); i++ {
			q += place * int(v[i+1]-'0')
			place /= 10
			digits++
		}
		i++
	}
	return q, i == len(v) && digits > 0 && q <= 1000
}

// isMediaRange checks type "/" subtype, where both or the second may be "*".
func isMediaRange(v []byte) bool {
	n := wire.TokenLen(v)
	if n == 0 || n == len(v) || v[n] != '/' {
		return false
	}
	sub := v[n+1:]
	return len(sub) > 0 && wire.All(sub, wire.TokenByte) && (string(v[:n]) != "*" || string(sub) == "*")
}

// matches returns how specifically the media range m names the offer: 0 not at all, 1 as */*, 2 by
// its type, 3 by type and subtype, more by each parameter.
func (m *weighted) matches(offer string) int {
	media, params, _ := strings.Cut(offer, ";")
	media = strings.TrimSpace(media)
	level := 3
	switch star := len(m.value) - 1; {
	case string(m.value) == "*/*":
		level = 1
	case m.value[star] == '*' && m.value[star-1] == '/':
		if len(media) < star || !wire.FoldEqual(m.value[:star], media[:star]) {
			return 0
		}
		level = 2
	case !wire.FoldEqual(m.value, media):
		return 0
	}
	for rest := m.params; ; {
		name, value, next, _ := wire.NextParam(rest)
		switch {
		case name == nil:
			return level
		case hasParam(params, name, value):
			level++
		case !wire.FoldEqual(name, "charset") || hasParam(params, name, nil):
			return 0
		default:
			// An offer without a charset matches any: JSON has no such parameter (RFC 8259 §11),
			// but clients send it.
		}
		rest = next
	}
}

// hasParam looks for a parameter with that value, or with any when value is nil, among those of an
// offer.
func hasParam(params string, name, value []byte) bool {
	anyValue := value == nil
	rest := append([]byte{';'}, params...)
	value = wire.AppendUnquoted(nil, value)
	for {
		n, v, next, _ := wire.NextParam(rest)
		if n == nil {
			return false
		}
		if wire.FoldEqual(n, name) && (anyValue || wire.FoldEqual(wire.AppendUnquoted(nil, v), value)) {
			return true
		}
		rest = next
	}
}
