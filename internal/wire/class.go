package wire

// A class is a set of bytes, one bit each, so that a scan costs one table load per byte.
type Class uint8

const (
	TokenByte  Class = 1 << iota // RFC 9110 5.6.2: what a token is made of
	PathByte                     // allowed in the path of a target
	QueryByte                    // allowed in the query of a target
	HostByte                     // RFC 3986 3.2.2: reg-name, without the comma
	HexByte                      // HEXDIG
	ValueByte                    // RFC 9110 5.5: HTAB, SP, VCHAR and obs-text
	StrictByte                   // RFC 3986 3.3 and 3.4: allowed in the path or the query of a target
	PlainByte                    // allowed in the path of a target, and stands there for itself alone
)

var classes = makeClasses()

func makeClasses() (t [256]Class) {
	set := func(s string, c Class) {
		for i := range len(s) {
			t[s[i]] |= c
		}
	}
	const (
		alnum     = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
		unreserve = "-._~"
	)
	set(alnum+"!#$%&'*+-.^_`|~", TokenByte)
	set(alnum+unreserve+"!$&'()*+,;=:@/%?", StrictByte)
	set(alnum+unreserve+"!$&'()*+,;=:@/", PlainByte)
	// The same, and what browsers leave as it is (the percent-encode sets of the WHATWG URL standard).
	set(alnum+unreserve+"!$&'()*+,;=:@/%"+"[]|^", PathByte)
	set(alnum+unreserve+"!$&'()*+,;=:@/%?"+"[]|^`{}\\", QueryByte)
	// The comma of sub-delims is left out: it is what two Host lines joined by an intermediary look
	// like.
	set(alnum+unreserve+"!$&'()*+;=%", HostByte)
	set("0123456789abcdefABCDEF", HexByte)
	for b := range 256 {
		if b == '\t' || b >= 0x20 && b != 0x7f {
			t[b] |= ValueByte
		}
	}
	return t
}

// Is reports whether x is of one of the classes.
func Is(x byte, c Class) bool { return classes[x]&c != 0 }

// All reports whether every byte of b is of one of the classes.
func All[T ~string | ~[]byte](b T, c Class) bool {
	for i := range len(b) {
		if classes[b[i]]&c == 0 {
			return false
		}
	}
	return true
}

// IsDigit reports whether b is a DIGIT (RFC 5234 B.1).
func IsDigit(b byte) bool { return b-'0' < 10 }

// IsSpace reports whether b is SP or HTAB, as OWS and BWS are made of (RFC 9110 5.6.3).
func IsSpace(b byte) bool { return b == ' ' || b == '\t' }

// Unhex returns the value of a HEXDIG.
func Unhex(b byte) byte {
	if IsDigit(b) {
		return b - '0'
	}
	return b | 0x20 - 'a' + 10
}

// Lower returns b, and the small letter for a capital of ASCII.
func Lower(b byte) byte {
	if b-'A' < 26 {
		return b | 0x20
	}
	return b
}

// FoldEqual compares without regard to ASCII case.
func FoldEqual[T ~string | ~[]byte](a []byte, b T) bool {
	if len(a) != len(b) {
		return false
	}
	for i, x := range a {
		if y := b[i]; x != y && Lower(x) != Lower(y) {
			return false
		}
	}
	return true
}

// Trim cuts SP and HTAB off both ends. It is called in some twenty places, and would be a hundred
// bytes of code in each of them.
//
//go:noinline
func Trim(b []byte) []byte {
	for len(b) > 0 && IsSpace(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && IsSpace(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}
