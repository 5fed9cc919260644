package websocket

import (
	"fmt"
	"strings"
	"testing"
)

// RFC 6455 §9.1: the elements of Sec-WebSocket-Extensions, as "name(parameter=value)".
func TestElementsOfALine(t *testing.T) {
	const malformed = "malformed"
	for _, tc := range []struct{ line, want string }{
		{"", ""},
		{" , ,", ""},
		{"permessage-deflate", "permessage-deflate()"},
		{"  Permessage-Deflate  ", "Permessage-Deflate()"},
		{"a;b", "a(b)"},
		{"a ; b = 10;c", "a(b=10 c)"},
		{`a; b="10"`, "a(b=10)"},
		{`a; b="1\0"`, "a(b=10)"},
		{"x-webkit-deflate-frame, permessage-bzip2; a=b; c, permessage-deflate", "x-webkit-deflate-frame() permessage-bzip2(a=b c) permessage-deflate()"},
		{`mux; max-channels="4", permessage-deflate`, "mux(max-channels=4) permessage-deflate()"},
		{`mux; max-channels=4; flow-control="a,b"`, malformed}, // a quoted value has to be a token

		{"a;", malformed},
		{"a; ,", malformed},
		{"a; ; b", malformed},
		{"a; b=", malformed},
		{`a; b=""`, malformed},
		{`a; b="10`, malformed},
		{`a; b="1 0"`, malformed},
		{"a; =10", malformed},
		{"a b", malformed},
		{"a=1", malformed},
		{"; a", malformed},
		{"a, b/c", malformed},
		{"@", malformed},
	} {
		var list []string
		e := elements{rest: []byte(tc.line)}
		for e.next() {
			var params []string
			for p := e.params; ; {
				name, value, ok := p.Next()
				if !ok {
					break
				}
				one := string(name)
				if value != nil {
					one += "=" + string(value)
				}
				params = append(params, one)
			}
			list = append(list, fmt.Sprintf("%s(%s)", e.name, strings.Join(params, " ")))
		}
		got := strings.Join(list, " ")
		if e.malformed {
			got = malformed
		}
		if got != tc.want {
			t.Errorf("%s:\n got  %s\n want %s", tc.line, got, tc.want)
		}
		if ok := wellFormed([]byte(tc.line)); ok != (tc.want != malformed) {
			t.Errorf("%s: well formed is %v", tc.line, ok)
		}
	}
}

// A client looks for one permessage-deflate and no other extension, over all lines, here separated
// by '|'.
func TestExtensionsOfAReply(t *testing.T) {
	for _, tc := range []struct{ lines, want string }{
		{"", ""},
		{"Permessage-Deflate", "found"},
		{"permessage-deflate; a; b=c", "found; a; b=c"},
		{"permessage-deflate, permessage-deflate", "found others"},
		{"permessage-deflate|permessage-deflate; x", "found others"},
		{"permessage-deflate-x", " others"},
		{"mux|permessage-deflate; x", "found; x others"},
		{"permessage-deflate|@", "found malformed"},
		{"@|permessage-deflate", "found malformed"},
	} {
		var x extensions
		for line := range strings.SplitSeq(tc.lines, "|") {
			x.line([]byte(line))
		}
		got := ""
		if x.found {
			got = "found" + string(x.deflate)
		}
		if x.others {
			got += " others"
		}
		if x.malformed {
			got += " malformed"
		}
		if got != tc.want {
			t.Errorf("%s: got %q, want %q", tc.lines, got, tc.want)
		}
	}
}
