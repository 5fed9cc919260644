package main

import (
	"fmt"
	"log/slog"
	"slices"
	"strconv"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

// A wish is what a subscriber asks for.
type wish struct {
	patterns []string
	since    uint64 // as broadcast.SubscribeOptions has it
}

// maxPatterns is less than the hub takes: for each, one request from anybody has the loop go through all topics.
const maxPatterns = 32

// parseWish reads the query. The errors are for the client.
func parseWish(m *http.Message) (w wish, err error) {
	for v, err := range m.QueryVars() {
		if err != nil {
			return w, fmt.Errorf("the query is malformed: %w", err)
		}
		switch value := string(v.Value); string(v.Name) {
		case "topic":
			if !broadcast.ValidPattern(value) {
				return w, fmt.Errorf("%q is no pattern: + stands for a whole level, and # for all levels at the end", value)
			}
			if !slices.Contains(w.patterns, value) {
				w.patterns = append(w.patterns, value)
			}
			if len(w.patterns) > maxPatterns {
				return w, fmt.Errorf("more than %d topics", maxPatterns)
			}
		case "since":
			if w.since, err = parseOffset(value); err != nil {
				return w, err
			}
		}
	}
	if len(w.patterns) == 0 {
		return w, fmt.Errorf("no topic: ask for ?topic=PATTERN")
	}
	return w, nil
}

// parseOffset reads the offset of the last message that a client has. With 0 it has none.
func parseOffset(text string) (uint64, error) {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no offset", text)
	}
	return max(n, broadcast.All), nil
}

// webSocket answers GET /ws.
func (s *server) webSocket(c *conn.Conn, m *http.Message) {
	w, err := parseWish(m)
	if err != nil {
		refuse(c, 400, "%v", err)
		return
	}
	if websocket.Upgrade(c, m, &s.upgrade) == nil {
		s.subscribe(c, w)
	}
}

// events answers GET /events.
func (s *server) events(c *conn.Conn, m *http.Message) {
	w, err := parseWish(m)
	if id := http.LastEventID(m); err == nil && len(id) > 0 {
		w.since, err = parseOffset(string(id)) // later than what the URL says: an EventSource comes back with the same URL
	}
	if err != nil {
		refuse(c, 400, "%v", err)
		return
	}
	http.StartEvents(c)
	if !http.IsEventStream(c) {
		return // it was a HEAD request
	}
	// An id without data is no event, but the client comes back with it: one that is cut before its first message misses
	// nothing either (HTML standard 9.2.6).
	id := w.since
	if id == 0 {
		id = s.hub.Offset()
	}
	http.WriteChunkf(c, "id: %d\n\n", id)
	s.subscribe(c, w)
}

func (s *server) subscribe(c *conn.Conn, w wish) {
	for _, pattern := range w.patterns {
		if err := s.hub.Subscribe(c, pattern, broadcast.SubscribeOptions{Since: w.since}); err != nil {
			slog.Error("a subscription failed", "pattern", pattern, "why", err)
			c.Close()
			return
		}
	}
}
