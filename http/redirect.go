package http

import (
	"github.com/seed4930a636/mangusta/conn"
)

// Redirect answers with the status, one of 301, 302, 303, 307 and 308, and the location: an absolute URL, a path, or
// what is relative to the target of the request. Bytes that a URL cannot have, such as spaces and letters that are not
// ASCII, are percent-encoded; what is encoded already stays as it is. A location that is empty or has control
// characters gives ErrBadHeader, another status ErrBadStatus. The other errors are those of Reply.
//
// A location made of what a client sent can lead to other sites: "//host" does, and so does "scheme:".
func Redirect(c *conn.Conn, status int, location string) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	switch status {
	case 301, 302, 303, 307, 308:
	default:
		return ErrBadStatus
	}
	if location == "" || !validValue(location) {
		return ErrBadHeader
	}
	x.extra = append(removeField(x.extra, "Location"), "Location: "...)
	x.extra = append(appendEscaped(x.extra, location), "\r\n"...)
	return Error(c, status)
}

// appendEscaped appends a URI reference with the bytes encoded that must not be in one (RFC 3986 2).
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch x := s[i]; {
		case x == '%' && (i+2 >= len(s) || classes[s[i+1]]&classes[s[i+2]]&hexByte == 0),
			x != '%' && !uriByte(x):
			b = append(b, '%', digits[x>>4], digits[x&15])
		default:
			b = append(b, x)
		}
	}
	return b
}

// uriByte reports whether x is reserved or unreserved (RFC 3986 2.2, 2.3). A backslash is neither: browsers take it for
// a slash, which could make a host of what was meant to be a path.
func uriByte(x byte) bool {
	switch x {
	case '|', '^', '`', '{', '}', '\\':
		return false
	case '#':
		return true
	}
	return classes[x]&(pathByte|queryByte) != 0
}
