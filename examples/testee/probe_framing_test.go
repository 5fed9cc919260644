package main

import (
	"fmt"
	"strings"
)

const (
	postLine    = "POST /echo HTTP/1.1\nHost: h\n"
	chunkedLine = postLine + "Transfer-Encoding: chunked\n\n"
	smuggled    = "GET /plaintext HTTP/1.1\nHost: smuggled\n\n"
)

// lengthProbes are about RFC 9112 6.2 and 6.3, and RFC 9110 8.6.
func lengthProbes() []probe {
	ps := []probe{
		{"body", postLine + "Content-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"zero", postLine + "Content-Length: 0\n\n", "200", []string{"="}},
		{"none", postLine + "\n", "200", []string{"="}},
		{"name in other case", postLine + "cOnTeNt-lEnGtH: 5\n\nhello", "200", []string{"=hello"}},
		{"white space around it", postLine + "Content-Length:\t 5 \t\n\nhello", "200", []string{"=hello"}},
		{"leading zeros", postLine + "Content-Length: 005\n\nhello", "200", []string{"=hello"}},
		{"with GET", "GET /plaintext HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "200", nil},
		{"with HEAD", "HEAD /plaintext HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", "200", nil},
		{"with HTTP/1.0", "POST /echo HTTP/1.0\nContent-Length: 5\n\nhello", "200!", []string{"=hello"}},
		{"a request as the body", postLine + fmt.Sprintf("Content-Length: %d\n\n", len(smuggled)+3) + smuggled, "200", nil},
		{"line ends as the body", postLine + "Content-Length: 4\n\n\n\n", "200", []string{"=\r\n\r\n"}},
		{"zeros as the body", postLine + "Content-Length: 3\n\n\x00\x00\x00", "200", []string{"=\x00\x00\x00"}},
		{"an empty line behind the body", postLine + "Content-Length: 5\n\nhello\n", "200", []string{"=hello"}},
		{"shorter than the body", postLine + "Content-Length: 4\n\nhello" + "\x00", "200 400!", []string{"=hell"}},
		{"twice, the same", postLine + "Content-Length: 5\nContent-Length: 5\n\nhello", "400!", nil},
		{"twice, not the same", postLine + "Content-Length: 5\nContent-Length: 6\n\nhello", "400!", nil},
		{"twice, zero first", postLine + "Content-Length: 0\nContent-Length: 5\n\nhello", "400!", nil},
		{"twice, in other case", postLine + "Content-Length: 5\ncontent-length: 5\n\nhello", "400!", nil},
		{"twice, one empty", postLine + "Content-Length: 5\nContent-Length:\n\nhello", "400!", nil},
		{"twice with GET", "GET /plaintext HTTP/1.1\nHost: h\nContent-Length: 0\nContent-Length: 0\n\n", "400!", nil},
		{"malformed with GET", "GET /plaintext HTTP/1.1\nHost: h\nContent-Length: x\n\n", "400!", nil},
		{"malformed with HTTP/1.0", "POST /echo HTTP/1.0\nContent-Length: +5\n\nhello", "400!", nil},
	}
	for _, te := range []string{"chunked", "identity", "gzip", "gzip, chunked", "xchunked", "chunked, chunked", ""} {
		ps = append(ps,
			probe{"before Transfer-Encoding: " + te, postLine + "Content-Length: 5\nTransfer-Encoding: " + te + "\n\n0\n\n" + smuggled, "400!", nil},
			probe{"behind Transfer-Encoding: " + te, postLine + "Transfer-Encoding: " + te + "\nContent-Length: 5\n\n0\n\n" + smuggled, "400!", nil})
	}
	for _, v := range []string{"", " ", "+5", "-5", "-0", "+0", "5,5", "5, 5", "5 , 5", "5,6", "5,", ",5", ",", "5 5", "5\t5", "0x5", "0X5", "05h", "5a", "a5", "five", "5.0", "5.", ".5", "5e0", "5;", "5;a=b", "(5)",
		`"5"`, "'5'", "1_0", "5\x0b", "\x0b5", "5\x00", "\x005", "5\x0c", "\xa05", "5\xa0", "٥", "５", "5-", "5+", "5=", "5:", "0,5", "%35", "9223372036854775808", "18446744073709551615",
		"18446744073709551616", "18446744073709551621", "4294967296a", strings.Repeat("9", 30), strings.Repeat("9", 1000), "NaN", "Infinity", "null", "true"} {
		ps = append(ps, probe{fmt.Sprintf("malformed %.40q", v), postLine + "Content-Length: " + v + "\n\nhello" + smuggled, "400!", nil})
	}
	return ps
}

// codingProbes are about RFC 9112 6.1 and 6.3.
func codingProbes() []probe {
	te := func(v, line string) string { return line + "Transfer-Encoding: " + v + "\n\n0\n\n" + smuggled }
	ps := []probe{
		{"chunked", postLine + "Transfer-Encoding: chunked\n\n5\nhello\n0\n\n", "200", []string{"=hello"}},
		{"in other case", postLine + "tRANSFER-eNCODING: cHUNKED\n\n5\nhello\n0\n\n", "200", []string{"=hello"}},
		{"white space around it", postLine + "Transfer-Encoding: \t chunked \t\n\n5\nhello\n0\n\n", "200", []string{"=hello"}},
		{"with GET", "GET /plaintext HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", "200", nil},
		{"with HEAD", "HEAD /echo HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n", "200", []string{"Content-Length: 5"}},
		{"with HTTP/1.0", te("chunked", "POST /echo HTTP/1.0\n"), "400!", nil},
		{"with HTTP/1.0 and keep-alive", te("chunked", "POST /echo HTTP/1.0\nConnection: keep-alive\n"), "400!", nil},
		{"unknown with HTTP/1.0", te("gzip", "POST /echo HTTP/1.0\n"), "400!", nil},
		{"two lines", te("chunked", postLine+"Transfer-Encoding: chunked\n"), "400!", nil},
		{"two lines, identity last", te("identity", postLine+"Transfer-Encoding: chunked\n"), "400!", nil},
		{"two lines, identity first", te("chunked", postLine+"Transfer-Encoding: identity\n"), "501!", nil},
		{"two lines, gzip first", te("chunked", postLine+"Transfer-Encoding: gzip\n"), "501!", nil},
		{"two lines, one empty", te("", postLine+"Transfer-Encoding: chunked\n"), "400!", nil},
		{"obs-fold", te("\n chunked", postLine), "400!", nil},
		{"LF before it", te("␊chunked", postLine), "400!", nil},
		{"TE is another field", postLine + "TE: chunked\nContent-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"TE: trailers", postLine + "TE: trailers\nConnection: TE\nContent-Length: 5\n\nhello", "200", []string{"=hello"}},
		{"Content-Encoding is not decoded", postLine + "Content-Encoding: gzip\nContent-Length: 5\n\nhello", "200", []string{"=hello"}},
	}
	for _, v := range []string{"", ",", "chunked,", ",chunked", ", chunked", "chunked, chunked", "chunked,chunked", "chunked, identity", "chunked,gzip", "identity, chunked, identity", "chunked;q=1", "chunked;a", "chunked;",
		`"chunked"`, `chunked"`, `"chunked`, "chunked chunked", "chunked identity", "gzip chunked", "chunked\x0b", "\x0bchunked", "chunked\x0c", "\x00chunked", "chunked\x00", "chun\x00ked", "chunked\x85", "\xa0chunked", "chunked\xa0",
		"\xef\xbb\xbfchunked", "(chunked)", "<chunked>", "[chunked]", "{chunked}", "chunked=1", "chunked:", "chunked/1", "chunked\\", "ch\xc3\xbcnked", "chunKed", ", , chunked"} {
		if v == "chunKed" { // with U+212A KELVIN SIGN, which folds to k
			v = "chun\u212aed"
		}
		ps = append(ps, probe{fmt.Sprintf("malformed %q", v), te(v, postLine), "400!", nil})
	}
	for _, v := range []string{"xchunked", "chunkedx", "x-chunked", "chunk", "chunke", "identity", "gzip", "deflate", "compress", "br", "trailers", "gzip, chunked", "identity, chunked", "gzip,deflate,chunked", "'chunked'", "chunked'",
		"cow", "*", "chunked-", "x"} {
		ps = append(ps, probe{"unknown " + v, te(v, postLine), "501!", nil})
	}
	return ps
}

// chunkedProbes are about RFC 9112 7.1.
func chunkedProbes() []probe {
	ok := func(name, body, want string) probe {
		return probe{name, chunkedLine + body, "200", []string{"=" + want}}
	}
	ps := []probe{
		ok("empty", "0\n\n", ""),
		ok("several", "1\na\n2\nbc\n3\ndef\n0\n\n", "abcdef"),
		ok("hex in both cases", "a\n0123456789\nA\n0123456789\n0\n\n", "01234567890123456789"),
		ok("leading zeros", "0005\nhello\n0\n\n", "hello"),
		ok("several zeros in the end", "5\nhello\n000\n\n", "hello"),
		ok("line ends in the data", "4\n\n\n\n0\n\n", "\r\n\r\n"),
		ok("the end of a body in the data", "5\n0\n\n\n0\n\n", "0\r\n\r\n"),
		ok("every byte in the data", "100\n"+everyByte()+"\n0\n\n", strings.ReplaceAll(everyByte(), "␊", "\n")),
		ok("extension", "5;a\nhello\n0\n\n", "hello"),
		ok("extension with a value", "5;a=b\nhello\n0;c=d\n\n", "hello"),
		ok("several extensions", "5;a=b;c;d=e\nhello\n0\n\n", "hello"),
		ok("quoted value", "5;a=\"b c\"\nhello\n0\n\n", "hello"),
		ok("quoted value with escapes", "5;a=\"b\\\"c\\\\\"\nhello\n0\n\n", "hello"),
		ok("quoted semicolon", "5;a=\";b=\"\nhello\n0\n\n", "hello"),
		ok("empty quoted value", "5;a=\"\"\nhello\n0\n\n", "hello"),
		ok("bad white space before an extension (7.1.1)", "5 ;a\nhello\n0\n\n", "hello"),
		ok("bad white space everywhere (7.1.1)", "5\t; a = b ; c\nhello\n0\n\n", "hello"),
	}
	for _, body := range []string{"\n5\nhello\n0\n\n", "-5\nhello\n0\n\n", "+5\nhello\n0\n\n", "0x5\nhello\n0\n\n", "0X5\nhello\n0\n\n", "x5\nhello\n0\n\n", "5h\nhello\n0\n\n", "g\nhello\n0\n\n", " 5\nhello\n0\n\n", "\t5\nhello\n0\n\n",
		"5 \nhello\n0\n\n", "5\t\nhello\n0\n\n", "5 5\nhello\n0\n\n", "5,\nhello\n0\n\n", "5.\nhello\n0\n\n", "5.0\nhello\n0\n\n", "5_0\nhello\n0\n\n", "\"5\"\nhello\n0\n\n", "5\x00\nhello\n0\n\n", "\x005\nhello\n0\n\n", "5\x0b\nhello\n0\n\n",
		"5\xa0\nhello\n0\n\n", "٥\nhello\n0\n\n", "-0\n\n", "+0\n\n", "0x0\n\n", "0x\n\n", "5h\n", "8000000000000000\nhello\n0\n\n", "ffffffffffffffff\nhello\n0\n\n", "10000000000000005\nhello\n0\n\n", "fffffffffffffffb\nhello\n0\n\n",
		"100000000000000000000000000000005\nhello\n0\n\n", "00000000000000000000000000000000000005\nhello\n0\n\n",
		"5␊hello\n0\n\n", "5\rhello\n0\n\n", "5\r\nhello\n0\n\n", "5\nhello␊0\n\n", "5\nhello\r0\n\n", "5\nhello0\n\n", "5\nhello\n\n0\n\n", "5\nhell\n0\n\n", "5\nhello!\n0\n\n", "5\nhello \n0\n\n", "5\nhello\n0␊\n", "5\nhello\n0\n␊", "5\nhello\n0␊␊", "5\nhello\n0\r\r",
		"5\nhello\n\n", "5\nhello\n;a\n\n", ";a\nhello\n0\n\n", "hello\n0\n\n",
		"5;\nhello\n0\n\n", "5;;a\nhello\n0\n\n", "5;a;\nhello\n0\n\n", "5;=b\nhello\n0\n\n", "5;a=\nhello\n0\n\n", "5;a==b\nhello\n0\n\n", "5;a=b=c\nhello\n0\n\n", "5;a b\nhello\n0\n\n", "5;a \nhello\n0\n\n", "5;a=b \nhello\n0\n\n", "5;a=\"b\nhello\n0\n\n",
		"5;a=\"b\"c\nhello\n0\n\n", "5;a=b\"c\"\nhello\n0\n\n", "5;a\x00\nhello\n0\n\n", "5;a=\"\x00\"\nhello\n0\n\n", "5;a=\"\n\"\nhello\n0\n\n", "5;a=\"␊\"\nhello\n0\n\n", "5;a=\"\r\"\nhello\n0\n\n", "5;a\rb\nhello\n0\n\n", "5;a␊hello\n0\n\n", "5;a=b␊hello\n0\n\n", "5;\xc3\xa4\nhello\n0\n\n",
		"5;a=\xc3\xa4\nhello\n0\n\n", "5;a/b\nhello\n0\n\n", "5;a:b\nhello\n0\n\n", "5;a,b\nhello\n0\n\n", "5 a\nhello\n0\n\n", "5 ;\nhello\n0\n\n", "5;a=\"\\\nhello\n0\n\n", "0;\n\n", "0;a␊\n", "0 \n\n", "5;a\n;b\nhello\n0\n\n"} {
		ps = append(ps, probe{fmt.Sprintf("malformed %q", body), chunkedLine + body + smuggled, "400!", nil})
	}
	return ps
}

// everyByte is each byte once, written as a probe has it: its line end counts for one byte more.
func everyByte() string {
	var b []byte
	for x := range 256 {
		if x == '\n' {
			b = append(b, "␊"...)
		} else if x != 0xe2 {
			b = append(b, byte(x))
		}
	}
	return string(append(b, 0xe2))
}

// trailerProbes are about RFC 9112 7.1.2 and RFC 9110 6.5.1.
func trailerProbes() []probe {
	body := chunkedLine + "5\nhello\n0\n"
	ps := []probe{
		{"one", body + "X-Sum: 1\n\n", "200", []string{"=hello"}},
		{"several", body + "a:b\nC: \t d\t\nE:\n\n", "200", []string{"=hello"}},
		{"announced", postLine + "Trailer: X-Sum\nTransfer-Encoding: chunked\n\n5\nhello\n0\nX-Sum: 1\n\n", "200", []string{"=hello"}},
	}
	for _, name := range []string{"Transfer-Encoding", "content-length", "Host", "Connection", "TE", "Trailer", "Upgrade", "Authorization", "Content-Encoding", "Content-Type", "Content-Range", "Cookie", "Expect", "Range",
		"If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Cache-Control", "Max-Forwards", "Keep-Alive", "Proxy-Authorization", "Pragma"} {
		ps = append(ps, probe{"forbidden " + name, body + name + ": 1\n\n" + smuggled, "400!", nil})
	}
	for _, t := range []string{"a\n\n", ": b\n\n", "a : b\n\n", "a\t: b\n\n", " a: b\n\n", "\ta: b\n\n", "a: b\n c\n\n", "a: b\x00\n\n", "a: \x0b\n\n", "a\x00: b\n\n", "a: b␊\n", "a: b\n␊", "a: b\r\r\n\n", "a b: c\n\n", "\xc3\xa4: b\n\n", "a: b\x7f\n\n"} {
		ps = append(ps, probe{fmt.Sprintf("malformed %q", t), body + t + smuggled, "400!", nil})
	}
	return ps
}
