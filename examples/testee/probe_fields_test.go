package main

import (
	"fmt"
	"strings"
)

const getLine = "GET /plaintext HTTP/1.1\nHost: h\n"

// fieldProbes are about RFC 9112 5 and RFC 9110 5.
func fieldProbes() []probe {
	list := "GET /headers HTTP/1.1\nHost: h\n"
	ps := []probe{
		{"in order, as sent", list + "B: 2\na: 1\nB:  3 \n\n", "200", []string{"Content-Type: text/plain", "=Host: h\nB: 2\na: 1\nB: 3\n"}},
		{"white space around the value", list + "a: \t b \t c\t \n\n", "200", []string{"=Host: h\na: b \t c\n"}},
		{"no white space", list + "a:b\n\n", "200", []string{"=Host: h\na: b\n"}},
		{"empty value", list + "a:\nb: \t \n\n", "200", []string{"=Host: h\na: \nb: \n"}},
		{"colons in a value", list + "a::b:c\n\n", "200", []string{"=Host: h\na: :b:c\n"}},
		{"bytes above 0x7f in a value (RFC 9110 5.5)", list + "a: \xff\x80\xc3\xa4\n\n", "200", []string{"=Host: h\na: \xff\x80\xc3\xa4\n"}},
		{"all of a token in a name", list + "!#$%&'*+-.^_`|~09azAZ: v\n\n", "200", []string{"=Host: h\n!#$%&'*+-.^_`|~09azAZ: v\n"}},
		{"quotes in a value", list + "a: \"b\\\n\n", "200", []string{"=Host: h\na: \"b\\\n"}},
		{"no trailers among them", "GET /headers HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n0\nX-Trailer: 1\n\n", "200", []string{"=Host: h\nTransfer-Encoding: chunked\n"}},
		{"no colon", getLine + "abc\n\n", "400!", nil},
		{"no name", getLine + ": b\n\n", "400!", nil},
		{"colon alone", getLine + ":\n\n", "400!", nil},
		{"space before the colon", getLine + "a : b\n\n", "400!", nil},
		{"tab before the colon", getLine + "a\t: b\n\n", "400!", nil},
		{"space before the colon of Host", "GET /plaintext HTTP/1.1\nHost : h\n\n", "400!", nil},
		{"obs-fold", getLine + "a: b\n c\n\n", "400!", nil},
		{"obs-fold with a tab", getLine + "a: b\n\tc\n\n", "400!", nil},
		{"obs-fold of nothing", getLine + "a: b\n \n\n", "400!", nil},
		{"obs-fold of Host", "GET /plaintext HTTP/1.1\nHost:\n h\n\n", "400!", nil},
		{"space before the first field", "GET /plaintext HTTP/1.1\n Host: h\n\n", "400!", nil},
		{"tab before the first field", "GET /plaintext HTTP/1.1\n\tHost: h\n\n", "400!", nil},
		{"space line before the first field", "GET /plaintext HTTP/1.1\n \nHost: h\n\n", "400!", nil},
		{"space before the last line end", getLine + " \n\n", "400!", nil},
		{"LF ends a field", getLine + "a: b␊\n", "400!", nil},
		{"LF ends a name", getLine + "a␊: b\n\n", "400!", nil},
		{"LF ends the head", getLine + "␊", "400!", nil},
		{"LF LF ends the head", "GET /plaintext HTTP/1.1\nHost: h␊␊", "400!", nil},
		{"CR ends a field", getLine + "a: b\rc: d\n\n", "400!", nil},
		{"CR CR LF ends a field", getLine + "a: b\r\n\n", "400!", nil},
		{"CR CR LF ends the head", getLine + "\r\n", "400!", nil},
		{"CR before a name", getLine + "\ra: b\n\n", "400!", nil},
		{"a request in a value", getLine + "a: b\rGET /plaintext HTTP/1.1\rHost: h\r\r\n\n", "400!", nil},
		{"Content-Length with an underscore is no length", "POST /echo HTTP/1.1\nHost: h\nContent_Length: 5\n\n", "200", []string{"="}},
		{"Transfer-Encoding with an underscore is no coding", "POST /echo HTTP/1.1\nHost: h\nTransfer_Encoding: chunked\n\n", "200", []string{"="}},
	}
	for b := range 256 {
		x := string([]byte{byte(b)})
		if b != '\t' && b != '\n' && (b < ' ' || b == 0x7f) {
			ps = append(ps,
				probe{fmt.Sprintf("byte %#x in a value", b), getLine + "a: b" + strings.ReplaceAll(x, "\n", "␊") + "c\n\n", "400!", nil},
				probe{fmt.Sprintf("byte %#x before a value", b), getLine + "a:" + x + "c\n\n", "400!", nil},
				probe{fmt.Sprintf("byte %#x behind a value", b), getLine + "a: c" + x + "\n\n", "400!", nil})
		}
		if b <= ' ' || b >= 0x7f || strings.ContainsRune("\"(),/;<=>?@[\\]{}", rune(b)) {
			ps = append(ps, probe{fmt.Sprintf("byte %#x in a name", b), getLine + "a" + strings.ReplaceAll(x, "\n", "␊") + "b: c\n\n", "400!", nil})
		}
	}
	for _, name := range []string{"Content-Length", "Transfer-Encoding", "Host", "Connection"} {
		for _, x := range []string{" ", "\t", "\x0b", "\x00", "\xa0"} {
			ps = append(ps,
				probe{fmt.Sprintf("%s behind %q", name, x), "POST /echo HTTP/1.1\nHost: h\n" + x + name + ": 1\n\n", "400!", nil},
				probe{fmt.Sprintf("%s before %q", name, x), "POST /echo HTTP/1.1\nHost: h\n" + name + x + ": 1\n\n", "400!", nil})
		}
	}
	return ps
}

// hostProbes are about RFC 9112 3.2, RFC 9110 7.2 and RFC 3986 3.2.2.
func hostProbes() []probe {
	host := func(h string) string { return "GET /plaintext HTTP/1.1\nHost: " + h + "\n\n" }
	ps := []probe{
		{"missing", "GET /plaintext HTTP/1.1\n\n", "400!", nil},
		{"missing, with other fields", "GET /plaintext HTTP/1.1\nX-Host: h\nHosts: h\n\n", "400!", nil},
		{"twice", "GET /plaintext HTTP/1.1\nHost: h\nHost: h\n\n", "400!", nil},
		{"twice, not the same", "GET /plaintext HTTP/1.1\nHost: h\nHost: i\n\n", "400!", nil},
		{"twice in other case", "GET /plaintext HTTP/1.1\nHost: h\nhOsT: h\n\n", "400!", nil},
		{"twice, one empty", "GET /plaintext HTTP/1.1\nHost: h\nHost:\n\n", "400!", nil},
		{"twice with HTTP/1.0", "GET /plaintext HTTP/1.0\nHost: h\nHost: h\n\n", "400!", nil},
		{"malformed with HTTP/1.0", "GET /plaintext HTTP/1.0\nHost: a b\n\n", "400!", nil},
		{"not first", "GET /plaintext HTTP/1.1\nA: b\nHost: h\n\n", "200", nil},
		{"name in lower case", "GET /plaintext HTTP/1.1\nhost: h\n\n", "200", nil},
		{"white space around it", "GET /plaintext HTTP/1.1\nHost:\t h \t\n\n", "200", nil},
		{"missing with HTTP/1.0", "GET /plaintext HTTP/1.0\n\n", "200!", nil},
	}
	for _, h := range []string{"h", "h:80", "h:", "h:0", "h:65535", "EXAMPLE.com", "example.com.", "a.b.c.d.example:8080", "xn--bcher-kva.example", "a_b-c~d.example", "%41.example", "a!$&'()*+;=b",
		"127.0.0.1", "127.0.0.1:9001", "0.0.0.0", "255.255.255.255", "1a.2b", "localhost:9001", "[::1]", "[::1]:80", "[::]", "[1:2:3:4:5:6:7:8]", "[2001:db8::1]:8080", "[::ffff:1.2.3.4]", "[FE80::A]",
		"[1::8]", "[1:2:3:4:5:6:7::]", "[::2:3:4:5:6:7:8]", strings.Repeat("a", 63) + ".example"} {
		ps = append(ps, probe{"ok " + h, host(h), "200", nil})
	}
	for _, h := range []string{"", " ", "\t", ":", ":80", "h:x", "h:80x", "h:-1", "h:+80", "h: 80", "h :80", "h:65536", "h:99999", "h:18446744073709551696", "h:80:80", "h::80", "a b", "a\tb", "a,b", "h, h", "a/b", "h/",
		"a?b", "a#b", "u@h", "u:p@h", "@h", "h@", "http://h", "//h", "a\\b", "a\"b", "\"h\"", "<h>", "{h}", "a|b", "a^b", "a`b", "a[b", "a]b", "a..b", ".a", "..", ".", "%", "%4", "%zz", "a%", "256.1.1.1",
		"1.2.3.4.5", "01.2.3.4", "1.2.3.4.", "::1", "1::", "[::1", "::1]", "[]", "[]:80", "[:]", "[:::]", "[1:2:3:4:5:6:7]", "[1:2:3:4:5:6:7:8:9]", "[1::2::3]", "[::12345]", "[::g]", "[::1]80", "[::1]a",
		"[::1]:x", "[::1]:65536", "[::1%eth0]", "[::1%25eth0]", "[::ffff:1.2.3]", "[::ffff:256.1.1.1]", "[127.0.0.1]", "[ ::1]", "[[::1]]", "x[::1]", "[h]", "[v1.a]", "h\xc3\xa4", "h\xff", "h;", "(h"} {
		want := "400!"
		if h == "h;" || h == "(h" {
			want = "200" // RFC 3986 3.2.2: a reg-name
		}
		ps = append(ps, probe{fmt.Sprintf("no %q", h), host(h), want, nil})
	}
	for b := range 256 {
		if b < ' ' && b != '\t' && b != '\n' || b == 0x7f {
			ps = append(ps, probe{fmt.Sprintf("byte %#x in it", b), host("a" + string([]byte{byte(b)}) + "b"), "400!", nil})
		}
	}
	return ps
}

// limitProbes are about RFC 9112 2.3 and 3, RFC 6585 5 and RFC 9110 15.5.14, 15.5.15.
func limitProbes() []probe {
	return []probe{
		{"a target of 8000 bytes", "GET /plaintext?" + strings.Repeat("a", 7989) + " HTTP/1.1" + rest, "200", nil},
		{"a target of 9000 bytes", "GET /plaintext?" + strings.Repeat("a", 9000) + " HTTP/1.1" + rest, "414!", nil},
		{"a target of 100 kB", "GET /" + strings.Repeat("a", 100_000) + " HTTP/1.1" + rest, "414!", nil},
		{"a target without an end", "GET /" + strings.Repeat("a", 100_000), "414!", nil},
		{"a value of 8000 bytes", getLine + "a: " + strings.Repeat("b", 8000) + "\n\n", "200", nil},
		{"a value of 100 kB", getLine + "a: " + strings.Repeat("b", 100_000) + "\n\n", "431!", nil},
		{"a name of 100 kB", getLine + strings.Repeat("b", 100_000) + ": c\n\n", "431!", nil},
		{"white space of 100 kB", getLine + "a:" + strings.Repeat(" ", 100_000) + "b\n\n", "431!", nil},
		{"99 more fields", getLine + strings.Repeat("a: b\n", 99) + "\n", "200", nil},
		{"100 more fields", getLine + strings.Repeat("a: b\n", 100) + "\n", "431!", nil},
		{"10,000 fields", getLine + strings.Repeat("a: b\n", 10_000) + "\n", "431!", nil},
		{"body at the limit", "POST /echo HTTP/1.1\nHost: h\nContent-Length: 2000000\n\n" + strings.Repeat("x", 2_000_000), "200", []string{"Content-Length: 2000000"}},
		{"body over the limit", "POST /echo HTTP/1.1\nHost: h\nContent-Length: 2000001\n\n" + strings.Repeat("x", 2_000_001), "413!", nil},
		{"body over the limit, announced", "POST /echo HTTP/1.1\nHost: h\nContent-Length: 2000001\n\n", "413!", nil},
		{"largest length", "POST /echo HTTP/1.1\nHost: h\nContent-Length: 9223372036854775807\n\n", "413!", nil},
		{"chunk over the limit", chunkedLine + "1e8481\n", "413!", nil},
		{"chunks over the limit", chunkedLine + strings.Repeat("f4240\n"+strings.Repeat("x", 1_000_000)+"\n", 2) + "1\nx\n0\n\n", "413!", nil},
		{"chunks at the limit", chunkedLine + strings.Repeat("f4240\n"+strings.Repeat("x", 1_000_000)+"\n", 2) + "0\n\n", "200", []string{"Content-Length: 2000000"}},
		{"trailers of 100 kB", chunkedLine + "0\na: " + strings.Repeat("b", 100_000) + "\n\n", "431!", nil},
		{"200 trailers", chunkedLine + "0\n" + strings.Repeat("a: b\n", 200) + "\n", "431!", nil},
		{"extension of 100 kB", chunkedLine + "1;" + strings.Repeat("a", 100_000) + "\nx\n0\n\n", "400!", nil},
		{"many extensions", chunkedLine + strings.Repeat("1;"+strings.Repeat("a", 1000)+"\nx\n", 100) + "0\n\n", "400!", nil},
		{"tiny chunks", chunkedLine + strings.Repeat("1\nx\n", 10_000) + "0\n\n", "200", []string{"=" + strings.Repeat("x", 10_000)}},
	}
}
