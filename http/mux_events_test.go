package http

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// A route gets the events of its requests, and of no others.
func TestMuxHandleEvents(t *testing.T) {
	var got []string
	size := 0
	x := NewMux()
	x.MustHandleEvents("PUT /files/{x}", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			got = append(got, fmt.Sprintf("head %s %s", ev.Pattern(), ev.PathValue("x")))
			size = 0
			if string(ev.Query) != "whole" {
				StreamBody(c)
			}
		case *Chunk:
			if size += len(ev.Data); ev.Last {
				got = append(got, fmt.Sprintf("chunks %d", size))
				Reply(c, 201, "", "")
			}
		case *Message:
			got = append(got, fmt.Sprintf("message %s %s %d", ev.Pattern(), ev.PathValue("x"), len(ev.Body)))
			Reply(c, 200, "", "")
		}
	})
	x.MustHandle("GET /", func(c *conn.Conn, m *Message) { Reply(c, 200, "", "") })
	tc := newTest(t, Options{}, x.Serve)
	body := strings.Repeat("b", 20_000)
	for _, request := range []string{
		"PUT /files/%41b HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + body,
		"PUT /files/%41b?whole HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" + body,
		getLine,
	} {
		for len(request) > 1000 { // the head moves to a buffer of the connection, and that grows
			tc.send(request[:1000])
			request = request[1000:]
		}
		tc.send(request)
	}
	tc.wantStatus(201, 200, 200)
	want := "head PUT /files/{x} Ab;chunks 20000;head PUT /files/{x} Ab;message PUT /files/{x} Ab 20000"
	if s := strings.Join(got, ";"); s != want {
		t.Errorf("%s, want %s", s, want)
	}
}

// A request without a route gets its reply before its body has come: the client gets no 100, and
// nothing of the body is kept.
func TestMuxRefusesByTheHead(t *testing.T) {
	x := muxOf(t, "POST /a", "/d/")
	for target, status := range map[string]int{"/b": 404, "/d": 307, "/a": 405} {
		tc := newTest(t, Options{}, x.Serve)
		tc.send("PUT " + target + " HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n")
		tc.wantStatus(status)
	}
}

// Chunks of a streamed body find their way through one Mux inside another, and through the
// middleware of both.
func TestMuxInAMuxStreams(t *testing.T) {
	var got []string
	named := func(name string) Middleware {
		return Guard(func(c *conn.Conn, r *Request) bool {
			got = append(got, fmt.Sprintf("%s %s", name, r.Pattern()))
			return string(r.Query) != name
		})
	}
	inner := NewMux()
	inner.Use(named("inner"))
	inner.MustHandleEvents("/{x}/{rest...}", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			StreamBody(c)
		case *Chunk:
			if ev.Last {
				Reply(c, 200, "", "")
			}
		}
	}, named("route"))
	outer := NewMux()
	outer.Use(named("outer"))
	outer.MustHandleEvents("/{rest...}", inner.Serve)
	tc := newTest(t, Options{}, outer.Serve)
	tc.send(strings.Replace(post, " / ", " /a/b ", 1) + "Content-Length: 6\r\n\r\nabc")
	tc.send("def")
	tc.wantStatus(200)
	if s := strings.Join(got, ";"); s != "outer /{rest...};inner /{x}/{rest...};route /{x}/{rest...}" {
		t.Error(s)
	}
	got = nil
	tc.send(strings.Replace(post, " / ", " /a/b?inner ", 1)+"Content-Length: 6\r\n\r\nabc", "def")
	if s := strings.Join(got, ";"); s != "outer /{rest...};inner /{x}/{rest...}" {
		t.Error(s)
	}
}

// A guard that replies later gets no second question, and nothing passes meanwhile.
func TestGuardAnswersLater(t *testing.T) {
	asked := 0
	h := Guard(func(c *conn.Conn, r *Request) bool {
		asked++
		return false
	})(func(_ *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *Head, *Message, *Chunk:
			t.Errorf("%T passed", ev)
		}
	})
	tc := newTest(t, Options{}, h)
	tc.send(post+"Content-Length: 6\r\n\r\nabc", "def")
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	Error(tc.c, 403)
	tc.turn()
	tc.wantStatus(403)
	tc.send(getLine) // a new request is a new question
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
}
