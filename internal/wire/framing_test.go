package wire

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

const nextRequest = "GET /smuggled HTTP/1.1\nHost: h\n\n"

// smuggler is a request that must be refused with the status, and with it the bytes after it.
func smuggler(name string, status int, fields, body string) wireCase {
	return refused(name, status, "POST / HTTP/1.1\nHost: h\n"+fields+"\n"+body+nextRequest)
}

// Values of fields that say how long a body is, and that neither a request nor a response may have;
// a response may have a Content-Length of equal numbers in a list (RFC 9112 6.3 item 5).
var (
	badLengths = []string{"", " ", "+5", "-5", "-0", "5,5", "5, 5", "5,", ",5", "5 5", "0x5", "5a", "a", "5.0", "5e0", "٥",
		`"5"`, "5;", "1_0",
		"9223372036854775808", "18446744073709551616", "18446744073709551621", strings.Repeat("9", 50), "5\t5"}
	malformedCodings = []string{"", "chunked,", ",chunked", "chunked, chunked", "chunked, identity", "chunked,gzip", "chunked;q=1",
		`"chunked"`, "chunked chunked", "chunked\x0b", "\x0bchunked", "chunk\x00ed", "'chunked' x", "chunked\xa0",
		"identity, chunked, identity", "(chunked)"}
	unknownCodings = []string{"xchunked", "chunkedx", "identity", "gzip", "gzip, chunked", "identity, chunked", "'chunked'"}
)

// RFC 9112 6.3, RFC 9110 8.6.
func TestContentLength(t *testing.T) {
	const line = "POST / HTTP/1.1\nHost: h\n"
	cases := []wireCase{
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
	for _, v := range badLengths {
		cases = append(cases, smuggler("malformed "+v, 400, "Content-Length: "+v+"\n", "hello"))
	}
	cases = append(cases, wireCase{name: "2^63-1 is too long", in: line + "Content-Length: 9223372036854775807\n\nhello",
		want: []string{"head", "bad 413"}})
	runCases(t, *newReader(), cases)
}

// RFC 9112 6.1: chunked once and last, and no disguise of it.
func TestTransferEncoding(t *testing.T) {
	const line = "POST / HTTP/1.1\nHost: h\n"
	cases := []wireCase{
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
	for _, v := range malformedCodings {
		cases = append(cases, smuggler("malformed "+v, 400, "Transfer-Encoding: "+v+"\n", "0\n\n"))
	}
	for _, v := range unknownCodings {
		cases = append(cases, smuggler("unknown "+v, 501, "Transfer-Encoding: "+v+"\n", "0\n\n"))
	}
	runCases(t, *newReader(), cases)
}

// RFC 9112 7.1.
func TestChunked(t *testing.T) {
	const head = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n"
	ok := func(name, body, message string) wireCase { return accepted(name, head+body, message) }
	bad := func(name string, status int, body string) wireCase {
		return wireCase{name: name, in: head + body + nextRequest, want: []string{"head", fmt.Sprint("bad ", status)}}
	}
	o := newReader()
	o.lim, o.maxBody = Limits{Target: 400, Head: 400, Fields: 6}, 100
	cases := []wireCase{
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
	}
	for _, c := range badChunks {
		cases = append(cases, bad(c.name, c.status, c.body))
	}
	runCases(t, *o, cases)
}

// badChunks are chunked bodies that neither a request nor a response may have. The status is that
// of the reply.
var badChunks = []struct {
	name   string
	status int
	body   string
}{
	{"negative size", 400, "-1\na\n0\n\n"},
	{"plus sign", 400, "+1\na\n0\n\n"},
	{"0x", 400, "0x1\na\n0\n\n"},
	{"no size", 400, "\na\n0\n\n"},
	{"space before the size", 400, " 1\na\n0\n\n"},
	{"space behind the size", 400, "1 \na\n0\n\n"},
	{"no hex digit", 400, "g\na\n0\n\n"},
	{"underscore", 400, "1_0\na\n0\n\n"},
	{"overflow of 63 bits", 400, "8000000000000000\na\n0\n\n"},
	{"overflow of 64 bits", 400, "10000000000000001\na\n0\n\n"},
	{"too many zeros", 400, "00000000000000001\na\n0\n\n"},
	{"LF behind the size", 400, "1␊a\n0\n\n"},
	{"CR behind the size", 400, "1\ra\n0\n\n"},
	{"NUL behind the size", 400, "1\x00\na\n0\n\n"},
	{"LF behind an extension", 400, "1;a␊a\n0\n\n"},
	{"CR in an extension", 400, "1;a\rb\na\n0\n\n"},
	{"no extension name", 400, "1;\na\n0\n\n"},
	{"no extension value", 400, "1;a=\na\n0\n\n"},
	{"white space behind an extension", 400, "1;a \na\n0\n\n"},
	{"open quote", 400, "1;a=\"b\na\n0\n\n"},
	{"control character in an extension", 400, "1;a\x01\na\n0\n\n"},
	{"long extension", 400, "1;" + strings.Repeat("a", 17<<10) + "\na\n0\n\n"},
	{"many extensions", 400, strings.Repeat("1;"+strings.Repeat("a", 999)+"\na\n", 18) + "0\n\n"},
	{"no line end behind the data", 400, "1\nab0\n\n"},
	{"LF behind the data", 400, "1\na␊0\n\n"},
	{"CR behind the data", 400, "1\na\rx0\n\n"},
	{"longer data than said", 400, "1\nabc\n0\n\n"},
	{"last chunk ended by LF", 400, "0␊␊"},
	{"trailer section ended by LF", 400, "0\n␊"},
	{"no colon in a trailer", 400, "0\nabc\n\n"},
	{"obs-fold in a trailer", 400, "0\na: b\n c\n\n"},
	{"space before the colon of a trailer", 400, "0\na : b\n\n"},
	{"control character in a trailer", 400, "0\na: \x01\n\n"},
	{"Content-Length in a trailer (RFC 9110 6.5.1)", 400, "0\nContent-Length: 5\n\n"},
	{"Transfer-Encoding in a trailer", 400, "0\ntransfer-encoding: chunked\n\n"},
	{"Host in a trailer", 400, "0\nA: b\nHost: h\n\n"},
	{"too many trailers", 431, "0\na:1\nb:2\nc:3\nd:4\ne:5\n\n"},
	{"endless trailer", 431, "0\na: " + strings.Repeat("b", 500)},
}

// The decoder takes the coding off however its input is cut, and what it leaves is what a plain
// reading of the RFC leaves.
func TestChunkedManyTinyChunks(t *testing.T) {
	const n = 100_000
	in := []byte(strings.Repeat("1\r\nx\r\n", n) + "0\r\n\r\n")
	var d ChunkDecoder
	w, r, err := d.Decode(in, 0, 0, n)
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
		var d ChunkDecoder
		if _, _, err := d.Decode(buf, 0, 0, 1<<20); err != nil {
			b.Fatal(err)
		}
	}
}
