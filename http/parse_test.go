package http

import (
	"fmt"
	"math"
	"runtime"
	"strings"
	"testing"
)

// A requestCase is bytes from a client, and what they must lead to. In in, "\n" stands for CR LF and "␊" for LF alone.
type requestCase struct {
	name   string
	in     string
	events []string // parts of what tc.events must be
	status []int    // of the replies
	open   bool     // the connection stays open
}

func (rc *requestCase) bytes() string {
	return strings.ReplaceAll(strings.ReplaceAll(rc.in, "\n", "\r\n"), "␊", "\n")
}

// splits returns the input whole, cut in two at every byte, and byte by byte.
func splits(in string) [][]string {
	all := [][]string{{in}}
	for i := 1; i < len(in); i++ {
		all = append(all, []string{in[:i], in[i:]})
	}
	return append(all, strings.Split(in, ""))
}

// runCases checks each case however its bytes are split: the events, the replies and the end must be the same.
func runCases(t *testing.T, o Options, cases []requestCase) {
	for _, rc := range cases {
		t.Run(rc.name, func(t *testing.T) {
			in := rc.bytes()
			var first string
			for _, pieces := range cuts(in) {
				tc := newTest(t, o, nil)
				tc.send(pieces...)
				outcome := strings.Join(tc.events, "\n") + "\n" + tc.wire.out.String() + fmt.Sprint(tc.c.IsOpen())
				if first == "" {
					first = stripDates(outcome)
					tc.wantEvents(rc.events...)
					tc.wantStatus(rc.status...)
					if rc.open {
						tc.wantOpen()
					} else if tc.c.IsOpen() {
						t.Fatal("the connection is open")
					}
					continue
				}
				if got := stripDates(outcome); got != first {
					t.Fatalf("split as %q:\n%s\nwhole:\n%s", pieces, got, first)
				}
			}
		})
	}
}

// cuts is splits, but for long inputs only every so many bytes.
func cuts(in string) [][]string {
	if len(in) <= 600 {
		return splits(in)
	}
	all := [][]string{{in}}
	for i := 1; i < len(in); i += 1 + len(in)/100 {
		all = append(all, []string{in[:i], in[i:]})
	}
	return append(all, strings.Split(in, ""))
}

func stripDates(s string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(s, "\n") {
		if !strings.HasPrefix(line, "Date: ") {
			b.WriteString(line)
		}
	}
	return b.String()
}

// refused is a case that is refused with the status at the head.
func refused(name string, status int, in string) requestCase {
	return requestCase{name: name, in: in, events: []string{fmt.Sprint("bad ", status)}, status: []int{status}}
}

// accepted is a case of one request that is answered and leaves the connection open.
func accepted(name, in, message string) requestCase {
	return requestCase{name: name, in: in, events: []string{"head ", message}, status: []int{200}, open: true}
}

// RFC 9112 3: request-line = method SP request-target SP HTTP-version CRLF.
func TestRequestLine(t *testing.T) {
	const rest = "\nHost: h\n\n"
	long := "/" + strings.Repeat("a", 8<<10-1)
	runCases(t, Options{}, []requestCase{
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
	runCases(t, Options{}, []requestCase{
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
		refused("absolute form of https without TLS (RFC 9110 7.4)", 421, "GET HttpS://other/x"+rest),
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
	cases := []requestCase{
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
	runCases(t, Options{StrictTarget: true}, cases)
}

// RFC 9110 7.4.
func TestHTTPSTarget(t *testing.T) {
	const rest = " HTTP/1.1\nHost: h\n\n"
	runCases(t, Options{HTTPS: true}, []requestCase{
		accepted("https", "GET https://other/x"+rest, `path="/x" query="" host="other"`),
		accepted("http", "GET http://other/x"+rest, `path="/x" query="" host="other"`),
	})
}

// RFC 9112 5.
func TestFields(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	runCases(t, Options{}, []requestCase{
		accepted("white space around the value", line+"a: \t b c\t \n\n", "[Host=h;a=b c;]"),
		accepted("no white space", line+"a:b\n\n", "[Host=h;a=b;]"),
		accepted("empty value", line+"a:\nb: \t\n\n", "[Host=h;a=;b=;]"),
		accepted("case is kept", line+"aBc: dEf\n\n", "aBc=dEf;"),
		accepted("every kind of token byte", line+"!#$%&'*+-.^_`|~09azAZ: v\n\n", "!#$%&'*+-.^_`|~09azAZ=v;"),
		accepted("tab and high bytes in a value", line+"a: b\tc\xff\x80 0123456789\n\n", "a=b\tc\xff\x80 0123456789;"),
		accepted("colons in a value", line+"a::b:c\n\n", "a=:b:c;"),
		accepted("the same name twice", line+"a: 1\nA: 2\n\n", "a=1;A=2;"),
		refused("space before the colon (5.1)", 400, line+"a : b\n\n"),
		refused("tab before the colon", 400, line+"a\t: b\n\n"),
		refused("no colon", 400, line+"abc\n\n"),
		refused("no name", 400, line+": b\n\n"),
		refused("space in the name", 400, line+"a b: c\n\n"),
		refused("quote in the name", 400, line+"a\"b: c\n\n"),
		refused("NUL in the name", 400, line+"a\x00b: c\n\n"),
		refused("high byte in the name", 400, line+"\xc3\xa4: c\n\n"),
		{name: "obs-fold (5.2)", in: line + "a: b\n c\n\n", status: []int{400},
			events: []string{"bad 400 http: request: line begins with white space"}},
		refused("obs-fold with a tab", 400, line+"a: b\n\tc\n\n"),
		refused("obs-fold of nothing", 400, line+"a: b\n \n\n"),
		refused("white space before the first field (2.2)", 400, "GET / HTTP/1.1\n Host: h\n\n"),
		refused("NUL in a value", 400, line+"a: b\x00c\n\n"),
		refused("control character in a value", 400, line+"a: b\x1bc\n\n"),
		refused("vertical tab in a value", 400, line+"a: 0123456789abcdef\x0bc\n\n"),
		refused("DEL in a value", 400, line+"a: b\x7fc\n\n"),
		refused("CR in a value", 400, line+"a: b\rc\n\n"),
		refused("CR CR LF", 400, line+"a: b\r\n\n"),
		refused("LF ends a field", 400, line+"a: b␊\n"),
		refused("LF ends a name", 400, line+"a␊\n"),
		refused("LF ends the head", 400, line+"␊"),
		refused("CR ends the head", 400, line+"\rx"),
		refused("CR without LF behind a value", 400, line+"a: b\rGET / HTTP/1.1\n"),
	})
}

// RFC 6585 5: 431 for too many fields and for too large ones.
func TestHeadLimits(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	o := Options{MaxHead: 300, MaxTarget: 400, MaxHeaders: 5}
	fill := func(n int) string { // a head of n bytes
		return line + "a: " + strings.Repeat("b", n-len(line)-2-3-4) + "\n\n"
	}
	runCases(t, o, []requestCase{
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

// RFC 9112 3.2, RFC 9110 7.2.
func TestHost(t *testing.T) {
	const line = "GET / HTTP/1.1\n"
	host := func(v string) string { return line + "Host: " + v + "\n\n" }
	cases := []requestCase{
		refused("missing on 1.1", 400, line+"\n"),
		refused("twice", 400, line+"Host: h\nHost: h\n\n"),
		refused("twice with other case", 400, line+"Host: h\nhOST: i\n\n"),
		refused("missing beside the absolute form", 400, "GET http://h/ HTTP/1.1\n\n"),
		refused("bad beside the absolute form", 400, "GET http://h/ HTTP/1.1\nHost: a b\n\n"),
		{name: "missing on 1.0", in: "GET / HTTP/1.0\n\n", events: []string{"head", "message"}, status: []int{200}},
		refused("twice on 1.0", 400, "GET / HTTP/1.0\nHost: a\nHost: a\n\n"),
	}
	for _, h := range []string{"h", "h:80", "h:", "h:65535", "EXAMPLE.com", "example.com.", "127.0.0.1:8080", "[::1]",
		"[::1]:80", "[2001:db8::a.b.c.d]", "xn--bcher-kva.example", "a_b.c-d~e", "%41b", "1.example", "12345",
		"[::ffff:1.2.3.4]", strings.Repeat("a", 255)} {
		rc := accepted("ok "+h, host(h), fmt.Sprintf("host=%q", h))
		if strings.Contains(h, "a.b.c.d") {
			rc = refused("no "+h, 400, host(h))
		}
		cases = append(cases, rc)
	}
	for _, h := range []string{"", " ", ":80", "h:x", "h:-1", "h:+80", "h:65536", "h:000080", "h:80:80", "a b", "a,b", "a/b", "a?b",
		"a#b", "u@h", "http://h", "a\\b", "a\"b", "<h>", "a..b", ".a", "..", "%4", "%zz", "256.1.1.1", "1.2.3", "1.2.3.4.5",
		"01.2.3.4", "::1", "[::1", "::1]", "[]", "[:]", "[:::]", "[1:2:3:4:5:6:7]", "[1::2::3]", "[::12345]", "[::1]80", "[::1]a",
		"[::1%eth0]", "[::1%25eth0]", "[v1.a]", "[::1]:x", "[1:2:3:4:5:6:7:8:9]", "[::ffff:1.2.3]", "h\xc3\xa4", "a\tb",
		"[127.0.0.1]", "[g::1]", strings.Repeat("a", 256)} {
		cases = append(cases, refused("no "+h, 400, host(h)))
	}
	runCases(t, Options{}, cases)
}

// Nothing is looked at twice: the parser's work for a head that comes byte by byte grows with its length, not its square.
func TestParseByteByByteIsLinear(t *testing.T) {
	in := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A-Name: a value of some length\r\n", 2000) + "\r\n")
	var p parser
	lim := limits{target: 8 << 10, head: math.MaxInt, headers: math.MaxInt}
	for i := 1; i <= len(in); i++ {
		before := p.pos
		n, err := p.parse(in[:i], &lim)
		if err != nil {
			t.Fatal(err)
		}
		// At least i-1 bytes are behind the position: at most one new byte is looked at in each call.
		if p.pos < i-1 || before > p.pos {
			t.Fatalf("after %d bytes the parser stands at %d", i, p.pos)
		}
		if (n > 0) != (i == len(in)) {
			t.Fatalf("complete after %d of %d bytes", i, len(in))
		}
	}
}

// The same through a connection: what is kept of the bytes that came is moved a few times, not once for each byte.
func TestHeadByteByByteIsLinear(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A-Name: a value of some length\r\n", 2000) + "\r\n")
	tc := newTest(t, Options{MaxHead: 1 << 20, MaxHeaders: 10_000}, nil)
	piece := make([][]byte, 1)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range head {
		piece[0] = head[i : i+1]
		tc.wire.in = piece
		tc.turn()
	}
	runtime.ReadMemStats(&after)
	tc.wantStatus(200)
	if n := after.TotalAlloc - before.TotalAlloc; n > 100*uint64(len(head)) {
		t.Errorf("%d bytes were allocated for a head of %d", n, len(head))
	}
}

const browserRequest = "GET /static/app/index.html?lang=en&theme=dark HTTP/1.1\r\nHost: device.local:8080\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n" +
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\nAccept-Language: en-US,en;q=0.5\r\n" +
	"Accept-Encoding: gzip, deflate\r\nConnection: keep-alive\r\nReferer: http://device.local:8080/\r\n" +
	"Upgrade-Insecure-Requests: 1\r\nPriority: u=0, i\r\nCookie: session=0123456789abcdef0123456789\r\n\r\n"

func BenchmarkParse(b *testing.B) {
	in := []byte(browserRequest)
	lim := limits{target: 8 << 10, head: 32 << 10, headers: 100}
	var p parser
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		p.reset()
		if n, err := p.parse(in, &lim); n != len(in) || err != nil {
			b.Fatal(n, err)
		}
	}
}

// BenchmarkTake adds what makes a Request of the offsets: framing, host, target, fields.
func BenchmarkTake(b *testing.B) {
	in := []byte(browserRequest)
	x := &exchange{srv: NewServer(Options{})}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		x.p.reset()
		n, err := x.p.parse(in, &x.srv.lim)
		if err == nil {
			err = x.take(in, n)
		}
		if err != nil {
			b.Fatal(n, err)
		}
	}
}
