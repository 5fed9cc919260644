package http

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

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
	field := func(name, value string) []Field { return []Field{{[]byte(name), []byte(value)}} }
	page := func(status int) Page {
		switch status {
		case 404:
			return Page{"text/html", []byte("<p>gone"), field("Content-Security-Policy", "default-src 'none'")}
		case 400:
			return Page{"text/plain", []byte("bad"), field("X", "y")}
		case 403:
			return Page{"a\r\nb", []byte("x"), field("A", "b\r\nc")}
		case 410:
			return Page{"text/plain", []byte("x"), field("date", "Sun, 06 Nov 1994 08:49:37 GMT")}
		}
		return Page{Fields: field("Retry-After", "7")}
	}
	tc := newTest(t, Options{ErrorPage: page}, func(c *conn.Conn, ev conn.Event) {
		if m, ok := ev.(*Message); ok {
			var status int
			fmt.Sscanf(string(m.Path), "/%d", &status)
			Error(c, status)
		}
	})
	tc.send(request("GET", "/404"))
	tc.wantReply("HTTP/1.1 404 Not Found\nContent-Type: text/html\nContent-Length: 7\n" +
		"Content-Security-Policy: default-src 'none'\n\n<p>gone")
	tc.send(request("GET", "/403"))
	tc.wantReply("HTTP/1.1 403 Forbidden\nContent-Type: text/plain; charset=utf-8\nContent-Length: 14\n\n403 Forbidden␊")
	tc.send(request("GET", "/410"))
	tc.wantReply("HTTP/1.1 410 Gone\nContent-Type: text/plain\nContent-Length: 1\n\nx")
	tc.send(request("GET", "/503"))
	tc.wantReply("HTTP/1.1 503 Service Unavailable\nContent-Type: text/plain; charset=utf-8\nContent-Length: 24\n" +
		"Retry-After: 7\n\n503 Service Unavailable␊")
	tc.send("\x00")
	tc.wantReply("HTTP/1.1 400 Bad Request\nContent-Type: text/plain\nContent-Length: 3\nConnection: close\nX: y\n\nbad")
}

// A refusal that comes after a guard has seen the head carries what the guard has set: without its
// Access-Control-Allow-Origin a page is told of a CORS error instead of the status.
func TestRefusalsCarryTheFieldsOfGuards(t *testing.T) {
	for name, test := range map[string]struct {
		request string
		status  int
	}{
		"413 by Content-Length": {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n", 413},
		"413 by chunks":         {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n64\r\n", 413},
		"400 for a bad chunk":   {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n", 400},
	} {
		t.Run(name, func(t *testing.T) {
			guard := Guard(func(c *conn.Conn, _ *Request) bool {
				SetHeader(c, "Access-Control-Allow-Origin", "*")
				SetHeader(c, "Cache-Control", "max-age=100")
				SetHeader(c, "ETag", `"a"`)
				return true
			})
			tc := newTest(t, Options{MaxBody: 10}, guard(func(*conn.Conn, conn.Event) {}))
			tc.send(test.request)
			text := StatusText(test.status)
			tc.wantReply(fmt.Sprintf("HTTP/1.1 %d %s\nContent-Type: text/plain; charset=utf-8\nContent-Length: %d\nConnection: close\n"+
				"Access-Control-Allow-Origin: *\n\n%d %s␊", test.status, text, len(text)+5, test.status, text))
		})
	}
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

// The beginning of a head is kept for the next reply. Whatever comes between two replies, each must be
// what a server makes that has never replied before.
func TestHeadsAfterOtherHeads(t *testing.T) {
	type made struct {
		status         int
		ctype, request string
		field, body    string
	}
	replies := []made{
		{200, "text/plain", getLine, "", "a"},
		{200, "text/plain", getLine, "", "another"},
		{200, "text/html", getLine, "", "a"},
		{200, "", getLine, "", "a"},
		{404, "text/html", getLine, "", "a"},
		{200, "text/html", getLine, "X", "a"},
		{200, "text/html", getLine, "Content-Type", "a"},
		{200, "text/html", getLine, "Date", "a"},
		{200, "text/html", getLine, "", "a"},
		{200, "text/html", request("HEAD", "/"), "", "abc"},
		{204, "text/html", getLine, "", ""},
		{204, "text/html", getLine, "", "not sent"},
		{205, "text/html", getLine, "", ""},
		{205, "text/html", getLine, "", "not sent"},
		{304, "text/html", getLine, "", ""},
		{304, "text/html", getLine, "", "not sent"},
		{200, "text/html", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "", "a"},
		{200, "text/html", getLine, "", "a"},
		{299, "text/html", getLine, "", "a"},
		{200, "text/plain", request("GET", "/", "Connection: close"), "", "last"},
	}
	var now *made
	handle := func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*Message); ok {
			if now.field != "" {
				SetHeader(c, now.field, "Sun, 06 Nov 1994 08:49:37 GMT")
			}
			ReplyBytes(c, now.status, now.ctype, []byte(now.body))
		}
	}
	undated := func(reply string) string {
		return regexp.MustCompile(`Date: .*:.*GMT`).ReplaceAllString(reply, "Date: ")
	}
	for range 3 { // in orders that differ
		tc := newTest(t, Options{Server: "s"}, handle)
		for i := range replies {
			now = &replies[i]
			tc.send(now.request)
			got := undated(tc.Sent())
			fresh := newTest(t, Options{Server: "s"}, handle)
			fresh.send(now.request)
			if want := undated(fresh.Sent()); got != want || got == "" {
				t.Errorf("after others:\n%q\nas the first:\n%q", got, want)
			}
		}
		last := len(replies) - 1
		rand.Shuffle(last, func(i, j int) { replies[i], replies[j] = replies[j], replies[i] })
	}
}

// The Date of a reply is that of its second, though the head before it had another.
func TestDateOfTheNextHead(t *testing.T) {
	tc := newTest(t, Options{}, nil)
	then := time.Date(1994, 11, 6, 8, 49, 37, 500e6, time.UTC)
	tc.s.date.set(tc.c.Layer().Shared().Now, then)
	for _, same := range []bool{true, true, false} {
		tc.send(getLine)
		if got := tc.Sent(); strings.Contains(got, "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n") != same || !strings.Contains(got, "Date: ") {
			t.Errorf("the second has passed: %v\n%s", !same, got)
		}
		tc.sleep(300 * time.Millisecond)
	}
}
