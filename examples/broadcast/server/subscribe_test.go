package server

import (
	"bufio"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestAMessageReachesAllSubscribersOnce(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		all, one := p.dial("topic=%23"), p.dial("topic=a/b")
		both := p.dial("topic=a/%2B&topic=a/b&topic=%23&topic=%23")
		r := p.publish("a/b", `{"n": [1, 2]}`)
		if r.Topic != "a/b" || r.Subscribers != 5 {
			t.Errorf("receipt %+v", r)
		}
		if next := p.publish("a/c%2Fd", "text"); next != (receipt{"a/c/d", r.Offset + 1, 2}) {
			t.Errorf("receipt %+v behind %+v", next, r)
		}
		p.publish("empty", "")
		p.publish("a/b", `3`)
		for _, s := range []*socket{all, both} {
			s.want(`a/b {"n": [1, 2]}`, `a/c/d "text"`, `empty ""`, `a/b 3`)
		}
		one.want(`a/b {"n": [1, 2]}`, `a/b 3`)
	})
}

func TestASubscriberGoesOnFromItsOffset(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-history", "3")
		first := p.publish("a", "0")
		for i := 1; i < 3; i++ {
			p.publish("a", fmt.Sprint(i))
		}
		since := fmt.Sprintf("topic=a&since=%d", first.Offset)
		s := p.dial(since)
		s.want("a 1", "a 2")
		p.publish("a", "3")
		s.want("a 3")
		p.publish("a", "4")
		p.publish("a", "5")
		p.dial(since).want("missed 2", "a 3", "a 4", "a 5")
		p.dial("topic=a&since=0").want("a 3", "a 4", "a 5") // it missed nothing: it had not been there
		p.dial("topic=a&since=12345").want("reset", "a 3", "a 4", "a 5")
		p.dial(fmt.Sprintf("topic=%%23&since=%d", first.Offset+5))
		fresh := p.dial("topic=a")
		p.publish("a", "6")
		fresh.want("a 6")
	})
}

// stream is what curl prints of /events.
type stream struct {
	t *testing.T
	*bufio.Scanner
}

func (p *served) follow(path string, fields ...string) *stream {
	p.t.Helper()
	args := []string{"-H", "Authorization: Bearer " + p.token}
	for _, f := range fields {
		args = append(args, "-H", f)
	}
	cmd := curlCommand(p.t, append(args, p.url(path))...)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
	return &stream{p.t, bufio.NewScanner(out)}
}

// want reads lines and compares them.
func (s *stream) want(lines ...string) {
	s.t.Helper()
	for _, want := range lines {
		if !s.Scan() || s.Text() != want {
			s.t.Fatalf("got %q %v, want %q of %q", s.Text(), s.Err(), want, lines)
		}
	}
}

func TestCurlFollowsEvents(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-history", "2")
		id := func(offset uint64) string { return fmt.Sprintf("id: %d", offset) }
		data := func(topic string, offset uint64, data string) string {
			return fmt.Sprintf(`data: {"topic":%q,"offset":%d,"data":%s}`, topic, offset, data)
		}
		first := p.publish("a/b", "old")
		e := p.follow("/events?topic=a/%2B&topic=c")
		live := func(offset uint64) []string {
			return []string{id(offset), "event: live", fmt.Sprintf(`data: {"live":%d}`, offset), ""}
		}
		e.want(id(first.Offset), "") // no event: what an EventSource comes back with before it has got one
		e.want(live(first.Offset)...)
		p.publish("d", "not asked for")
		n := p.publish("a/b", "two\nlines").Offset
		e.want(id(n), data("a/b", n, `"two\nlines"`), "")
		c := p.publish("c", `{"x": 1}`).Offset
		e.want(id(c), data("c", c, `{"x": 1}`), "")

		// Last-Event-ID is newer than what the URL says.
		back := p.follow("/events?topic=a/b&since=1", fmt.Sprintf("Last-Event-ID: %d", first.Offset))
		back.want(id(first.Offset), "", id(n), data("a/b", n, `"two\nlines"`), "")
		for i := range 3 {
			n = p.publish("a/b", fmt.Sprint(i)).Offset
		}
		late := p.follow(fmt.Sprintf("/events?topic=a/b&since=%d", c))
		late.want(id(c), "", "event: missed", `data: {"missed":1}`, "", id(n-1), data("a/b", n-1, "1"), "", id(n))

		// An id that is no offset is no error, which an EventSource would never come back from.
		for _, unknown := range []string{"abc", "18446744073709551616", "1"} {
			lost := p.follow("/events?topic=a/b", "Last-Event-ID: "+unknown)
			lost.want("id: 2", "", "event: missed", `data: {"missed":3,"reset":true}`, "", id(n-1))
		}
	})
}

func TestCurlPublishes(t *testing.T) {
	p := start(t)
	s := p.dial("topic=%23")
	var r receipt
	text := curl(t, "-H", "Authorization: Bearer secret", "--data", `{"celsius": 21.5}`, p.url("/publish/sensors/kitchen"))
	if err := json.Unmarshal([]byte(text), &r); err != nil || r.Topic != "sensors/kitchen" || r.Subscribers != 1 {
		t.Errorf("%s %v", text, err)
	}
	s.want(`sensors/kitchen {"celsius": 21.5}`)
}

func TestASubscriberDoesNotPublish(t *testing.T) {
	s := start(t).dial("topic=a")
	if err := s.WriteMessage(websocket.TextMessage, []byte(`{"publish":"a","data":1,"id":2}`)); err != nil {
		t.Fatal(err)
	}
	if _, text, err := s.ReadMessage(); string(text) != `{"reply":2,"error":"this client may not publish to it"}` {
		t.Errorf("the reply is %s %v", text, err)
	}
}
