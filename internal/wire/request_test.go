package wire

import (
	"math"
	"strings"
	"testing"
)

// A target is Plain only if nobody has to look at it again: see also reader.describe.
func TestPlainTargets(t *testing.T) {
	for target, want := range map[string]bool{"/": true, "/a/b-c.d;e=f@g": true, "//a": true, "*": false, "a": false, "/?": false,
		"/a?b": false, "/%41": false, "/a%": false, "/[a]": false, "/a|b^": false, "/a{b": false, "http://a/": false} {
		var p RequestHead
		if p.Parse([]byte("GET "+target+" HTTP/1.1\r\n\r\n"), &newReader().lim); p.Plain != want {
			t.Errorf("%q: plain is %v", target, p.Plain)
		}
	}
}

// RFC 9112 3: request-line = method SP request-target SP HTTP-version CRLF.
func TestRequestLine(t *testing.T) {
	const rest = "\nHost: h\n\n"
	long := "/" + strings.Repeat("a", 8<<10-1)
	runCases(t, *newReader(), []wireCase{
		accepted("GET", "GET / HTTP/1.1"+rest, `GET / path="/" query="" host="h" 1.1 [Host=h;]`),
		accepted("any token is a method", "p-R!o#p~ / HTTP/1.1"+rest, "p-R!o#p~ /"),
		accepted("methods are case-sensitive", "get / HTTP/1.1"+rest, "get /"),
		accepted("one empty line before it (2.2)", "\nGET / HTTP/1.1"+rest, "GET /"),
		refused("two empty lines before it", 400, "\n\nGET / HTTP/1.1"+rest),
		refused("LF before it", 400, "␊GET / HTTP/1.1"+rest),
		refused("CR before it", 400, "\rGET / HTTP/1.1"+rest),
		refused("space before it", 400, " GET / HTTP/1.1"+rest),
		refused("empty method", 400, " / HTTP/1.1"+rest),
		refused("method with a colon", 400, "GE:T / HTTP/1.1"+rest),
		refused("method with a control character", 400, "G\x01T / HTTP/1.1"+rest),
		refused("method with a high byte", 400, "G\xc3T / HTTP/1.1"+rest),
		refused("method longer than any (3)", 501, strings.Repeat("A", 65)+" / HTTP/1.1"+rest),
		refused("tab between method and target", 400, "GET\t/ HTTP/1.1"+rest),
		refused("two spaces before the target", 400, "GET  / HTTP/1.1"+rest),
		refused("two spaces behind the target", 400, "GET /  HTTP/1.1"+rest),
		refused("tab behind the target", 400, "GET /\tHTTP/1.1"+rest),
		refused("space in the target", 400, "GET /a b HTTP/1.1"+rest),
		refused("space at the end", 400, "GET / HTTP/1.1 "+rest),
		refused("something at the end", 400, "GET / HTTP/1.1x"+rest),
		refused("HTTP/0.9", 400, "GET /\n"),
		refused("HTTP/0.9 with a space", 400, "GET / \n"),
		refused("no target", 400, "GET HTTP/1.1"+rest),
		refused("nothing but a method", 400, "GET\n"),
		refused("lower-case version", 400, "GET / http/1.1"+rest),
		refused("other protocol", 400, "GET / HTTPS/1.1"+rest),
		refused("version without a minor", 400, "GET / HTTP/1"+rest),
		refused("version with two digits", 400, "GET / HTTP/1.10"+rest),
		refused("version with a leading zero", 400, "GET / HTTP/01.1"+rest),
		refused("version with a comma", 400, "GET / HTTP/1,1"+rest),
		refused("version with a space", 400, "GET / HTTP/ 1.1"+rest),
		refused("version with a sign", 400, "GET / HTTP/+1.1"+rest),
		refused("HTTP/2.0", 505, "PRI * HTTP/2.0\n\nSM\n\n"),
		refused("HTTP/1.2", 505, "GET / HTTP/1.2"+rest),
		refused("HTTP/0.9 said so", 505, "GET / HTTP/0.9"+rest),
		refused("HTTP/3.1", 505, "GET / HTTP/3.1"+rest),
		refused("LF alone", 400, "GET / HTTP/1.1␊Host: h\n\n"),
		refused("CR alone", 400, "GET / HTTP/1.1\rHost: h\n\n"),
		refused("CR CR LF", 400, "GET / HTTP/1.1\r"+rest),
		refused("NUL in the target", 400, "GET /\x00 HTTP/1.1"+rest),
		refused("high byte in the target", 400, "GET /\xc3\xa4 HTTP/1.1"+rest),
		refused("fragment in the target", 400, "GET /a#b HTTP/1.1"+rest),
		refused("quote in the target", 400, `GET /"a HTTP/1.1`+rest),
		refused("angle bracket in the query", 400, "GET /?<a HTTP/1.1"+rest),
		refused("TLS", 400, "\x16\x03\x01\x02\x00\x01"),
		accepted("longest target", "GET "+long+" HTTP/1.1"+rest, "GET "+long),
		refused("target too long", 414, "GET "+long+"a HTTP/1.1"+rest),
	})
}

// RFC 9112 3.2: the four forms, and which method they are for.
func TestRequestTarget(t *testing.T) {
	const rest = " HTTP/1.1\nHost: h\n\n"
	runCases(t, *newReader(), []wireCase{
		accepted("path and query", "GET /a/b?c=d?e"+rest, `GET /a/b?c=d?e path="/a/b" query="c=d?e"`),
		accepted("empty query", "GET /?"+rest, `GET /? path="/" query=""`),
		accepted("percent-encoding", "GET /%61%2F%c3%a4+%25%7e?%zz"+rest, `path="/a/ä+%~" query="%zz"`),
		accepted("double slash", "GET //a//"+rest, `path="//a//"`),
		accepted("what browsers leave unencoded", "GET /[a]|b^?{c}`|d\\"+rest, "path=\"/[a]|b^\" query=\"{c}`|d\\\\\""),
		refused("percent without digits", 400, "GET /%"+rest),
		refused("percent with one digit", 400, "GET /%a"+rest),
		refused("percent with no hex digit", 400, "GET /%zz"+rest),
		refused("backslash in the path", 400, "GET /a\\b"+rest),
		refused("brace in the path", 400, "GET /{a}"+rest),
		accepted("absolute form", "GET http://other:81/x?y"+rest, `path="/x" query="y" host="other:81"`),
		accepted("absolute form, scheme in capitals", "GET HTTP://other/x"+rest, `path="/x" query="" host="other"`),
		accepted("absolute form without a path", "GET http://other"+rest, `path="/" query="" host="other"`),
		accepted("absolute form with a query only", "GET http://other?x"+rest, `path="/" query="x" host="other"`),
		accepted("absolute form of OPTIONS * (3.2.4)", "OPTIONS http://other"+rest, `path="*" query="" host="other"`),
		accepted("absolute form, IPv6", "GET http://[::1]:80/"+rest, `path="/" query="" host="[::1]:80"`),
		refused("absolute form of another scheme", 400, "GET ftp://other/"+rest),
		refused("absolute form without a host (RFC 9110 4.2.1)", 400, "GET http:///x"+rest),
		refused("absolute form with userinfo (RFC 9110 4.2.4)", 400, "GET http://u:p@other/"+rest),
		refused("absolute form with a bad port", 400, "GET http://other:http/"+rest),
		refused("absolute form with one slash", 400, "GET http:/other/"+rest),
		refused("relative path", 400, "GET a/b"+rest),
		refused("query alone", 400, "GET ?a"+rest),
		accepted("asterisk", "OPTIONS *"+rest, `OPTIONS * path="*"`),
		refused("asterisk with another method", 400, "GET *"+rest),
		refused("asterisk and more", 400, "OPTIONS *a"+rest),
		refused("authority form with another method", 400, "GET h:80"+rest),
		refused("CONNECT", 501, "CONNECT h:80"+rest),
		refused("CONNECT with a path", 400, "CONNECT /"+rest),
		refused("CONNECT without a port (3.2.3)", 400, "CONNECT h"+rest),
	})
}

// RFC 3986 3.3 and 3.4, to the letter.
func TestStrictTarget(t *testing.T) {
	get := func(target string) string { return "GET " + target + " HTTP/1.1\nHost: h\n\n" }
	cases := []wireCase{
		accepted("all that may be there", get("/-._~!$&'()*+,;=:@az09%20/?-._~!$&'()*+,;=:@az09%20/?"), `query="-._~!$&'()*+,;=:@az09%20/?"`),
		accepted("percent at the end of a query", get("/?%41%2f"), `query="%41%2f"`),
		accepted("absolute form", get("http://other/a?b"), `path="/a" query="b"`),
		accepted("absolute form with an IPv6 address", get("http://[::1]/"), `host="[::1]"`),
	}
	for _, x := range strings.Split("[ ] | ^ \\ ` { } \" < > #", " ") {
		cases = append(cases, refused("in the path "+x, 400, get("/a"+x)), refused("in the query "+x, 400, get("/?a"+x)))
	}
	for _, q := range []string{"%", "%4", "%zz", "a%20%", "%20%2g", "%%41"} {
		cases = append(cases, refused("query "+q, 400, get("/?"+q)), refused("path "+q, 400, get("/"+q)))
	}
	o := newReader()
	o.strict = true
	runCases(t, *o, cases)
}

// RFC 9112 5.
func TestFields(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	cases := []wireCase{
		accepted("white space around the value", line+"a: \t b c\t \n\n", "[Host=h;a=b c;]"),
		accepted("no white space", line+"a:b\n\n", "[Host=h;a=b;]"),
		accepted("empty value", line+"a:\nb: \t\n\n", "[Host=h;a=;b=;]"),
		accepted("case is kept", line+"aBc: dEf\n\n", "aBc=dEf;"),
		accepted("every kind of token byte", line+"!#$%&'*+-.^_`|~09azAZ: v\n\n", "!#$%&'*+-.^_`|~09azAZ=v;"),
		accepted("tab and high bytes in a value", line+"a: b\tc\xff\x80 0123456789\n\n", "a=b\tc\xff\x80 0123456789;"),
		accepted("colons in a value", line+"a::b:c\n\n", "a=:b:c;"),
		accepted("the same name twice", line+"a: 1\nA: 2\n\n", "a=1;A=2;"),
		{name: "obs-fold (5.2)", in: line + "a: b\n c\n\n",
			want: []string{"bad 400 http: request: line begins with white space"}},
		refused("white space before the first field (2.2)", 400, "GET / HTTP/1.1\n Host: h\n\n"),
	}
	for _, f := range badFields {
		cases = append(cases, refused(f.name, 400, line+f.text))
	}
	runCases(t, *newReader(), cases)
}

// badFields are the ends of heads that neither a request nor a response may have.
var badFields = []struct{ name, text string }{
	{"space before the colon (5.1)", "a : b\n\n"},
	{"tab before the colon", "a\t: b\n\n"},
	{"no colon", "abc\n\n"},
	{"no name", ": b\n\n"},
	{"space in the name", "a b: c\n\n"},
	{"quote in the name", "a\"b: c\n\n"},
	{"NUL in the name", "a\x00b: c\n\n"},
	{"high byte in the name", "\xc3\xa4: c\n\n"},
	{"obs-fold (5.2)", "a: b\n c\n\n"},
	{"obs-fold with a tab", "a: b\n\tc\n\n"},
	{"obs-fold of nothing", "a: b\n \n\n"},
	{"NUL in a value", "a: b\x00c\n\n"},
	{"control character in a value", "a: b\x1bc\n\n"},
	{"vertical tab in a value", "a: 0123456789abcdef\x0bc\n\n"},
	{"DEL in a value", "a: b\x7fc\n\n"},
	{"CR in a value", "a: b\rc\n\n"},
	{"CR CR LF", "a: b\r\n\n"},
	{"LF ends a field", "a: b␊\n"},
	{"LF ends a name", "a␊\n"},
	{"LF ends the head", "␊"},
	{"CR ends the head", "\rx"},
	{"CR without LF behind a value", "a: b\rGET / HTTP/1.1\n"},
}

// RFC 6585 5: 431 for too many fields and for too large ones.
func TestHeadLimits(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	o := newReader()
	o.lim = Limits{Target: 400, Head: 300, Fields: 5}
	fill := func(n int) string { // a head of n bytes
		return line + "a: " + strings.Repeat("b", n-len(line)-2-3-4) + "\n\n"
	}
	runCases(t, *o, []wireCase{
		accepted("five fields", line+"a:1\nb:2\nc:3\nd:4\n\n", "d=4;"),
		refused("six fields", 431, line+"a:1\nb:2\nc:3\nd:4\ne:5\n\n"),
		accepted("just short enough", fill(300), "a=b"),
		refused("one byte too long", 431, fill(301)),
		refused("endless value", 431, line+"a: "+strings.Repeat("b", 1000)),
		refused("endless name", 431, line+strings.Repeat("b", 1000)),
		refused("endless white space", 431, line+"a:"+strings.Repeat(" ", 1000)),
		refused("endless target", 414, "GET /"+strings.Repeat("b", 350)),
		refused("endless white space before the line", 400, strings.Repeat("\n", 350)),
	})
}

// Nothing is looked at twice: the parser's work for a head that comes byte by byte grows with its length, not its square.
func TestParseByteByByteIsLinear(t *testing.T) {
	in := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A-Name: a value of some length\r\n", 2000) + "\r\n")
	var p RequestHead
	lim := Limits{Target: 8 << 10, Head: math.MaxInt, Fields: math.MaxInt}
	for i := 1; i <= len(in); i++ {
		before := p.pos
		n, err := p.Parse(in[:i], &lim)
		if err != nil {
			t.Fatal(err)
		}
		// At least i-1 bytes have been looked at: at most one new byte is looked at in each call.
		if p.pos < i-1 || before > p.pos {
			t.Fatalf("after %d bytes the parser stands at %d", i, p.pos)
		}
		if (n > 0) != (i == len(in)) {
			t.Fatalf("complete after %d of %d bytes", i, len(in))
		}
	}
}

const browserRequest = "GET /static/app/index.html?lang=en&theme=dark HTTP/1.1\r\nHost: device.local:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nReferer: http://device.local:8080/\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\nCookie: session=0123456789abcdef0123456789\r\n\r\n"

func BenchmarkParse(b *testing.B) {
	in := []byte(browserRequest)
	lim := Limits{Target: 8 << 10, Head: 32 << 10, Fields: 100}
	var p RequestHead
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		p.Reset()
		if n, err := p.Parse(in, &lim); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}
