package wire

import (
	"fmt"
	"testing"
)

// RFC 9110 5.6.6: parameters = *( OWS ";" OWS [ parameter ] ).
func TestNextParam(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", ""},
		{" ; ;; ", ""},
		{"; a=b", "a=b|"},
		{";a=b ; c=\"d;\\\"e\" ;", `a=b|c="d;\"e"|`},
		{"a=b", "malformed"}, // no ";" before it
		{";a", "malformed"},
		{";a =b", "malformed"}, // RFC 9110 5.6.6: no white space around "="
		{";a= b", "malformed"},
		{";=b", "malformed"},
		{`;a="b`, "malformed"},
		{";a=b c=d", "a=b|malformed"},
	} {
		got := ""
		for v := []byte(tt.in); ; {
			name, value, rest, ok := NextParam(v)
			if !ok {
				got += "malformed"
			}
			if name == nil || !ok {
				break
			}
			got += fmt.Sprintf("%s=%s|", name, value)
			v = rest
		}
		if got != tt.want {
			t.Errorf("%q: %s, want %s", tt.in, got, tt.want)
		}
	}
}

// RFC 9110 5.6.1 and 5.6.4.
func TestCut(t *testing.T) {
	for _, tt := range []struct{ in, comma, outside string }{
		{"", "||", "||"},
		{" a ", "a||", "a||"},
		{"a , b,c", "a| b,c|more", "a| b,c|more"},
		{",", "||more", "||more"},
		{`"a,b",c`, `"a|b",c|more`, `"a,b"|c|more`},
		{`"a\",b",c`, `"a\"|b",c|more`, `"a\",b"|c|more`},
		{`"a,b`, `"a|b|more`, `"a,b||`},
	} {
		show := func(element, rest []byte, more bool) string {
			s := fmt.Sprintf("%s|%s|", element, rest)
			if more {
				s += "more"
			}
			return s
		}
		if got := show(CutComma([]byte(tt.in))); got != tt.comma {
			t.Errorf("CutComma(%q): %s, want %s", tt.in, got, tt.comma)
		}
		if got := show(CutOutside([]byte(tt.in), ',')); got != tt.outside {
			t.Errorf("CutOutside(%q): %s, want %s", tt.in, got, tt.outside)
		}
	}
}

func TestAppendUnquoted(t *testing.T) {
	for in, want := range map[string]string{"a": "a", `""`: "", `"a\"b\\c"`: `a"b\c`, `"C:\temp\x"`: `C:\temp\x`, `"`: `"`} {
		if got := string(AppendUnquoted(nil, []byte(in))); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
