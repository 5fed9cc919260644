package fuzz

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	nethttp "net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
)

// httpOptions make limits that a short input can reach.
var httpOptions = http.Options{MaxTarget: 200, MaxHead: 400, MaxHeaders: 12, MaxBody: 100}

// request is what an event told, copied.
type request struct {
	method, target, host string
	path, query          string
	minor                int
	fields, trailers     []string
	body                 string
}

// httpRig is an HTTP connection over a conntest.Wire. Each Message is answered at once.
type httpRig struct {
	c        *conn.Conn
	wire     *conntest.Wire
	loop     *conntest.Loop
	events   []string
	requests []request
}

func (r *httpRig) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		r.events = append(r.events, fmt.Sprintf("head %s %s %q", ev.Method, ev.Target, ev.Headers()))
		if ev.Method == "EARLY" {
			http.Error(c, 403)
		}
	case *http.Message:
		q := request{method: ev.Method, target: string(ev.Target), host: string(ev.Host), path: string(ev.Path), query: string(ev.Query),
			minor: ev.Minor, body: string(ev.Body)}
		for _, f := range ev.Headers() {
			q.fields = append(q.fields, string(f.Name)+": "+string(f.Value))
		}
		for _, f := range ev.Trailers() {
			q.trailers = append(q.trailers, string(f.Name)+": "+string(f.Value))
		}
		r.requests = append(r.requests, q)
		r.events = append(r.events, fmt.Sprintf("message %+v", q))
		http.ReplyBytes(c, 200, "", nil)
	case *http.BadRequest:
		r.events = append(r.events, fmt.Sprintf("bad %d %v", ev.Status, ev.Err))
	}
}

// serveBytes lets a server read the pieces, one in each turn.
func serveBytes(s *http.Server, pieces ...[]byte) *httpRig {
	r := &httpRig{wire: conntest.NewWire(), loop: conntest.NewLoop()}
	l := conn.Limits{}.WithDefaults()
	r.c = r.loop.Add(r.wire, &l, r.event)
	http.Attach(r.c, s)
	for _, p := range pieces {
		r.feed(p)
	}
	return r
}

// feed lets the server read p.
func (r *httpRig) feed(p []byte) {
	if len(p) > 0 {
		r.wire.Arrive(p, nil)
	}
	if err := r.loop.Turn(); err != nil {
		panic(err)
	}
}

func (r *httpRig) outcome() string {
	var b strings.Builder
	// Whether 100 (Continue) is sent depends on whether the body has begun to arrive.
	sent := strings.ReplaceAll(string(r.wire.Sent), "HTTP/1.1 100 Continue\r\n\r\n", "")
	for line := range strings.SplitAfterSeq(sent, "\n") {
		if !strings.HasPrefix(line, "Date: ") {
			b.WriteString(line)
		}
	}
	fmt.Fprintf(&b, "%q open=%v", r.events, r.c.IsOpen())
	return b.String()
}

// checkSplit wants the same outcome whole, cut at one place and byte by byte.
func checkSplit(t *testing.T, s *http.Server, in []byte, cut int) *httpRig {
	whole := serveBytes(s, bytes.Clone(in))
	want := whole.outcome()
	cut = max(0, min(cut, len(in)))
	for _, pieces := range [][][]byte{{in[:cut], in[cut:]}, slices.Collect(slices.Chunk(in, 1))} {
		for i := range pieces {
			pieces[i] = bytes.Clone(pieces[i])
		}
		if got := serveBytes(s, pieces...).outcome(); got != want {
			t.Fatalf("in %d pieces:\n%s\nwhole:\n%s", len(pieces), got, want)
		}
	}
	return whole
}

// FuzzRequest: however a stream of requests is cut, the events and the replies are the same; and
// each request that is accepted is one that net/http reads too, and alike.
func FuzzRequest(f *testing.F) {
	for _, s := range requestSeeds {
		f.Add([]byte(s), 20)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		early := bytes.Contains(in, []byte("EARLY"))
		if len(in) > 2000 || early && bytes.Contains(bytes.ToLower(in), []byte("expect")) {
			return // an early answer to a client that expects 100 closes unless the body is there
		}
		s := http.NewServer(httpOptions)
		r := checkSplit(t, s, in, cut)
		if early {
			return // such requests have no Message to compare
		}
		compare(t, in, r.requests)
	})
}

// compare reads the requests that were accepted once more with net/http.
func compare(t *testing.T, in []byte, accepted []request) {
	br := bufio.NewReader(bytes.NewReader(in))
	for _, q := range accepted {
		if b, err := br.Peek(2); err == nil && string(b) == "\r\n" {
			br.Discard(2) // net/http does not allow for the empty line
		}
		std, err := nethttp.ReadRequest(br)
		if err != nil {
			if stricter(q) {
				return
			}
			t.Fatalf("accepted %+v, but net/http: %v", q, err)
		}
		body, err := io.ReadAll(std.Body)
		if err != nil {
			// RFC 9112 7.1.1 wants bad white space before an extension parsed; net/http refuses it.
			if bytes.Contains(in, []byte(" ;")) || bytes.Contains(in, []byte("\t;")) {
				return
			}
			t.Fatalf("accepted %+v, but net/http: %v", q, err)
		}
		if std.Method != q.method || std.RequestURI != q.target || std.ProtoMinor != q.minor || string(body) != q.body ||
			std.Host != q.host && !strings.Contains(q.host, "%") { // net/http decodes it
			t.Fatalf("accepted %+v, net/http reads %s %s %s %d %q", q, std.Method, std.RequestURI, std.Host, std.ProtoMinor, body)
		}
		want := fieldLines(std.Header, "Host", "Transfer-Encoding", "Trailer")
		if got := canonical(q.fields, "Host", "Transfer-Encoding", "Trailer"); !slices.Equal(got, want) {
			t.Fatalf("fields %q, net/http reads %q", got, want)
		}
		if got, want := canonical(q.trailers), fieldLines(std.Trailer); !slices.Equal(got, want) {
			t.Fatalf("trailers %q, net/http reads %q", got, want)
		}
	}
}

// stricter tells the requests that net/http refuses and the RFCs allow.
func stricter(q request) bool {
	// url.Parse has its own mind about these in a path or a host.
	return strings.ContainsAny(q.target, "%[]|^\\{}`") || strings.Contains(q.target, "://") || strings.Contains(q.host, "%") ||
		strings.HasPrefix(q.target, "//")
}

// fieldLines returns the lines of h in order of the names, without some.
func fieldLines(h nethttp.Header, without ...string) []string {
	var lines []string
	for name, values := range h {
		if !slices.Contains(without, name) {
			for _, v := range values {
				lines = append(lines, name+": "+v)
			}
		}
	}
	slices.Sort(lines)
	return lines
}

func canonical(fields []string, without ...string) []string {
	h := make(nethttp.Header)
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		h.Add(name, value)
	}
	return fieldLines(h, without...)
}

var requestSeeds = []string{
	"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"\r\nGET /a%20b?c=d HTTP/1.0\r\nConnection: keep-alive\r\nA:b\r\na: \tc \r\n\r\nGET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
	"POST http://h:80/x HTTP/1.1\r\nHost: i\r\nContent-Length: 5\r\n\r\nhelloOPTIONS * HTTP/1.1\r\nHost: [::1]:80\r\n\r\n",
	"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n5;a=\"b\"\r\nhello\r\n0\r\nT: v\r\n\r\n",
	"EARLY / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nT: v\r\n\r\nHEAD / HTTP/1.1\r\nHost: h\r\n\r\n",
	"EARLY / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhelloGET / HTTP/1.1\r\nHost: h\r\n\r\n",
	"GET / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	"GET / HTTP/1.1\nHost: h\n\n",
	"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
}

// FuzzChunked: a body is the same however it is cut, and is what net/http makes of it where ours accepts it.
func FuzzChunked(f *testing.F) {
	for _, s := range []string{"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "1;a=b;c=\"d\\\"\"\r\nx\r\n00\r\nA: b\r\n\r\n", "A ; a = b\r\n0123456789\r\n0\r\n\r\n",
		"1\r\nx\r\n1\r\ny\r\n0\r\nContent-Length: 5\r\n\r\n", "-1\r\n", "0x1\r\nx\r\n0\r\n\r\n", "ffffffffffffffff\r\n", "1\nx\n0\n\n"} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, body []byte, cut int) {
		if len(body) > 1000 {
			return
		}
		const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
		in := append([]byte(head), body...)
		s := http.NewServer(httpOptions)
		r := checkSplit(t, s, in, len(head)+cut)
		// Only the first: the bytes after the body are FuzzRequest's.
		compare(t, in, r.requests[:min(1, len(r.requests))])
	})
}
