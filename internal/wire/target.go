package wire

import (
	"bytes"
)

var (
	errTarget     = &Refusal{400, "target has none of the four forms for its method"}
	errEscape     = &Refusal{400, "malformed percent-encoding"}
	errTargetPath = &Refusal{400, "byte not allowed in the path"}
	errConnect    = &Refusal{501, "CONNECT is not implemented"}
)

// A Target is a request-target taken apart. Its slices lie in the request.
type Target struct {
	HTTPS bool   // the scheme of the absolute form
	Host  []byte // of the absolute form, which overrides the Host field; else nil
	Path  []byte // still encoded, "/" when the absolute form has none, "*" for the asterisk form
	Query []byte // after the "?", nil without one
}

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// ParseTarget takes t apart by the forms of RFC 9112 3.2: the method decides which are allowed.
func ParseTarget(method string, t []byte) (u Target, bad *Refusal) {
	switch {
	case method == "CONNECT":
		// RFC 9112 3.2.3: the authority form is for CONNECT only, and CONNECT has no other.
		if CheckHost(t, true) != nil {
			return u, errTarget
		}
		return u, errConnect
	case t[0] == '/':
		u.Path = t
	case t[0] == '*':
		// RFC 9112 3.2.4: the asterisk form is for a server-wide OPTIONS.
		if len(t) != 1 || method != "OPTIONS" {
			return u, errTarget
		}
		u.Path = t
		return u, nil
	default:
		if bad = u.absolute(t); bad != nil {
			return u, bad
		}
	}
	if i := bytes.IndexByte(u.Path, '?'); i >= 0 {
		u.Path, u.Query = u.Path[:i:i], u.Path[i+1:]
	}
	if len(u.Path) == 0 {
		// RFC 9112 3.2.4: the absolute form of "OPTIONS *" has neither path nor query.
		if u.Path = slash; method == "OPTIONS" && u.Query == nil {
			u.Path = asterisk
		}
	}
	if !All(u.Path, PathByte) {
		return u, errTargetPath
	}
	return u, nil
}

// absolute cuts scheme and authority off the absolute form (RFC 9112 3.2.2) and leaves path and
// query in u.path.
func (u *Target) absolute(t []byte) *Refusal {
	colon := bytes.IndexByte(t, ':')
	if colon < 0 || !bytes.HasPrefix(t[colon:], []byte("://")) {
		return errTarget
	}
	if u.HTTPS = FoldEqual(t[:colon], "https"); !u.HTTPS && !FoldEqual(t[:colon], "http") {
		return errTarget
	}
	t = t[colon+3:]
	end := 0 // not by bytes.IndexAny: it would be linked for this alone
	for end < len(t) && t[end] != '/' && t[end] != '?' {
		end++
	}
	// RFC 9110 4.2.4: userinfo is treated as an error; "@" is no byte of a host.
	u.Host, u.Path = t[:end:end], t[end:]
	return CheckHost(u.Host, false)
}

// CheckStrict refuses what RFC 3986 keeps out of a path or a query, though browsers send it.
func (u *Target) CheckStrict() *Refusal {
	if !All(u.Path, StrictByte) || !All(u.Query, StrictByte) {
		return errTargetByte
	}
	return checkEscapes(u.Query)
}

// checkEscapes returns errEscape when there is a percent sign in b without two hex digits after
// it.
func checkEscapes(b []byte) *Refusal {
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return nil
		}
		if !IsEscape(b[i:]) {
			return errEscape
		}
		b = b[i+3:]
	}
}

// DecodePath returns path percent-decoded: path itself when there is nothing to decode, else a
// piece appended to buf[:0].
func DecodePath(buf, path []byte) (decoded, grown []byte, bad *Refusal) {
	i := bytes.IndexByte(path, '%')
	if i < 0 {
		return path, buf, nil
	}
	buf = append(buf[:0], path[:i]...)
	for i < len(path) {
		if path[i] != '%' {
			buf = append(buf, path[i])
			i++
			continue
		}
		if !IsEscape(path[i:]) {
			return nil, buf, errEscape
		}
		buf = append(buf, Unhex(path[i+1])<<4|Unhex(path[i+2]))
		i += 3
	}
	return buf, buf, nil
}
