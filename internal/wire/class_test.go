package wire

import "testing"

// Each class by the sentence that says what is in it, for all 256 bytes.
func TestClasses(t *testing.T) {
	letter := func(b byte) bool { return 'a' <= b && b <= 'z' || 'A' <= b && b <= 'Z' }
	in := func(b byte, s string) bool {
		for i := range len(s) {
			if s[i] == b {
				return true
			}
		}
		return false
	}
	for x := range 256 {
		b := byte(x)
		digit := '0' <= b && b <= '9'
		alnum := letter(b) || digit
		unreserved := alnum || in(b, "-._~") // RFC 3986 2.3
		subDelim := in(b, "!$&'()*+,;=")     // RFC 3986 2.2
		for _, tt := range []struct {
			name  string
			class Class
			want  bool
		}{
			{"TokenByte", TokenByte, alnum || in(b, "!#$%&'*+-.^_`|~")},
			{"HexByte", HexByte, digit || in(b, "abcdefABCDEF")},
			{"ValueByte", ValueByte, b == '\t' || b >= ' ' && b != 0x7f},
			{"StrictByte", StrictByte, unreserved || subDelim || in(b, ":@/?%")},
			{"PathByte", PathByte, unreserved || subDelim || in(b, ":@/%[]|^")},
			{"QueryByte", QueryByte, unreserved || subDelim || in(b, ":@/?%[]|^`{}\\")},
			{"HostByte", HostByte, unreserved || subDelim && b != ',' || b == '%'},
		} {
			if Is(b, tt.class) != tt.want || All([]byte{b}, tt.class) != tt.want || All(string([]byte{'0', b}), tt.class) != tt.want {
				t.Errorf("%q is of %s: %v", b, tt.name, !tt.want)
			}
		}
		if IsDigit(b) != digit || letter(b) && Lower(b) != b|0x20 || !letter(b) && Lower(b) != b {
			t.Errorf("%q as a digit or a letter", b)
		}
	}
	if !FoldEqual([]byte("Host"), "hOST") || FoldEqual([]byte("Host"), "Hos") || FoldEqual([]byte("@"), "`") || string(Trim([]byte("\t a b \t"))) != "a b" {
		t.Error("FoldEqual or Trim")
	}
}
