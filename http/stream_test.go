package http

import (
	"bufio"
	"fmt"
	"io"
	stdhttp "net/http"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

// uploader is a handler that streams POSTs, and replies to each with its body and trailers after
// the last Chunk.
type uploader struct {
	t     testing.TB
	body  []byte
	lasts int
	each  func(c *conn.Conn, k *Chunk) // may be nil
}

func (s *uploader) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *Head:
		if s.body, s.lasts = s.body[:0], 0; ev.Method == "POST" {
			if err := StreamBody(c); err != nil {
				s.t.Error(err)
			}
		}
	case *Message:
		Reply(c, 200, "", "message")
	case *Chunk:
		if s.lasts > 0 || len(ev.Data) == 0 && !ev.Last {
			s.t.Errorf("chunk %q behind %d last ones", ev.Data, s.lasts)
		}
		s.body = append(s.body, ev.Data...)
		if ev.Last {
			s.lasts++
		}
		if s.each != nil {
			s.each(c, ev)
		} else if ev.Last {
			Reply(c, 200, "", "%s %s", s.body, fieldText(ev.Trailers()))
		}
	}
}

const chunkedLine = "Transfer-Encoding: chunked\r\n\r\n"

// However the bytes arrive, a streamed request is Head, the body in pieces, one last Chunk; and the
// next request follows.
func TestStreamedBodies(t *testing.T) {
	small := strings.ReplaceAll(nextRequest, "\n", "\r\n")
	for name, test := range map[string]struct{ in, want string }{
		"Content-Length":  {fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(small), small), small + " "},
		"no body":         {"\r\n", " "},
		"length 0":        {"Content-Length: 0\r\n\r\n", " "},
		"chunked":         {fmt.Sprintf("%s%x;a=\"b\"\r\n%s\r\n1\r\nx\r\n0\r\n\r\n", chunkedLine, len(small), small), small + "x "},
		"chunked, empty":  {chunkedLine + "0\r\n\r\n", " "},
		"tiny chunks":     {chunkedLine + strings.Repeat("1\r\na\r\n", 9) + "000\r\n\r\n", "aaaaaaaaa "},
		"trailers":        {chunkedLine + "2\r\nab\r\n0\r\nA: b\r\nC: d\r\n\r\n", "ab A=b;C=d;"},
		"trailers, empty": {chunkedLine + "0\r\nA: b\r\n\r\n", " A=b;"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pieces := range splits(post + test.in + getLine) {
				s := &uploader{t: t}
				tc := newTest(t, Options{MaxBody: 5}, s.handle)
				tc.send(pieces...)
				tc.wantEvents("head POST / ", "head GET / ", "message GET / ")
				tc.wantReply(fmt.Sprintf("HTTP/1.1 200 OK\nContent-Length: %d\n\n", len(test.want)) +
					strings.ReplaceAll(test.want, "\r\n", "\n") + "HTTP/1.1 200 OK\nContent-Length: 7\n\nmessage")
				tc.wantOpen()
			}
		})
	}
}

func TestStreamCopiesNothing(t *testing.T) {
	for _, in := range []string{"Content-Length: 30\r\n\r\n0123456789", chunkedLine + "a\r\n0123456789\r\na\r\n"} {
		s := &uploader{t: t}
		s.each = func(c *conn.Conn, k *Chunk) {
			end := unsafe.Pointer(unsafe.SliceData(c.Recv.Bytes()))
			if p := unsafe.Add(unsafe.Pointer(&k.Data[0]), len(k.Data)); p != end || string(k.Data) != "0123456789" {
				t.Errorf("%q ends at %p; what is unread begins at %p", k.Data, p, end)
			}
		}
		tc := newTest(t, Options{}, s.handle)
		tc.send(post + in)
		if len(s.body) != 10 {
			t.Fatal("no chunk")
		}
	}
}

func TestStreamOnlyInHead(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Head); ok {
			Reply(c, 200, "", "")
			if err := StreamBody(c); err != ErrNoRequest {
				t.Error("behind the answer:", err)
			}
		}
	})
	if err := StreamBody(tc.c); err != ErrNoRequest {
		t.Error("without a request:", err)
	}
	tc.send(getLine)
	tc = newTest(t, Options{}, keep)
	tc.send(getLine)
	if err := StreamBody(tc.c); err != ErrNoRequest {
		t.Error("behind Head:", err)
	}
}

// The limit of whole bodies does not hold for streamed ones; their own does.
func TestStreamLimits(t *testing.T) {
	limit := func(before bool) conn.Handler {
		return headHandler(func(c *conn.Conn, h *Head) {
			if before {
				SetMaxBody(c, 10)
			}
			StreamBody(c)
			if !before {
				SetMaxBody(c, 10)
			}
		})
	}
	for _, before := range []bool{true, false} {
		tc := newTest(t, Options{}, limit(before))
		tc.send(post + "Content-Length: 11\r\n\r\n")
		tc.wantStatus(413)
		tc.wantClosed(conn.Protocol)
		tc = newTest(t, Options{}, limit(before))
		tc.send(post + chunkedLine + "a\r\n0123456789\r\n1\r\n")
		tc.wantEvents("head", "bad 413")
		tc.wantStatus(413)
		tc.wantClosed(conn.Protocol)
	}
	s := &uploader{t: t}
	s.each = func(*conn.Conn, *Chunk) { s.body = s.body[:0] }
	tc := newTest(t, Options{MaxBody: 1, Limits: conn.Limits{Recv: 1000}}, s.handle)
	tc.send(post + "Content-Length: 9223372036854775807\r\n\r\n")
	for range 100 {
		tc.send(strings.Repeat("x", 60_000))
	}
	if x := tc.c.Layer().ProtocolState().(*exchange); x.left != 9223372036854775807-6_000_000 || tc.c.Recv.Len() > 0 {
		t.Fatal(x.left)
	}
}

func TestPauseHoldsAStreamBack(t *testing.T) {
	for _, in := range []string{"Content-Length: 3\r\n\r\nabc", chunkedLine + "1\r\na\r\n1\r\nb\r\n1\r\nc\r\n0\r\n\r\n"} {
		s := &uploader{t: t}
		s.each = func(c *conn.Conn, k *Chunk) {
			if c.Paused() {
				t.Errorf("%q although the connection is paused", k.Data)
			}
			c.Pause()
			if k.Last {
				Reply(c, 200, "", "%s", s.body)
			}
		}
		tc := newTest(t, Options{}, s.handle)
		tc.Wire.Arrive([]byte(post+in), nil)
		tc.Wire.Arrive([]byte(getLine), nil)
		tc.turn()
		for n := 0; s.lasts == 0 && n < 10; n++ {
			before := len(s.body)
			tc.turn()
			tc.sleep(time.Hour)
			if len(s.body) != before || tc.Wire.Unread() != len(getLine) {
				t.Fatalf("%q arrived while the connection was paused", s.body[before:])
			}
			tc.c.Resume()
			tc.turn()
		}
		tc.c.Resume()
		tc.turn()
		tc.turn()
		tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc" + "HTTP/1.1 200 OK\nContent-Length: 7\n\nmessage")
		tc.wantOpen()
	}
}

// A handler that sends back what it gets is held back by a client that does not read.
func TestCongestionHoldsAStreamBack(t *testing.T) {
	s := &uploader{t: t}
	s.each = func(c *conn.Conn, k *Chunk) {
		s.body = s.body[:0]
		var err error
		if k.Last {
			err = End(c)
		} else {
			err = WriteChunk(c, k.Data)
		}
		if err != nil {
			t.Error(err)
		}
	}
	tc := newTest(t, Options{Limits: conn.Limits{HighWater: 25_000}}, func(c *conn.Conn, ev conn.Event) {
		s.handle(c, ev)
		if _, ok := ev.(*Head); ok {
			Begin(c, 200, "")
		}
	})
	chunk := "2710\r\n" + strings.Repeat("x", 10_000) + "\r\n"
	tc.Wire.Room = 0
	tc.Wire.Arrive([]byte(post+chunkedLine+strings.Repeat(chunk, 100)+"0\r\n\r\n"), nil) // 64 KiB a read
	for range 200 {
		tc.turn()
	}
	if n := tc.c.Pending(); n < 25_000 || n > 40_000 || tc.Wire.Unread() < 900_000 {
		t.Fatal(n, "bytes queued,", tc.Wire.Unread(), "to come")
	}
	for range 10_000 {
		tc.Wire.Room = 5000
		tc.turn()
	}
	if got := bodyOf(t, tc.reply()); got != strings.Repeat("x", 1_000_000) {
		t.Fatal(len(got), "bytes came back")
	}
	tc.wantOpen()
}

// bodyOf returns the body of a reply, as another implementation reads it.
func bodyOf(t *testing.T, reply string) string {
	t.Helper()
	resp, err := stdhttp.ReadResponse(bufio.NewReader(strings.NewReader(reply)), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStreamAnsweredEarly(t *testing.T) {
	answer := func(c *conn.Conn, k *Chunk) { Reply(c, 403, "", "") }
	t.Run("in the first chunk", func(t *testing.T) {
		for _, in := range []string{"Content-Length: 5\r\n\r\nhello", chunkedLine + "2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"} {
			for _, pieces := range splits(post + in + getLine) {
				s := &uploader{t: t, each: answer}
				tc := newTest(t, Options{}, s.handle)
				tc.send(pieces...)
				tc.wantEvents("head POST", "head GET", "message GET")
				tc.wantStatus(403, 200)
				tc.wantOpen()
			}
		}
	})
	t.Run("in Head", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			StreamBody(c)
			Reply(c, 403, "", "")
		}))
		tc.send(post+"Content-Length: 5\r\n\r\nhe", "llo"+getLine)
		tc.wantStatus(403, 403)
		tc.wantOpen()
	})
	t.Run("between chunks", func(t *testing.T) {
		body := chunkedLine + "2\r\nhe\r\n3\r\nllo\r\n0\r\nA: b\r\n\r\n"
		for cut := len(chunkedLine); cut < len(body); cut++ {
			s := &uploader{t: t, each: func(*conn.Conn, *Chunk) {}}
			tc := newTest(t, Options{}, s.handle)
			tc.send(post + body[:cut])
			Reply(tc.c, 403, "", "")
			tc.turn()
			had := len(s.body)
			tc.send(body[cut:] + getLine)
			tc.wantStatus(403, 200)
			if len(s.body) != 0 { // Head of the GET has emptied it
				t.Fatal(had, s.body)
			}
			tc.wantOpen()
		}
	})
	t.Run("with much to come", func(t *testing.T) {
		s := &uploader{t: t, each: answer}
		tc := newTest(t, Options{}, s.handle)
		tc.send(post+"Content-Length: 1000000\r\n\r\nx", getLine)
		tc.wantReply("HTTP/1.1 403 Forbidden\nContent-Length: 0\nConnection: close\n\n")
		tc.wantEvents("head")
		tc.wantClosed(conn.Local)
	})
	t.Run("begun and ended with much to come", func(t *testing.T) {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *Head:
				StreamBody(c)
				Begin(c, 200, "text/plain")
			case *Chunk:
				End(c)
			}
		})
		tc.send(post+"Content-Length: 1000000\r\n\r\nx", getLine)
		tc.wantReply(chunkedHead + "\n0\n\n")
		tc.wantEvents("head")
		tc.wantClosed(conn.Local)
	})
	t.Run("while paused", func(t *testing.T) {
		s := &uploader{t: t, each: func(c *conn.Conn, k *Chunk) { c.Pause() }}
		tc := newTest(t, Options{}, s.handle)
		tc.send(post + chunkedLine + "1\r\na\r\n1\r\nb\r\n0\r\n\r\n" + getLine)
		Reply(tc.c, 403, "", "")
		tc.c.Resume()
		tc.turn()
		tc.wantStatus(403, 200)
		tc.wantOpen()
	})
}

func TestStreamAnsweredLate(t *testing.T) {
	s := &uploader{t: t, each: func(*conn.Conn, *Chunk) {}}
	tc := newTest(t, Options{}, s.handle)
	tc.send(post + "Content-Length: 2\r\n\r\nab" + getLine)
	tc.wantReply("")
	tc.sleep(100 * time.Second)
	Reply(tc.c, 200, "", "")
	tc.turn()
	tc.wantStatus(200, 200)
	tc.events = nil
	tc.send(post + "Content-Length: 2\r\n\r\nab")
	tc.sleep(121 * time.Second)
	tc.wantEvents("head", "bad 503")
	tc.wantStatus(503)
	tc.wantClosed(conn.DeadlineOver)
}

func TestStreamTimeouts(t *testing.T) {
	start := func(t *testing.T) (*uploader, *testConn) {
		s := &uploader{t: t, each: func(*conn.Conn, *Chunk) {}}
		tc := newTest(t, Options{MinRate: 100}, s.handle)
		tc.send(post + "Content-Length: 100000\r\n\r\n")
		return s, tc
	}
	slow := func(tc *testConn) {
		tc.t.Helper()
		tc.wantEvents("head", "bad 408")
		tc.wantStatus(408)
		tc.wantClosed(conn.DeadlineOver)
	}
	t.Run("no byte", func(t *testing.T) {
		_, tc := start(t)
		tc.send("x")
		tc.sleep(10100 * time.Millisecond)
		slow(tc)
	})
	t.Run("minimum rate", func(t *testing.T) {
		_, tc := start(t)
		n := 0
		for ; n < 100 && len(tc.Wire.Sent) == 0; n++ {
			tc.send(strings.Repeat("x", 90))
			tc.sleep(time.Second)
		}
		if n < 9 || n > 11 {
			t.Error("cut after", n, "s")
		}
		slow(tc)
	})
	t.Run("not while paused by a timer", func(t *testing.T) {
		_, tc := start(t)
		tc.sleep(time.Second)
		tc.c.Pause()
		tc.turn()
		tc.sleep(100 * time.Second)
		tc.c.Resume()
		tc.turn()
		tc.sleep(8500 * time.Millisecond) // 9.5 s unpaused
		tc.wantReply("")
		tc.sleep(time.Second)
		slow(tc)
	})
	t.Run("not while paused in Head", func(t *testing.T) {
		s := &uploader{t: t, each: func(*conn.Conn, *Chunk) {}}
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			s.handle(c, ev)
			if _, ok := ev.(*Head); ok {
				c.Pause()
			}
		})
		tc.send(post + "Content-Length: 10\r\n\r\nabc")
		tc.sleep(time.Hour)
		tc.c.Resume()
		tc.turn()
		if string(s.body) != "abc" {
			t.Fatalf("%q", s.body)
		}
		tc.wantReply("")
	})
	// A handler that pauses after each piece gives the client that time, and no more.
	t.Run("short pauses are no excuse", func(t *testing.T) {
		s, tc := start(t)
		s.each = func(c *conn.Conn, k *Chunk) { c.Pause() }
		n := 0
		for ; n < 100 && len(tc.Wire.Sent) == 0; n++ {
			tc.send("x")
			tc.c.Resume()
			tc.turn()
			tc.sleep(5 * time.Second)
		}
		if n > 4 {
			t.Error("cut after", 5*n, "s")
		}
		slow(tc)
	})
}

// A body that breaks off has no last Chunk, and Close comes.
func TestBrokenStream(t *testing.T) {
	for name, test := range map[string]struct {
		in, events string
		status     []int
		reason     conn.Reason
	}{
		"cut":            {"Content-Length: 5\r\n\r\nabc", "head|bad 400", []int{400}, conn.PeerClosed},
		"cut in chunks":  {chunkedLine + "5\r\nabc", "head|bad 400", []int{400}, conn.PeerClosed},
		"cut at the end": {chunkedLine + "3\r\nabc\r\n0\r\n", "head|bad 400", []int{400}, conn.PeerClosed},
		"bad chunk":      {chunkedLine + "3\r\nabc\r\nx\r\n" + getLine, "head|bad 400", []int{400}, conn.Protocol},
		"bad trailer":    {chunkedLine + "3\r\nabc\r\n0\r\nHost: x\r\n\r\n" + getLine, "head|bad 400", []int{400}, conn.Protocol},
	} {
		t.Run(name, func(t *testing.T) {
			for _, pieces := range splits(post + test.in) {
				s := &uploader{t: t}
				tc := newTest(t, Options{}, s.handle)
				tc.send(pieces...)
				tc.end()
				tc.wantEvents(strings.Split(test.events, "|")...)
				tc.wantStatus(test.status...)
				tc.wantClosed(test.reason)
				if s.lasts != 0 || string(s.body) != "abc" {
					t.Fatalf("%q, %d last chunks", s.body, s.lasts)
				}
			}
		})
	}
}

// RFC 9110 10.1.1.
func TestStreamContinue(t *testing.T) {
	const head = post + "Expect: 100-continue\r\nContent-Length: 300000\r\n\r\n"
	t.Run("sent", func(t *testing.T) {
		s := &uploader{t: t}
		tc := newTest(t, Options{}, s.handle)
		tc.send(head)
		tc.wantReply("HTTP/1.1 100 Continue\n\n")
	})
	t.Run("not when the body has begun", func(t *testing.T) {
		tc := newTest(t, Options{}, (&uploader{t: t}).handle)
		tc.send(head + "a")
		tc.wantReply("")
	})
	t.Run("not when the handler answers", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			StreamBody(c)
			Error(c, 403)
		}))
		tc.send(head)
		tc.wantStatus(403)
		tc.wantClosed(conn.Local)
	})
	t.Run("before an answer that begins", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			StreamBody(c)
			Begin(c, 200, "")
		}))
		tc.send(head)
		tc.wantReply("HTTP/1.1 100 Continue\n\nHTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n")
	})
	// A client that was told to go on sends its body: the connection can be kept.
	t.Run("answered behind it", func(t *testing.T) {
		s := &uploader{t: t, each: func(c *conn.Conn, k *Chunk) { Error(c, 403) }}
		tc := newTest(t, Options{}, s.handle)
		tc.send(head)
		tc.reply()
		tc.send(strings.Repeat("x", 60_000))
		tc.wantStatus(403)
		for range 4 {
			tc.send(strings.Repeat("x", 60_000))
		}
		tc.wantOpen()
	})
}

func TestHijackAndStream(t *testing.T) {
	s := &uploader{t: t}
	s.each = func(c *conn.Conn, k *Chunk) {
		if err := Hijack(c); k.Last != (err == nil) {
			t.Error(k.Last, err)
		}
	}
	tc := newTest(t, Options{}, s.handle)
	tc.send(post+"Content-Length: 2\r\n\r\na", "bframes")
	if tc.c.Layer().HasProtocol() || string(tc.c.Recv.Bytes()) != "frames" || len(tc.s.free) != 1 {
		t.Fatalf("%q", tc.c.Recv.Bytes())
	}
}

func TestHandlerThatClosesInChunk(t *testing.T) {
	for _, end := range []func(*conn.Conn){(*conn.Conn).Close, (*conn.Conn).Drain} {
		s := &uploader{t: t, each: func(c *conn.Conn, k *Chunk) { end(c) }}
		tc := newTest(t, Options{}, s.handle)
		tc.send(post + chunkedLine + "1\r\na\r\n1\r\nb\r\n0\r\n\r\n" + getLine)
		if !tc.Closed() || len(tc.s.free) != 1 || string(s.body) != "a" {
			t.Fatalf("%q", s.body)
		}
	}
}

// One Head for each request, and then either one Message, or Chunks of which one, at the end, is
// the last.
func TestEventsOfMixedRequests(t *testing.T) {
	s := &uploader{t: t}
	tc := newTest(t, Options{MaxRequests: 60}, s.handle)
	in := strings.Repeat(post+"Content-Length: 1\r\n\r\na"+getLine+post+chunkedLine+"1\r\na\r\n0\r\n\r\n", 30)
	tc.send(in)
	heads := 0
	for _, e := range tc.events {
		if strings.HasPrefix(e, "head") {
			heads++
		}
	}
	if heads != 60 || len(tc.events) != 80 || strings.Count(tc.reply(), "HTTP/1.1 200 OK") != 60 {
		t.Fatal(heads, len(tc.events))
	}
	tc.wantClosed(conn.Local)
}

func TestStreamAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	tc := newTest(t, Options{}, nil)
	tc.c.SetHandler(func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			StreamBody(c)
			Begin(c, 200, "text/plain")
		case *Chunk:
			WriteChunk(c, ev.Data)
			if ev.Last {
				End(c)
			}
		}
	})
	tc.Wire.Forget = true
	in := []byte(post + chunkedLine + strings.Repeat("5\r\nhello\r\n", 20) + "0\r\nA: b\r\n\r\n")
	n := testing.AllocsPerRun(1000, func() {
		tc.Wire.Arrive(in, nil)
		tc.turn()
	})
	if n != 0 {
		t.Fatal(n, "allocations per request")
	}
	tc.wantOpen()
}
