package wire

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// readResponse puts the parsers together as a client does that has sent a request with the method,
// and writes down what it has read of the pieces. Interim responses go before the final one.
func readResponse(method string, lim Limits, pieces []string) (events []string) {
	var p ResponseHead
	var buf []byte
	refuse := func(bad *Refusal) []string { return append(events, fmt.Sprintf("bad %d %v", p.Status, bad)) }
	for len(pieces) > 0 {
		buf = append(buf, pieces[0]...)
		pieces = pieces[1:]
		for len(buf) > 0 {
			n, bad := p.Parse(buf, &lim)
			var f ResponseFraming
			if n > 0 {
				bad = f.Read(buf, &p, method)
			}
			if bad != nil {
				return refuse(bad)
			}
			if n == 0 {
				break
			}
			text := fmt.Sprintf("1.%d %d %q [%s]", p.Minor, p.Status, p.Reason.Of(buf), fieldText(buf, p.Fields))
			if f.End == ByLength {
				text += fmt.Sprint(" ", f.Length)
			}
			text += fmt.Sprint(" ", f.End)
			if f.Close {
				text += " close"
			}
			events = append(events, text)
			buf = buf[n:]
			if p.Status >= 200 || p.Status == 101 {
				rest := strings.Join(append([]string{string(buf)}, pieces...), "")
				if f.End == ByChunks {
					text, bad := readChunks(&p, rest, lim)
					if bad != nil {
						return refuse(bad)
					}
					return append(events, text)
				}
				return append(events, "rest "+rest)
			}
			p.Reset()
		}
	}
	return append(events, fmt.Sprintf("more %d", p.Looked()))
}

// readChunks reads a chunked body and its trailers.
func readChunks(p *ResponseHead, rest string, lim Limits) (string, *Refusal) {
	var d ChunkDecoder
	b := []byte(rest)
	w, r, bad := d.Decode(b, 0, 0, 1<<20)
	if bad != nil {
		return "", bad.OfResponse()
	}
	head := len(p.Fields)
	p.ResetTrailers(r)
	lim.Head += r
	n, bad := p.Parse(b, &lim)
	if n > 0 {
		if bad = CheckTrailers(b, p.Fields[head:]); bad != nil {
			bad = bad.OfResponse()
		}
	}
	return fmt.Sprintf("body %q trailers [%s] rest %q", b[:w], fieldText(b, p.Fields[head:]), b[n:]), bad
}

func (e BodyEnd) String() string {
	return [...]string{"no body", "by length", "by chunks", "until close"}[e]
}

func runResponses(t *testing.T, method string, lim Limits, cases []wireCase) {
	for _, tt := range cases {
		t.Run(tt.name, func(t *testing.T) {
			var whole []string
			for i, pieces := range cuts(lines(tt.in)) {
				got := readResponse(method, lim, pieces)
				if i == 0 {
					whole = got
					wantEvents(t, got, tt.want)
				} else if !slices.Equal(got, whole) {
					t.Fatalf("split as %q:\n%s\nwhole:\n%s", pieces, strings.Join(got, "\n"), strings.Join(whole, "\n"))
				}
			}
		})
	}
}

var responseLimits = Limits{Head: 400, Fields: 5}

// RFC 9112 4: status-line = HTTP-version SP status-code SP [ reason-phrase ].
func TestStatusLine(t *testing.T) {
	const rest = "\nContent-Length: 0\n\n"
	ok := func(name, line, want string) wireCase { return wireCase{name, line + rest, []string{want, "rest "}} }
	bad := func(name, in, text string) wireCase { return wireCase{name, in, []string{"http: response: " + text}} }
	runResponses(t, "GET", responseLimits, []wireCase{
		ok("with a reason", "HTTP/1.1 200 OK", `1.1 200 "OK" [Content-Length=0;] 0 by length`),
		ok("no reason", "HTTP/1.1 200 ", `1.1 200 ""`),
		ok("neither reason nor the SP before it", "HTTP/1.1 200", `1.1 200 ""`),
		ok("a reason of any bytes", "HTTP/1.1 404 \tn\xc3\xb6  thing ", `1.1 404 "\tnö  thing "`),
		ok("HTTP/1.0", "HTTP/1.0 200 OK", `1.0 200 "OK"`),
		ok("an unknown status (RFC 9110 15)", "HTTP/1.1 999 ?", `1.1 999 "?"`),
		{"interim responses before it (RFC 9110 15.2)", "HTTP/1.1 100 Continue\n\nHTTP/1.1 103 E\nLink: a\n\nHTTP/1.1 204\n\nx",
			[]string{`1.1 100 "Continue" [] no body`, `1.1 103 "E" [Link=a;] no body`, `1.1 204 "" [] no body`, "rest x"}},
		{"not whole", "HTTP/1.1 200 OK\nA: b\nC", []string{"more 24"}},
		bad("status of two digits", "HTTP/1.1 20 OK"+rest, "malformed status line"),
		bad("status of four digits", "HTTP/1.1 2000 OK"+rest, "malformed status line"),
		bad("status 099", "HTTP/1.1 099 OK"+rest, "status below 100"),
		bad("no status", "HTTP/1.1\n", "malformed status line"),
		bad("two spaces", "HTTP/1.1  200 OK"+rest, "malformed status line"),
		bad("tab", "HTTP/1.1\t200 OK"+rest, "malformed status line"),
		bad("empty line first", "\nHTTP/1.1 200 OK"+rest, "malformed status line"),
		bad("lower case", "http/1.1 200 OK"+rest, "malformed status line"),
		bad("HTTP/2", "HTTP/2 200"+rest, "neither HTTP/1.0 nor HTTP/1.1"),
		bad("HTTP/1.2", "HTTP/1.2 200"+rest, "neither HTTP/1.0 nor HTTP/1.1"),
		bad("HTTP/1.10", "HTTP/1.10 200"+rest, "malformed status line"),
		bad("another protocol", "SSH-2.0-OpenSSH\n", "malformed status line"),
		bad("NUL in the reason", "HTTP/1.1 200 O\x00K"+rest, "control character in a reason phrase"),
		bad("LF alone (2.2)", "HTTP/1.1 200 OK␊␊", "LF without CR"),
		bad("LF behind the status", "HTTP/1.1 200␊␊", "LF without CR"),
		bad("LF behind the version", "HTTP/1.1␊␊", "LF without CR"),
		bad("CR alone", "HTTP/1.1 200 OK\rA: b\n\n", "CR without LF"),
		bad("obs-fold (5.2)", "HTTP/1.1 200 OK\nA: b\n c\n\n", "line begins with white space"),
		bad("space before the colon (5.1)", "HTTP/1.1 200 OK\nA : b\n\n", "field name is not a token followed by a colon"),
		bad("control character in a value", "HTTP/1.1 200 OK\nA: \x00\n\n", "control character in a field value"),
		bad("head too long", "HTTP/1.1 200 OK\nA: "+strings.Repeat("b", 500), "head too long"),
		bad("status line too long", "HTTP/1.1 200 "+strings.Repeat("b", 500), "head too long"),
		bad("too many fields", "HTTP/1.1 200 OK\n"+strings.Repeat("A: b\n", 6)+"\n", "too many header fields"),
	})
}

// RFC 9112 6.3: the items of its list, and 9.3.
func TestResponseBody(t *testing.T) {
	const ok, chunks = "HTTP/1.1 200 OK\n", "2;x=y\nab\n0\nSum: 1\n\nxyz"
	bad := func(name, head, text string) wireCase {
		return wireCase{name, head + "\n", []string{"http: response: " + text}}
	}
	runResponses(t, "GET", responseLimits, []wireCase{
		{"item 1: 204", "HTTP/1.1 204 No Content\nContent-Length: 5\nTransfer-Encoding: chunked\n\n", []string{"no body", "rest "}},
		{"item 1: 304", "HTTP/1.1 304 Not Modified\nContent-Length: 5\n\n", []string{"no body", "rest "}},
		{"item 1: 101", "HTTP/1.1 101 Switching Protocols\nContent-Length: 5\n\nxyz", []string{"no body", "rest xyz"}},
		{"items 3 and 4: chunked", ok + "Transfer-Encoding: ChunKed\n\n" + chunks,
			[]string{"by chunks", `body "ab" trailers [Sum=1;] rest "xyz"`}},
		{"item 3: chunked overrides Content-Length, and nothing may follow (6.1)", ok + "Content-Length: 1\nTransfer-Encoding: chunked\n\n" + chunks,
			[]string{"by chunks close", `body "ab" trailers [Sum=1;] rest "xyz"`}},
		{"item 5: equal lengths on two lines", ok + "Content-Length: 2\ncontent-length: 2\n\nabc", []string{"2 by length", "rest abc"}},
		{"item 5: equal lengths in a list", ok + "Content-Length: 2, 02 ,2\n\nabc", []string{"2 by length", "rest abc"}},
		{"item 6: Content-Length", ok + "Content-Length: 2\n\nabc", []string{"2 by length", "rest abc"}},
		{"item 8: nothing", ok + "\nabc", []string{"until close close", "rest abc"}},
		{"9.3: close", ok + "Connection: x, Close\nContent-Length: 0\n\n", []string{"0 by length close", "rest "}},
		{"9.3: HTTP/1.0", "HTTP/1.0 200 OK\nContent-Length: 0\n\n", []string{"0 by length close", "rest "}},
		{"9.3: HTTP/1.0 with keep-alive", "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 0\n\n", []string{"0 by length", "rest "}},
		bad("item 5: other lengths on two lines", ok+"Content-Length: 2\nContent-Length: 3\n", "Content-Length with several values"),
		bad("item 5: other lengths in a list", ok+"Content-Length: 2, 3\n", "Content-Length with several values"),
		bad("length with a sign", ok+"Content-Length: +2\n", "malformed Content-Length"),
		bad("length of another sign", ok+"Content-Length: -2\n", "malformed Content-Length"),
		bad("empty length", ok+"Content-Length:\n", "malformed Content-Length"),
		bad("empty element", ok+"Content-Length: 2,\n", "malformed Content-Length"),
		bad("length of 2^63", ok+"Content-Length: 9223372036854775808\n", "malformed Content-Length"),
		bad("6.1: coding in HTTP/1.0", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n", "Transfer-Encoding in an HTTP/1.0 response"),
		bad("chunked twice", ok+"Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", "malformed Transfer-Encoding, or chunked not last and once"),
		bad("chunked not last", ok+"Transfer-Encoding: chunked, gzip\n", "malformed Transfer-Encoding, or chunked not last and once"),
		bad("another coding", ok+"Transfer-Encoding: gzip, chunked\n", "unknown transfer coding"),
		bad("another coding alone", ok+"Transfer-Encoding: gzip\n", "unknown transfer coding"),
		{"malformed chunk", ok + "Transfer-Encoding: chunked\n\n0x1\na\n0\n\n", []string{"by chunks", "http: response: malformed chunk size"}},
		{"malformed trailer", ok + "Transfer-Encoding: chunked\n\n0\nA : b\n\n", []string{"by chunks", "http: response: field name"}},
	})
	for method, want := range map[string]string{"HEAD": "no body", "CONNECT": "no body"} {
		runResponses(t, method, responseLimits, []wireCase{
			{"items 1 and 2: to " + method, ok + "Content-Length: 2\n\nab", []string{want, "rest ab"}},
		})
	}
	runResponses(t, "CONNECT", responseLimits, []wireCase{
		{"item 2: CONNECT that is refused", "HTTP/1.1 403 No\nContent-Length: 2\n\nab", []string{"2 by length", "rest ab"}},
	})
}

// A client refuses in a response what a server refuses in a request, but for what has to do with
// the request line.
func TestResponsesAreRefusedAsRequestsAre(t *testing.T) {
	const ok, next = "HTTP/1.1 200 OK\nA: b\n", "HTTP/1.1 200 Smuggled\nContent-Length: 0\n\n"
	var cases []wireCase
	bad := func(name, in string, before ...string) {
		cases = append(cases, wireCase{name, in, append(before, "http: response: ")})
	}
	for _, f := range badFields {
		bad(f.name, ok+f.text)
		bad(f.name+", in an interim response", "HTTP/1.1 103 E\n"+f.text+next)
		bad(f.name+", first", "HTTP/1.1 200 OK\n"+f.text)
	}
	for _, v := range badLengths {
		if v != "5,5" && v != "5, 5" {
			bad("length "+v, ok+"Content-Length: "+v+"\n\nhello"+next)
		}
	}
	for _, v := range append(slices.Clone(malformedCodings), unknownCodings...) {
		bad("coding "+v, ok+"Transfer-Encoding: "+v+"\n\n0\n\n"+next)
	}
	for _, in := range []string{"chunked\nTransfer-Encoding: identity", "chunked\nTransfer-Encoding:", "gzip\nTransfer-Encoding: chunked"} {
		bad("two lines", ok+"Transfer-Encoding: "+in+"\n\n0\n\n"+next)
	}
	for _, c := range badChunks {
		bad(c.name, ok+"Transfer-Encoding: chunked\n\n"+c.body+next, "by chunks")
	}
	runResponses(t, "GET", Limits{Head: 400, Fields: 6}, cases)
}

func TestResponseHeadAllocatesNothing(t *testing.T) {
	in := []byte("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 13\r\n\r\n")
	var p ResponseHead
	if n := testing.AllocsPerRun(100, func() {
		p.Reset()
		var f ResponseFraming
		if n, _ := p.Parse(in, &responseLimits); n != len(in) || f.Read(in, &p, "GET") != nil || f.Length != 13 {
			t.Fatal(n)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
