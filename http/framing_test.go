package http

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

const nextRequest = "GET /smuggled HTTP/1.1\nHost: h\n\n"

// smuggler is a request that must be refused with the status, and with it what lies behind it.
func smuggler(name string, status int, fields, body string) requestCase {
	return refused(name, status, "POST / HTTP/1.1\nHost: h\n"+fields+"\n"+body+nextRequest)
}

// RFC 9112 6.3, RFC 9110 8.6.
func TestContentLength(t *testing.T) {
	const line = "POST / HTTP/1.1\nHost: h\n"
	cases := []requestCase{
		accepted("body", line+"Content-Length: 5\n\nhello", `body="hello"`),
		accepted("zero", line+"Content-Length: 0\n\n", `body=""`),
		accepted("none", line+"\n", `body=""`),
		accepted("leading zeros", line+"Content-Length: 0005\n\nhello", `body="hello"`),
		accepted("on GET", "GET / HTTP/1.1\nHost: h\nContent-Length: 5\n\nhello", `body="hello"`),
		accepted("body of line ends", line+"Content-Length: 8\n\n\n\n\n\n", `body="\r\n\r\n\r\n\r\n"`),
		smuggler("with Transfer-Encoding", 400, "Content-Length: 5\nTransfer-Encoding: chunked\n", "0\n\n"),
		smuggler("with Transfer-Encoding before it", 400, "Transfer-Encoding: chunked\nContent-Length: 5\n", "0\n\n"),
		smuggler("zero with Transfer-Encoding", 400, "Content-Length: 0\nTransfer-Encoding: chunked\n", "0\n\n"),
		smuggler("with an unknown Transfer-Encoding", 400, "Content-Length: 0\nTransfer-Encoding: x\n", ""),
		smuggler("twice, other value", 400, "Content-Length: 5\nContent-Length: 6\n", "hello"),
		smuggler("twice, same value", 400, "Content-Length: 5\ncontent-length: 5\n", "hello"),
		smuggler("twice, one empty", 400, "Content-Length: 5\nContent-Length:\n", "hello"),
	}
	for _, v := range []string{"", " ", "+5", "-5", "-0", "5,5", "5, 5", "5,", ",5", "5 5", "0x5", "5a", "a", "5.0", "5e0", "٥",
		`"5"`, "5;", "1_0",
		"9223372036854775808", "18446744073709551616", "18446744073709551621", strings.Repeat("9", 50), "5\t5"} {
		cases = append(cases, smuggler("malformed "+v, 400, "Content-Length: "+v+"\n", "hello"))
	}
	cases = append(cases, requestCase{name: "2^63-1 is too long", in: line + "Content-Length: 9223372036854775807\n\nhello",
		events: []string{"head", "bad 413"}, status: []int{413}})
	runCases(t, Options{}, cases)
}

// RFC 9112 6.1: chunked once and last, and no disguise of it.
func TestTransferEncoding(t *testing.T) {
	const line = "POST / HTTP/1.1\nHost: h\n"
	cases := []requestCase{
		accepted("chunked", line+"Transfer-Encoding: chunked\n\n5\nhello\n0\n\n", `body="hello"`),
		accepted("case-insensitive (7)", line+"transfer-encoding: ChUnKeD\n\n5\nhello\n0\n\n", `body="hello"`),
		accepted("white space around it", line+"Transfer-Encoding:\tchunked \t\n\n5\nhello\n0\n\n", `body="hello"`),
		refused("on HTTP/1.0", 400, "POST / HTTP/1.0\nTransfer-Encoding: chunked\n\n0\n\n"+nextRequest),
		refused("on HTTP/1.0 with keep-alive", 400,
			"POST / HTTP/1.0\nConnection: keep-alive\nTransfer-Encoding: chunked\n\n0\n\n"+nextRequest),
		smuggler("two lines", 400, "Transfer-Encoding: chunked\nTransfer-Encoding: chunked\n", "0\n\n"),
		smuggler("two lines, identity last", 400, "Transfer-Encoding: chunked\nTransfer-Encoding: identity\n", "0\n\n"),
		smuggler("two lines, one empty", 400, "Transfer-Encoding: chunked\nTransfer-Encoding:\n", "0\n\n"),
		smuggler("two lines, other coding first", 501, "Transfer-Encoding: gzip\nTransfer-Encoding: chunked\n", "0\n\n"),
		smuggler("space before the colon", 400, "Transfer-Encoding : chunked\n", "0\n\n"),
		smuggler("folded", 400, "Transfer-Encoding:\n chunked\n", "0\n\n"),
	}
	for _, v := range []string{"", "chunked,", ",chunked", "chunked, chunked", "chunked, identity", "chunked,gzip", "chunked;q=1",
		`"chunked"`, "chunked chunked", "chunked\x0b", "\x0bchunked", "chunk\x00ed", "'chunked' x", "chunked\xa0",
		"identity, chunked, identity", "(chunked)"} {
		cases = append(cases, smuggler("malformed "+v, 400, "Transfer-Encoding: "+v+"\n", "0\n\n"))
	}
	for _, v := range []string{"xchunked", "chunkedx", "identity", "gzip", "gzip, chunked", "identity, chunked", "'chunked'"} {
		cases = append(cases, smuggler("unknown "+v, 501, "Transfer-Encoding: "+v+"\n", "0\n\n"))
	}
	runCases(t, Options{}, cases)
}

// RFC 9112 7.1.
func TestChunked(t *testing.T) {
	const head = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n"
	ok := func(name, body, message string) requestCase { return accepted(name, head+body, message) }
	bad := func(name string, status int, body string) requestCase {
		return requestCase{name: name, in: head + body + nextRequest, events: []string{"head", fmt.Sprint("bad ", status)},
			status: []int{status}}
	}
	runCases(t, Options{MaxHead: 400, MaxHeaders: 6, MaxBody: 100}, []requestCase{
		ok("empty", "0\n\n", `body=""`),
		ok("several", "1\na\n2\nbc\n0A\n0123456789\n0\n\n", `body="abc0123456789"`),
		ok("line ends in the data", "4\n\n\n\n3\n0\n\n0\n\n", `body="\r\n\r\n0\r\n"`),
		ok("several zeros in the end", "000\n\n", `body=""`),
		ok("extensions (7.1.1)", "1;a\na\n1;a=b;c=\"d\\\"\n;e\n0;x=y\n\n"[:12]+"1;c=\"d\\\";e\";f\nb\n0;x=y\n\n", `body="ab"`),
		ok("bad white space around an extension", "1 ; a = b\t;c\nx\n0\n\n", `body="x"`),
		ok("trailers", "1\na\n0\nX-Sum: 1\nY:2\n\n", `body="a" trailers=X-Sum=1;Y=2;`),
		ok("full body", "64\n"+strings.Repeat("a", 100)+"\n0\n\n", `aaa"`),
		bad("body too long", 413, "64\n"+strings.Repeat("a", 100)+"\n1\na\n0\n\n"),
		bad("chunk too long", 413, "65\n"),
		bad("negative size", 400, "-1\na\n0\n\n"),
		bad("plus sign", 400, "+1\na\n0\n\n"),
		bad("0x", 400, "0x1\na\n0\n\n"),
		bad("no size", 400, "\na\n0\n\n"),
		bad("space before the size", 400, " 1\na\n0\n\n"),
		bad("space behind the size", 400, "1 \na\n0\n\n"),
		bad("no hex digit", 400, "g\na\n0\n\n"),
		bad("underscore", 400, "1_0\na\n0\n\n"),
		bad("overflow of 63 bits", 400, "8000000000000000\na\n0\n\n"),
		bad("overflow of 64 bits", 400, "10000000000000001\na\n0\n\n"),
		bad("too many zeros", 400, "00000000000000001\na\n0\n\n"),
		bad("LF behind the size", 400, "1␊a\n0\n\n"),
		bad("CR behind the size", 400, "1\ra\n0\n\n"),
		bad("NUL behind the size", 400, "1\x00\na\n0\n\n"),
		bad("LF behind an extension", 400, "1;a␊a\n0\n\n"),
		bad("CR in an extension", 400, "1;a\rb\na\n0\n\n"),
		bad("no extension name", 400, "1;\na\n0\n\n"),
		bad("no extension value", 400, "1;a=\na\n0\n\n"),
		bad("white space behind an extension", 400, "1;a \na\n0\n\n"),
		bad("open quote", 400, "1;a=\"b\na\n0\n\n"),
		bad("control character in an extension", 400, "1;a\x01\na\n0\n\n"),
		bad("long extension", 400, "1;"+strings.Repeat("a", 17<<10)+"\na\n0\n\n"),
		bad("many extensions", 400, strings.Repeat("1;"+strings.Repeat("a", 999)+"\na\n", 18)+"0\n\n"),
		bad("no line end behind the data", 400, "1\nab0\n\n"),
		bad("LF behind the data", 400, "1\na␊0\n\n"),
		bad("CR behind the data", 400, "1\na\rx0\n\n"),
		bad("longer data than said", 400, "1\nabc\n0\n\n"),
		bad("last chunk ended by LF", 400, "0␊␊"),
		bad("trailer section ended by LF", 400, "0\n␊"),
		bad("no colon in a trailer", 400, "0\nabc\n\n"),
		bad("obs-fold in a trailer", 400, "0\na: b\n c\n\n"),
		bad("space before the colon of a trailer", 400, "0\na : b\n\n"),
		bad("control character in a trailer", 400, "0\na: \x01\n\n"),
		bad("Content-Length in a trailer (RFC 9110 6.5.1)", 400, "0\nContent-Length: 5\n\n"),
		bad("Transfer-Encoding in a trailer", 400, "0\ntransfer-encoding: chunked\n\n"),
		bad("Host in a trailer", 400, "0\nA: b\nHost: h\n\n"),
		bad("too many trailers", 431, "0\na:1\nb:2\nc:3\nd:4\ne:5\n\n"),
		bad("endless trailer", 431, "0\na: "+strings.Repeat("b", 500)),
	})
}

// The decoder takes the coding off however its input is cut, and what it leaves is what a plain reading of the RFC leaves.
func TestChunkedManyTinyChunks(t *testing.T) {
	const n = 100_000
	in := []byte(strings.Repeat("1\r\nx\r\n", n) + "0\r\n\r\n")
	var d chunkDecoder
	w, r, err := d.decode(in, 0, 0, n)
	if err != nil || w != n || d.step != chunkTrailers || r != len(in)-2 {
		t.Fatal(w, r, d.step, err)
	}
	if !bytes.Equal(in[:w], bytes.Repeat([]byte("x"), n)) {
		t.Fatal("wrong data")
	}
}

func BenchmarkChunkedTiny(b *testing.B) {
	in := []byte(strings.Repeat("1\r\nx\r\n", 10_000) + "0\r\n\r\n")
	buf := make([]byte, len(in))
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		copy(buf, in)
		var d chunkDecoder
		if _, _, err := d.decode(buf, 0, 0, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}

// RFC 9110 10.1.1, RFC 9112 9.3 and 9.6.
func TestConnectionAndExpect(t *testing.T) {
	const line = "GET / HTTP/1.1\nHost: h\n"
	const old = "GET / HTTP/1.0\n"
	closes := func(name, in string) requestCase {
		return requestCase{name: name, in: in + nextRequest, events: []string{"head", "message"}, status: []int{200}}
	}
	runCases(t, Options{}, []requestCase{
		accepted("1.1 stays open", line+"\n", "GET"),
		closes("close", line+"Connection: close\n\n"),
		closes("Close", line+"connection: CLOSE\n\n"),
		closes("close in a list", line+"Connection: foo,\t close ,bar\n\n"),
		closes("close in the second line", line+"Connection: keep-alive\nConnection: close\n\n"),
		closes("close in the first line", line+"Connection: close\nConnection: keep-alive\n\n"),
		accepted("closed is not close", line+"Connection: closed, xclose\n\n", "GET"),
		closes("1.0 closes", old+"\n"),
		accepted("1.0 with keep-alive stays open", old+"Connection: Keep-Alive\n\n", "GET"),
		closes("1.0 with both closes", old+"Connection: keep-alive, close\n\n"),
		refused("unknown expectation", 417, line+"Expect: the unexpected\n\n"),
		refused("unknown expectation in a list", 417, line+"Expect: 100-continue, x\nContent-Length: 1\n\n"),
		accepted("100-continue without a body", line+"Expect: 100-continue\n\n", "GET"),
		accepted("100-continue on 1.0 (RFC 9110 10.1.1)",
			"POST / HTTP/1.0\nConnection: keep-alive\nExpect: 100-continue\nContent-Length: 1\n\nx", `body="x"`),
	})
}

// A Host that was found well-formed is not looked at again, which must let no other one in.
func TestHostBehindAWellFormedOne(t *testing.T) {
	for host, isBad := range map[string]bool{"x": false, "": true, "a b": true, "xy": false, "x:80a": true, "[::1": true} {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				ReplyBytes(c, 200, "text/plain", nil)
			}
		})
		tc.send("GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
		if got := strings.Contains(tc.reply(), "HTTP/1.1 400"); got != isBad {
			t.Errorf("Host %q behind a good one: refused %v, want %v", host, got, isBad)
		}
	}
}
