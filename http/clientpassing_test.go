package http

import (
	"bufio"
	"errors"
	"io"
	"net"
	stdhttp "net/http"
	"testing"
	"time"
)

// These are tests of what a program needs that passes on what it got.

// Target is sent byte for byte, or not at all.
func TestClientTarget(t *testing.T) {
	tc := newClientTest(t, ClientOptions{})
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
	for _, target := range []string{"/", "/a/../b/%2e%2E//c?d=%zz?e|", "*", "/\xc3\xa9"} {
		tc.request(ClientRequest{Method: "OPTIONS", Target: target})
		tc.wantRequest("OPTIONS " + target + " HTTP/1.1\nHost: h\n\n")
		tc.Send(answer)
	}
	for _, target := range []string{"a", "?b", "http://x/", "/ HTTP/1.1\r\nHost: x\r\n\r\n", "/a b", "/\x00", "/\x7f"} {
		if err := Send(tc.c, &ClientRequest{Target: target}); !errors.Is(err, ErrBadRequest) || !errors.Is(err, errTarget) {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestClientAddField(t *testing.T) {
	var r ClientRequest
	for _, f := range []Field{{[]byte("A"), []byte("b")}, {[]byte("a"), []byte("c")}, {[]byte("Trailer"), []byte("D")}} {
		if err := r.AddField(f); err != nil {
			t.Error(err)
		}
	}
	for _, f := range []Field{{nil, nil}, {[]byte("Host"), []byte("x")}, {[]byte("A"), []byte("b\nc")}} {
		if err := r.AddField(f); err != ErrBadHeader {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if string(r.lines) != "A: b\r\na: c\r\nTrailer: D\r\n" {
		t.Errorf("%q", r.lines)
	}
}

// withTrailers is a Source with trailers.
type withTrailers struct {
	bodyPieces
	trailers []Field
}

func (s *withTrailers) Trailers() []Field { return s.trailers }

// A TrailerSource has its trailers sent after a chunked body, and after no other.
func TestTrailersOfASource(t *testing.T) {
	source := func(trailers ...Field) *withTrailers {
		return &withTrailers{bodyPieces{list: []string{"ab"}}, trailers}
	}
	sum := Field{[]byte("Sum"), []byte("1")}
	bad := Field{[]byte("Content-Length"), []byte("1")}

	tc := newClientTest(t, ClientOptions{})
	tc.request(ClientRequest{Source: source(sum)})
	tc.wantRequest("POST /base HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n2\nab\n0\nSum: 1\n\n")
	tc.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	tc.request(ClientRequest{Source: source(sum), Length: 2})
	tc.wantRequest("POST /base HTTP/1.1\nHost: h\nContent-Length: 2\n\nab")
	tc.Send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	tc.request(ClientRequest{Source: source(bad)})
	tc.wantError(ErrBadHeader)

	s := newTest(t, Options{}, keep)
	s.send(getLine)
	ReplyFrom(s.c, 200, "", -1, source(sum))
	s.turn()
	s.wantReply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nab\n0\nSum: 1\n\n")
	s.send(getLine)
	ReplyFrom(s.c, 200, "", 2, source(sum))
	s.turn()
	s.wantReply("HTTP/1.1 200 OK\nContent-Length: 2\n\nab")
	s.send(getLine)
	ReplyFrom(s.c, 200, "", -1, source(bad))
	s.turn()
	if !s.Closed() {
		t.Error("a trailer that must not be sent is taken")
	}
}

// Wake asks a Source again at once. In Next, and after the request, it does nothing.
func TestClientCallWake(t *testing.T) {
	underBothClients(t, ClientOptions{}, func(t *testing.T, l *clientLoop) {
		got := make(chan string, 1)
		url := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) {
			req, err := stdhttp.ReadRequest(r)
			if err != nil {
				return
			}
			b, _ := io.ReadAll(req.Body)
			got <- string(b)
			io.WriteString(c, emptyOK)
		})
		done := make(chan error, 1)
		l.m.Do(func() {
			src := &waking{}
			var err error
			src.call, err = l.c.Do(&ClientRequest{URL: url, Source: src}, func(r *Response, err error) {
				src.call.Wake()
				Call{}.Wake()
				done <- err
			})
			if err != nil {
				done <- err
			}
			src.call.Wake() // there is no connection yet
			var next func()
			next = func() {
				src.more++
				if src.call.Wake(); src.more < 5 {
					l.m.AfterFunc(5*time.Millisecond, next)
				}
			}
			l.m.AfterFunc(5*time.Millisecond, next)
		})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if b := <-got; b != "xxxxx" {
			t.Errorf("%q", b)
		}
	})
}

// waking is a Source of five bytes, each when it is woken.
type waking struct {
	call Call
	more int
	n    int
}

func (s *waking) Next(room int, _ func() error) ([]byte, error) {
	s.call.Wake()
	if s.n == 5 {
		return nil, io.EOF
	}
	if s.n == s.more {
		return nil, ErrWait
	}
	s.n++
	return []byte("x"), nil
}

func (s *waking) Close() {}

// An error says whether a byte of the request was sent; before the connection stands its Source is
// not asked.
func TestClientUnsent(t *testing.T) {
	nowhere, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	refusing := "http://" + nowhere.Addr().String()
	nowhere.Close()
	cutting := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { stdhttp.ReadRequest(r) })
	silent := rawServer(t, func(n int, c *net.TCPConn, r *bufio.Reader) { io.Copy(io.Discard, r) })
	underBothClients(t, ClientOptions{MaxConnsPerHost: 1}, func(t *testing.T, l *clientLoop) {
		src := &bodyPieces{list: []string{"x"}}
		r := l.do(&ClientRequest{URL: refusing, Source: src})
		if !errors.Is(r.err, ErrUnsent) || src.wake != nil || src.closed != 1 {
			t.Errorf("refused: %v; the source was asked: %v, and closed %d times", r.err, src.wake != nil, src.closed)
		}
		if r := l.do(&ClientRequest{URL: cutting}); !errors.Is(r.err, ErrNoResponse) || errors.Is(r.err, ErrUnsent) {
			t.Errorf("cut: %v", r.err)
		}
		first := l.begin(&ClientRequest{URL: silent, Timeout: 200 * time.Millisecond})
		queued := l.begin(&ClientRequest{URL: silent, Timeout: 100 * time.Millisecond})
		if r := l.wait(queued); !errors.Is(r.err, ErrTimeout) || !errors.Is(r.err, ErrUnsent) {
			t.Errorf("in the queue: %v", r.err)
		}
		if r := l.wait(first); !errors.Is(r.err, ErrTimeout) || errors.Is(r.err, ErrUnsent) {
			t.Errorf("sent: %v", r.err)
		}
	})
}
