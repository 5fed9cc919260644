package http

import (
	"context"
	"io"
	"net"
	stdhttp "net/http"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// FuzzClient gives any bytes to the client as the response of a server that then ends the stream.
// However they are cut, the outcome is the same, whole and streamed; and a response that both this
// client and net/http's take is the same to both.
func FuzzClient(f *testing.F) {
	for _, s := range []string{
		"HTTP/1.1 200 OK\nContent-Length: 3\n\nabcd", "HTTP/1.1 200\n\nabc", "HTTP/1.1 204 No\n\nx", "HTTP/1.1 304 No\nContent-Length: 5\n\n",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n3;x=y\nabc\n0\nSum: 1\n\nrest", "HTTP/1.1 103 x\nA: b\n\nHTTP/1.1 200 OK\nContent-Length: 1\n\na",
		"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nContent-Length: 3\n\n3\nabc\n0\n\n", "HTTP/1.0 200 OK\n\nabc", "HTTP/1.1 100 Continue\n\n",
		"HTTP/1.1 200 OK\nContent-Length: 2, 2\n\nab", "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 3\n\nab",
	} {
		f.Add([]byte(lineEnds(s)), uint8(0), uint16(20))
		f.Add([]byte(lineEnds(s)), uint8(1), uint16(30))
	}
	f.Fuzz(func(t *testing.T, in []byte, how uint8, cut uint16) {
		if len(in) > 4<<10 {
			return
		}
		method := []string{"GET", "HEAD"}[how%2]
		whole := fuzzClient(t, method, false, in)
		i := min(int(cut), len(in))
		if again := fuzzClient(t, method, false, in[:i], in[i:]); again != whole {
			t.Fatalf("cut at %d: %+v, whole: %+v", i, again, whole)
		}
		streamed := fuzzClient(t, method, true, in[:i], in[i:])
		if streamed.taken != whole.taken || whole.taken && streamed != whole {
			t.Fatalf("streamed: %+v, whole: %+v", streamed, whole)
		}
		if whole.taken {
			compareWithNetHTTP(t, method, in, whole)
		}
	})
}

// A fuzzResponse is the first response, if one was taken.
type fuzzResponse struct {
	taken  bool
	status int
	body   string
	fields string
}

func fuzzClient(t *testing.T, method string, stream bool, pieces ...[]byte) (got fuzzResponse) {
	tc := newClientTest(t, ClientOptions{})
	body := ""
	tc.on = func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *ResponseHead:
			got.status, got.fields = ev.Status, fieldText(ev.Headers())
			if stream {
				StreamResponse(c)
			}
		case *Chunk:
			body += string(ev.Data)
			got.taken = got.taken || ev.Last
		case *Response:
			if got.taken {
				t.Fatal("two responses to one request")
			}
			got.taken, body = true, string(ev.Body)
		}
	}
	tc.request(ClientRequest{Method: method})
	for _, p := range pieces {
		if len(p) > 0 && !tc.Closed() {
			tc.Send(string(p))
		}
	}
	if !tc.Closed() {
		tc.SendEOF()
	}
	if tc.c.IsOpen() {
		t.Fatal("open after the end of the stream")
	}
	if !got.taken {
		return fuzzResponse{}
	}
	got.body = body
	return got
}

// compareWithNetHTTP holds a response against the one that net/http's client reads of the same
// bytes.
func compareWithNetHTTP(t *testing.T, method string, in []byte, got fuzzResponse) {
	tr := &stdhttp.Transport{DisableCompression: true, DialContext: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer ours.Close()
			go io.Copy(io.Discard, ours)
			ours.Write(in)
		}()
		return theirs, nil
	}}
	defer tr.CloseIdleConnections()
	req, err := stdhttp.NewRequest(method, "http://h/base", nil)
	if err != nil {
		t.Fatal(err)
	}
	want, err := tr.RoundTrip(req)
	if err != nil {
		return
	}
	defer want.Body.Close()
	body, err := io.ReadAll(want.Body)
	if err != nil {
		return
	}
	if want.StatusCode != got.status || string(body) != got.body {
		t.Fatalf("%d %q, net/http says %d %q", got.status, got.body, want.StatusCode, body)
	}
	for name, values := range want.Header {
		if slices.Contains([]string{"Connection", "Trailer"}, name) {
			continue
		}
		for _, v := range values {
			// The name may be in any case.
			found := strings.Contains(strings.ToLower(";"+got.fields), strings.ToLower(";"+name+"="+v+";"))
			if !found {
				t.Fatalf("net/http has %s: %q, ours are %q", name, v, got.fields)
			}
		}
	}
}
