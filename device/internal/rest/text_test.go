package rest

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// RFC 8259 §8.1 wants UTF-8, and §8.2 says what a half of a surrogate pair does to readers.
func TestCheck(t *testing.T) {
	for _, x := range []struct{ text, want string }{
		{`{"a":"b"}`, ""},
		{`"\u00e9 é \ud83d\ude00 😀 \\ud800 \" \n"`, ""},
		{`"\\\ud83d\ude00\ud83d\ude00"`, ""},
		{`"` + "\ufffd" + `\ufffd"`, ""}, // the sender has put it there
		{``, "this is no JSON"},
		{`{} {}`, "this is no JSON"},
		{`"\u12"`, "this is no JSON"},
		{`"\`, "this is no JSON"},
		{"\"\xff\"", "the JSON is not UTF-8 (RFC 8259 §8.1)"},
		{"\"\xed\xa0\x80\"", "the JSON is not UTF-8 (RFC 8259 §8.1)"}, // a surrogate as CESU-8 has it
		{"\"\xc0\xaf\"", "the JSON is not UTF-8 (RFC 8259 §8.1)"},     // longer than need be
		{"{\"\xe2\x82\":1}", "the JSON is not UTF-8 (RFC 8259 §8.1)"},
		{`"\ud800"`, `the JSON has half of a surrogate pair: \ud800 (RFC 8259 §8.2)`},
		{`"\uDBFF\u0041"`, `the JSON has half of a surrogate pair: \udbff (RFC 8259 §8.2)`},
		{`"\ud800\ud800\udc00"`, `the JSON has half of a surrogate pair: \ud800 (RFC 8259 §8.2)`},
		{`"\udc00\ud800"`, `the JSON has half of a surrogate pair: \udc00 (RFC 8259 §8.2)`},
		{`"\ud800\\udc00"`, `the JSON has half of a surrogate pair: \ud800 (RFC 8259 §8.2)`},
		{`{"\udfff":1}`, `the JSON has half of a surrogate pair: \udfff (RFC 8259 §8.2)`},
		{`["\ud83d","\ude00"]`, `the JSON has half of a surrogate pair: \ud83d (RFC 8259 §8.2)`},
	} {
		got := ""
		if err := Check([]byte(x.text)); err != nil {
			got = err.Error()
		}
		if got != x.want {
			t.Errorf("%q: %q, want %q", x.text, got, x.want)
		}
	}
}

// FuzzCheck compares Check with what encoding/json makes of a text: no character of an accepted one
// is U+FFFD, unless the text has it.
func FuzzCheck(f *testing.F) {
	for _, text := range []string{`"\ud83d\ude00"`, `"\ud800"`, `"\\ud800"`, `{"a":"\udc00\ud800"}`, "\"\xff\"", `"\u0000"`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		var v any
		if err := Load([]byte(text), &v); err != nil {
			return
		}
		if s, ok := v.(string); ok && strings.ContainsRune(s, utf8.RuneError) &&
			!strings.ContainsRune(text, utf8.RuneError) && !strings.Contains(strings.ToLower(text), `\ufffd`) {
			t.Errorf("%q became %q", text, s)
		}
	})
}
