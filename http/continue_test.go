package http

import (
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

const expecting = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"

// held is a handler that holds 100 (Continue), and streams the body if it is told to.
func held(t *testing.T, stream bool) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Head); ok {
			if !HoldContinue(c) {
				t.Error("the client does not wait for a 100")
			}
			if stream {
				StreamBody(c)
			}
		}
	}
}

// A 100 that is held comes from the program, once; the body then comes as usual.
func TestHoldContinue(t *testing.T) {
	for _, stream := range []bool{false, true} {
		tc := newTest(t, Options{}, held(t, stream))
		tc.send(expecting)
		tc.wantReply("")
		tc.sleep(30 * time.Second) // BodyTimeout does not count
		tc.wantReply("")
		if err := SendInterim(tc.c, 100); err != nil {
			t.Fatal(err)
		}
		tc.turn()
		tc.wantReply("HTTP/1.1 100 Continue\n\n")
		tc.send("abc")
		if err := ReplyBytes(tc.c, 200, "", []byte("ok")); err != nil {
			t.Fatal(err)
		}
		tc.turn()
		tc.wantReply("HTTP/1.1 200 OK\nContent-Length: 2\n\nok")
		tc.wantOpen()
	}
}

// From the 100 on BodyTimeout counts.
func TestHoldContinueStartsTheClockOfTheBody(t *testing.T) {
	tc := newTest(t, Options{}, held(t, true))
	tc.send(expecting)
	tc.sleep(9 * time.Second)
	SendInterim(tc.c, 100)
	tc.sleep(9 * time.Second)
	tc.wantReply("HTTP/1.1 100 Continue\n\n")
	tc.sleep(2 * time.Second)
	tc.wantStatus(408)
}

// RFC 9110 10.1.1: no 100 after the client has begun to send the body, or has got a final reply.
func TestHoldContinueIsOver(t *testing.T) {
	tc := newTest(t, Options{}, held(t, true))
	tc.send(expecting, "a")
	SendInterim(tc.c, 100) // an interim reply that does no harm
	tc.turn()
	tc.reply()
	tc.send("bc")
	ReplyBytes(tc.c, 200, "", nil)
	tc.turn()
	tc.wantStatus(200)
	tc.wantOpen()

	// A body cannot be told from the next request: the connection ends.
	for name, f := range map[string]func(c *conn.Conn) error{
		"a reply": func(c *conn.Conn) error { return ReplyBytes(c, 413, "", nil) },
		"a reply that begins": func(c *conn.Conn) error {
			if err := Begin(c, 413, ""); err != nil {
				return err
			}
			return End(c)
		},
	} {
		for _, inHead := range []bool{false, true} {
			tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*Head); ok {
					HoldContinue(c)
					StreamBody(c)
					if inHead {
						if err := f(c); err != nil {
							t.Error(err)
						}
					}
				}
			})
			tc.send(expecting)
			if !inHead {
				if err := f(tc.c); err != nil {
					t.Fatal(err)
				}
				tc.turn()
			}
			out := tc.reply()
			if want := "HTTP/1.1 413 "; len(out) < len(want) || out[:len(want)] != want {
				t.Errorf("%s, in Head %v: %q", name, inHead, out)
			}
			tc.send("GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
			tc.wantReply("")
		}
	}
}

// A reply that goes on for longer than BodyTimeout is not cut for a body that nobody has asked for.
func TestHoldContinueAndALongReply(t *testing.T) {
	tc := newTest(t, Options{}, held(t, true))
	tc.send(expecting)
	Begin(tc.c, 200, "")
	tc.sleep(30 * time.Second)
	WriteChunk(tc.c, []byte("x"))
	End(tc.c)
	tc.turn()
	tc.wantReply("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\nConnection: close\n\n1\nx\n0\n\n")
}

func TestHoldContinueHasNothingToHold(t *testing.T) {
	for _, request := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
		"GET / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
		"POST / HTTP/1.0\r\nHost: a\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
		expecting + "a",
	} {
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			switch ev.(type) {
			case *Head:
				if HoldContinue(c) {
					t.Errorf("%q waits", request)
				}
			case *Message:
				ReplyBytes(c, 200, "", nil)
			}
		})
		tc.send(request)
		tc.send("bc")
		tc.reply()
	}
	tc := newTest(t, Options{ReplyTimeout: 5 * time.Second}, held(t, true))
	tc.send(expecting)
	tc.sleep(6 * time.Second)
	tc.wantStatus(503)
	if HoldContinue(tc.c) {
		t.Error("without a request")
	}
}

// The length of a body is known with the head.
func TestHeadLength(t *testing.T) {
	for request, want := range map[string]int64{
		"GET / HTTP/1.1\r\nHost: a\r\n\r\n":                                         0,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n":                   0,
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n":                   7,
		"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n": -1,
	} {
		seen := false
		tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
			if h, ok := ev.(*Head); ok {
				if seen = true; h.Length != want {
					t.Errorf("%q: %d", request, h.Length)
				}
			}
		})
		if tc.send(request); !seen {
			t.Errorf("%q: no Head", request)
		}
	}
}

// A Date of the program takes the place of this package's; one that is none is refused.
func TestDateOfTheProgram(t *testing.T) {
	tc := newTest(t, Options{}, keep)
	tc.send(getLine)
	const date = "Sun, 06 Nov 1994 08:49:37 GMT"
	if err := AddField(tc.c, Field{[]byte("Date"), []byte(date)}); err != nil {
		t.Fatal(err)
	}
	if err := AddField(tc.c, Field{[]byte("Date"), []byte("soon")}); err != ErrBadHeader {
		t.Error(err)
	}
	if err := AddField(tc.c, Field{[]byte("A"), []byte("b\r\nC: d")}); err != ErrBadHeader {
		t.Error(err)
	}
	ReplyBytes(tc.c, 200, "", nil)
	tc.turn()
	if got, want := tc.Sent(), "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: "+date+"\r\n\r\n"; got != want {
		t.Errorf("%q", got)
	}
}
