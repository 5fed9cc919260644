package http

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

// Redirect replies with the status, one of 301, 302, 303, 307 and 308, and the location: an
// absolute URL, a path, or a reference relative to the target of the request. Bytes that a URL
// cannot have, such as spaces and letters that are not ASCII, are percent-encoded; bytes that are
// encoded already stay as they are. It returns ErrBadHeader for a location that is empty or has
// control characters, and ErrBadStatus for another status. The other errors are those of Reply.
//
// A location made from bytes of a client can lead to other sites: "//host" does, and so does
// "scheme:".
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

// appendEscaped appends a URI reference with the bytes encoded that must not be in one (RFC 3986
// 2).
func appendEscaped(b []byte, s string) []byte {
	const digits = "0123456789ABCDEF"
	for i := range len(s) {
		switch x := s[i]; {
		case x == '%' && (i+2 >= len(s) || !wire.All(s[i+1:i+3], wire.HexByte)),
			x != '%' && !uriByte(x):
			b = append(b, '%', digits[x>>4], digits[x&15])
		default:
			b = append(b, x)
		}
	}
	return b
}

// uriByte reports whether x is reserved or unreserved (RFC 3986 2.2, 2.3). A backslash is neither:
// browsers take it for a slash, which could turn a path into a host.
func uriByte(x byte) bool {
	switch x {
	case '|', '^', '`', '{', '}', '\\':
		return false
	case '#':
		return true
	}
	return wire.Is(x, wire.PathByte|wire.QueryByte)
}
