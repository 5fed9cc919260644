package http

import (
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/racetest"
)

// subscribe is a handler that replies to each request with a stream of events.
func subscribe(t testing.TB) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			if err := StartEvents(c); err != nil {
				t.Error(err)
			}
		}
	}
}

const eventsHead = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nTransfer-Encoding: chunked\nCache-Control: no-store\n" +
	"X-Accel-Buffering: no\n\n"

// oldEvents is the head for HTTP/1.0: what follows is the bare stream.
const oldEvents = "HTTP/1.1 200 OK\nContent-Type: text/event-stream\nConnection: close\nCache-Control: no-store\n" +
	"X-Accel-Buffering: no\n\n"

// HTML standard 9.2.5.
func TestEventFormat(t *testing.T) {
	for _, test := range []struct{ id, event, data, want string }{
		{"", "", "hello", "data: hello␊␊"},
		{"7", "news", "hello", "id: 7␊event: news␊data: hello␊␊"},
		{"", "", "", "data: ␊␊"},
		{"", "", " a: b", "data:  a: b␊␊"},
		{"", "", "a\nb\n\nc", "data: a␊data: b␊data: ␊data: c␊␊"},
		{"", "", "a\r\nb\rc\n", "data: a␊data: b␊data: c␊data: ␊␊"},
		{"", "", "\r\r\n", "data: ␊data: ␊data: ␊␊"},
		{"", "", "a\x00ä", "data: a\x00ä␊␊"},
	} {
		tc := newTest(t, Options{}, subscribe(t))
		tc.send("GET / HTTP/1.0\r\n\r\n")
		p, err := PrepareEvent(test.id, test.event, test.data)
		if err != nil {
			t.Fatal(err)
		}
		if err := SendEvent(tc.c, test.id, test.event, test.data); err != nil {
			t.Fatal(err)
		}
		if err := SendPreparedEvent(tc.c, p); err != nil {
			t.Fatal(err)
		}
		tc.turn()
		tc.wantReply(oldEvents + test.want + test.want)
	}
}

func TestEventStream(t *testing.T) {
	tc := newTest(t, Options{}, subscribe(t))
	tc.send(getLine + getLine)
	tc.wantReply(eventsHead)
	if !IsEventStream(tc.c) {
		t.Error("no stream of events")
	}
	SendEvent(tc.c, "", "", "hello")
	p, _ := PrepareEvent("", "", "world!")
	SendPreparedEvent(tc.c, p)
	SendRetry(tc.c, 1500*time.Millisecond)
	tc.turn()
	tc.wantReply("d\ndata: hello␊␊\ne\ndata: world!␊␊\nd\nretry: 1500␊␊\n")
	for _, bad := range []string{"a\nb", "a\rb", "a\x00b", "\n"} {
		_, err := PrepareEvent(bad, "", "x")
		_, err2 := PrepareEvent("", bad, "x")
		for _, err := range []error{err, err2, SendEvent(tc.c, bad, "", "x"), SendEvent(tc.c, "", bad, "x")} {
			if err != ErrBadEvent {
				t.Errorf("%q: %v", bad, err)
			}
		}
	}
	End(tc.c)
	tc.turn()
	tc.wantReply("0\n\n" + eventsHead)
	End(tc.c)
	tc.turn()
	tc.reply()
	tc.wantOpen()
	for _, err := range []error{SendEvent(tc.c, "", "", "x"), SendPreparedEvent(tc.c, p), SendRetry(tc.c, 0)} {
		if err != ErrNotBegun {
			t.Error(err)
		}
	}
	if IsEventStream(tc.c) || StartEvents(tc.c) != ErrNoRequest {
		t.Error("without a request")
	}
}

func TestEventsForHEAD(t *testing.T) {
	tc := newTest(t, Options{}, subscribe(t))
	tc.send(request("HEAD", "/"))
	tc.wantReply(strings.Replace(eventsHead, "Transfer-Encoding: chunked\n", "", 1))
	tc.wantOpen()
}

func TestHandlerSetsCacheControlOfEvents(t *testing.T) {
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			SetHeader(c, "Cache-Control", "no-cache")
			StartEvents(c)
		}
	})
	tc.send(getLine)
	tc.wantReply(strings.Replace(eventsHead, "no-store", "no-cache", 1))
}

func TestLastEventID(t *testing.T) {
	var got []string
	tc := newTest(t, Options{}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			got = append(got, string(LastEventID(m)))
			Reply(c, 200, "", "")
		}
	})
	tc.send(request("GET", "/", "last-event-id: a 7") + getLine)
	if len(got) != 2 || got[0] != "a 7" || got[1] != "" {
		t.Fatal(got)
	}
}

func TestHeartbeat(t *testing.T) {
	const beat = "3\n:␊␊\n"
	t.Run("when nothing is sent", func(t *testing.T) {
		tc := newTest(t, Options{}, subscribe(t))
		tc.send(getLine)
		tc.reply()
		tc.sleep(14900 * time.Millisecond)
		tc.wantReply("")
		tc.sleep(200 * time.Millisecond)
		tc.wantReply(beat)
		tc.sleep(5 * time.Minute)
		if n := strings.Count(tc.reply(), ":\n\n"); n < 19 || n > 20 {
			t.Fatal(n, "in five minutes")
		}
		tc.sleep(5 * time.Second)
		tc.reply()
		SendEvent(tc.c, "", "", "x")
		tc.turn()
		tc.reply()
		tc.sleep(14900 * time.Millisecond)
		tc.wantReply("")
		tc.sleep(200 * time.Millisecond)
		tc.wantReply(beat)
	})
	t.Run("not to a client that takes nothing", func(t *testing.T) {
		tc := newTest(t, Options{Limits: conn.Limits{Stall: -1}}, subscribe(t))
		tc.send(getLine)
		tc.Wire.Room = 0
		SendEvent(tc.c, "", "", "x")
		tc.turn()
		n := tc.c.Pending()
		tc.sleep(time.Hour)
		if tc.c.Pending() != n {
			t.Fatal(tc.c.Pending(), n)
		}
	})
	t.Run("other", func(t *testing.T) {
		tc := newTest(t, Options{Heartbeat: time.Second}, subscribe(t))
		tc.send(getLine)
		tc.reply()
		tc.sleep(1100 * time.Millisecond)
		tc.wantReply(beat)
	})
	t.Run("none", func(t *testing.T) {
		tc := newTest(t, Options{Heartbeat: -1}, subscribe(t))
		tc.send(getLine)
		tc.reply()
		tc.sleep(time.Hour)
		tc.wantReply("")
	})
	t.Run("not in other replies", func(t *testing.T) {
		tc := newTest(t, Options{}, begins(t))
		tc.send(getLine)
		tc.reply()
		tc.sleep(time.Hour)
		tc.wantReply("")
	})
}

func TestEventStreamEndsWithItsClient(t *testing.T) {
	tc := newTest(t, Options{}, subscribe(t))
	tc.send(getLine)
	tc.end()
	tc.wantClosed(conn.PeerClosed)
}

func TestShutdownCompletesAnEventStream(t *testing.T) {
	for _, minor := range []string{"1.1", "1.0"} {
		tc := newTest(t, Options{}, subscribe(t))
		tc.send("GET / HTTP/" + minor + "\r\nHost: h\r\n\r\n")
		SendEvent(tc.c, "", "", "x")
		tc.c.Driver().Fire(&conn.Shutdown{})
		tc.turn()
		if minor == "1.1" {
			tc.wantReply(eventsHead + "9\ndata: x␊␊\n0\n\n")
		} else {
			tc.wantReply(oldEvents + "data: x␊␊")
		}
		tc.wantClosed(conn.Local)
	}
}

func TestPreparedEventIsNotCopied(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector allocates")
	}
	tc := newTest(t, Options{Limits: conn.Limits{Send: 1 << 30}}, subscribe(t))
	tc.send(getLine)
	tc.Wire.Forget = true
	p, _ := PrepareEvent("1", "big", strings.Repeat("x", 100_000))
	n := testing.AllocsPerRun(100, func() {
		SendPreparedEvent(tc.c, p)
		SendEvent(tc.c, "1", "", "small")
		tc.turn()
	})
	if n != 0 {
		t.Fatal(n, "allocations")
	}
}
