package http

import (
	"bufio"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
)

// keepLater keeps the handles of the requests, in the order of the requests.
func keepLater(list *[]*Later) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			*list = append(*list, m.Later())
		}
	}
}

// Issue 9 C11: a reply that comes late must not go to the request that the connection carries by
// then.
func TestLateReplyDoesNotAnswerTheNextRequest(t *testing.T) {
	var laters []*Later
	tc := newTest(t, Options{}, keepLater(&laters))
	tc.send(request("GET", "/a") + request("GET", "/b"))
	if err := laters[0].Error(504); err != nil { // a timer that lost its patience
		t.Fatal(err)
	}
	tc.turn()
	tc.wantStatus(504)
	if len(laters) != 2 {
		t.Fatal("the next request did not come")
	}
	var stream *Stream
	late := map[string]func() error{
		"Reply":       func() error { return laters[0].Reply(200, "", "secret of a") },
		"ReplyBytes":  func() error { return laters[0].ReplyBytes(200, "", []byte("secret of a")) },
		"Error":       func() error { return laters[0].Error(404) },
		"SetHeader":   func() error { return laters[0].SetHeader("X-Secret", "a") },
		"AddHeader":   func() error { return laters[0].AddHeader("X-Secret", "a") },
		"SendInterim": func() error { return laters[0].SendInterim(103, Field{[]byte("X-Secret"), []byte("a")}) },
		"Begin":       func() (err error) { stream, err = laters[0].Begin(200, ""); return err },
		"StartEvents": func() (err error) { stream, err = laters[0].StartEvents(); return err },
		"Hijack":      func() error { return laters[0].Hijack() },
		"Do":          func() error { return laters[0].Do(func() { t.Error("run") }) },
		"With":        func() error { return laters[0].With(func(c *conn.Conn) { Reply(c, 200, "", "secret of a") }) },
	}
	for name, f := range late {
		if err := f(); err != ErrGone {
			t.Errorf("%s: %v", name, err)
		}
	}
	if stream != nil || !laters[0].Gone() || laters[1].Gone() {
		t.Error("gone?")
	}
	tc.turn()
	tc.wantReply("")
	laters[1].Reply(200, "", "for b")
	tc.turn()
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 5\n\nfor b")
	tc.wantOpen()
}

// Functions that take only a connection mean the request whose event is being handled, and none if
// none is.
func TestRepliesOutsideOfAnEvent(t *testing.T) {
	calls := map[string]func(c *conn.Conn) error{
		"Reply":       func(c *conn.Conn) error { return Reply(c, 200, "", "x") },
		"ReplyBytes":  func(c *conn.Conn) error { return ReplyBytes(c, 200, "", nil) },
		"Error":       func(c *conn.Conn) error { return Error(c, 404) },
		"Redirect":    func(c *conn.Conn) error { return Redirect(c, 303, "/") },
		"SetHeader":   func(c *conn.Conn) error { return SetHeader(c, "A", "b") },
		"AddHeader":   func(c *conn.Conn) error { return AddHeader(c, "A", "b") },
		"SendInterim": func(c *conn.Conn) error { return SendInterim(c, 103) },
		"Begin":       func(c *conn.Conn) error { return Begin(c, 200, "") },
		"BeginLength": func(c *conn.Conn) error { return BeginLength(c, 200, "", 1) },
		"StartEvents": StartEvents,
		"Hijack":      Hijack,
		"OnReply":     func(c *conn.Conn) error { return OnReply(c, func(int, int64) {}) },
	}
	begun := map[string]func(c *conn.Conn) error{
		"WriteChunk":        func(c *conn.Conn) error { return WriteChunk(c, []byte("x")) },
		"WriteChunkf":       func(c *conn.Conn) error { return WriteChunkf(c, "x") },
		"SendEvent":         func(c *conn.Conn) error { return SendEvent(c, "", "", "x") },
		"SendPreparedEvent": func(c *conn.Conn) error { return SendPreparedEvent(c, new(PreparedEvent)) },
		"SendRetry":         func(c *conn.Conn) error { return SendRetry(c, time.Second) },
		"End":               func(c *conn.Conn) error { return End(c) },
		"Abort":             Abort,
	}
	try := func(tc *testConn, where string, calls map[string]func(c *conn.Conn) error) {
		t.Helper()
		tc.enter(false)
		for name, f := range calls {
			if err := f(tc.c); err != ErrOutside || !errors.Is(err, ErrNoRequest) {
				t.Errorf("%s, %s: %v", name, where, err)
			}
		}
		if Handling(tc.c) {
			t.Error("Handling, ", where)
		}
		tc.turn()
		tc.wantReply("")
	}
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	try(tc, "unanswered", calls)
	tc = newTest(t, Options{}, keep)
	tc.send(post + "Content-Length: 5\r\n\r\nab")
	try(tc, "half a body", calls)
	tc = newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			StartEvents(c)
		}
	})
	tc.send(getLine)
	tc.reply()
	try(tc, "events", begun)
	tc.send(getLine) // it waits for the stream to end
	try(tc, "events, and a request behind", begun)

	// An event of the connection is none of the request.
	wrote := false
	tc = newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Message:
			s, err := ev.Later().Begin(200, "")
			if err != nil || !Handling(c) || !ev.Of(c) {
				t.Error(err)
			}
			s.Write([]byte("x"))
		case *conn.Write:
			wrote = true
			if err := WriteChunk(c, []byte("y")); err != ErrOutside {
				t.Error(err)
			}
		}
	})
	tc.send(getLine)
	if !wrote {
		t.Error("no Write event")
	}
}

func TestStreamEndsWithItsReply(t *testing.T) {
	var laters []*Later
	tc := newTest(t, Options{}, keepLater(&laters))
	tc.send(getLine)
	s, err := laters[0].StartEvents()
	if err != nil {
		t.Fatal(err)
	}
	e, _ := PrepareEvent("", "", "x")
	for _, err := range []error{s.SendEvent("1", "", "x"), s.SendPreparedEvent(e), s.SendRetry(time.Second)} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := fmt.Fprintf(s, ":%d\n\n", 1); err != nil || !s.Open() || s.Conn() != tc.c || EventStream(tc.c) != s {
		t.Error(err)
	}
	for _, err := range []error{laters[0].Reply(200, "", ""), laters[0].Error(404)} {
		if err != ErrGone { // it has begun its one reply
			t.Error(err)
		}
	}
	ended := 0
	s.OnEnd(func() { ended++ })
	tc.turn()
	tc.reply()
	if err := s.End(); err != nil || ended != 1 {
		t.Error(err, ended)
	}
	s.OnEnd(func() { ended++ })
	tc.turn()
	tc.reply()

	// Another stream on the same connection is not this one.
	tc.send(getLine)
	s2, err := laters[1].StartEvents()
	if err != nil {
		t.Fatal(err)
	}
	tc.turn()
	tc.reply()
	_, werr := s.Write([]byte("secret"))
	for _, err := range []error{werr, s.SendEvent("1", "", "secret"), s.SendPreparedEvent(e), s.SendRetry(0), s.End(), s.Abort(),
		s.With(func(*conn.Conn) { t.Error("run") }), s.Do(func() { t.Error("run") })} {
		if err != ErrGone {
			t.Error(err)
		}
	}
	tc.turn()
	tc.wantReply("")
	if s.Open() || !s2.Open() || ended != 2 {
		t.Error(ended)
	}
}

// In Later.With, and in nothing that comes after it, what takes a connection means the request.
func TestLaterWith(t *testing.T) {
	var laters []*Later
	tc := newTest(t, Options{}, keepLater(&laters))
	tc.send(request("GET", "/a", "X: y") + getLine)
	tc.enter(false)
	err := laters[0].With(func(c *conn.Conn) {
		m := laters[0].Message()
		if string(m.Path) != "/a" || string(m.Header("X")) != "y" || !m.Of(c) {
			t.Error(m)
		}
		SetCookie(c, Cookie{Name: "a", Value: "b"})
		laters[0].With(func(c *conn.Conn) { Redirect(c, 303, "/b") })
		if err := Reply(c, 200, "", ""); err != ErrNoRequest {
			t.Error(err)
		}
	})
	if err != nil || Handling(tc.c) {
		t.Error(err)
	}
	if err := Reply(tc.c, 200, "", ""); err != ErrNoRequest && err != ErrOutside {
		t.Error(err)
	}
	tc.turn()
	if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 303 ") || !strings.Contains(out, "Set-Cookie: a=b") {
		t.Error(out)
	}
	laters[1].Error(404)
	func() {
		defer func() { recover() }()
		tc.turn()
		tc.send(getLine)
		laters[2].With(func(*conn.Conn) { panic("x") })
	}()
	tc.enter(false)
	if Handling(tc.c) {
		t.Error("after a panic the request counts as handled")
	}
}

// A message that was kept is of no use, neither itself nor a copy of it.
func TestKeptMessagesAreStale(t *testing.T) {
	var kept *Message
	var copied Message
	n := 0
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			switch n++; n {
			case 1:
				kept, copied = m, *m
				Reply(c, 200, "", "")
			case 2:
				if copied.Of(c) || !copied.Later().Gone() {
					t.Error("the copy of another request's message is taken for this request")
				}
			}
		}
	})
	tc.send(getLine + getLine)
	tc.enter(false)
	if kept.Of(tc.c) || !kept.Later().Gone() || copied.Of(tc.c) {
		t.Error("a kept message makes a handle")
	}
	if err := kept.Later().Do(func() {}); err != ErrGone {
		t.Error(err)
	}
	if err := kept.Later().Reply(200, "", ""); err != ErrGone {
		t.Error(err)
	}
}

// A handle that is made at Head, or in a Chunk, is that of the whole request.
func TestLaterOfHeadAndChunk(t *testing.T) {
	var all []*Later
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			if string(ev.Path) == "/stream" {
				StreamBody(c)
			}
			if string(ev.Path) != "/stream" {
				all = append(all, ev.Later())
			}
		case *Chunk:
			all = append(all, ev.Later())
		}
	})
	tc.send(strings.Replace(post, "/ ", "/x ", 1) + "Content-Length: 5\r\n\r\nab")
	all[0].Reply(200, "", "early")
	tc.turn()
	tc.send("cde")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 5\n\nearly")
	tc.send(strings.Replace(post, "/ ", "/stream ", 1) + "Content-Length: 5\r\n\r\nab")
	tc.send("cde")
	if len(all) < 3 || all[1] != all[2] || all[1].Message() != nil || all[1].Conn() != tc.c {
		t.Fatal(all)
	}
	all[2].Reply(200, "", "")
	tc.turn()
	tc.wantStatus(200)
	tc.wantOpen()
}

func TestLaterEndsWithTheConnection(t *testing.T) {
	var laters []*Later
	tc := newTest(t, Options{}, keepLater(&laters))
	tc.send(getLine)
	ended := false
	laters[0].OnEnd(func() { ended = true })
	tc.c.Close()
	tc.turn()
	if err := laters[0].Reply(200, "", ""); err != ErrGone || !ended {
		t.Error(err, ended)
	}
	laters = nil
	tc = newTest(t, Options{}, keepLater(&laters))
	tc.send(getLine)
	tc.sleep(3 * time.Minute) // 503
	if err := laters[0].Reply(200, "", ""); err != ErrGone {
		t.Error(err)
	}
}

// Do may be called from any goroutine, with a request at whatever stage.
func TestNetLaterDo(t *testing.T) {
	h := func(*mgr.Manager) conn.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			m, ok := ev.(*Message)
			if !ok {
				return
			}
			later := m.Later()
			go func() {
				path := string(later.Message().Path)
				if err := later.Do(func() { later.Reply(200, "", "%s", path) }); err != nil {
					t.Error(err)
				}
				for later.Do(func() { later.Reply(200, "", "secret") }) == nil { // until the request is over
					time.Sleep(100 * time.Microsecond)
				}
				if err := later.Do(func() { t.Error("run") }); !errors.Is(err, ErrGone) {
					t.Error(err)
				}
			}()
		}
	}
	underBoth(t, Options{}, h, func(t *testing.T, m *mgr.Manager, addr string) {
		c := dial(t, addr)
		r := bufio.NewReader(c)
		for i := range 50 {
			path := fmt.Sprint("/", i)
			c.Write([]byte(request("GET", path)))
			wantBody(t, r, 200, path)
		}
	})
}

// With a Later a request costs a few allocations; without one none, which TestNoAllocations has.
func TestLaterAllocations(t *testing.T) {
	if racetest.Enabled {
		t.Skip("under the race detector sync.Pool and others allocate at random")
	}
	allocs := func(h conn.Handler) float64 {
		tc := newTest(t, Options{}, h)
		tc.Wire.Forget = true
		return testing.AllocsPerRun(100, func() { tc.send(getLine) })
	}
	plain := allocs(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			ReplyBytes(c, 200, "", nil)
		}
	})
	later := allocs(func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			m.Later().ReplyBytes(200, "", nil)
		}
	})
	if later-plain > 4 { // the handle, the message, its bytes, its fields
		t.Error(plain, later)
	}
}
