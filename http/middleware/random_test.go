package middleware

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

var seed = flag.Uint64("guard.seed", 0, "replay TestRandomRequestsBehindAGuard with this seed")

// waysOfHandler is the number of ways in which randomHandler replies.
const waysOfHandler = 7

// randomHandler replies to each request in the way that its target asks for: "/ok/WAY/NUMBER".
type randomHandler struct {
	t      *testing.T
	way    int
	waits  *http.Later // for a reply from outside of its handler
	served int
}

func (h *randomHandler) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		h.see(&ev.Request)
		switch h.way {
		case 0:
			http.ReplyBytes(c, 200, "", okBody)
		case 1, 2:
			http.StreamBody(c)
		case 3:
			http.Begin(c, 200, "")
			http.End(c)
		case 4:
			h.waits = ev.Later()
		}
	case *http.Chunk:
		if h.way == 2 || ev.Last {
			http.ReplyBytes(c, 200, "", okBody)
		}
	case *http.Message:
		h.see(&ev.Request)
		switch h.way {
		case 5:
			http.ReplyBytes(c, 200, "", okBody)
		case 6:
			h.waits = ev.Later()
		}
	}
}

func (h *randomHandler) see(r *http.Request) {
	if !r.Match("/ok/#") {
		h.t.Fatalf("%s %s passed", r.Method, r.Target)
	}
	h.way = int(r.Target[len("/ok/")] - '0')
	h.served++
}

// randomRequest returns the bytes of a request, good or bad, with a body or without.
func randomRequest(r *rand.Rand, i int) (text []byte, ok bool) {
	ok = r.IntN(2) == 0
	kind := "ok"
	if !ok {
		kind = []string{"bad", "late"}[r.IntN(2)]
	}
	body := bytes.Repeat([]byte("GET /ok/0/0 HTTP/1.1\r\n"), r.IntN(100)) // what must not be taken for a request
	text = fmt.Appendf(nil, "POST /%s/%d/%d HTTP/1.1\r\nHost: h\r\n", kind, r.IntN(waysOfHandler), i)
	switch {
	case len(body) > 0 && r.IntN(2) == 0:
		text = append(text, "Transfer-Encoding: chunked\r\n\r\n"...)
		for len(body) > 0 {
			n := 1 + r.IntN(len(body))
			text = fmt.Appendf(text, "%x\r\n%s\r\n", n, body[:n])
			body = body[n:]
		}
		return append(text, "0\r\n\r\n"...), ok
	default:
		return fmt.Appendf(text, "Content-Length: %d\r\n\r\n%s", len(body), body), ok
	}
}

// Pipelines of requests, good and bad, that arrive in pieces, before a handler that replies in all
// ways: no bad one passes, every good one does, and all get their replies in order.
func TestRandomRequestsBehindAGuard(t *testing.T) {
	for round := range 300 {
		s := uint64(round) + rand.Uint64()<<16
		if *seed != 0 {
			s = *seed
		}
		r := rand.New(rand.NewPCG(s, 0))
		h := &randomHandler{t: t}
		var refuseLater *http.Later
		g := newEventRig(t, h.handle, Recover(nil), http.Guard(func(c *conn.Conn, q *http.Request) bool {
			switch {
			case q.Match("/bad/#"):
				http.Error(c, 403)
			case q.Match("/late/#"):
				refuseLater = q.Later()
			}
			return q.Match("/ok/#")
		}), SecurityHeaders(Headers{}))
		var in []byte
		var want []int
		good := 0
		for i := range 1 + r.IntN(20) {
			text, ok := randomRequest(r, i)
			in = append(in, text...)
			if want = append(want, 403); ok {
				want[i] = 200
				good++
			}
		}
		for len(in) > 0 || g.wire.Unread() > 0 && !g.done || refuseLater != nil || h.waits != nil {
			n := min(len(in), 1+r.IntN(2000))
			g.wire.Arrive(in[:n], nil)
			in = in[n:]
			g.settle()
			if r.IntN(3) == 0 || len(in) == 0 {
				switch {
				case refuseLater != nil:
					refuseLater.Error(403)
					refuseLater = nil
				case h.waits != nil:
					h.waits.ReplyBytes(200, "", okBody)
					h.waits = nil
				}
				g.settle()
			}
		}
		var got []int
		for _, m := range regexp.MustCompile(`HTTP/1\.1 (\d+) `).FindAllSubmatch(g.wire.Sent, -1) {
			status, _ := strconv.Atoi(string(m[1]))
			got = append(got, status)
		}
		if fmt.Sprint(got) != fmt.Sprint(want) || h.served < good || g.done {
			t.Fatalf("-guard.seed=%d: answers %v, want %v; %d events for %d good requests; done %v %v", s, got, want, h.served, good, g.done, g.reason)
		}
	}
}
