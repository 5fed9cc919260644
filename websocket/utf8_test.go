package websocket

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// firstBad returns the index of the first byte that no valid text can go on with, len(p) when there
// is none. A prefix is good when some valid text begins with it, which is tried with each way a
// character can end.
func firstBad(p []byte) int {
	for n := 1; n <= len(p); n++ {
		if !prefixOK(p[:n]) {
			return n - 1
		}
	}
	return len(p)
}

func prefixOK(p []byte) bool {
	// Each first continuation byte range of RFC 3629 §4 is met by one of these ends.
	for _, end := range []string{"", "\x80", "\x80\x80", "\x80\x80\x80", "\xa0\x80", "\x90\x80\x80"} {
		if utf8.Valid(append(append([]byte{}, p...), end...)) {
			return true
		}
	}
	return false
}

var utf8Texts = []string{
	"", "a", "plain ascii of more than eight bytes", "κόσμε", "Hello-µ@ßöäüàá-UTF-8!!", "日本語のテキスト", "😀😁😂 and 𐍈",
	"\x00\x7f", "\u0080\u07ff\u0800\uffff\U00010000\U0010ffff", "\ufffe\uffff", "\ud7ff\ue000", "abcdefgh\u20acijklmnop",
	// Broken ones.
	"\x80", "\xbf", "\x80\xbf", "\xc0", "\xc0\xaf", "\xc1\xbf", "\xe0\x80\x80", "\xe0\x9f\xbf", "\xf0\x80\x80\x80", "\xf0\x8f\xbf\xbf",
	"\xed\xa0\x80", "\xed\xbf\xbf", "\xed\xa0\x80\xed\xb0\x80", "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xf8\x88\x80\x80\x80",
	"\xfc\x84\x80\x80\x80\x80", "\xfe", "\xff", "\xc2", "\xe2\x82", "\xf0\x9f\x98", "\xc2a", "\xe2\x82a", "\xf0\x9f\x98a",
	"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited", "\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xf4\x90\x80\x80edited",
	"12345678\xff", "1234567\xff8", strings.Repeat("x", 100) + "\xc3\x28",
}

// RFC 3629 §4, and RFC 6455 §8.1: a byte that cannot be part of UTF-8 fails at once, whatever the
// pieces.
func TestUTF8FailsAtTheFirstBadByte(t *testing.T) {
	for _, text := range utf8Texts {
		p := []byte(text)
		bad := firstBad(p)
		var u utf8Check
		for i := range p {
			if ok := u.push(p[i : i+1]); ok != (i < bad) {
				t.Fatalf("%q byte by byte: push of byte %d = %v, first bad byte is %d", text, i, ok, bad)
			} else if !ok {
				break
			}
		}
		for cut := 0; cut <= len(p); cut++ {
			var u utf8Check
			ok := u.push(p[:cut])
			if ok != (cut <= bad) {
				t.Fatalf("%q: push of the first %d = %v, first bad byte is %d", text, cut, ok, bad)
			}
			ok = ok && u.push(p[cut:]) && u.complete()
			if ok != utf8.ValidString(text) {
				t.Fatalf("%q split at %d: valid = %v", text, cut, ok)
			}
		}
	}
}

// All sequences of up to three bytes, and of four bytes with bytes at the borders of the ranges.
func TestUTF8AgreesWithTheStandardLibrary(t *testing.T) {
	check := func(p []byte) {
		var u utf8Check
		if ok := u.push(p) && u.complete(); ok != utf8.Valid(p) {
			t.Fatalf("% x: valid = %v", p, ok)
		}
	}
	for a := range 256 {
		check([]byte{byte(a)})
		for b := range 256 {
			check([]byte{byte(a), byte(b)})
			for _, c := range borders {
				check([]byte{byte(a), byte(b), c})
				for _, d := range borders {
					check([]byte{byte(a), byte(b), c, d})
				}
			}
		}
	}
}

var borders = []byte{0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc2, 0xe0, 0xed, 0xf0, 0xf4, 0xf5, 0xff}

func BenchmarkUTF8(b *testing.B) {
	for _, bc := range []struct{ name, text string }{
		{"ascii", strings.Repeat("plain ascii text ", 1000)},
		{"latin", strings.Repeat("grüße aus köln! ", 1000)},
		{"cjk", strings.Repeat("日本語のテキスト", 1000)},
	} {
		p := []byte(bc.text)
		b.Run(bc.name, func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				var u utf8Check
				if !u.push(p) {
					b.Fatal("not valid")
				}
			}
		})
		b.Run(bc.name+"-stdlib", func(b *testing.B) {
			b.SetBytes(int64(len(p)))
			for b.Loop() {
				if !utf8.Valid(p) {
					b.Fatal("not valid")
				}
			}
		})
	}
}
