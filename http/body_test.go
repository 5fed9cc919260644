package http

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

const post = "POST / HTTP/1.1\r\nHost: h\r\n"

// headHandler calls f with each Head, and replies to each Message with its body.
func headHandler(f func(c *conn.Conn, h *Head)) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *Head:
			f(c, ev)
		case *Message:
			ReplyBytes(c, 200, "", ev.Body)
		}
	}
}

// The head comes before the body, once; the slices of Message are right although the buffer has
// moved meanwhile.
func TestHeadComesBeforeTheBody(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			if &m.Target[0] != &c.Recv.Bytes()[len("POST ")] {
				t.Error("the Message lies where the Head lay")
			}
			ReplyBytes(c, 200, "", m.Body)
		}
	})
	tc.send("POST /%41?q HTTP/1.1\r\nHost: h\r\nX-A: yes\r\nContent-Length: 100000\r\n\r\n")
	tc.wantEvents(`head POST /%41?q path="/A" query="q" host="h" 1.1 [Host=h;X-A=yes;`)
	for range 10 {
		tc.send(strings.Repeat("0123456789", 1000))
	}
	tc.wantEvents(`message POST /%41?q path="/A" query="q" host="h" 1.1 [Host=h;X-A=yes;Content-Length=100000;] body="0123`)
	tc.wantStatus(200)
	tc.wantOpen()
}

func TestChunkedBodyOverManyReads(t *testing.T) {
	var body []byte
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			body = append(body[:0], m.Body...)
			Reply(c, 200, "", "")
		}
	})
	var in, want bytes.Buffer
	for i := range 5000 {
		piece := strings.Repeat("ab", i%50+1)
		want.WriteString(piece)
		fmt.Fprintf(&in, "%x\r\n%s\r\n", len(piece), piece)
	}
	tc.send(post + "Transfer-Encoding: chunked\r\n\r\n")
	in.WriteString("0\r\nT: 1\r\n\r\n" + getLine)
	for in.Len() > 0 {
		tc.send(string(in.Next(1777)))
		if n := tc.c.Recv.Len(); n > want.Len()+200 {
			t.Fatal("the coding is still in the buffer:", n)
		}
	}
	if len(tc.events) != 4 || !strings.Contains(tc.events[1], "trailers=T=1;") {
		t.Fatal(len(tc.events), "events")
	}
	tc.wantStatus(200, 200)
	_ = body
}

func TestMaxBody(t *testing.T) {
	t.Run("declared", func(t *testing.T) {
		tc := newTest(t, Options{MaxBody: 10}, nil)
		tc.send(post + "Content-Length: 10\r\n\r\n0123456789")
		tc.wantStatus(200)
		tc.events = nil
		tc.send(post + "Content-Length: 11\r\n\r\n")
		tc.wantEvents("head", "bad 413 http: request: body too long")
		tc.wantStatus(413)
		tc.wantClosed(conn.Protocol)
	})
	t.Run("raised for one request", func(t *testing.T) {
		n := int64(8 << 20)
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {
			if h.Match("/big") {
				SetMaxBody(c, n)
			}
		}))
		tc.send("POST /big HTTP/1.1\r\nHost: h\r\nContent-Length: 8388608\r\n\r\n")
		piece := strings.Repeat("x", 60_000)
		for left := int(n); left > 0; left -= len(piece) {
			tc.send(piece[:min(left, len(piece))])
		}
		tc.wantStatus(200)
		tc.send(post + "Content-Length: 8388608\r\n\r\n")
		tc.wantStatus(413)
	})
	t.Run("lowered", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) { SetMaxBody(c, 3) }))
		tc.send(post + "Transfer-Encoding: chunked\r\n\r\n4\r\n")
		tc.wantStatus(413)
	})
	t.Run("a large limit", func(t *testing.T) {
		tc := newTest(t, Options{MaxBody: 1 << 62}, nil)
		tc.send(post + "Content-Length: 5\r\n\r\nhello")
		tc.wantStatus(200)
	})
}

// RFC 9110 10.1.1.
func TestExpectContinue(t *testing.T) {
	const head = post + "Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n"
	t.Run("sent when the body is awaited", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(head)
		tc.wantReply("HTTP/1.1 100 Continue\n\n")
		tc.send("ab")
		tc.wantReply(okReply)
		tc.wantOpen()
	})
	t.Run("not when the body has begun", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(head + "a")
		tc.wantReply("")
		tc.send("b")
		tc.wantReply(okReply)
	})
	t.Run("not when the handler refuses", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) { Error(c, 403) }))
		tc.send(head, "ab"+getLine)
		tc.wantReply("HTTP/1.1 403 Forbidden\nContent-Type: text/plain; charset=utf-8\nContent-Length: 14\nConnection: close\n\n" +
			"403 Forbidden␊")
		tc.wantEvents("head")
		tc.wantClosed(conn.Local)
	})
	t.Run("not when it is too long", func(t *testing.T) {
		tc := newTest(t, Options{MaxBody: 1}, nil)
		tc.send(head)
		tc.wantStatus(413)
		tc.wantClosed(conn.Protocol)
	})
	t.Run("for a chunked body", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(post + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n")
		tc.wantReply("HTTP/1.1 100 Continue\n\n")
		tc.send("1\r\na\r\n0\r\n\r\n")
		tc.wantReply(okReply)
	})
}

func TestSendInterim(t *testing.T) {
	h := headHandler(func(c *conn.Conn, h *Head) {
		SetHeader(c, "X-Frame-Options", "DENY") // of the reply, not of what comes before it
		if err := SendInterim(c, 103, Field{[]byte("Link"), []byte("</a.css>")}); err != nil {
			t.Error(err)
		}
		for _, bad := range []Field{{[]byte("a b"), nil}, {[]byte("a"), []byte("b\r\nc: d")}, {[]byte("Content-Length"), []byte("1")}} {
			if err := SendInterim(c, 103, bad); err != ErrBadHeader {
				t.Errorf("%s: %v", bad.Name, err)
			}
		}
	})
	tc := newTest(t, Options{}, h)
	tc.send(getLine)
	tc.wantReply("HTTP/1.1 103 Early Hints\nLink: </a.css>\n\nHTTP/1.1 200 OK\nContent-Length: 0\nX-Frame-Options: DENY\n\n")
	tc = newTest(t, Options{}, h)
	tc.send("GET / HTTP/1.0\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\nX-Frame-Options: DENY\n\n")
}

// A reply in Head ends the request: the rest of the body is thrown away, and is never taken for a
// request.
func TestAnswerInHead(t *testing.T) {
	answer := headHandler(func(c *conn.Conn, h *Head) {
		if h.Method == "POST" {
			Reply(c, 403, "", "")
		}
	})
	small := strings.ReplaceAll(nextRequest, "\n", "\r\n")
	bodies := map[string]string{
		"no body":       "\r\n",
		"small body":    fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(small), small),
		"chunked body":  fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x;a=b\r\n%s\r\n1\r\nx\r\n0\r\n\r\n", len(small), small),
		"with trailers": fmt.Sprintf("Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nA: b\r\nC: d\r\n\r\n", len(small), small),
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			for _, pieces := range splits(post + body + getLine) {
				tc := newTest(t, Options{}, answer)
				tc.send(pieces...)
				tc.wantEvents("head POST / ", "head GET / ", "message GET / ")
				tc.wantStatus(403, 200)
				tc.wantOpen()
			}
		})
	}
	t.Run("large body", func(t *testing.T) {
		tc := newTest(t, Options{}, answer)
		tc.send(post + "Content-Length: 1000000\r\n\r\n" + getLine)
		tc.wantReply("HTTP/1.1 403 Forbidden\nContent-Length: 0\nConnection: close\n\n")
		tc.wantEvents("head")
		tc.wantClosed(conn.Local)
	})
	t.Run("large body that is there already", func(t *testing.T) {
		tc := newTest(t, Options{}, headHandler(func(c *conn.Conn, h *Head) {}))
		tc.send(post + "Content-Length: 300000\r\n\r\n" + strings.Repeat("x", 299_999))
		Reply(tc.c, 403, "", "")
		tc.turn()
		tc.send("x" + getLine)
		tc.wantStatus(403, 200)
	})
	t.Run("large chunked body", func(t *testing.T) {
		tc := newTest(t, Options{}, answer)
		tc.send(post + "Transfer-Encoding: chunked\r\n\r\n")
		tc.wantStatus(403)
		tc.send("40000\r\n"+strings.Repeat("x", 0x40000)+"\r\n", "1\r\nx\r\n")
		tc.wantEvents("head", "bad 413")
		tc.wantReply("")
		tc.wantClosed(conn.Protocol)
	})
	t.Run("broken chunked body", func(t *testing.T) {
		tc := newTest(t, Options{}, answer)
		tc.send(post + "Transfer-Encoding: chunked\r\n\r\n")
		tc.send("x\r\n" + getLine)
		tc.wantEvents("head", "bad 400")
		tc.wantStatus(403)
		tc.wantClosed(conn.Protocol)
	})
	t.Run("later, while the body arrives", func(t *testing.T) {
		for _, cut := range []int{0, 3, 8, 9, 12, 16, 18} {
			body := "5\r\nhello\r\n0\r\nA: b\r\n\r\n"
			tc := newTest(t, Options{}, headHandler(func(*conn.Conn, *Head) {}))
			tc.send(post + "Transfer-Encoding: chunked\r\n\r\n" + body[:cut])
			Reply(tc.c, 403, "", "")
			tc.turn()
			tc.send(body[cut:] + getLine)
			tc.wantEvents("head POST", "head GET", "message GET")
			tc.wantStatus(403, 200)
			tc.wantOpen()
		}
	})
	t.Run("the rest does not come", func(t *testing.T) {
		tc := newTest(t, Options{}, answer)
		tc.send(post + "Content-Length: 10\r\n\r\nabc")
		tc.wantStatus(403)
		tc.sleep(11 * time.Second)
		tc.wantEvents("head", "bad 408")
		tc.wantReply("")
		tc.wantClosed(conn.DeadlineOver)
	})
}

func TestHeadTimeout(t *testing.T) {
	t.Run("total, from the first byte", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.sleep(30 * time.Second)
		tc.send("G")
		for range 9 {
			tc.sleep(time.Second)
			tc.send("E")
		}
		tc.wantEvents()
		tc.sleep(1100 * time.Millisecond)
		tc.wantEvents("bad 408")
		tc.wantStatus(408)
		tc.wantClosed(conn.DeadlineOver)
	})
	t.Run("of a pipelined head", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(getLine + "G")
		tc.wantStatus(200)
		tc.sleep(10100 * time.Millisecond)
		tc.wantStatus(408)
	})
}

func TestBodyTimeout(t *testing.T) {
	t.Run("without progress", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(post + "Content-Length: 50000\r\n\r\n" + strings.Repeat("x", 5000))
		tc.sleep(9 * time.Second)
		tc.send(strings.Repeat("x", 5000))
		tc.sleep(9900 * time.Millisecond)
		tc.wantReply("")
		tc.sleep(200 * time.Millisecond)
		tc.wantEvents("head", "bad 408")
		tc.wantStatus(408)
		tc.wantClosed(conn.DeadlineOver)
	})
	t.Run("minimum rate", func(t *testing.T) {
		tc := newTest(t, Options{MinRate: 100}, nil)
		tc.send(post + "Content-Length: 50000\r\n\r\n")
		seconds := 0
		for ; !strings.Contains(string(tc.Wire.Sent), "408") && seconds < 100; seconds++ {
			n := 101
			if seconds > 45 {
				n = 90
			}
			tc.send(strings.Repeat("x", n))
			tc.sleep(time.Second)
		}
		if seconds < 50 || seconds > 62 {
			t.Fatal("cut after", seconds, "s")
		}
	})
	t.Run("no minimum rate", func(t *testing.T) {
		tc := newTest(t, Options{MinRate: -1}, nil)
		tc.send(post + "Content-Length: 50\r\n\r\n")
		for range 50 {
			tc.sleep(9 * time.Second)
			tc.send("x")
		}
		tc.wantStatus(200)
	})
}

func TestIdleTimeout(t *testing.T) {
	for _, first := range []string{"", getLine} {
		tc := newTest(t, Options{IdleTimeout: 5 * time.Second}, nil)
		tc.sleep(4 * time.Second)
		if first != "" {
			tc.send(first)
			tc.wantStatus(200)
			tc.events = nil
			tc.sleep(4 * time.Second)
		}
		if tc.Closed() {
			t.Fatal("closed too early")
		}
		tc.sleep(1100 * time.Millisecond)
		tc.wantEvents()
		tc.wantReply("")
		tc.wantClosed(conn.Idle)
	}
}

// A client that reads slowly is not idle.
func TestIdleTimeoutWaitsForTheAnswerToGoOut(t *testing.T) {
	tc := newTest(t, Options{IdleTimeout: 5 * time.Second, Limits: conn.Limits{Stall: -1}}, nil)
	tc.Wire.Room = 0
	tc.send(getLine)
	tc.sleep(20 * time.Second)
	if tc.Closed() {
		t.Fatal("closed")
	}
}

func TestReplyTimeout(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	tc.sleep(119 * time.Second)
	tc.wantReply("")
	tc.events = nil
	tc.sleep(1100 * time.Millisecond)
	tc.wantEvents("bad 503")
	tc.wantStatus(503)
	if err := Reply(tc.c, 200, "", ""); err != ErrNoRequest {
		t.Fatal(err)
	}
	tc.wantClosed(conn.DeadlineOver)

	tc = newTest(t, Options{ReplyTimeout: -1}, keep)
	tc.send(getLine)
	tc.sleep(time.Hour)
	Reply(tc.c, 200, "", "")
	tc.turn()
	tc.wantStatus(200)
}

func TestHijack(t *testing.T) {
	type raw struct{ got string }
	hijack := func(c *conn.Conn) {
		if err := Hijack(c); err != nil {
			t.Fatal(err)
		}
		c.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
		c.SetProtocol(func(c *conn.Conn, ev conn.Event) {
			r := c.Layer().ProtocolState().(*raw)
			switch ev.(type) {
			case *conn.Deadline:
				t.Error("a deadline of the HTTP layer is still running")
			case *conn.Read:
				r.got += string(c.Recv.Bytes())
				c.Recv.Discard(c.Recv.Len())
			}
		}, new(raw))
	}
	check := func(tc *testConn) {
		t.Helper()
		if got := tc.c.Layer().ProtocolState().(*raw).got; got != "frames" {
			t.Fatalf("%q", got)
		}
		if tc.reply() != "HTTP/1.1 101 Switching Protocols\r\n\r\n" || tc.Closed() {
			t.Fatal("not hijacked")
		}
		tc.sleep(5 * time.Minute)
		if tc.Closed() || len(tc.s.free) != 1 {
			t.Fatal("the HTTP layer is not gone")
		}
	}
	t.Run("in Message", func(t *testing.T) {
		for _, pieces := range splits(post + "Content-Length: 2\r\n\r\nabframes") {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if m, ok := ev.(*Message); ok {
					hijack(c)
					if string(m.Header("host")) != "h" || string(m.Body) != "ab" {
						t.Error("the request is gone")
					}
				}
			})
			tc.send(pieces...)
			check(tc)
		}
	})
	t.Run("in Message, chunked", func(t *testing.T) {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*Message); ok {
				hijack(c)
			}
		})
		tc.send(post + "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\nA: b\r\n\r\nframes")
		check(tc)
	})
	t.Run("in Head", func(t *testing.T) {
		for _, pieces := range splits(post + "Content-Length: 2\r\n\r\nframes") {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Head); ok {
					hijack(c)
				}
			})
			tc.send(pieces...)
			check(tc)
		}
	})
	t.Run("later", func(t *testing.T) {
		tc := newTest(t, Options{}, keep)
		tc.send(getLine + "frames")
		hijack(tc.c)
		tc.turn()
		check(tc)
	})
	t.Run("with half a body", func(t *testing.T) {
		tc := newTest(t, Options{}, keep)
		tc.send(post + "Content-Length: 2\r\n\r\na")
		if err := Hijack(tc.c); err != ErrNoRequest {
			t.Fatal(err)
		}
	})
}

// One server serves many connections: a reply to another connection inside a handler goes where it
// belongs.
func TestAnswerToAnotherConnection(t *testing.T) {
	waits := newTest(t, Options{}, keep)
	waits.send(getLine)
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			Reply(waits.c, 200, "", "first")
			Reply(c, 200, "", "second")
		}
	})
	tc.s = waits.s
	Attach(tc.c, waits.s)
	tc.send(getLine)
	waits.turn()
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 6\n\nsecond")
	waits.wantReply("HTTP/1.1 200 OK\nContent-Length: 5\n\nfirst")
}

const tenHeaders = "GET /plaintext HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: wrk\r\nAccept: */*\r\n" +
	"Accept-Encoding: gzip\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\nF: 6\r\n\r\n"

// plaintext prepares a connection on which each turn serves one GET with ten headers.
func plaintext(tb testing.TB) (turn func()) {
	body := []byte("Hello, World!")
	return repeating(tb, tenHeaders, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			ReplyBytes(c, 200, "text/plain", body)
		}
	})
}

// repeating returns a function that has the request come once more.
func repeating(tb testing.TB, request string, h conn.Handler) (turn func()) {
	tc := newTest(tb, Options{}, h)
	tc.c.SetHandler(tc.handle)
	tc.Wire.Forget = true
	in := []byte(request)
	return func() {
		tc.Wire.Arrive(in, nil)
		tc.turn()
	}
}

// The hot path allocates nothing.
func TestKeepAliveGETAllocatesNothing(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	turn := plaintext(t)
	if n := testing.AllocsPerRun(1000, turn); n != 0 {
		t.Fatal(n, "allocations per request")
	}
}

func BenchmarkKeepAliveGET(b *testing.B) {
	turn := plaintext(b)
	b.ReportAllocs()
	for b.Loop() {
		turn()
	}
}
