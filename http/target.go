package http

import "bytes"

var (
	errTarget     = &refusal{400, "target has none of the four forms for its method"}
	errEscape     = &refusal{400, "malformed percent-encoding"}
	errMisdirect  = &refusal{421, "https target on a connection without TLS"}
	errTargetPath = &refusal{400, "byte not allowed in the path"}
	errConnect    = &refusal{501, "CONNECT is not implemented"}
)

// A target is a request-target taken apart. Its slices lie in the request.
type target struct {
	https bool   // the scheme of the absolute form
	host  []byte // of the absolute form, which overrides the Host field; else nil
	path  []byte // still encoded, "/" when the absolute form has none, "*" for the asterisk form
	query []byte // behind the "?", nil without one
}

var (
	slash    = []byte("/")
	asterisk = []byte("*")
)

// parseTarget takes t apart by the forms of RFC 9112 3.2: the method decides which are allowed.
func parseTarget(method string, t []byte) (u target, err error) {
	switch {
	case method == "CONNECT":
		// RFC 9112 3.2.3: the authority form is for CONNECT only, and CONNECT has no other.
		if checkHost(t, true) != nil {
			return u, errTarget
		}
		return u, errConnect
	case t[0] == '/':
		u.path = t
	case t[0] == '*':
		// RFC 9112 3.2.4: the asterisk form is for a server-wide OPTIONS.
		if len(t) != 1 || method != "OPTIONS" {
			return u, errTarget
		}
		u.path = t
		return u, nil
	default:
		if err = u.absolute(t); err != nil {
			return u, err
		}
	}
	if i := bytes.IndexByte(u.path, '?'); i >= 0 {
		u.path, u.query = u.path[:i:i], u.path[i+1:]
	}
	if len(u.path) == 0 {
		// RFC 9112 3.2.4: the absolute form of "OPTIONS *" has neither path nor query.
		if u.path = slash; method == "OPTIONS" && u.query == nil {
			u.path = asterisk
		}
	}
	if !all(u.path, pathByte) {
		return u, errTargetPath
	}
	return u, nil
}

// absolute cuts scheme and authority off the absolute form (RFC 9112 3.2.2) and leaves path and query in u.path.
func (u *target) absolute(t []byte) error {
	colon := bytes.IndexByte(t, ':')
	if colon < 0 || !bytes.HasPrefix(t[colon:], []byte("://")) {
		return errTarget
	}
	if u.https = foldEqual(t[:colon], "https"); !u.https && !foldEqual(t[:colon], "http") {
		return errTarget
	}
	t = t[colon+3:]
	end := bytes.IndexAny(t, "/?")
	if end < 0 {
		end = len(t)
	}
	// RFC 9110 4.2.4: userinfo is treated as an error; "@" is no byte of a host.
	u.host, u.path = t[:end:end], t[end:]
	return checkHost(u.host, false)
}

// allowed checks what Options say about targets.
func (u *target) allowed(o *Options) error {
	if u.https && !o.HTTPS {
		return errMisdirect
	}
	if !o.StrictTarget {
		return nil
	}
	if !all(u.path, strictByte) || !all(u.query, strictByte) {
		return errTargetByte
	}
	return checkEscapes(u.query)
}

// checkEscapes returns errEscape when there is a percent sign in b without two hex digits behind it.
func checkEscapes(b []byte) error {
	for {
		i := bytes.IndexByte(b, '%')
		if i < 0 {
			return nil
		}
		if !isEscape(b[i:]) {
			return errEscape
		}
		b = b[i+3:]
	}
}

// decodePath returns path percent-decoded: path itself when there is nothing to decode, else a piece appended to buf[:0].
func decodePath(buf, path []byte) (decoded, grown []byte, err error) {
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
		if !isEscape(path[i:]) {
			return nil, buf, errEscape
		}
		buf = append(buf, unhex(path[i+1])<<4|unhex(path[i+2]))
		i += 3
	}
	return buf, buf, nil
}
