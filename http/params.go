package http

// cutOutside cuts v at the first sep that is not inside a quoted string (RFC 9110 5.6.4), and takes the white space
// around the element off.
func cutOutside(v []byte, sep byte) (element, rest []byte, more bool) {
	quoted := false
	for i := 0; i < len(v); i++ {
		switch {
		case v[i] == '"':
			quoted = !quoted
		case quoted && v[i] == '\\':
			i++
		case !quoted && v[i] == sep:
			return trim(v[:i]), v[i+1:], true
		}
	}
	return trim(v), nil, false
}

// nextParam reads one of *( OWS ";" OWS [ name "=" value ] ) (RFC 9110 5.6.6) from the beginning of v. The value is a
// token, or a quoted string with its quotes. The name is nil when there is none left, and ok is false when v is
// something else.
func nextParam(v []byte) (name, value, rest []byte, ok bool) {
	for {
		if v = trim(v); len(v) == 0 {
			return nil, nil, nil, true
		}
		if v[0] != ';' {
			return nil, nil, nil, false
		}
		if v = trim(v[1:]); len(v) > 0 && v[0] != ';' {
			break
		}
	}
	n := tokenLen(v)
	if n == 0 || n == len(v) || v[n] != '=' {
		return nil, nil, nil, false
	}
	name, v = v[:n], v[n+1:]
	if len(v) > 0 && v[0] == '"' {
		n = quotedLen(v)
	} else {
		n = tokenLen(v)
	}
	return name, v[:n], v[n:], n > 0
}

func tokenLen(v []byte) int {
	for i, x := range v {
		if classes[x]&tchar == 0 {
			return i
		}
	}
	return len(v)
}

// quotedLen returns the length of the quoted string v begins with, 0 when its end is missing.
func quotedLen(v []byte) int {
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

// appendUnquoted appends a value of nextParam without its quotes. A backslash is taken for an escape only before a
// quote or another backslash: browsers send those of file names as they are.
func appendUnquoted(dst, value []byte) []byte {
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

// only returns the value of the field of that name, and how many fields of that name there are. RFC 9110 5.3: a field
// that is no list must not be there twice; which of two counts would be a guess.
func (r *Request) only(name string) (value []byte, n int) {
	for i := range r.fields {
		if foldEqual(r.fields[i].Name, name) {
			value = r.fields[i].Value
			n++
		}
	}
	return value, n
}

// isMedia reports whether v, the value of a Content-Type, is of that media type, whatever its parameters.
func isMedia(v []byte, mediaType string) bool {
	v, _, _ = cutOutside(v, ';')
	return foldEqual(v, mediaType)
}
