package http

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	stdhttp "net/http"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// pieces is a Source of these; "wait" is ErrWait, until wake is called.
type pieces struct {
	list   []string
	err    error // after them; nil is io.EOF
	wake   func() error
	closed int
	rooms  []int
}

func (s *pieces) Next(room int, wake func() error) ([]byte, error) {
	s.rooms = append(s.rooms, room)
	s.wake = wake
	if len(s.list) == 0 {
		if s.err != nil {
			return nil, s.err
		}
		return nil, io.EOF
	}
	p := s.list[0]
	if p == "wait" {
		return nil, ErrWait
	}
	if len(p) > room {
		s.list[0] = p[room:]
		return []byte(p[:room]), nil
	}
	s.list = s.list[1:]
	return []byte(p), nil
}

func (s *pieces) Close() { s.closed++ }

// from replies from a Source that make makes.
func from(length int64, list *[]*pieces, make func() *pieces) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			s := make()
			*list = append(*list, s)
			ReplyFrom(c, 200, "text/plain", length, s)
		}
	}
}

func TestReplyFrom(t *testing.T) {
	abc := func() *pieces { return &pieces{list: []string{"a", "", "bc"}} }
	for _, tt := range []struct {
		name, request string
		length        int64
		want          string
		closes        bool
	}{
		{"chunked", getLine + getLine, -1, strings.Repeat(chunkedHead+"\n1\na\n2\nbc\n0\n\n", 2), false},
		{"length", getLine + getLine, 3, strings.Repeat("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 3\n\nabc", 2), false},
		{"HEAD", request("HEAD", "/"), 3, "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 3\n\n", false},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", -1, "HTTP/1.1 200 OK\nContent-Type: text/plain\nConnection: close\n\nabc", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for _, in := range splits(tt.request) {
				var list []*pieces
				tc := newTest(t, Options{}, from(tt.length, &list, abc))
				tc.send(in...)
				tc.wantReply(tt.want)
				for _, s := range list {
					if s.closed != 1 {
						t.Fatal("closed ", s.closed)
					}
				}
				if tt.closes {
					tc.wantClosed(conn.Local)
				} else {
					tc.wantOpen()
				}
			}
		})
	}
}

func TestReplyFromASourceThatWaits(t *testing.T) {
	var list []*pieces
	tc := newTest(t, Options{}, from(-1, &list, func() *pieces { return &pieces{list: []string{"a", "wait"}} }))
	tc.send(getLine)
	tc.wantReply(chunkedHead + "\n1\na\n")
	s := list[0]
	s.wake() // for nothing
	tc.turn()
	tc.wantReply("")
	s.list = []string{"b", "wait"}
	s.wake()
	tc.turn()
	tc.wantReply("1\nb\n")
	s.list = nil
	s.wake()
	tc.turn()
	tc.wantReply("0\n\n")
	tc.wantOpen()
	if err := s.wake(); err != ErrGone || s.closed != 1 {
		t.Error(err, s.closed)
	}
	tc.send(getLine) // the wake of the first is not one of the second
	tc.reply()
	list[1].list = []string{"x"}
	s.wake()
	tc.turn()
	tc.wantReply("")
}

// However much a Source has, no more than the high-water mark of it waits for the client.
func TestReplyFromHoldsLittle(t *testing.T) {
	var list []*pieces
	tc := newTest(t, Options{Limits: conn.Limits{HighWater: 10_000}}, from(1_000_000, &list, func() *pieces {
		return &pieces{list: []string{strings.Repeat("x", 1_000_000)}}
	}))
	tc.Wire.Room = 0
	tc.send(getLine)
	for got := 0; got < 1_000_000; {
		if p := tc.c.Pending(); p > 10_500 {
			t.Fatal(p)
		}
		tc.Wire.Room = 3_000
		tc.turn()
		got += len(tc.reply())
	}
	for _, n := range list[0].rooms {
		if n < 1 || n > 10_000 {
			t.Fatal(n)
		}
	}
	tc.Wire.Room = -1
	tc.turn()
	tc.wantOpen()
}

func TestReplyFromABrokenSource(t *testing.T) {
	oops := errors.New("oops")
	for _, tt := range []struct {
		length int64
		s      pieces
		want   error
	}{
		{-1, pieces{list: []string{"a"}, err: oops}, oops},
		{5, pieces{list: []string{"abc"}}, errShortSource},
		{2, pieces{list: []string{"abc"}}, ErrLength},
		{-1, pieces{list: make([]string, 2*maxIdle)}, io.ErrNoProgress},
	} {
		var list []*pieces
		var failure error
		h := from(tt.length, &list, func() *pieces { return &tt.s })
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Error); ok {
				failure = ev.Err
			}
			h(c, ev)
		})
		tc.send(getLine + getLine)
		if !tc.Closed() || !errors.Is(failure, tt.want) || list[0].closed != 1 || len(list) != 1 {
			t.Error(tt.want, failure, list[0].closed)
		}
	}
	// The client leaves, or the reply cannot begin: closed all the same.
	var list []*pieces
	tc := newTest(t, Options{}, from(-1, &list, func() *pieces { return &pieces{list: []string{"wait"}} }))
	tc.send(getLine)
	tc.c.Close()
	tc.turn()
	s := new(pieces)
	if err := ReplyFrom(tc.c, 200, "", -1, s); err != ErrNoRequest || s.closed != 1 || list[0].closed != 1 {
		t.Error(err, s.closed, list[0].closed)
	}
}

// The rest of a body that is not wanted is thrown away beside the reply.
func TestReplyFromBeforeTheBody(t *testing.T) {
	s := &pieces{list: []string{"a", "wait"}}
	tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
		StreamBody(c)
		if err := ReplyFrom(c, 200, "text/plain", -1, s); err != nil {
			t.Error(err)
		}
	}))
	tc.send(post + "Content-Length: 5\r\n\r\nab")
	tc.send("cde")
	tc.wantReply(chunkedHead + "\n1\na\n")
	s.list = nil
	s.wake()
	tc.turn()
	tc.wantReply("0\n\n")
	tc.wantOpen()
	if len(tc.events) != 1 {
		t.Error(tc.events)
	}
}

// slowly gives a few bytes at a time, and tells when it is closed.
type slowly struct {
	io.Reader
	closed chan struct{}
}

func (s *slowly) Read(p []byte) (int, error) { return s.Reader.Read(p[:min(len(p), 7_001)]) }
func (s *slowly) Close() error               { close(s.closed); return nil }

func TestNetReplyFromAReader(t *testing.T) {
	data := bytes.Repeat([]byte("0123456789abcdef"), 50_000) // 800 KB
	readers := make(chan *slowly, 100)
	h := func(m *mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			r, ok := ev.(*Message)
			switch {
			case !ok:
			case r.Match("/stuck"):
				p, _ := io.Pipe()
				ReplyFrom(c, 200, "", -1, FromReader(p))
			default:
				s := &slowly{bytes.NewReader(data), make(chan struct{})}
				readers <- s
				length := int64(-1)
				if r.Match("/length") {
					length = int64(len(data))
				}
				later := r.Later()
				go later.Do(func() { later.ReplyFrom(200, "", length, FromReader(s)) })
			}
		}
	}
	underBoth(t, Options{Limits: conn.Limits{HighWater: 20_000}}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		for _, path := range []string{"/", "/length", "/"} {
			fmt.Fprint(c, request("GET", path))
			wantBody(t, r, 200, string(data))
			<-(<-readers).closed
		}
		// A client that leaves while the reader blocks.
		c.Write([]byte(request("GET", "/stuck")))
		if _, err := stdhttp.ReadResponse(r, nil); err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}
