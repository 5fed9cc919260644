package http

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/racetest"
)

// A requestCase is bytes from a client, and what they must lead to. In in, "\n" stands for CR LF
// and "␊" for LF alone.
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

// splits returns the input whole, cut in two at every byte, or at some with -race, which is after
// something else, and byte by byte.
func splits(in string) [][]string {
	step := 1
	if racetest.Enabled {
		step = 7
	}
	all := [][]string{{in}}
	for i := 1; i < len(in); i += step {
		all = append(all, []string{in[:i], in[i:]})
	}
	return append(all, strings.Split(in, ""))
}

// runCases checks each case however its bytes are split: the events, the replies and the end must
// be the same.
func runCases(t *testing.T, o Options, cases []requestCase) {
	for _, rc := range cases {
		t.Run(rc.name, func(t *testing.T) {
			in := rc.bytes()
			var first string
			for _, pieces := range cuts(in) {
				tc := newTest(t, o, nil)
				tc.send(pieces...)
				outcome := strings.Join(tc.events, "\n") + "\n" + string(tc.Wire.Sent) + fmt.Sprint(tc.c.IsOpen())
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

// accepted is a case of one request that gets a reply and leaves the connection open.
func accepted(name, in, message string) requestCase {
	return requestCase{name: name, in: in, events: []string{"head ", message}, status: []int{200}, open: true}
}

// nextRequest is what a smuggler would have the server take for a request.
const nextRequest = "GET /smuggled HTTP/1.1\nHost: h\n\n"

// smuggler is a request that must be refused with the status, and with it the bytes after it.
func smuggler(name string, status int, fields, body string) requestCase {
	return refused(name, status, "POST / HTTP/1.1\nHost: h\n"+fields+"\n"+body+nextRequest)
}

// One refusal of each part of a request that internal/wire reads: its own tests have the others.
func TestRefusals(t *testing.T) {
	const rest = " HTTP/1.1\nHost: h\n\n"
	const head = "POST / HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n"
	late := func(name string, status int, body string) requestCase {
		return requestCase{name: name, in: head + body + nextRequest, events: []string{"head", fmt.Sprint("bad ", status)},
			status: []int{status}}
	}
	cases := []requestCase{
		accepted("one empty line before it (RFC 9112 2.2)", "\nGET /"+rest, "GET /"),
		accepted("chunks and trailers", head+"1;x=y\na\n0\nX-Sum: 1\n\n", `body="a" trailers=X-Sum=1;`),
		refused("method", 400, " /"+rest),
		refused("method of HEAD, then something malformed", 400, "HEAD /"+rest[:len(rest)-1]+"a : b\n\n"),
		refused("method longer than any", 501, strings.Repeat("A", 65)+" /"+rest),
		refused("target's bytes", 400, "GET /\x00"+rest),
		refused("target's form", 400, "GET a/b"+rest),
		refused("target's encoding", 400, "GET /%zz"+rest),
		refused("https without TLS (RFC 9110 7.4)", 421, "GET HttpS://other/x"+rest),
		refused("CONNECT", 501, "CONNECT h:80"+rest),
		refused("version", 505, "GET / HTTP/1.2\n"),
		refused("LF alone", 400, "GET / HTTP/1.1␊Host: h\n\n"),
		{name: "field", in: "GET / HTTP/1.1\nHost: h\na: b\n c\n\n", status: []int{400},
			events: []string{"bad 400 http: request: line begins with white space"}},
		refused("no Host", 400, "GET / HTTP/1.1\n\n"),
		refused("malformed Host", 400, "GET / HTTP/1.1\nHost: a b\n\n"),
		refused("expectation", 417, "GET / HTTP/1.1\nHost: h\nExpect: x\n\n"),
		smuggler("two framings", 400, "Content-Length: 5\nTransfer-Encoding: chunked\n", "0\n\n"),
		smuggler("two lengths", 400, "Content-Length: 5\ncontent-length: 5\n", "hello"),
		smuggler("malformed length", 400, "Content-Length: +5\n", "hello"),
		smuggler("malformed coding", 400, "Transfer-Encoding: chunked, chunked\n", "0\n\n"),
		smuggler("unknown coding", 501, "Transfer-Encoding: gzip, chunked\n", "0\n\n"),
		late("chunk size", 400, "0x1\na\n0\n\n"),
		late("chunk extension", 400, "1;a=\na\n0\n\n"),
		late("chunk longer than said", 400, "1\nabc\n0\n\n"),
		late("chunk too long", 413, "65\n"),
		late("body too long", 413, "64\n"+strings.Repeat("a", 100)+"\n1\na\n0\n\n"),
		late("trailer", 400, "0\na : b\n\n"),
		late("trailer that frames", 400, "0\nContent-Length: 5\n\n"),
		late("endless trailer", 431, "0\na: "+strings.Repeat("b", 500)),
		refused("endless head", 431, "GET / HTTP/1.1\nHost: h\na: "+strings.Repeat("b", 500)),
		refused("endless target", 414, "GET /"+strings.Repeat("b", 500)),
		{name: "length above the limit", in: "POST / HTTP/1.1\nHost: h\nContent-Length: 9223372036854775807\n\nhello",
			events: []string{"head", "bad 413"}, status: []int{413}},
	}
	runCases(t, Options{MaxHead: 400, MaxTarget: 300, MaxBody: 100}, cases)
	runCases(t, Options{StrictTarget: true}, []requestCase{
		refused("strict path", 400, "GET /a|"+rest), refused("strict query", 400, "GET /?%zz"+rest), accepted("strict", "GET /?%41"+rest, `query="%41"`),
	})
}

// RFC 9110 7.4.
func TestHTTPSTarget(t *testing.T) {
	const rest = " HTTP/1.1\nHost: h\n\n"
	runCases(t, Options{HTTPS: true}, []requestCase{
		accepted("https", "GET https://other/x"+rest, `path="/x" query="" host="other"`),
		accepted("http", "GET http://other/x"+rest, `path="/x" query="" host="other"`),
	})
}

// The same through a connection: what is kept of the bytes that came is moved a few times, not once
// for each byte.
func TestHeadByteByByteIsLinear(t *testing.T) {
	head := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + strings.Repeat("A-Name: a value of some length\r\n", 2000) + "\r\n")
	tc := newTest(t, Options{MaxHead: 1 << 20, MaxHeaders: 10_000}, nil)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range head {
		tc.Wire.Arrive(head[i:i+1], nil)
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

// BenchmarkTake adds what makes a Request of the offsets: framing, host, target, fields.
func BenchmarkTake(b *testing.B) {
	in := []byte(browserRequest)
	x := &exchange{srv: NewServer(Options{})}
	b.ReportAllocs()
	b.SetBytes(int64(len(in)))
	for b.Loop() {
		x.p.Reset()
		x.round = round{}
		n, err := x.p.Parse(in, &x.srv.lim)
		if err == nil {
			err = x.adopt(in, n)
		}
		if err != nil {
			b.Fatal(n, err)
		}
	}
}
