package wire

import "bytes"

// CutComma cuts the first element off a comma-separated list. more is false with the last one.
func CutComma(v []byte) (element, rest []byte, more bool) {
	if i := bytes.IndexByte(v, ','); i >= 0 {
		return Trim(v[:i]), v[i+1:], true
	}
	return Trim(v), nil, false
}

// CutOutside cuts v at the first sep that is not inside a quoted string (RFC 9110 5.6.4), and takes
// the white space around the element off.
func CutOutside(v []byte, sep byte) (element, rest []byte, more bool) {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '"':
			quoted = !quoted
		case quoted && v[i] == '\\':
			i++
		case !quoted && v[i] == sep:
			return Trim(v[:i]), v[i+1:], true
		}
	}
	return Trim(v), nil, false
}

// NextParam reads one of *( OWS ";" OWS [ name "=" value ] ) (RFC 9110 5.6.6) from the beginning of
// v. The value is a token, or a quoted string with its quotes. The name is nil when there is none
// left, and ok is false when v is something else.
func NextParam(v []byte) (name, value, rest []byte, ok bool) {
	name, v, ok = NextName(v)
	if name == nil {
		return nil, nil, nil, ok
	}
	n := TokenLen(v)
	if len(v) > 0 && v[0] == '"' {
		n = QuotedLen(v)
	}
	return name, v[:n], v[n:], n > 0
}

// NextName is NextParam up to the "=". The rest begins with the value.
func NextName(v []byte) (name, rest []byte, ok bool) {
	for {
		if v = Trim(v); len(v) == 0 {
			return nil, nil, true
		}
		if v[0] != ';' {
			return nil, nil, false
		}
		if v = Trim(v[1:]); len(v) > 0 && v[0] != ';' {
			break
		}
	}
	n := TokenLen(v)
	if n == 0 || n == len(v) || v[n] != '=' {
		return nil, nil, false
	}
	return v[:n], v[n+1:], true
}

// TokenLen returns how many bytes of a token (RFC 9110 5.6.2) v begins with.
func TokenLen(v []byte) int {
	for i, x := range v {
		if classes[x]&TokenByte == 0 {
			return i
		}
	}
	return len(v)
}

// QuotedLen returns the length of the quoted string v begins with, 0 when its end is missing.
func QuotedLen(v []byte) int {
	for i := 1; i < len(v); i++ {
		switch v[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return 0
}

// AppendUnquoted appends a value of NextParam without its quotes. A backslash is taken for an
// escape only before a quote or another backslash: browsers send those of file names as they are.
func AppendUnquoted(dst, value []byte) []byte {
	if len(value) < 2 || value[0] != '"' {
		return append(dst, value...)
	}
	value = value[1 : len(value)-1]
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' && i+1 < len(value) && (value[i+1] == '"' || value[i+1] == '\\') {
			i++
		}
		dst = append(dst, value[i])
	}
	return dst
}

// IsMedia reports whether v, the value of a Content-Type, is of that media type, whatever its
// parameters.
func IsMedia(v []byte, mediaType string) bool {
	v, _, _ = CutOutside(v, ';')
	return FoldEqual(v, mediaType)
}
