package http

// Byte classes, one bit each, so that a scan costs one table load per byte.
const (
	tchar      = 1 << iota // RFC 9110 5.6.2: what a token is made of
	pathByte               // allowed in the path of a target
	queryByte              // allowed in the query of a target
	hostByte               // RFC 3986 3.2.2: reg-name, without the comma
	hexByte                // HEXDIG
	valueByte              // RFC 9110 5.5: HTAB, SP, VCHAR and obs-text
	strictByte             // RFC 3986 3.3 and 3.4: allowed in the path or the query of a target
)

var classes = makeClasses()

func makeClasses() (t [256]uint8) {
	set := func(s string, class uint8) {
		for i := range len(s) {
			t[s[i]] |= class
		}
	}
	const (
		alnum     = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		unreserve = "-._~"
	)
	set(alnum+"!#$%&'*+-.^_`|~", tchar)
	set(alnum+unreserve+"!$&'()*+,;=:@/%?", strictByte)
	// The same, and what browsers leave as it is (the percent-encode sets of the WHATWG URL standard).
	set(alnum+unreserve+"!$&'()*+,;=:@/%"+"[]|^", pathByte)
	set(alnum+unreserve+"!$&'()*+,;=:@/%?"+"[]|^`{}\\", queryByte)
	// The comma of sub-delims is left out: it is what two Host lines joined by an intermediary look like.
	set(alnum+unreserve+"!$&'()*+;=%", hostByte)
	set("0123456789abcdefABCDEF", hexByte)
	for b := range 256 {
		if b == '\t' || b >= 0x20 && b != 0x7f {
			t[b] |= valueByte
		}
	}
	return t
}

// all reports whether every byte of b is of the class.
func all(b []byte, class uint8) bool {
	for _, x := range b {
		if classes[x]&class == 0 {
			return false
		}
	}
	return true
}

func isDigit(b byte) bool { return b-'0' < 10 }

func isSpace(b byte) bool { return b == ' ' || b == '\t' }

// unhex returns the value of a HEXDIG.
func unhex(b byte) byte {
	if isDigit(b) {
		return b - '0'
	}
	return b | 0x20 - 'a' + 10
}

func lower(b byte) byte {
	if b-'A' < 26 {
		return b | 0x20
	}
	return b
}

// foldEqual compares without regard to ASCII case.
func foldEqual[T ~string | ~[]byte](a []byte, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i, x := range a {
		if y := b[i]; x != y && lower(x) != lower(y) {
			return false
		}
	}
	return true
}

// trim cuts SP and HTAB off both ends.
func trim(b []byte) []byte {
	for len(b) > 0 && isSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
