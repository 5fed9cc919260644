package fuzz

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// readEvents reads a stream as the HTML standard (9.2.6) has EventSource read it: id, type and data
// of each event.
func readEvents(stream string) (events []string) {
	stream = strings.TrimPrefix(stream, "\ufeff")
	lastID, event, data, hasData := "", "", "", false
	for stream != "" {
		i := strings.IndexAny(stream, "\r\n")
		if i < 0 {
			break // a line that is not complete
		}
		line := stream[:i]
		if stream[i] == '\r' && strings.HasPrefix(stream[i+1:], "\n") {
			i++
		}
		stream = stream[i+1:]
		if line == "" {
			if hasData {
				if event == "" {
					event = "message"
				}
				events = append(events, fmt.Sprintf("%q %q %q", lastID, event, strings.TrimSuffix(data, "\n")))
			}
			event, data, hasData = "", "", false
			continue
		}
		field, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			if !strings.Contains(value, "\x00") {
				lastID = value
			}
		case "event":
			event = value
		case "data":
			data, hasData = data+value+"\n", true
		}
	}
	return events
}

// FuzzEvents: what EventSource gets is what was sent, line ends apart, from an event and from one
// that was prepared; and nothing in it makes another event.
func FuzzEvents(f *testing.F) {
	f.Add("1", "tick", "a")
	f.Add("", "", "")
	f.Add(" 1", "a: b", "line\nline\r\nline\rline\n")
	f.Add("\x00", "x", "data: x\n\nevent: y")
	f.Add("1\n2", "x\r", ":\n\r\n: ")
	f.Add("\ufeff", ":", "\ufeff\x00")
	f.Fuzz(func(t *testing.T, id, event, data string) {
		if len(id)+len(event)+len(data) > 4000 {
			return
		}
		bad := strings.ContainsAny(id+event, "\r\n\x00")
		reply := serveOne(func(c *conn.Conn, m *http.Message) {
			http.StartEvents(c)
			http.SendEvent(c, "first", "", "1")
			if err := http.SendEvent(c, id, event, data); (err != nil) != bad {
				t.Fatalf("%q %q: %v", id, event, err)
			}
			e, err := http.PrepareEvent(id, event, data)
			if (err != nil) != bad {
				t.Fatalf("%q %q, prepared: %v", id, event, err)
			}
			if !bad {
				http.SendPreparedEvent(c, e)
			}
			http.SendEvent(c, "last", "", "2")
			http.End(c)
		})
		body, err := io.ReadAll(reply.Body)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{`"first" "message" "1"`}
		if !bad {
			if id == "" {
				id = "first"
			}
			if event == "" {
				event = "message"
			}
			one := fmt.Sprintf("%q %q %q", id, event, strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(data))
			want = append(want, one, one)
		}
		want = append(want, `"last" "message" "2"`)
		if got := readEvents(string(body)); !slices.Equal(got, want) {
			t.Fatalf("got %q, want %q; in %q", got, want, body)
		}
	})
}
