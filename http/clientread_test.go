package http

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// A responseCase is bytes from a server, and what they must lead to. In in, "\n" stands for CR LF
// and "␊" for LF alone.
type responseCase struct {
	name   string
	method string // default GET
	in     string
	end    bool // the server then ends the stream
	events []string
	err    error // of the connection; nil if it stays open, or is closed without an error
	closed bool
}

// runResponseCases checks each case whole and streamed, however its bytes are split: the events and
// the end must be the same.
func runResponseCases(t *testing.T, o ClientOptions, cases []responseCase) {
	for _, rc := range cases {
		t.Run(rc.name, func(t *testing.T) {
			for _, stream := range []bool{false, true} {
				first := ""
				for _, pieces := range cuts(lineEnds(rc.in)) {
					tc := newClientTest(t, o)
					tc.stream = stream
					tc.request(ClientRequest{Method: rc.method})
					tc.Send(pieces...)
					if rc.end {
						tc.SendEOF()
					}
					outcome := strings.Join(tc.events, "\n") + fmt.Sprint(tc.c.IsOpen())
					if i := strings.Index(outcome, "chunks "); i >= 0 && rc.err != nil {
						outcome = outcome[:i] // an error may come before or after the last bytes are handed on
					}
					if first == "" {
						first = outcome
						if !stream {
							tc.want(rc.events...)
						}
						switch {
						case rc.err != nil:
							tc.wantError(rc.err)
						case tc.c.IsOpen() == rc.closed || len(tc.errs) > 0:
							t.Fatalf("open %v, errors %v", tc.c.IsOpen(), tc.errs)
						}
					} else if outcome != first {
						t.Fatalf("stream %v: split as %q:\n%s\nwhole:\n%s", stream, pieces, outcome, first)
					}
				}
			}
		})
	}
}

const nextResponse = "HTTP/1.1 200 Smuggled\nContent-Length: 0\n\n"

// RFC 9112 6.3 and 9.3.
func TestClientResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\n"
	whole := func(body string) []string { return []string{"head 1.1 200", "response 200 body=" + body} }
	runResponseCases(t, ClientOptions{MaxHead: 400, MaxBody: 100}, []responseCase{
		{name: "length", in: ok + "Content-Length: 3\nA: b\n\nabc", events: []string{`head 1.1 200 "OK" [Content-Length=3;A=b;] length 3`, `response 200 body="abc" trailers=`}},
		{name: "length 0", in: ok + "Content-Length: 0\n\n", events: whole(`""`)},
		{name: "chunks", in: ok + "Transfer-Encoding: chunked\n\n2;x=y\nab\n1\nc\n0\n\n", events: whole(`"abc"`)},
		{name: "no chunks", in: ok + "Transfer-Encoding: chunked\n\n0\n\n", events: whole(`""`)},
		{name: "trailers", in: ok + "Transfer-Encoding: chunked\n\n1\na\n0\nSum: 1\nB: c\n\n", events: whole(`"a" trailers=Sum=1;B=c;`)},
		{name: "until close", in: ok + "\nabc", end: true, events: whole(`"abc"`), closed: true},
		{name: "until close, empty", in: ok + "\n", end: true, events: whole(`""`), closed: true},
		{name: "HTTP/1.0 until close", in: "HTTP/1.0 200 OK\n\nabc", end: true, events: []string{"head 1.0 200", `response 200 body="abc"`}, closed: true},
		{name: "HTTP/1.0 closes", in: "HTTP/1.0 200 OK\nContent-Length: 1\n\na", events: []string{"head", `"a"`}, closed: true},
		{name: "HTTP/1.0 kept", in: "HTTP/1.0 200 OK\nConnection: keep-alive\nContent-Length: 1\n\na", events: []string{"head", `"a"`}},
		{name: "close", in: ok + "Connection: close\nContent-Length: 1\n\na", events: whole(`"a"`), closed: true},
		{name: "equal lengths", in: ok + "Content-Length: 1, 1\n\na", events: whole(`"a"`)},
		{name: "no reason", in: "HTTP/1.1 200\nContent-Length: 1\n\na", events: whole(`"a"`)},
		{name: "an unknown status", in: "HTTP/1.1 799 x\nContent-Length: 1\n\na", events: []string{"head 1.1 799", `response 799 body="a"`}},
		{name: "HEAD", method: "HEAD", in: ok + "Content-Length: 3\n\n", events: []string{"head", `response 200 body=""`}},
		{name: "HEAD of chunks", method: "HEAD", in: ok + "Transfer-Encoding: chunked\n\n", events: []string{"head", `response 200 body=""`}},
		{name: "204", in: "HTTP/1.1 204 No Content\n\n", events: []string{"head 1.1 204", "response 204"}},
		{name: "304", in: "HTTP/1.1 304 Not Modified\nContent-Length: 7\n\n", events: []string{"head 1.1 304", "response 304"}},
		{name: "100 unasked", in: "HTTP/1.1 100 Continue\n\n" + ok + "Content-Length: 1\n\na", events: whole(`"a"`)},
		{name: "103", in: "HTTP/1.1 103 Early Hints\nLink: x\n\n" + ok + "Content-Length: 1\n\na",
			events: []string{`interim 1.1 103 "Early Hints" [Link=x;]`, "head 1.1 200", `"a"`}},
		{name: "no response", in: "", end: true, events: []string{"error closed by the peer"}, err: ErrNoResponse},
		{name: "cut in the head", in: "HTTP/1.1 200", end: true, events: []string{"error closed by the peer"}, err: ErrCut},
		{name: "cut in the body", in: ok + "Content-Length: 3\n\nab", end: true, events: []string{"head", "error"}, err: ErrCut},
		{name: "cut in the chunks", in: ok + "Transfer-Encoding: chunked\n\n3\nab", end: true, events: []string{"head", "error"}, err: ErrCut},
		{name: "cut before the trailers", in: ok + "Transfer-Encoding: chunked\n\n1\na\n0\n", end: true, events: []string{"head", "error"}, err: ErrCut},
		{name: "cut after an interim response", in: "HTTP/1.1 103 x\n\n", end: true, events: []string{"interim", "error"}, err: ErrCut},
	})
}

// The server's table of refusals, mirrored: what a client must not take. One of each part that
// internal/wire reads; its own tests have the others.
func TestClientRefusals(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\n"
	bad := func(name, in, why string) responseCase {
		return responseCase{name: name, in: in, events: []string{""}, err: ErrBadResponse}.says(why)
	}
	late := func(name, in, why string) responseCase {
		rc := bad(name, in, why)
		rc.events = append([]string{"head"}, rc.events...)
		return rc
	}
	fields := func(name, fields, why string) responseCase {
		return bad(name, ok+fields+"\nabc"+nextResponse, why)
	}
	const chunks = ok + "Transfer-Encoding: chunked\n\n"
	runResponseCases(t, ClientOptions{MaxHead: 400, MaxHeaders: 5, MaxBody: 100}, []responseCase{
		bad("another protocol", "SSH-2.0-x\n", "malformed status line"),
		bad("an empty line first", "\n"+ok+"\n", "malformed status line"),
		bad("a status of two digits", "HTTP/1.1 20 OK\n\n", "malformed status line"),
		bad("version", "HTTP/1.2 200 OK\n\n", "neither HTTP/1.0 nor HTTP/1.1"),
		bad("LF alone", "HTTP/1.1 200 OK␊Content-Length: 0\n\n", "LF without CR"),
		bad("CR alone (splitting)", "HTTP/1.1 200 OK\nA: b\rSet-Cookie: x\n\n", "CR without LF"),
		fields("obs-fold", "A: b\n c\n", "line begins with white space"),
		fields("space before the colon", "Content-Length : 3\n", "not a token followed by a colon"),
		fields("control character", "A: \x00\n", "control character"),
		fields("no name", ": 3\n", "empty field name"),
		fields("two framings", "Content-Length: 3\nTransfer-Encoding: chunked\n", "together with Transfer-Encoding"),
		fields("two lengths", "Content-Length: 3\ncontent-length: 4\n", "several values"),
		fields("two lengths in a list", "Content-Length: 3, 4\n", "several values"),
		fields("malformed length", "Content-Length: +3\n", "malformed Content-Length"),
		fields("length with a hidden byte", "Content-Length: 3\x0b\n", "control character"),
		fields("hexadecimal length", "Content-Length: 0x3\n", "malformed Content-Length"),
		fields("malformed coding", "Transfer-Encoding: chunked, chunked\n", "chunked not last and once"),
		fields("coding in disguise", "Transfer-Encoding: \"chunked\"\n", "chunked not last and once"),
		fields("unknown coding", "Transfer-Encoding: gzip, chunked\n", "unknown transfer coding"),
		bad("coding of HTTP/1.0", "HTTP/1.0 200 OK\nTransfer-Encoding: chunked\n\n0\n\n", "Transfer-Encoding in an HTTP/1.0 response"),
		bad("101 that was not asked for", "HTTP/1.1 101 Switching Protocols\nUpgrade: x\n\nabc", "101 (Switching Protocols)"),
		bad("interim of HTTP/1.0", "HTTP/1.0 100 Continue\n\n", "interim response of HTTP/1.0"),
		bad("endless interim responses", strings.Repeat("HTTP/1.1 100 Continue\n\n", 20), "too many interim responses"),
		late("chunk size", chunks+"0x1\na\n0\n\n", "malformed chunk size"),
		late("chunk size with a sign", chunks+"+1\na\n0\n\n", "malformed chunk size"),
		late("chunk extension", chunks+"1;a=\na\n0\n\n", "malformed chunk extension"),
		late("chunk longer than said", chunks+"1\nabc\n0\n\n", "chunk not ended by CRLF"),
		late("LF alone in a chunk", chunks+"1␊a\n0\n\n", "LF without CR"),
		late("trailer", chunks+"0\na : b\n\n", "not a token followed by a colon"),
		late("trailer that frames", chunks+"0\nContent-Length: 5\n\n", "not allowed in a trailer section"),
		late("trailer that sets a cookie", chunks+"0\nSet-Cookie: a=b\n\n", "not allowed in a trailer section"),
	})
	long := func(name, in string, err error, events ...string) responseCase {
		return responseCase{name: name, in: in, err: err, events: append(events, "error protocol error")}
	}
	runResponseCases(t, ClientOptions{MaxHead: 400, MaxHeaders: 5, MaxBody: 100}, []responseCase{
		long("endless status line", "HTTP/1.1 200 "+strings.Repeat("a", 500), ErrLongHead),
		long("endless head", ok+"A: "+strings.Repeat("b", 500), ErrLongHead),
		long("too many fields", ok+strings.Repeat("A: b\n", 6)+"\n", ErrLongHead),
		long("endless trailer", chunks+"0\na: "+strings.Repeat("b", 500), ErrLongHead, "head"),
	})
}

func (rc responseCase) says(why string) responseCase {
	rc.events[len(rc.events)-1] = why
	return rc
}

// MaxBody bounds what is wanted whole, and not what is streamed.
func TestClientLongBody(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\n"
	body := strings.Repeat("a", 100)
	for _, in := range map[string]string{
		"length": ok + "Content-Length: 100\n\n" + body, "chunks": ok + "Transfer-Encoding: chunked\n\n32\n" + body[:50] + "\n32\n" + body[50:] + "\n0\n\n",
		"until close": ok + "\n" + body,
	} {
		for _, stream := range []bool{false, true} {
			for _, pieces := range cuts(lineEnds(in)) {
				tc := newClientTest(t, ClientOptions{MaxBody: 99})
				tc.stream = stream
				tc.request(ClientRequest{})
				tc.Send(pieces...)
				tc.SendEOF()
				if stream {
					tc.want("head", "streamed "+body)
				} else {
					tc.wantError(ErrLongBody)
					tc.want("head", "error")
				}
				tc = newClientTest(t, ClientOptions{MaxBody: 99})
				tc.request(ClientRequest{MaxBody: 100})
				tc.Send(pieces...)
				tc.SendEOF()
				tc.want("head", "response 200 body=\""+body)
			}
		}
	}
}

// RFC 9112 9.2: bytes that no request has asked for end the connection, and are no response.
func TestClientTakesNothingUnasked(t *testing.T) {
	response := lineEnds("HTTP/1.1 200 OK\nContent-Length: 1\n\na")
	tc := newClientTest(t, ClientOptions{})
	tc.Send(response)
	tc.wantError(ErrBadResponse)
	tc.want("error protocol error")

	// In the packet of the response, or later: never the response to the next request.
	for _, pieces := range cuts(response + response) {
		tc := newClientTest(t, ClientOptions{})
		tc.request(ClientRequest{})
		tc.Send(pieces...)
		if tc.c.IsOpen() {
			t.Fatalf("open after %q", pieces)
		}
		if len(tc.events) < 2 || !strings.HasPrefix(tc.events[0], "head") || !strings.Contains(tc.events[1], `"a"`) {
			t.Fatalf("events %q", tc.events)
		}
		if err := Send(tc.c, &ClientRequest{}); err != conn.ErrClosed {
			t.Fatalf("Send afterwards: %v", err)
		}
	}
}

// A second response that no request has asked for is never that of the next request, although it is
// still in the kernel when the first one is read (response splitting).
func TestClientTakesNothingUnaskedFromTheKernel(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nContent-Length: 00000\r\n\r\n"
	const smuggled = "HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"
	for _, rest := range []string{smuggled, ""} {
		tc := newClientTest(t, ClientOptions{})
		tc.request(ClientRequest{})
		tc.request(ClientRequest{URL: "/next"})
		tc.Sent()
		n := 64<<10 - len(head) // one read, and not a byte more
		first := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %05d\r\n\r\n%s", n, strings.Repeat("x", n))
		tc.Send(first + rest)
		if rest != "" {
			tc.want("head ", "response 200 body=\"xxx", "bytes that no request has asked for")
			tc.wantError(ErrBadResponse)
			tc.WantSent("")
			continue
		}
		tc.want("head ", "response 200 body=\"xxx")
		tc.wantRequest("GET /next HTTP/1.1\nHost: h\n\n") // nothing waits, and the connection carries on
		tc.Send(smuggled)
		tc.want("head ", "smuggled")
	}
}

// A response that comes before the last byte of its request has left costs the connection: the
// server may never read the rest, and then not the next request either.
func TestClientEarlyResponseCostsTheConnection(t *testing.T) {
	for room, closed := range map[int]bool{100: true, 1 << 20: false} {
		tc := newClientTest(t, ClientOptions{})
		tc.Room(room)
		tc.request(ClientRequest{Method: "PUT", Body: make([]byte, 1000)})
		tc.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		tc.want("head ", "response 200")
		if tc.Closed() != closed {
			t.Errorf("with room for %d bytes: closed %v", room, tc.Closed())
		}
	}
}

// Bytes that came before anything of a request has left are not its response, although the request
// is queued already.
func TestClientTakesNothingFromBeforeTheRequest(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	if err := Send(tc.c, &ClientRequest{}); err != nil { // it leaves at the end of the turn
		t.Fatal(err)
	}
	tc.Wire.Arrive([]byte("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nsmuggled"), nil)
	tc.Turn()
	tc.want("bytes that no request has asked for")
	tc.wantError(ErrBadResponse)

	// A long request may leave at once: its response may be read in the same turn.
	tc = newClientTest(t, ClientOptions{})
	if err := Send(tc.c, &ClientRequest{Body: make([]byte, 30_000)}); err != nil {
		t.Fatal(err)
	}
	tc.Wire.Arrive([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), nil)
	tc.Turn()
	tc.want("head ", "ok")
}

// The trailers of one response are not those of another, which comes without chunks.
func TestClientStreamHasItsOwnTrailers(t *testing.T) {
	for _, second := range []string{"HTTP/1.1 200 OK\nContent-Length: 1\n\nb", "HTTP/1.1 200 OK\n\nb"} {
		tc := newClientTest(t, ClientOptions{})
		tc.stream = true
		tc.request(ClientRequest{})
		tc.Send(lineEnds("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n1\na\n0\nX-Secret: of the first\n\n"))
		tc.want("head", "streamed a trailers=X-Secret=of the first;")
		tc.request(ClientRequest{})
		tc.Send(lineEnds(second))
		tc.SendEOF()
		if len(tc.events) < 2 || tc.events[1] != "streamed b trailers=" {
			t.Errorf("%q", tc.events)
		}
	}
}
