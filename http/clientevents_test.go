package http

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// The stream of WHATWG HTML 9.2.6, cut at every byte.
func TestEventParser(t *testing.T) {
	for _, c := range []struct {
		in   string
		want []string
	}{
		{"data: a\n\n", []string{`message "a" ""`}},
		{"data:a\ndata:  b\ndata\n\n", []string{`message "a\n b\n" ""`}},
		{"\xef\xbb\xbfdata: a\r\n\r\ndata: b\r\rdata: c\n\n", []string{`message "a" ""`, `message "b" ""`, `message "c" ""`}},
		{": comment\n\nevent: x\ndata: 1\nid: 7\n\ndata: 2\n\nid\ndata: 3\n\n", []string{`x "1" "7"`, `message "2" "7"`, `message "3" ""`}},
		{"event: x\n\ndata: y\n\n", []string{`message "y" ""`}},
		{"data\n\n", []string{`message "" ""`}},
		{"id: a\x00b\nunknown: x\ndata: 1\n\ndata: cut", []string{`message "1" ""`}},
	} {
		for _, pieces := range cuts(c.in) {
			var got []string
			s := &EventSource{opts: EventSourceOptions{OnEvent: func(ev *ServerEvent) {
				got = append(got, fmt.Sprintf("%s %q %q", ev.Type, ev.Data, ev.ID))
			}}}
			p := &eventParser{source: s, max: 100}
			for _, piece := range pieces {
				if !p.write([]byte(piece)) {
					t.Fatalf("%q: too long", c.in)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Fatalf("%q as %q:\n%q, want\n%q", c.in, pieces, got, c.want)
			}
		}
	}
	s := &EventSource{opts: EventSourceOptions{OnEvent: func(*ServerEvent) {}}}
	p := &eventParser{source: s, max: 100}
	if p.write([]byte("data: " + strings.Repeat("x", 100))) {
		t.Error("a line that is too long is taken")
	}
	p = &eventParser{source: s, max: 100}
	if p.write([]byte(strings.Repeat("data: "+strings.Repeat("x", 40)+"\n", 3))) {
		t.Error("an event that is too long is taken")
	}
	for line, want := range map[string]time.Duration{"retry: 1500\n": 1500 * time.Millisecond, "retry: x\n": 0, "retry: -1\n": 0, "retry: 99999999999\n": 0} {
		s.retry = 0
		if p := (&eventParser{source: s, max: 100}); !p.write([]byte(line)) || s.retry != want {
			t.Errorf("%q: %v, want %v", line, s.retry, want)
		}
	}
}

// A source over a server of this package: it goes on where it was cut, and ends at a 204.
func TestEventSource(t *testing.T) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		m, err := mgr.New(mgr.Options{Poller: p})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		n, ids := 0, []string(nil)
		l, err := Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
			r, ok := ev.(*Message)
			if !ok {
				return
			}
			ids = append(ids, string(LastEventID(r)))
			switch n++; n {
			case 1:
				StartEvents(c)
				SendEvent(c, "1", "", "a")
				SendEvent(c, "2", "x", "b")
				End(c)
			case 2:
				Error(c, 503)
			case 3:
				StartEvents(c)
				SendEvent(c, "4", "", "d")
				End(c)
			default:
				ReplyBytes(c, 204, "", nil)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		client, err := NewClient(m)
		if err != nil {
			t.Fatal(err)
		}
		var got, states []string
		over := false
		s, err := NewEventSource(client, &ClientRequest{URL: "http://" + l.LocalAddr().String()}, EventSourceOptions{
			OnEvent: func(ev *ServerEvent) { got = append(got, fmt.Sprintf("%s %s %s", ev.Type, ev.Data, ev.ID)) },
			OnState: func(s EventSourceState, err error) {
				states = append(states, s.String())
				over = s == EventSourceClosed
			},
			Retry: time.Millisecond, MaxRetry: time.Millisecond, LastEventID: "0",
		})
		if err != nil {
			t.Fatal(err)
		}
		for !over {
			m.Poll(-1)
		}
		if want := []string{"message a 1", "x b 2", "message d 4"}; !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		if want := []string{"0", "2", "2", "4"}; !slices.Equal(ids, want) {
			t.Errorf("Last-Event-ID %q, want %q", ids, want)
		}
		if want := []string{"open", "connecting", "connecting", "open", "connecting", "closed"}; !slices.Equal(states, want) {
			t.Errorf("states %q, want %q", states, want)
		}
		if s.LastEventID() != "4" || s.State() != EventSourceClosed {
			t.Errorf("%q %v", s.LastEventID(), s.State())
		}
	}
}
