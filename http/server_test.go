package http

import (
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/wire"
)

const getLine = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

const okReply = "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\n\nok"

// keep is a handler that does not reply: the test does.
func keep(*conn.Conn, conn.Event) {}

func TestReplyForm(t *testing.T) {
	tc := newTest(t, Options{Server: "mangusta"}, func(c *conn.Conn, ev conn.Event) {
		m, ok := ev.(*Message)
		if !ok {
			return
		}
		switch string(m.Path) {
		case "/204":
			Reply(c, 204, "", "")
		case "/304":
			SetHeader(c, "ETag", `"x"`)
			Reply(c, 304, "", "")
		case "/205":
			Reply(c, 205, "text/plain", "never sent")
		case "/error":
			Error(c, 404)
		case "/odd":
			Reply(c, 299, "", "%s", "x")
		case "/set":
			SetHeader(c, "X-A", "1")
			SetHeader(c, "content-type", "a/b")
			SetHeader(c, "x-a", "2")
			AddHeader(c, "Set-Cookie", "a=1")
			AddHeader(c, "Set-Cookie", "b=2")
			SetHeader(c, "Server", "other")
			Reply(c, 200, "", "x")
		case "/close":
			SetHeader(c, "Connection", "close")
			Reply(c, 200, "", "x")
		default:
			Reply(c, 200, "text/plain", "%s %d", m.Path, 7)
		}
	})
	ask := func(method, path string) { tc.send(method + " " + path + " HTTP/1.1\r\nHost: h\r\n\r\n") }
	ask("GET", "/x")
	tc.wantReply("HTTP/1.1 200 OK\nServer: mangusta\nContent-Type: text/plain\nContent-Length: 4\n\n/x 7")
	ask("HEAD", "/x") // RFC 9110 9.3.2: the same head, no content
	tc.wantReply("HTTP/1.1 200 OK\nServer: mangusta\nContent-Type: text/plain\nContent-Length: 4\n\n")
	ask("GET", "/204") // RFC 9110 8.6: no Content-Length
	tc.wantReply("HTTP/1.1 204 No Content\nServer: mangusta\n\n")
	ask("GET", "/304")
	tc.wantReply("HTTP/1.1 304 Not Modified\nServer: mangusta\nETag: \"x\"\n\n")
	ask("GET", "/205")
	tc.wantReply("HTTP/1.1 205 Reset Content\nServer: mangusta\nContent-Length: 0\n\n")
	ask("GET", "/error")
	tc.wantReply("HTTP/1.1 404 Not Found\nServer: mangusta\nContent-Type: text/plain; charset=utf-8\nContent-Length: 14\n\n" +
		"404 Not Found␊")
	ask("GET", "/odd")
	tc.wantReply("HTTP/1.1 299 \nServer: mangusta\nContent-Length: 1\n\nx")
	ask("GET", "/set")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 1\ncontent-type: a/b\nx-a: 2\nSet-Cookie: a=1\nSet-Cookie: b=2\n" +
		"Server: other\n\nx")
	tc.wantOpen()
	ask("GET", "/close")
	tc.wantReply("HTTP/1.1 200 OK\nServer: mangusta\nContent-Length: 1\nConnection: close\n\nx")
	tc.wantClosed(conn.Local)
}

// RFC 9110 6.6.1: Date, on the refusals too.
func TestDateOnEveryReply(t *testing.T) {
	for _, in := range []string{getLine, "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", "\x00", "GET / HTTP/1.1\r\n\r\n"} {
		tc := newTest(t, Options{}, nil)
		tc.send(in)
		out := string(tc.Wire.Sent)
		i := strings.Index(out, "\r\nDate: ")
		if i < 0 {
			t.Fatalf("%q: no Date in %q", in, out)
		}
		when, err := time.Parse(wire.TimeFormat, out[i+8:i+8+len(wire.TimeFormat)])
		if err != nil || time.Since(when).Abs() > time.Minute {
			t.Fatal(when, err)
		}
	}
}

func TestDateIsMadeOncePerSecond(t *testing.T) {
	var d dateLine
	first := string(d.at(5))
	d.line[0] = 'x'
	if got := d.at(d.until - 1); got[0] != 'x' {
		t.Fatal("made anew within the second")
	}
	if got := d.at(d.until); got[0] != 'D' || len(got) != len(first) {
		t.Fatalf("%q", got)
	}
}

// RFC 9110 6.6.1: a server without a clock must not send Date.
func TestDateIsLeftOutWithoutAClock(t *testing.T) {
	var d dateLine
	d.set(5, time.Unix(100, 0).UTC())
	if got := d.at(6); len(got) != 0 || d.line == nil {
		t.Errorf("%q", got)
	}
	if got := d.at(d.until); len(got) == 0 { // the clock has been set
		t.Error("no Date behind it")
	}
	for _, no := range []bool{false, true} {
		tc := newTest(t, Options{NoDate: no}, nil)
		tc.send(request("GET", "/"))
		if out := string(tc.Wire.Sent); strings.Contains(out, "Date: ") == no {
			t.Errorf("NoDate is %v: %q", no, out)
		}
	}
}

// RFC 9112 9.3: an HTTP/1.0 client that asked for keep-alive is told.
func TestKeepAlive10(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\nConnection: keep-alive\n\nok")
	tc.wantOpen()
	tc.send("GET / HTTP/1.0\r\n\r\n")
	tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\nConnection: close\n\nok")
	tc.wantClosed(conn.Local)
}

func TestHeadersThatMustNotBeSet(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	c := tc.c
	if err := SetHeader(c, "a", "b"); err != ErrNoRequest {
		t.Fatal(err)
	}
	tc.send(getLine)
	for _, f := range [][2]string{{"", "a"}, {"a b", "c"}, {"a:", "c"}, {"a\r\nb", "c"}, {"a", "b\r\nc: d"}, {"a", "b\nc"},
		{"a", "b\rc"}, {"a", "b\x00"}, {"ä", "b"}, {"Content-Length", "5"}, {"transfer-encoding", "chunked"}, {"Connection", "keep-alive"},
		{"Connection", "x, close"}, {"Date", "x"}} {
		if err := SetHeader(c, f[0], f[1]); err != ErrBadHeader {
			t.Errorf("SetHeader %q: %v", f, err)
		}
		if err := AddHeader(c, f[0], f[1]); err != ErrBadHeader {
			t.Errorf("AddHeader %q: %v", f, err)
		}
	}
	if err := Reply(c, 200, "text/plain\r\nX: y", ""); err != ErrBadHeader {
		t.Error(err)
	}
	for _, status := range []int{-1, 0, 99, 100, 101, 199, 1000} {
		if err := Reply(c, status, "", ""); err != ErrBadStatus {
			t.Error(status, err)
		}
	}
	if err := Reply(c, 200, "", "x"); err != nil {
		t.Error(err)
	}
	tc.turn()
	tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 1\n\nx")
	for _, err := range []error{Reply(c, 200, "", ""), ReplyBytes(c, 200, "", nil), Error(c, 404), Hijack(c), SetMaxBody(c, 1),
		SendInterim(c, 103), ServeFS(c, nil, nil)} {
		if err != ErrNoRequest {
			t.Error(err)
		}
	}
}

// Rule 10 of DESIGN.md: an unanswered request holds its pipeline.
func TestPipelineIsAnsweredInOrder(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(request("GET", "/1") + request("POST", "/2", "Content-Length: 2") + "ab" + request("GET", "/3"))
	tc.wantEvents("head GET /1", "message GET /1")
	tc.wantReply("")
	Reply(tc.c, 200, "", "1")
	if err := Reply(tc.c, 200, "", "1"); err != ErrNoRequest {
		t.Fatal("the second answer went to a request that its handler has not seen:", err)
	}
	tc.turn()
	tc.wantEvents("head POST /2", `body="ab"`)
	Reply(tc.c, 200, "", "2")
	tc.turn()
	tc.wantEvents("head GET /3", "message GET /3")
	Reply(tc.c, 200, "", "3")
	tc.turn()
	out := tc.reply()
	one, two := strings.Index(out, "\n1H"), strings.Index(out, "\n2H")
	if strings.Count(out, "HTTP/1.1 200") != 3 || one < 0 || one > two || !strings.HasSuffix(out, "\n3") {
		t.Fatalf("%q", out)
	}
	tc.wantOpen()
}

func TestPipelineInOneRead(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send(strings.Repeat(getLine, 100))
	tc.wantReply(strings.Repeat(okReply, 100))
	tc.wantOpen()
}

func TestInputBehindAnUnansweredRequestIsBounded(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	for range 100 {
		tc.send(strings.Repeat(getLine, 300))
	}
	if n := tc.c.Recv.Len(); n < holdAt || n > holdAt+64<<10 {
		t.Fatalf("%d bytes are buffered", n)
	}
	if tc.Wire.Unread() == 0 {
		t.Fatal("everything was read")
	}
	answered := 0
	for !tc.Closed() && answered < 30_001 {
		if Reply(tc.c, 200, "", "x") != nil {
			t.Fatalf("no request waits after %d answers", answered)
		}
		answered++
		tc.turn()
		tc.send()
	}
	tc.wantOpen()
}

// The bytes that are queued for a client that does not read are bounded by the high-water mark, not
// by the number of requests.
func TestCongestionStopsThePipeline(t *testing.T) {
	body := []byte(strings.Repeat("x", 10_000))
	n := 0
	tc := newTest(t, Options{Limits: conn.Limits{}}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			n++
			ReplyBytes(c, 200, "", body)
		}
	})
	tc.Wire.Room = 0
	tc.send(strings.Repeat(getLine, 1000))
	if n != 7 || tc.Closed() {
		t.Fatal(n, tc.c.Pending())
	}
	for range 10_000 {
		tc.Wire.Room = 5000
		tc.turn()
		if n == 1000 && tc.c.Pending() == 0 {
			break
		}
	}
	if n != 1000 {
		t.Fatal(n, "requests answered")
	}
	tc.wantOpen()
}

func TestPauseStopsThePipeline(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			Reply(c, 200, "", "")
			c.Pause()
		}
	})
	tc.send(getLine + getLine)
	tc.wantStatus(200)
	tc.sleep(2 * time.Minute)
	tc.c.Resume()
	tc.turn()
	tc.wantStatus(200)
}

// RFC 9112 9.6: a half-closed client still gets its replies.
func TestHalfClosedClientGetsItsAnswers(t *testing.T) {
	t.Run("at once", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(getLine)
		tc.end()
		tc.wantStatus(200)
		tc.wantClosed(conn.PeerClosed)
	})
	t.Run("later", func(t *testing.T) {
		tc := newTest(t, Options{}, keep)
		tc.send(getLine + getLine)
		tc.end()
		for range 2 {
			if tc.Closed() {
				t.Fatal("closed")
			}
			Reply(tc.c, 200, "", "")
			tc.turn()
		}
		tc.wantStatus(200, 200)
		tc.wantClosed(conn.PeerClosed)
	})
	t.Run("with half a request behind", func(t *testing.T) {
		tc := newTest(t, Options{}, keep)
		tc.send(getLine + "GET /")
		tc.end()
		Reply(tc.c, 200, "", "")
		tc.turn()
		tc.wantStatus(200, 400)
		tc.wantClosed(conn.PeerClosed)
	})
}

func TestEndBeforeARequestCloses(t *testing.T) {
	for _, in := range []string{"", "\r", "\r\n"} {
		tc := newTest(t, Options{}, nil)
		tc.send(in)
		tc.end()
		tc.wantReply("")
		tc.wantClosed(conn.PeerClosed)
	}
}

// RFC 9112 8: a client that ends its side inside a request is told that it was not carried out.
func TestEndInsideARequestIsRefused(t *testing.T) {
	for _, in := range []string{"G", "\r\nGET", "GET / HTTP/1.1\r\nHost: h\r\n",
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc",
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nA: b"} {
		tc := newTest(t, Options{}, nil)
		tc.send(in)
		tc.end()
		tc.wantStatus(400)
		tc.wantClosed(conn.PeerClosed)
	}
}

// RFC 9112 9.6: a client that has asked for the end of the connection may send on all the same, and
// must not lose the reply to a reset.
func TestLingeringWhereTheClientAskedForTheEnd(t *testing.T) {
	for _, in := range []string{"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"} {
		tc := newTest(t, Options{}, nil)
		tc.send(in)
		tc.wantStatus(200)
		if !tc.Wire.Shut || tc.Closed() {
			t.Fatal("not lingering")
		}
		tc.send(getLine)
		tc.wantStatus()
		tc.wantClosed(conn.Local)
	}
}

// After a refusal nothing is read any more, however it arrives.
func TestNothingAfterARefusalIsARequest(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send("GET / HTTP/1.1\r\n\r\n"+getLine, getLine)
	tc.wantEvents("bad 400")
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 16\nConnection: close\n\n" +
		"400 Bad Request␊")
	tc.wantClosed(conn.Protocol)
}

func TestRefusalOfHEADHasNoBody(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send("HEAD / HTTP/1.1\r\nHost: a b\r\n\r\n")
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 16\nConnection: close\n\n")
	tc = newTest(t, Options{}, nil)
	tc.send("HEAD / HTTP/1.1\r\nHost : a\r\n\r\n")
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 16\nConnection: close\n\n")
	tc = newTest(t, Options{}, nil)
	tc.send("HEAD / HTTP/1.1\r\nHo")
	tc.end()
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain; charset=utf-8\nContent-Length: 16\nConnection: close\n\n")
	tc = newTest(t, Options{}, nil)
	tc.send("HEAD / HTTP/1.1\r\nHo")
	tc.sleep(11 * time.Second)
	tc.wantReply("HTTP/1.1 408 Request Timeout\nContent-Type: text/plain; charset=utf-8\nContent-Length: 20\nConnection: close\n\n")
}

func TestRefusalComesBehindEarlierAnswers(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send(getLine + "\x01")
	tc.wantStatus(200, 400)
	tc.wantClosed(conn.Protocol)
}

// A client that keeps sending after a refusal is not reset before it has read the reply, but not
// listened to for ever.
func TestLingering(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.send("\x01", strings.Repeat("x", 1000))
	if !tc.Wire.Shut || tc.Closed() {
		t.Fatal("not lingering")
	}
	tc.sleep(3 * time.Second)
	tc.wantClosed(conn.Protocol)
}

func TestMaxRequests(t *testing.T) {
	tc := newTest(t, Options{MaxRequests: 3}, nil)
	tc.send(getLine)
	tc.wantOpen()
	tc.send(strings.Repeat(getLine, 5))
	tc.wantReply(okReply + okReply + "HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\nConnection: close\n\nok")
	tc.wantClosed(conn.Local)
}

func TestIdleConnectionHoldsNoExchange(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	tc.wantOpen()
	tc.send(getLine[:5])
	tc.send(getLine[5:])
	tc.wantOpen()
	if len(tc.s.free) != 1 {
		t.Fatal(len(tc.s.free), "exchanges on the free list")
	}
}

func TestExchangeOfAClosedConnectionIsReused(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	tc.c.Close()
	tc.turn()
	if !tc.Closed() || len(tc.s.free) != 1 || tc.s.free[0].flags != 0 {
		t.Fatal("the exchange is lost")
	}
	if err := Reply(tc.c, 200, "", ""); err != ErrNoRequest {
		t.Fatal(err)
	}
}

func TestShutdown(t *testing.T) {
	t.Run("idle", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send(getLine)
		tc.reply()
		tc.c.Driver().Fire(&conn.Shutdown{})
		tc.turn()
		tc.wantReply("")
		tc.wantClosed(conn.ShuttingDown)
	})
	t.Run("unanswered", func(t *testing.T) {
		tc := newTest(t, Options{}, keep)
		tc.send(getLine)
		tc.c.Driver().Fire(&conn.Shutdown{})
		tc.turn()
		Reply(tc.c, 200, "", "")
		tc.turn()
		tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 0\nConnection: close\n\n")
		tc.wantClosed(conn.Local)
	})
	t.Run("half a request", func(t *testing.T) {
		tc := newTest(t, Options{}, nil)
		tc.send("GET / HT")
		tc.c.Driver().Fire(&conn.Shutdown{})
		tc.sleep(5 * time.Second)
		tc.send("TP/1.1\r\nHost: h\r\n\r\n")
		tc.wantReply("HTTP/1.1 200 OK\nContent-Type: text/plain\nContent-Length: 2\nConnection: close\n\nok")
		tc.wantClosed(conn.Local)
	})
}

func TestHandlerThatClosesInAnyEvent(t *testing.T) {
	for _, event := range []string{"head", "message", "bad"} {
		for name, end := range map[string]func(*conn.Conn){"Close": (*conn.Conn).Close, "Drain": (*conn.Conn).Drain} {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				switch ev.(type) {
				case *Head:
					if event == "head" {
						end(c)
					}
				case *Message:
					if event == "message" {
						end(c)
					} else {
						Reply(c, 200, "", "")
					}
				case *BadRequest:
					if event == "bad" {
						end(c)
					}
				}
			})
			tc.send(getLine + "\x00" + getLine)
			if !tc.Closed() {
				t.Fatal(event, name, "not closed")
			}
			if len(tc.s.free) != 1 {
				t.Fatal(event, name, "the exchange is lost")
			}
		}
	}
}
