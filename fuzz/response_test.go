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

	"github.com/seed4930a636/mangusta/internal/wire"
)

// A response is what a client reads of one.
type response struct {
	minor, status int
	reason        string
	fields        []string // name: value
	end           wire.BodyEnd
	length        int64
	close         bool
	body          string
	whole         bool // the end of the body has come
	left          int  // bytes after it
}

// readResponse reads the response that in begins with, as pieces that end at the cuts. It returns
// nil when the head is not whole, or anything is refused.
func readResponse(in []byte, method string, cuts ...int) (r *response, refused string) {
	var p wire.ResponseHead
	lim := wire.Limits{Head: 4 << 10, Fields: 50}
	n, seen := 0, 0
	for _, cut := range append(cuts, len(in)) {
		if cut = min(cut, len(in)); cut <= seen {
			continue
		}
		seen = cut
		var bad *wire.Refusal
		if n, bad = p.Parse(in[:cut], &lim); bad != nil {
			return nil, fmt.Sprint(bad, p.Looked())
		}
		if n > 0 {
			break
		}
	}
	if n == 0 {
		return nil, fmt.Sprint("more ", p.Looked())
	}
	var f wire.ResponseFraming
	if bad := f.Read(in, &p, method); bad != nil {
		return nil, bad.Error()
	}
	r = &response{minor: int(p.Minor), status: p.Status, reason: string(p.Reason.Of(in)), end: f.End, length: f.Length, close: f.Close}
	for _, x := range p.Fields {
		r.fields = append(r.fields, fmt.Sprintf("%s: %s", x.Name.Of(in), x.Value.Of(in)))
	}
	rest := in[n:]
	switch f.End {
	case wire.NoBody:
		r.whole, r.left = true, len(rest)
	case wire.ByLength:
		size := min(f.Length, int64(len(rest)))
		r.body, r.whole, r.left = string(rest[:size]), size == f.Length, len(rest)-int(size)
	case wire.UntilClose:
		r.body, r.whole = string(rest), true
	case wire.ByChunks:
		var d wire.ChunkDecoder
		b := bytes.Clone(rest)
		w, at, bad := d.Decode(b, 0, 0, 1<<40)
		if bad != nil {
			return nil, bad.OfResponse().Error()
		}
		r.body = string(b[:w])
		if d.Ended() {
			p.Fields = p.Fields[:0]
			p.ResetTrailers(at)
			lim.Head += at
			end, bad := p.Parse(b, &lim)
			if bad != nil {
				return nil, bad.Error()
			}
			r.whole, r.left = end > 0, len(b)-end
		}
	}
	return r, ""
}

// FuzzResponse reads any bytes as a response. However the head is cut, it is the same; and what
// net/http takes, too, it reads as the same response, with the same body and the same bytes after
// it.
func FuzzResponse(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcd", "HTTP/1.1 200\r\n\r\nabc", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nSum: 1\r\n\r\nrest",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\nrest",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"a\"\r\n\r\n",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x00",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nab", "HTTP/1.1 200 OK\r\nContent-Length: 2, 2\r\n\r\nab",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab", "HTTP/1.1 200 OK\r\nConnection: close\r\nA:\t b c \r\nA: d\r\n\r\n",
		"HTTP/1.1 200 OK\nA: b\n\n", "HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(0), uint16(5), uint16(20))
		f.Add([]byte(s), uint8(1), uint16(17), uint16(18))
	}
	f.Fuzz(func(t *testing.T, in []byte, how uint8, one, two uint16) {
		method := []string{"GET", "HEAD", "CONNECT"}[how%3]
		got, refused := readResponse(in, method)
		each := make([]int, min(len(in), 4<<10))
		for i := range each {
			each[i] = i + 1
		}
		for _, cuts := range [][]int{{min(int(one), int(two)), max(int(one), int(two))}, each} {
			again, why := readResponse(in, method, cuts...)
			if why != refused || (again == nil) != (got == nil) || got != nil && fmt.Sprint(*again) != fmt.Sprint(*got) {
				t.Fatalf("cut at %v: %+v %s\nwhole: %+v %s", cuts, again, why, got, refused)
			}
		}
		if got != nil {
			compareResponse(t, in, method, got)
		}
	})
}

// compareResponse holds what was read against net/http's reading of the same bytes, if there is
// one.
func compareResponse(t *testing.T, in []byte, method string, got *response) {
	b := bufio.NewReaderSize(bytes.NewReader(in), len(in)+16)
	want, err := nethttp.ReadResponse(b, &nethttp.Request{Method: method})
	if err != nil {
		return
	}
	defer want.Body.Close()
	if want.ProtoMinor != got.minor || want.StatusCode != got.status {
		t.Fatalf("1.%d %d, net/http says 1.%d %d", got.minor, got.status, want.ProtoMinor, want.StatusCode)
	}
	if _, reason, _ := strings.Cut(strings.TrimSpace(want.Status), " "); strings.TrimSpace(reason) != strings.TrimSpace(got.reason) {
		t.Fatalf("reason %q, net/http says %q", got.reason, want.Status)
	}
	const framing = "Connection Content-Length Transfer-Encoding Trailer" // net/http takes some of these out
	var lines []string
	for name, values := range want.Header {
		for _, v := range values {
			if !strings.Contains(framing, name) {
				lines = append(lines, name+": "+v)
			}
		}
	}
	var ours []string
	for _, line := range got.fields {
		name, value, _ := strings.Cut(line, ":")
		if name = nethttp.CanonicalHeaderKey(name); !strings.Contains(framing, name) {
			ours = append(ours, name+":"+value)
		}
	}
	slices.Sort(lines)
	slices.Sort(ours)
	if !slices.Equal(lines, ours) {
		t.Fatalf("fields\n%q, net/http says\n%q", ours, lines)
	}
	if method == "CONNECT" && got.status < 300 || got.status == 101 {
		return // net/http hands out the stream
	}
	body, err := io.ReadAll(want.Body)
	if err != nil || !got.whole {
		if err == nil != got.whole {
			t.Fatalf("body %q whole %v, net/http says %q %v", got.body, got.whole, body, err)
		}
		return
	}
	if string(body) != got.body || got.end != wire.UntilClose && b.Buffered() != got.left {
		t.Fatalf("body %q and %d more, net/http says %q and %d", got.body, got.left, body, b.Buffered())
	}
	if want.Close && !got.close {
		t.Fatalf("the connection may be used again, net/http says that it may not")
	}
}
