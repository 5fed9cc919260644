package http

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// begins is a handler that begins an answer to each Message, with these pieces, and leaves End to the test when it is last.
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
	// RFC 9112 6.1: no Transfer-Encoding for HTTP/1.0; the end of the connection is the end of the body, also where
	// the client asked to keep it.
	t.Run("HTTP/1.0", func(t *testing.T) {
		for _, field := range []string{"", "Connection: keep-alive\r\n"} {
			tc := newTest(t, Options{}, h)
			tc.send("GET / HTTP/1.0\r\n" + field + "\r\n")
			tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nConnection: close\n\nhelloa b" + long)
			tc.wantClosed(conn.Local)
		}
	})
	// RFC 9110 9.3.2: the same head, no content.
	t.Run("HEAD", func(t *testing.T) {
		tc := newTest(t, Options{}, h)
		tc.send(request("HEAD", "/") + getLine)
		tc.wantReply(chunkedHead + "\n" + chunkedHead + "\n5\nhello\n3\na b\n1388\n" + long + "\n0\n\n")
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
	tc.settle()
	tc.wantReply("1\nb\n")
	End(tc.c)
	tc.settle()
	tc.wantReply("0\n\n" + chunkedHead + "\n1\na\n")
	if err := Begin(tc.c, 200, ""); err != ErrNoRequest {
		t.Fatal(err)
	}
	End(tc.c)
	tc.settle()
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
	tc.sleep(time.Hour) // AnswerTimeout is over
	End(tc.c)
	tc.settle()
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
		Stream(tc.c), Redirect(tc.c, 302, "/"), StartEvents(tc.c), SendInterim(tc.c, 103), Hijack(tc.c)} {
		if err != ErrNoRequest {
			t.Error(err)
		}
	}
	if err := SendEvent(tc.c, "", "", "x"); err != ErrNotBegun {
		t.Error(err)
	}
	End(tc.c)
	tc.settle()
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
		tc.settle()
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
	tc.settle()
	tc.wantReply(chunkedHead + "\n1\nx\n")
	if !tc.done || tc.reason != conn.Local || tc.wire.shut {
		t.Fatal("not cut")
	}
}

func TestSendLimitOfBegunReplies(t *testing.T) {
	const limit = 100_000
	t.Run("refuse", func(t *testing.T) {
		tc := newTest(t, Options{Limits: conn.Limits{Send: limit, OnFull: conn.RefuseOnFull}}, begins(t))
		tc.wire.room = 0
		tc.send(getLine)
		p := []byte(strings.Repeat("x", 60_000))
		sent := 0
		var err error
		for err == nil && sent < 10 {
			if err = WriteChunk(tc.c, p); err == nil {
				sent++
			}
		}
		if sent != 1 || err != conn.ErrSendLimit || tc.c.Shared().Stats.Rejected != 1 {
			t.Fatal(sent, err)
		}
		small := 0
		for WriteChunk(tc.c, []byte("small")) == nil {
			small++
		}
		if n := tc.c.Pending(); n > limit || n < limit-10 || End(tc.c) != nil && n+5 <= limit {
			t.Fatal(n)
		}
		tc.wire.room = -1
		tc.c.Writable()
		tc.settle()
		End(tc.c)
		tc.settle()
		if got := bodyOf(t, tc.reply()); got != string(p)+strings.Repeat("small", small) {
			t.Fatal(len(got), "bytes arrived")
		}
		tc.wantOpen()
	})
	t.Run("close", func(t *testing.T) {
		tc := newTest(t, Options{Limits: conn.Limits{Send: limit}}, begins(t))
		tc.wire.room = 0
		tc.send(getLine)
		if err := WriteChunk(tc.c, make([]byte, limit)); err != conn.ErrSendLimit {
			t.Fatal(err)
		}
		tc.settle()
		if !tc.done || tc.reason != conn.SendLimit {
			t.Fatal(tc.done, tc.reason)
		}
	})
}

func TestDrainedTellsThatAReplyHasGoneOut(t *testing.T) {
	left := 20
	h := begins(t)
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		h(c, ev)
		switch ev.(type) {
		case *Message, conn.Drained:
			for ; left > 0 && c.Pending() < 100_000; left-- {
				WriteChunk(c, make([]byte, 50_000))
			}
			if left == 0 {
				End(c)
			}
		}
	})
	tc.wire.room = 0
	tc.send(getLine)
	if left != 18 {
		t.Fatal(left)
	}
	for range 100 {
		tc.wire.room = 30_000
		tc.c.Writable()
		tc.settle()
		if tc.c.Pending() > 101_000 {
			t.Fatal(tc.c.Pending())
		}
	}
	if n := len(tc.reply()); n < 1_000_000 {
		t.Fatal(n)
	}
	tc.wantOpen()
}

// An answer that begins before the body of the request has come, in a handler that does not stream it: the body is thrown
// away.
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
				tc.settle()
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
				tc.settle()
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
		tc.settle()
		tc.send("llo" + getLine)
		End(tc.c)
		tc.settle()
		tc.wantEvents("head POST", "head GET", "message GET")
	})
	// Too much to throw away: it stays where it is until the reply is out.
	for _, in := range []string{"Content-Length: 1000000\r\n\r\n", "Connection: close\r\nContent-Length: 1000000\r\n\r\n", chunkedLine} {
		t.Run("large body", func(t *testing.T) {
			tc := newTest(t, Options{MaxBody: 1 << 20}, begin)
			tc.send(post + in)
			large := in[0] == 'C'
			if large != tc.c.Held() {
				t.Fatal(tc.c.Held())
			}
			tc.sleep(9 * time.Second)
			End(tc.c)
			tc.settle()
			if large {
				if tc.done || !tc.wire.shut {
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

// A request that turns out to be broken while its answer goes out leaves that answer without an end.
func TestBrokenRequestCutsItsAnswer(t *testing.T) {
	for _, test := range []struct {
		in     string
		reason conn.Reason
	}{{"x\r\n", conn.Protocol}, {"", conn.PeerClosed}} {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			Stream(c)
			Begin(c, 200, "text/plain")
		}))
		tc.send(post + chunkedLine + "1\r\na\r\n")
		WriteChunk(tc.c, []byte("y"))
		tc.settle()
		WriteChunk(tc.c, []byte("dropped"))
		if test.in != "" {
			tc.send(test.in)
		}
		tc.end()
		tc.wantReply(chunkedHead + "\n1\ny\n")
		if !tc.done || tc.reason != test.reason {
			t.Fatal(tc.reason)
		}
	}
}

func TestShutdownWaitsForABegunReply(t *testing.T) {
	tc := newTest(t, Options{}, begins(t, "x"))
	tc.send(getLine)
	tc.c.Fire(conn.Shutdown{})
	tc.settle()
	WriteChunk(tc.c, []byte("y"))
	End(tc.c)
	tc.settle()
	tc.wantReply(chunkedHead + "\n1\nx\n1\ny\n0\n\n")
	tc.wantClosed(conn.Local)
}

// RFC 9110 7.8: Upgrade goes with the connection option of that name.
func TestConnectionUpgrade(t *testing.T) {
	for _, set := range [][]string{{"Upgrade", "websocket"}, {"Connection", "Upgrade"},
		{"Upgrade", "websocket", "connection", "upgrade"}} {
		for _, field := range []string{"", "Connection: close"} {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Message); ok {
					for i := 0; i < len(set); i += 2 {
						if err := SetHeader(c, set[i], set[i+1]); err != nil {
							t.Error(err)
						}
					}
					Reply(c, 426, "", "")
				}
			})
			if field == "" {
				tc.send(getLine)
			} else {
				tc.send(request("GET", "/", field))
				field += "\n"
			}
			want := "HTTP/1.1 426 Upgrade Required\nContent-Length: 0\n" + field + "Connection: Upgrade\n"
			if set[0] == "Upgrade" {
				want += "Upgrade: websocket\n"
			}
			tc.wantReply(want + "\n")
		}
	}
}

func TestErrorPage(t *testing.T) {
	page := func(status int) (string, []byte) {
		switch status {
		case 404:
			return "text/html", []byte("<p>gone")
		case 400:
			return "text/plain", []byte("bad")
		case 403:
			return "a\r\nb", []byte("x")
		}
		return "", nil
	}
	tc := newTest(t, Options{ErrorPage: page}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			var status int
			fmt.Sscanf(string(m.Path), "/%d", &status)
			Error(c, status)
		}
	})
	tc.send(request("GET", "/404"))
	tc.wantReply("HTTP/1.1 404 Not Found\nContent-Type: text/html\nContent-Length: 7\n\n<p>gone")
	tc.send(request("GET", "/403"))
	tc.wantReply("HTTP/1.1 403 Forbidden\nContent-Type: text/plain; charset=utf-8\nContent-Length: 14\n\n403 Forbidden␊")
	tc.send(request("GET", "/500"))
	tc.wantStatus(500)
	tc.send("\x00")
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain\nContent-Length: 3\nConnection: close\n\nbad")
}

func TestRedirect(t *testing.T) {
	var location string
	status := 302
	var err error
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			if err = Redirect(c, status, location); err != nil {
				Reply(c, 200, "", "")
			}
		}
	})
	for in, want := range map[string]string{
		"/a/b?c=d&e=[1]#f":          "/a/b?c=d&e=[1]#f",
		"https://h:8/%C3%A4":        "https://h:8/%C3%A4",
		"/ä b":                      "/%C3%A4%20b",
		"/100%":                     "/100%25",
		"/%zz%4":                    "/%25zz%254",
		`/\evil`:                    "/%5Cevil",
		"/\"<>{}|^`":                "/%22%3C%3E%7B%7D%7C%5E%60",
		"../x;a='b',(c)!*+~-._$@:/": "../x;a='b',(c)!*+~-._$@:/",
	} {
		location = in
		tc.send(getLine)
		tc.wantReply("HTTP/1.1 302 Found\nContent-Type: text/plain; charset=utf-8\nContent-Length: 10\nLocation: " + want +
			"\n\n302 Found␊")
		if err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", "/\r\nSet-Cookie: a=b", "/\n", "/\x00", "/\x7f"} {
		location = bad
		tc.send(getLine)
		tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 0\n\n")
		if err != ErrBadHeader {
			t.Errorf("%q: %v", bad, err)
		}
	}
	location = "/"
	for _, status = range []int{200, 300, 304, 305, 400} {
		tc.send(getLine)
		if tc.wantStatus(200); err != ErrBadStatus {
			t.Error(status, err)
		}
	}
	for _, status = range []int{301, 303, 307, 308} {
		tc.send(getLine)
		tc.wantStatus(status)
	}
	if Redirect(tc.c, 302, "/") != ErrNoRequest {
		t.Error("without a request")
	}
}

// An answer whose length is known from the start goes out as it is, on a connection that can be used again.
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
	tc.settle()
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 3\n\nabc")
	tc.wantOpen()
}

func TestOnAnswerCountsWhatABegunReplySends(t *testing.T) {
	var got [2]int64
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			OnAnswer(c, func(status int, n int64) { got = [2]int64{int64(status), n} })
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
