package route

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A Pattern is what http.Mux.Handle registers: [METHOD ][HOST]/PATH.
type Pattern struct {
	Text   string
	Method string // "" is any; "GET" is HEAD, too
	Host   string // in lower case; "" is any
	segs   []segment
	Names  []string // of the wildcards, in the order of the path
}

// A segKind tells what a segment stands for. Where two kinds match the same text, the lower one is
// narrower.
type segKind uint8

const (
	segLiteral segKind = iota // one segment, its text
	segSingle                 // {name}: any one segment that is not Empty
	segEnd                    // {$}: nothing after a slash
	segRest                   // {name...}, or the end of a Pattern after a slash: all that is left, even nothing
)

type segment struct {
	kind segKind
	text string // the literal, percent-decoded; or the name of the wildcard, if it has one
}

// Parse parses s. A pattern that could match no request is an error, too.
func Parse(s string) (*Pattern, error) {
	p := &Pattern{Text: s}
	rest := s
	if i := strings.IndexAny(s, " \t"); i >= 0 {
		p.Method, rest = s[:i], strings.TrimLeft(s[i:], " \t")
	}
	if !wire.All(p.Method, wire.TokenByte) {
		return nil, fmt.Errorf("%q is no method", p.Method)
	}
	if p.Method == "CONNECT" {
		return nil, errors.New("CONNECT is not implemented, and never gets here")
	}
	i := strings.IndexByte(rest, '/')
	if i < 0 {
		return nil, errors.New("a pattern is [METHOD ][HOST]/PATH: the slash is missing")
	}
	if err := p.setHost(rest[:i]); err != nil {
		return nil, err
	}
	return p, p.setPath(rest[i:])
}

func (p *Pattern) setHost(host string) error {
	if host == "" {
		return nil
	}
	if strings.IndexByte(host, '{') >= 0 {
		return fmt.Errorf("the host %q has a wildcard, or lacks the slash before it", host)
	}
	if strings.LastIndexByte(host, ':') > strings.LastIndexByte(host, ']') {
		return fmt.Errorf("the host %q has a port: hosts are compared without it", host)
	}
	if wire.CheckHost([]byte(host), false) != nil {
		return fmt.Errorf("malformed host %q", host)
	}
	p.Host = strings.ToLower(strings.TrimSuffix(host, "."))
	return nil
}

func (p *Pattern) setPath(text string) error {
	if clean := CleanPath(text); clean != text {
		return fmt.Errorf("the path can match no request: such requests are redirected to %s", clean)
	}
	for text != "" {
		seg, tail := text[1:], ""
		if i := strings.IndexByte(seg, '/'); i >= 0 {
			seg, tail = seg[:i], seg[i:]
		}
		s, err := parseSegment(seg)
		if err != nil {
			return err
		}
		if s.kind >= segEnd && tail != "" {
			return fmt.Errorf("%s is not the last segment", seg)
		}
		if s.kind != segLiteral && s.text != "" {
			for _, name := range p.Names {
				if name == s.text {
					return fmt.Errorf("two wildcards have the name %s", name)
				}
			}
			p.Names = append(p.Names, s.text)
		}
		p.segs = append(p.segs, s)
		text = tail
	}
	return nil
}

func parseSegment(seg string) (segment, error) {
	open := strings.IndexByte(seg, '{')
	switch {
	case seg == "":
		return segment{kind: segRest}, nil
	case open < 0:
		b, _, err := wire.DecodePath(nil, []byte(seg))
		if err != nil {
			return segment{}, fmt.Errorf("malformed percent-encoding in %q", seg)
		}
		return segment{segLiteral, string(b)}, nil
	case open > 0 || seg[len(seg)-1] != '}':
		return segment{}, fmt.Errorf("the wildcard in %q does not fill the segment", seg)
	case seg == "{$}":
		return segment{kind: segEnd}, nil
	}
	name, many := strings.CutSuffix(seg[1:len(seg)-1], "...")
	if !isIdentifier(name) {
		return segment{}, fmt.Errorf("the wildcard name %q is no Go identifier", name)
	}
	if many {
		return segment{segRest, name}, nil
	}
	return segment{segSingle, name}, nil
}

func isIdentifier(s string) bool {
	for i, r := range s {
		if r != '_' && !unicode.IsLetter(r) && (i == 0 || !unicode.IsDigit(r)) {
			return false
		}
	}
	return s != ""
}

// CleanPath returns p, which begins with a slash, without empty, "." and ".." segments. A slash at
// the end stays.
func CleanPath(p string) string {
	clean := path.Clean(p)
	if p[len(p)-1] == '/' && clean != "/" {
		clean += "/"
	}
	return clean
}

// IsClean reports whether CleanPath would leave p as it is.
func IsClean(p []byte) bool {
	for i, x := range p {
		if x != '/' {
			continue
		}
		switch rest := p[i+1:]; {
		case len(rest) == 0:
		case rest[0] == '/':
			return false
		case rest[0] == '.':
			if rest = rest[1:]; len(rest) > 0 && rest[0] == '.' {
				rest = rest[1:]
			}
			if len(rest) == 0 || rest[0] == '/' {
				return false
			}
		}
	}
	return true
}

// A relation says which requests two patterns of one host match. A pattern is a product of sets: of
// methods, and of the texts of each segment. So a bit that is set for one factor is set for the
// whole, unless they are apart.
type relation uint8

const (
	onlyFirst  relation = 1 << iota // there is a request that only the first matches
	onlySecond                      // there is one that only the second matches
	apart                           // there is none that both match
)

// conflicts reports whether a request matches both patterns, and neither is more specific than the
// other.
func (p *Pattern) conflicts(q *Pattern) bool {
	if p.Host != q.Host {
		return false
	}
	r := compareMethods(p.Method, q.Method)
	for i := 0; i < len(p.segs) && i < len(q.segs) && r&apart == 0; i++ {
		r |= compareSegments(p.segs[i], q.segs[i])
	}
	// If one path is longer, the last segment of the other has to match the rest of it; then the
	// other is the wider one already.
	if a, b := p.segs, q.segs; len(a) != len(b) {
		if len(a) > len(b) {
			a, b = b, a
		}
		if a[len(a)-1].kind != segRest {
			return false
		}
	}
	return r == 0 || r == onlyFirst|onlySecond
}

func compareMethods(a, b string) relation {
	switch {
	case a == b:
		return 0
	case a == "" || a == "GET" && b == "HEAD":
		return onlyFirst
	case b == "" || b == "GET" && a == "HEAD":
		return onlySecond
	}
	return apart
}

func compareSegments(a, b segment) relation {
	switch {
	case a.kind == b.kind:
		if a.kind == segLiteral && a.text != b.text {
			return apart
		}
		return 0
	case a.kind == segRest:
		return onlyFirst
	case b.kind == segRest:
		return onlySecond
	case a.kind == segEnd || b.kind == segEnd:
		return apart
	case a.kind == segSingle:
		return onlyFirst
	}
	return onlySecond
}

// Sample returns a request that two patterns in conflict both match, for the error text.
func Sample(p, q *Pattern) string {
	var b strings.Builder
	method := p.Method
	if method == "" || q.Method == "HEAD" {
		method = q.Method
	}
	if method != "" {
		b.WriteString(method + " ")
	}
	b.WriteString(p.Host)
	for i := range max(len(p.segs), len(q.segs)) {
		var s segment
		switch {
		case i >= len(p.segs):
			s = q.segs[i]
		case i >= len(q.segs) || p.segs[i].kind < q.segs[i].kind:
			s = p.segs[i]
		default:
			s = q.segs[i]
		}
		b.WriteByte('/')
		if s.kind < segEnd {
			b.WriteString(s.text)
		}
	}
	return b.String()
}
