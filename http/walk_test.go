package http

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var updateWalk = flag.Bool("update-walk", false, "write testdata/walk.txt instead of comparing with it")

// A walker is a dialogue in which the path of a request tells the handler what to do.
type walker struct {
	*testConn
	seen []string
}

var walkFiles = fstest.MapFS{"file": {Data: []byte(strings.Repeat("f", 200_000))}}

func newWalker(t testing.TB) *walker {
	w := new(walker)
	w.testConn = newTest(t, Options{}, w.event)
	return w
}

func (w *walker) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *Head:
		w.see("head %s %s", ev.Method, ev.Path)
		switch string(ev.Path) {
		case "/stream":
			StreamBody(c)
		case "/duplex":
			StreamBody(c)
			Begin(c, 200, "")
			WriteChunk(c, []byte("a"))
		case "/early":
			Reply(c, 200, "", "early")
		case "/earlyfile":
			w.block()
			ServeFS(c, ev.Later().Message(), fstest.MapFS{"earlyfile": walkFiles["file"]})
		case "/earlyevents":
			StreamBody(c)
			StartEvents(c)
		case "/earlybegin":
			Begin(c, 200, "")
			WriteChunk(c, []byte("a"))
		}
	case *Message:
		w.see("message %.20q", ev.Body)
		switch string(ev.Path) {
		case "/ok":
			Reply(c, 200, "", "ok")
		case "/begin":
			Begin(c, 200, "")
			WriteChunk(c, []byte("a"))
		case "/length":
			BeginLength(c, 200, "", 4)
			WriteChunk(c, []byte("a"))
		case "/events":
			StartEvents(c)
		case "/hijack":
			Hijack(c)
		case "/file":
			ServeFS(c, ev, walkFiles)
		}
	case *Chunk:
		w.see("chunk %.20q %v", ev.Data, ev.Last)
	case *BadRequest:
		w.see("bad %d", ev.Status)
	case *conn.Close:
		w.see("close %v", ev.Reason)
	}
}

func (w *walker) see(format string, args ...any) {
	w.seen = append(w.seen, fmt.Sprintf(format, args...))
}

// send is testConn.send, but for nothing, which would be an end.
func (w *walker) send(text string) {
	if text != "" {
		w.testConn.send(text)
	}
}

// block has the client read nothing any more.
func (w *walker) block() { w.Wire.Room = 0 }

func (w *walker) unblock() {
	if w.Wire.Room == 0 {
		w.Wire.Room = -1
		w.turn()
	}
}

func walkRequest(line string, fields ...string) string {
	return line + "\r\nHost: h\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// walkStates are the states of an exchange: how to get there, and what completes the request if it
// is not complete.
var walkStates = []struct {
	name, sent, rest string
	then             func(*walker)
}{
	{name: "idle"},
	{name: "idle, after a request", sent: walkRequest("GET /ok HTTP/1.1")},
	{name: "idle, paused", sent: "", then: func(w *walker) { w.c.Pause() }},
	{name: "an empty line", sent: "\r\n", rest: walkRequest("GET /ok HTTP/1.1")},
	{name: "head", sent: "GET /hold HT", rest: "TP/1.1\r\nHost: h\r\n\r\n"},
	{name: "head, paused", sent: "GET /hold HT", rest: "TP/1.1\r\nHost: h\r\n\r\n", then: func(w *walker) { w.c.Pause() }},
	{name: "body", sent: walkRequest("POST /hold HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "body, expected", sent: walkRequest("POST /hold HTTP/1.1", "Content-Length: 10", "Expect: 100-continue"), rest: "abcdefghij"},
	{name: "body, paused", sent: walkRequest("POST /hold HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij",
		then: func(w *walker) { w.c.Pause() }},
	{name: "body, chunked", sent: walkRequest("POST /hold HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n", rest: "0\r\n\r\n"},
	{name: "body, trailers", sent: walkRequest("POST /hold HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n0\r\nA:", rest: "b\r\n\r\n"},
	{name: "stream", sent: walkRequest("POST /stream HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "stream, large", sent: walkRequest("POST /stream HTTP/1.1", "Content-Length: 999999") + "abcd"},
	{name: "stream, paused", sent: walkRequest("POST /stream HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij",
		then: func(w *walker) { w.c.Pause() }},
	{name: "stream, chunked", sent: walkRequest("POST /stream HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n", rest: "0\r\n\r\n"},
	{name: "stream, trailers", sent: walkRequest("POST /stream HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n0\r\nA:", rest: "b\r\n\r\n"},
	{name: "stream, complete", sent: walkRequest("POST /stream HTTP/1.1", "Content-Length: 4") + "abcd"},
	{name: "duplex", sent: walkRequest("POST /duplex HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "duplex, HTTP/1.0", sent: walkRequest("POST /duplex HTTP/1.0", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "unanswered", sent: walkRequest("GET /hold HTTP/1.1")},
	{name: "unanswered, HTTP/1.0", sent: walkRequest("GET /hold HTTP/1.0")},
	{name: "unanswered, HEAD", sent: walkRequest("HEAD /hold HTTP/1.1")},
	{name: "unanswered, close", sent: walkRequest("GET /hold HTTP/1.1", "Connection: close")},
	{name: "unanswered, pipelined", sent: walkRequest("GET /hold HTTP/1.1") + walkRequest("GET /ok HTTP/1.1")},
	{name: "unanswered, held", sent: walkRequest("GET /hold HTTP/1.1") + strings.Repeat(walkRequest("GET /late HTTP/1.1", "X: "+strings.Repeat("x", 30_000)), 3)},
	{name: "unanswered, fin", sent: walkRequest("GET /hold HTTP/1.1"), then: func(w *walker) { w.end() }},
	{name: "unanswered, shutdown", sent: walkRequest("GET /hold HTTP/1.1"), then: (*walker).shutDown},
	{name: "begun", sent: walkRequest("GET /begin HTTP/1.1")},
	{name: "begun, HTTP/1.0", sent: walkRequest("GET /begin HTTP/1.0")},
	{name: "begun, HEAD", sent: walkRequest("HEAD /begin HTTP/1.1")},
	{name: "begun, length", sent: walkRequest("GET /length HTTP/1.1")},
	{name: "begun, pipelined", sent: walkRequest("GET /begin HTTP/1.1") + walkRequest("GET /ok HTTP/1.1")},
	{name: "begun, fin", sent: walkRequest("GET /begin HTTP/1.1"), then: func(w *walker) { w.end() }},
	{name: "begun, shutdown", sent: walkRequest("GET /begin HTTP/1.1"), then: (*walker).shutDown},
	{name: "begun early", sent: walkRequest("POST /earlybegin HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "begun early, close", sent: walkRequest("POST /earlybegin HTTP/1.1", "Content-Length: 999999") + "abcd"},
	{name: "events", sent: walkRequest("GET /events HTTP/1.1")},
	{name: "events, HTTP/1.0", sent: walkRequest("GET /events HTTP/1.0")},
	{name: "file", then: func(w *walker) { w.block(); w.send(walkRequest("GET /file HTTP/1.1")) }},
	{name: "file, pipelined", then: func(w *walker) {
		w.block()
		w.send(walkRequest("GET /file HTTP/1.1") + walkRequest("GET /ok HTTP/1.1"))
	}},
	{name: "file early", sent: walkRequest("GET /earlyfile HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "file early, close", sent: walkRequest("GET /earlyfile HTTP/1.1", "Content-Length: 999999") + "abcd"},
	{name: "events early", sent: walkRequest("GET /earlyevents HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "skipping", sent: walkRequest("POST /early HTTP/1.1", "Content-Length: 10") + "abcd", rest: "efghij"},
	{name: "skipping, chunked", sent: walkRequest("POST /early HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n", rest: "0\r\n\r\n"},
	{name: "skipping, trailers", sent: walkRequest("POST /early HTTP/1.1", "Transfer-Encoding: chunked") + "4\r\nabcd\r\n0\r\nA:", rest: "b\r\n\r\n"},
	{name: "too much to skip", sent: walkRequest("POST /early HTTP/1.1", "Content-Length: 999999") + "abcd"},
	{name: "hijacked", sent: walkRequest("GET /hijack HTTP/1.1")},
	{name: "refused", sent: "GET / HTTP/9.9\r\n\r\n"},
	{name: "draining", sent: walkRequest("GET /hold HTTP/1.1"), then: func(w *walker) { w.c.Drain() }},
}

func (w *walker) shutDown() {
	w.c.Driver().Fire(&conn.Shutdown{})
	w.turn()
}

// walkEvents are what may happen in each state. An error is noted, whichever it is.
var walkEvents = []struct {
	name string
	do   func(w *walker, rest string) error
}{
	{"a byte", func(w *walker, _ string) error { w.send("x"); return nil }},
	{"the rest", func(w *walker, rest string) error { w.send(rest); return nil }},
	{"the rest, and a request", func(w *walker, rest string) error { w.send(rest + walkRequest("GET /ok HTTP/1.1")); return nil }},
	{"nonsense", func(w *walker, _ string) error { w.send("\x00\r\n\r\n"); return nil }},
	{"fin", func(w *walker, _ string) error { w.end(); return nil }},
	{"11 s", func(w *walker, _ string) error { w.sleep(11 * time.Second); return nil }},
	{"3 min", func(w *walker, _ string) error { w.sleep(3 * time.Minute); return nil }},
	{"room", func(w *walker, _ string) error { w.unblock(); return nil }},
	{"the rest, room", func(w *walker, rest string) error { w.send(rest); w.unblock(); return nil }},
	{"shutdown", func(w *walker, _ string) error { w.shutDown(); return nil }},
	{"Pause, the rest, Resume", func(w *walker, rest string) error {
		w.c.Pause()
		w.send(rest)
		w.see("resume")
		w.c.Resume()
		w.turn() // delivers again
		w.turn() // reads
		return nil
	}},
	{"Drain", func(w *walker, _ string) error { w.c.Drain(); return nil }},
	{"Close", func(w *walker, _ string) error { w.c.Close(); return nil }},
	{"Reply", func(w *walker, _ string) error { return Reply(w.c, 201, "a/b", "late") }},
	{"Reply, the rest", func(w *walker, rest string) error {
		err := Reply(w.c, 201, "a/b", "late")
		w.turn()
		w.send(rest)
		return err
	}},
	{"Reply, close", func(w *walker, _ string) error {
		return errors.Join(SetHeader(w.c, "Connection", "close"), Reply(w.c, 201, "a/b", "late"))
	}},
	{"Error", func(w *walker, _ string) error { return Error(w.c, 404) }},
	{"SendInterim", func(w *walker, _ string) error { return SendInterim(w.c, 103) }},
	{"Begin", func(w *walker, _ string) error { return Begin(w.c, 200, "a/b") }},
	{"Begin, the rest, End", func(w *walker, rest string) error {
		err := Begin(w.c, 200, "a/b")
		w.turn()
		w.send(rest)
		return errors.Join(err, End(w.c))
	}},
	{"Begin, End", func(w *walker, _ string) error {
		return errors.Join(Begin(w.c, 200, "a/b"), WriteChunk(w.c, []byte("late")), End(w.c))
	}},
	{"BeginLength, End", func(w *walker, _ string) error {
		return errors.Join(BeginLength(w.c, 200, "a/b", 4), WriteChunk(w.c, []byte("late")), End(w.c))
	}},
	{"StartEvents", func(w *walker, _ string) error { return StartEvents(w.c) }},
	{"StartEvents, End", func(w *walker, _ string) error {
		return errors.Join(StartEvents(w.c), SendEvent(w.c, "1", "t", "d"), End(w.c))
	}},
	{"WriteChunk", func(w *walker, _ string) error { return WriteChunk(w.c, []byte("bcd")) }},
	{"SendEvent", func(w *walker, _ string) error { return SendEvent(w.c, "1", "t", "d") }},
	{"End", func(w *walker, _ string) error { return End(w.c, Field{[]byte("T"), []byte("v")}) }},
	{"WriteChunk, End", func(w *walker, _ string) error { return errors.Join(WriteChunk(w.c, []byte("bcd")), End(w.c)) }},
	{"End, the rest", func(w *walker, rest string) error {
		err := End(w.c)
		w.turn()
		w.send(rest)
		return err
	}},
	{"Abort", func(w *walker, _ string) error { return Abort(w.c) }},
	{"Hijack", func(w *walker, _ string) error { return Hijack(w.c) }},
	{"Stream", func(w *walker, _ string) error { return StreamBody(w.c) }},
	{"SetMaxBody", func(w *walker, rest string) error {
		err := SetMaxBody(w.c, 5)
		w.send(rest)
		return err
	}},
}

var longRun = regexp.MustCompile(`(f{20,}|x{20,})`)

// row is what has happened since the last call: events, bytes, and the state after them.
func (w *walker) row() string {
	out := longRun.ReplaceAllStringFunc(w.reply(), func(s string) string { return fmt.Sprintf("%c*%d", s[0], len(s)) })
	out = strings.TrimSuffix(strings.TrimPrefix(fmt.Sprintf("%q", strings.ReplaceAll(out, "\r\n", "\n")), `"`), `"`)
	row := fmt.Sprintf("%s | %s | %s", w.state(), strings.Join(w.seen, ", "), out)
	w.seen = nil
	return row
}

// state names where connection and exchange are.
func (w *walker) state() string {
	if w.Closed() {
		return "closed"
	}
	s := "off"
	switch x := w.c.Layer().ProtocolState().(type) {
	case *Server:
		s = "idle"
	case *exchange:
		s = x.describe()
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{w.c.Paused(), "paused"}, {w.c.Layer().Held(), "held"}, {!w.c.IsOpen(), "ending"}, {w.Wire.Shut, "shut"},
		{w.c.Recv.Len() > 0, fmt.Sprint("unread ", w.c.Recv.Len())}, {w.c.Pending() > 0, "pending"}} {
		if f.on {
			s += ", " + f.name
		}
	}
	return s
}

// describe names the state of an exchange in words that do not depend on how it is kept.
func (x *exchange) describe() string {
	s := [...]string{"head", "body", "stream", "skip", "complete", "complete"}[x.in]
	if x.out == outPumping {
		s += ", file"
	}
	for _, f := range []struct {
		on   bool
		name string
	}{{x.out == outWaiting, "unanswered"}, {x.out == outBegun, "begun"}, {x.is(events), "events"}, {x.out == outPumping || x.out == outReplied, "answered"},
		{x.is(closing), "closing"}} {
		if f.on {
			s += ", " + f.name
		}
	}
	return s
}

// TestWalk tries each event in each state, and compares the state, the events and the bytes that
// follow with testdata/walk.txt: what was seen and held to be right before the exchange was
// rebuilt.
func TestWalk(t *testing.T) {
	var b strings.Builder
	for _, st := range walkStates {
		begin := func() *walker {
			w := newWalker(t)
			w.send(st.sent)
			if st.then != nil {
				st.then(w)
			}
			w.turn()
			return w
		}
		fmt.Fprintf(&b, "\n# %s: %s\n", st.name, begin().row())
		for _, ev := range walkEvents {
			w := begin()
			w.row()
			err := ev.do(w, st.rest)
			w.turn()
			row := w.row()
			if err != nil {
				row = "error | " + row
			}
			fmt.Fprintf(&b, "%s: %s\n", ev.name, row)
		}
	}
	name := filepath.Join("testdata", "walk.txt")
	if *updateWalk {
		if err := os.WriteFile(name, []byte(b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	got, state, wrong := strings.Split(b.String(), "\n"), "", 0
	for i, line := range strings.Split(string(want), "\n") {
		if strings.HasPrefix(line, "#") {
			state = line
		}
		if i >= len(got) || got[i] != line {
			if wrong++; wrong < 20 {
				t.Errorf("in %s\n got %s\nwant %s", state, got[min(i, len(got)-1)], line)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d rows differ", wrong)
	}
}
