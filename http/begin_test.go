package http

import (
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// begins is a handler that begins a reply to each Message, with these pieces, and leaves End to the
// test when it is last.
func begins(t testing.TB, pieces ...string) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); !ok {
			return
		}
		if err := Begin(c, 200, "text/plain"); err != nil {
			t.Error(err)
		}
		for _, p := range pieces {
			var err error
			if p == "END" {
				err = End(c)
			} else {
				err = WriteChunkf(c, "%s", p)
			}
			if err != nil {
				t.Error(err)
			}
		}
	}
}

const chunkedHead = "HTTP/1.1 200 OK\nContent-Type: text/plain\nTransfer-Encoding: chunked\n"

// unchunkedHead is chunkedHead for HEAD.
const unchunkedHead = "HTTP/1.1 200 OK\nContent-Type: text/plain\n"

func TestBegunReplies(t *testing.T) {
	long := strings.Repeat("x", 5000)
	h := begins(t, "hello", "", "a b", long, "END")
	t.Run("HTTP/1.1", func(t *testing.T) {
		for _, pieces := range splits(getLine + getLine) {
			tc := newTest(t, Options{}, h)
			tc.send(pieces...)
			one := chunkedHead + "\n5\nhello\n3\na b\n1388\n" + long + "\n0\n\n"
			tc.wantReply(one + one)
			tc.wantOpen()
		}
	})
	// RFC 9112 6.1: no Transfer-Encoding for HTTP/1.0; the end of the connection is the end of the
	// body, also where the client asked to keep it.
	t.Run("HTTP/1.0", func(t *testing.T) {
		for _, field := range []string{"", "Connection: keep-alive\r\n"} {
			tc := newTest(t, Options{}, h)
			tc.send("GET / HTTP/1.0\r\n" + field + "\r\n")
			tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nConnection: close\n\nhelloa b" + long)
			tc.wantClosed(conn.Local)
		}
	})
	// RFC 9110 9.3.2: the same head, no content; RFC 9112 6.1: a Transfer-Encoding may be left out.
	t.Run("HEAD", func(t *testing.T) {
		tc := newTest(t, Options{}, h)
		tc.send(request("HEAD", "/") + getLine)
		tc.wantReply(unchunkedHead + "\n" + chunkedHead + "\n5\nhello\n3\na b\n1388\n" + long + "\n0\n\n")
		tc.wantOpen()
	})
	t.Run("asked to close", func(t *testing.T) {
		tc := newTest(t, Options{}, begins(t, "x", "END"))
		tc.send(request("GET", "/", "Connection: close"))
		tc.wantReply(chunkedHead + "Connection: close\n\n1\nx\n0\n\n")
		tc.wantClosed(conn.Local)
	})
	t.Run("empty", func(t *testing.T) {
		tc := newTest(t, Options{}, begins(t, "END"))
		tc.send(getLine)
		tc.wantReply(chunkedHead + "\n0\n\n")
		tc.wantOpen()
	})
}

// A reply that has begun may take its time, and holds the pipeline.
func TestBegunReplyGoesOnLater(t *testing.T) {
	tc := newTest(t, Options{}, begins(t, "a"))
	tc.send(getLine + getLine)
	tc.wantReply(chunkedHead + "\n1\na\n")
	tc.sleep(time.Hour)
	WriteChunk(tc.c, []byte("b"))
	tc.turn()
	tc.wantReply("1\nb\n")
	End(tc.c)
	tc.turn()
	tc.wantReply("0\n\n" + chunkedHead + "\n1\na\n")
	if err := Begin(tc.c, 200, ""); err != ErrNoRequest {
		t.Fatal(err)
	}
	End(tc.c)
	tc.turn()
	tc.wantReply("0\n\n")
	tc.wantOpen()
	for _, err := range []error{WriteChunk(tc.c, nil), WriteChunkf(tc.c, "x"), End(tc.c), Abort(tc.c)} {
		if err != ErrNotBegun {
			t.Error(err)
		}
	}
}

func TestBeginFromATimer(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	Begin(tc.c, 200, "text/plain")
	tc.sleep(time.Hour) // ReplyTimeout is over
	End(tc.c)
	tc.turn()
	tc.wantReply(chunkedHead + "\n0\n\n")
	tc.wantOpen()
}

func TestBeginErrors(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	if err := Begin(tc.c, 200, ""); err != ErrNoRequest {
		t.Error(err)
	}
	tc.send(getLine)
	for _, status := range []int{-1, 100, 101, 103, 204, 205, 304, 1000} {
		if err := Begin(tc.c, status, ""); err != ErrBadStatus {
			t.Error(status, err)
		}
	}
	if err := Begin(tc.c, 200, "a\r\nb"); err != ErrBadHeader {
		t.Error(err)
	}
	if err := Begin(tc.c, 404, ""); err != nil {
		t.Error(err)
	}
	for _, err := range []error{Begin(tc.c, 200, ""), SetHeader(tc.c, "A", "b"), Reply(tc.c, 200, "", ""), Error(tc.c, 404),
		StreamBody(tc.c), Redirect(tc.c, 302, "/"), StartEvents(tc.c), SendInterim(tc.c, 103), Hijack(tc.c)} {
		if err != ErrNoRequest {
			t.Error(err)
		}
	}
	if err := SendEvent(tc.c, "", "", "x"); err != ErrNotBegun {
		t.Error(err)
	}
	End(tc.c)
	tc.turn()
	tc.wantReply("HTTP/1.1 404 Not Found\nTransfer-Encoding: chunked\n\n0\n\n")
}

// RFC 9110 6.5.1.
func TestTrailers(t *testing.T) {
	field := func(name, value string) Field { return Field{[]byte(name), []byte(value)} }
	for _, minor := range []string{"1.1", "1.0"} {
		tc := newTest(t, Options{}, begins(t, "x"))
		tc.send("GET / HTTP/" + minor + "\r\nHost: h\r\n\r\n")
		for _, bad := range []Field{field("", "x"), field("a b", "x"), field("a", "x\r\ny"), field("a", "\x00"),
			field("content-LENGTH", "5"), field("Transfer-Encoding", "chunked"), field("Set-Cookie", "a=b")} {
			if err := End(tc.c, field("Ok", "1"), bad); err != ErrBadHeader {
				t.Errorf("%s: %v", bad.Name, err)
			}
		}
		if err := End(tc.c, field("Digest", "abc"), field("Status", "")); err != nil {
			t.Error(err)
		}
		tc.turn()
		if minor == "1.1" {
			tc.wantReply(chunkedHead + "\n1\nx\n0\nDigest: abc\nStatus: \n\n")
			tc.wantOpen()
		} else {
			tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nConnection: close\n\nx")
		}
	}
}

func TestAbort(t *testing.T) {
	tc := newTest(t, Options{}, begins(t, "x"))
	tc.send(getLine + getLine)
	WriteChunk(tc.c, []byte("dropped"))
	Abort(tc.c)
	tc.turn()
	tc.wantReply(chunkedHead + "\n1\nx\n")
	if !tc.Closed() || tc.c.Reason() != conn.Local || tc.Wire.Shut {
		t.Fatal("not cut")
	}
}

func TestSendLimitOfBegunReplies(t *testing.T) {
	const limit = 100_000
	t.Run("refuse", func(t *testing.T) {
		tc := newTest(t, Options{Limits: conn.Limits{Send: limit, OnFull: conn.RefuseOnFull}}, begins(t))
		tc.Wire.Room = 0
		tc.send(getLine)
		p := []byte(strings.Repeat("x", 60_000))
		for range 2 { // the second goes past the limit
			if err := WriteChunk(tc.c, p); err != nil {
				t.Fatal(err)
			}
		}
		n := tc.c.Pending()
		if err := WriteChunk(tc.c, p); err != conn.ErrSendLimit || tc.c.Pending() != n {
			t.Fatal(err, tc.c.Pending(), n)
		}
		if err := End(tc.c); err != conn.ErrSendLimit || tc.c.Layer().Shared().Stats.Rejected != 2 {
			t.Fatal(err)
		}
		tc.Wire.Room = -1
		tc.turn()
		End(tc.c)
		tc.turn()
		if got := bodyOf(t, tc.reply()); got != string(p)+string(p) {
			t.Fatal(len(got), "bytes arrived")
		}
		tc.wantOpen()
	})
	t.Run("close", func(t *testing.T) {
		tc := newTest(t, Options{Limits: conn.Limits{Send: limit}}, begins(t))
		tc.Wire.Room = 0
		tc.send(getLine)
		WriteChunk(tc.c, make([]byte, limit))
		if err := WriteChunk(tc.c, make([]byte, limit)); err != conn.ErrSendLimit {
			t.Fatal(err)
		}
		tc.turn()
		if !tc.Closed() || tc.c.Reason() != conn.SendLimit {
			t.Fatal(tc.Closed(), tc.c.Reason())
		}
	})
}

func TestDrainedTellsThatAReplyHasGoneOut(t *testing.T) {
	left := 20
	var st *Stream
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Message:
			st, _ = ev.Later().Begin(200, "text/plain")
		case *conn.Drained:
		default:
			return
		}
		if st != nil {
			for ; left > 0 && c.Pending() < 100_000; left-- {
				st.Write(make([]byte, 50_000))
			}
			if left == 0 {
				st.End()
			}
		}
	})
	tc.Wire.Room = 0
	tc.send(getLine)
	if left != 18 {
		t.Fatal(left)
	}
	for range 100 {
		tc.Wire.Room = 30_000
		tc.turn()
		if tc.c.Pending() > 151_000 { // a piece is taken while there are fewer than 100,000
			t.Fatal(tc.c.Pending())
		}
	}
	if n := len(tc.reply()); n < 1_000_000 {
		t.Fatal(n)
	}
	tc.wantOpen()
}

// A reply that begins before the body of the request has come, in a handler that does not stream
// it: the body is thrown away.
func TestBeginBeforeTheBody(t *testing.T) {
	begin := headHandler(func(c *conn.Conn, h *Head) {
		Begin(c, 200, "text/plain")
		WriteChunk(c, []byte("x"))
		if h.Method == "GET" {
			End(c)
		}
	})
	bodies := []string{"\r\n", "Content-Length: 5\r\n\r\nhello", chunkedLine + "5\r\nhello\r\n0\r\nA: b\r\n\r\n"}
	const reply = chunkedHead + "\n1\nx\n0\n\n"
	t.Run("in Head, ended later", func(t *testing.T) {
		for _, body := range bodies {
			for _, pieces := range splits(post + body + getLine) {
				tc := newTest(t, Options{}, begin)
				tc.send(pieces...)
				tc.sleep(time.Hour)
				tc.wantEvents("head POST")
				End(tc.c)
				tc.turn()
				tc.wantReply(reply + reply)
				tc.wantOpen()
			}
		}
	})
	t.Run("ended while the body comes", func(t *testing.T) {
		for _, body := range bodies[1:] {
			for cut := range len(body) {
				tc := newTest(t, Options{}, begin)
				tc.send(post + body[:cut])
				End(tc.c)
				tc.turn()
				tc.send(body[cut:] + getLine)
				if cut < strings.Index(body, "\r\n\r\n")+4 {
					continue // there was no request yet
				}
				tc.wantReply(reply + reply)
				tc.wantOpen()
			}
		}
	})
	t.Run("between", func(t *testing.T) {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {})
		tc.send(post + "Content-Length: 5\r\n\r\nhe")
		Begin(tc.c, 200, "text/plain")
		tc.turn()
		tc.send("llo" + getLine)
		End(tc.c)
		tc.turn()
		tc.wantEvents("head POST", "head GET", "message GET")
	})
	// Too much to throw away: it stays where it is until the reply is out.
	for _, in := range []string{"Content-Length: 1000000\r\n\r\n", "Connection: close\r\nContent-Length: 1000000\r\n\r\n", chunkedLine} {
		t.Run("large body", func(t *testing.T) {
			tc := newTest(t, Options{MaxBody: 1 << 20}, begin)
			tc.send(post + in)
			large := in[0] == 'C'
			if large != tc.c.Layer().Held() {
				t.Fatal(tc.c.Layer().Held())
			}
			tc.sleep(9 * time.Second)
			End(tc.c)
			tc.turn()
			if large {
				if tc.Closed() || !tc.Wire.Shut {
					t.Fatal("closed although the client is sending")
				}
				tc.wantReply(chunkedHead + "Connection: close\n\n1\nx\n0\n\n")
				tc.wantClosed(conn.Local)
			} else {
				tc.wantReply(reply)
				tc.send("0\r\n\r\n")
				tc.wantOpen()
			}
		})
	}
}

// A request that turns out to be broken while its reply goes out leaves that reply without an end.
func TestBrokenRequestCutsItsAnswer(t *testing.T) {
	for _, test := range []struct {
		in     string
		reason conn.Reason
	}{{"x\r\n", conn.Protocol}, {"", conn.PeerClosed}} {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			StreamBody(c)
			Begin(c, 200, "text/plain")
		}))
		tc.send(post + chunkedLine + "1\r\na\r\n")
		WriteChunk(tc.c, []byte("y"))
		tc.turn()
		WriteChunk(tc.c, []byte("dropped"))
		if test.in != "" {
			tc.send(test.in)
		}
		tc.end()
		tc.wantReply(chunkedHead + "\n1\ny\n")
		if !tc.Closed() || tc.c.Reason() != test.reason {
			t.Fatal(tc.c.Reason())
		}
	}
}

func TestShutdownWaitsForABegunReply(t *testing.T) {
	tc := newTest(t, Options{}, begins(t, "x"))
	tc.send(getLine)
	tc.c.Driver().Fire(&conn.Shutdown{})
	tc.turn()
	WriteChunk(tc.c, []byte("y"))
	End(tc.c)
	tc.turn()
	tc.wantReply(chunkedHead + "\n1\nx\n1\ny\n0\n\n")
	tc.wantClosed(conn.Local)
}

func TestHEADOfABegunReplyHasNoTransferEncoding(t *testing.T) {
	for name, begin := range map[string]func(c *conn.Conn){
		"begun":  func(c *conn.Conn) { Begin(c, 200, "text/plain"); WriteChunk(c, []byte("x")); End(c) },
		"empty":  func(c *conn.Conn) { Begin(c, 200, "text/plain"); End(c) },
		"events": func(c *conn.Conn) { StartEvents(c) },
	} {
		t.Run(name, func(t *testing.T) {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Message); ok {
					begin(c)
				}
			})
			tc.send(request("HEAD", "/"))
			if out := tc.reply(); !strings.HasPrefix(out, "HTTP/1.1 200 OK\r\n") || strings.Contains(out, "Transfer-Encoding") ||
				!strings.HasSuffix(out, "\r\n\r\n") {
				t.Errorf("%q", out)
			}
			tc.wantOpen()
		})
	}
}

// A reply whose length is known from the start goes out as it is, on a connection that can be used
// again.
func TestBeginLength(t *testing.T) {
	h := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); !ok {
			return
		}
		if err := BeginLength(c, 200, "text/plain", 5); err != nil {
			t.Error(err)
		}
		for _, p := range []string{"he", "", "llo"} {
			if err := WriteChunk(c, []byte(p)); err != nil {
				t.Error(err)
			}
		}
		if err := WriteChunk(c, []byte("x")); err != ErrLength && ev.(*Message).Method != "HEAD" {
			t.Error("too much:", err)
		}
		if err := End(c, Field{[]byte("A"), []byte("b")}); err != nil {
			t.Error(err)
		}
	}
	const head = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 5\n"
	tc := newTest(t, Options{}, h)
	tc.send(getLine + request("HEAD", "/") + "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	tc.wantReply(head + "\nhello" + head + "\n" + head + "Connection: keep-alive\n\nhello")
	tc.wantOpen()

	tc = newTest(t, Options{}, keep)
	tc.send(getLine)
	BeginLength(tc.c, 200, "", 3)
	WriteChunk(tc.c, []byte("ab"))
	if err := End(tc.c); err != ErrLength {
		t.Error("too little:", err)
	}
	WriteChunk(tc.c, []byte("c"))
	End(tc.c)
	tc.turn()
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc")
	tc.wantOpen()
}

func TestOnReplyCountsWhatABegunReplySends(t *testing.T) {
	var got [2]int64
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			OnReply(c, func(status int, n int64) { got = [2]int64{int64(status), n} })
			Begin(c, 201, "")
			WriteChunk(c, []byte("hello"))
			WriteChunk(c, make([]byte, 5000))
			if string(m.Path) == "/cut" {
				Abort(c)
			} else {
				End(c)
			}
		}
	})
	tc.send(getLine)
	if got != [2]int64{201, 5005} {
		t.Error(got)
	}
	tc.send(request("HEAD", "/"))
	if got != [2]int64{201, 0} {
		t.Error(got)
	}
	tc.send(request("GET", "/cut"))
	if got != [2]int64{201, 5005} {
		t.Error(got)
	}
}
