package logs

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	nethttp "net/http"
	"strings"
	"sync"
	"testing"
	"testing/slogtest"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/internal/racetest"
	"github.com/seed4930a636/mangusta/mgr"
)

// kept returns the lines that l has.
func kept(t *testing.T, l *Log) (lines []map[string]any) {
	t.Helper()
	for _, text := range bytes.Split(bytes.TrimSpace(l.find(&wish{level: -99, limit: 1 << 30})), []byte("\n")) {
		if len(text) == 0 {
			continue
		}
		var m map[string]any
		if err := json.Unmarshal(text, &m); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		lines = append(lines, m)
	}
	return lines
}

func TestHandlerMeetsTheContract(t *testing.T) {
	l := New(Options{Next: slog.NewTextHandler(io.Discard, nil)})
	if err := slogtest.TestHandler(l.Handler(), func() []map[string]any {
		lines := kept(t, l)
		for _, m := range lines {
			delete(m, "n")
		}
		return lines
	}); err != nil {
		t.Error(err)
	}
}

// Next has a level of its own, and gets the attributes and groups.
func TestNext(t *testing.T) {
	var out bytes.Buffer
	l := New(Options{Next: slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn}), Level: slog.LevelDebug})
	log := slog.New(l.Handler()).With("a", 1).WithGroup("g")
	log.Debug("one", "b", 2)
	log.Error("two", "b", 2)
	if text := out.String(); strings.Contains(text, "one") || !strings.Contains(text, "msg=two a=1 g.b=2") {
		t.Error(text)
	}
	if lines := kept(t, l); len(lines) != 2 || lines[1]["n"].(float64)-lines[0]["n"].(float64) != 1 {
		t.Error(lines)
	}
	l = New(Options{Next: failing{}})
	if err := l.Handler().Handle(context.Background(), slog.Record{Level: slog.LevelInfo}); err == nil {
		t.Error("the error of Next is lost")
	}
	if len(kept(t, l)) != 1 {
		t.Error("the line is lost")
	}
}

type failing struct{ slog.Handler }

func (failing) Enabled(context.Context, slog.Level) bool  { return true }
func (failing) Handle(context.Context, slog.Record) error { return errors.New("full") }
func (f failing) WithAttrs([]slog.Attr) slog.Handler      { return f }
func (f failing) WithGroup(string) slog.Handler           { return f }

// A flood does not grow: neither what is kept, nor the list of it.
func TestFloodIsBounded(t *testing.T) {
	const most = 16 << 10
	l := New(Options{Bytes: most})
	var wg sync.WaitGroup
	for g := range 4 {
		log := slog.New(l.Handler())
		wg.Go(func() {
			for i := range 5000 {
				log.Info("a flood", "of", g, "line", i)
			}
		})
	}
	wg.Wait()
	s := l.Stats()
	if l.bytes > most || cap(l.lines) > 2*most/lineCost || s.Lines != 20000 || s.Dropped != 20000-uint64(len(l.lines)-l.first) {
		t.Errorf("%d bytes, room for %d lines, %+v", l.bytes, cap(l.lines), s)
	}
	list := kept(t, l)
	if l.Clear(); l.bytes != 0 || l.Stats().Dropped != 20000 {
		t.Errorf("%d bytes after Clear, %+v", l.bytes, l.Stats())
	}
	last := 0.0
	for _, m := range list {
		if n := m["n"].(float64); last != 0 && n != last+1 {
			t.Fatalf("%v after %v", n, last)
		} else {
			last = n
		}
	}
}

func TestLongLinesAreCut(t *testing.T) {
	l := New(Options{MaxLine: 512})
	log := slog.New(l.Handler())
	for i, text := range []string{strings.Repeat("x", 10000), strings.Repeat("\x00", 10000), strings.Repeat("€", 10000), "short"} {
		log.Warn(text, "more", strings.Repeat("y", 10000))
		m := kept(t, l)[i]
		got := m["msg"].(string)
		if m["level"] != "WARN" || m["cut"].(float64) < 10000 || !strings.HasPrefix(text, got) || got == "" || m["time"] == nil {
			t.Errorf("%.20q: %v", text, m)
		}
		if n := len(l.lines[i].text); n > 512+24 {
			t.Errorf("%.20q: %d bytes", text, n)
		}
	}
}

// An attribute called n takes the place of no number: a page that has seen a high one would wait for
// higher ones.
func TestAnAttributeIsNoNumber(t *testing.T) {
	l := New()
	log := slog.New(l.Handler())
	log.With("n", 1).Info("one", "n", 2, slog.Group("", "n", 3), slog.Group("g", "n", 4))
	log.WithGroup("h").Info("two", "n", 5)
	for i, want := range []string{`"n_":1,"n_":2,"n_":3,"g":{"n":4}}`, `"h":{"n":5}}`} {
		if text := string(l.lines[i].text); !strings.HasSuffix(text, want+"\n") || kept(t, l)[i]["n"].(float64) != float64(l.lines[i].n) {
			t.Errorf("%s, want %s", text, want)
		}
	}
}

// Attributes that have the names of a line's own members make no longer lines.
func TestLongAttributesOfOwnNamesAreCut(t *testing.T) {
	l := New(Options{MaxLine: 512})
	for i, name := range []string{"time", "level", "msg", "cut", "Time"} {
		slog.New(l.Handler()).Warn("text", name, strings.Repeat("x", 10000))
		if n := len(l.lines[i].text); n > 512+24 {
			t.Errorf("%s: %d bytes", name, n)
		}
	}
}

// A site serves a Log.
type site struct {
	t   *testing.T
	l   *Log
	m   *mgr.Manager
	url string
}

func serve(t *testing.T, p mgr.Poller, opts ...Options) *site {
	t.Helper()
	s := &site{t: t, l: New(opts...), m: looptest.New(t, p)}
	x := http.NewMux()
	s.l.Mount(x, "/logs", looptest.Unless("Stranger"))
	s.url = "http://" + looptest.Listen(t, s.m, "http://127.0.0.1:0", x.Serve) + "/logs"
	return s
}

// run runs the loop until the end of the test.
func (s *site) run() *site {
	looptest.Run(s.t, s.m)
	return s
}

func (s *site) get(query string, fields ...string) (*nethttp.Response, string) {
	s.t.Helper()
	return looptest.Ask(s.t, nil, "GET", s.url+query, nil, fields...)
}

func TestGet(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		s := serve(t, p, Options{Level: slog.LevelDebug}).run()
		log := slog.New(s.l.Handler())
		before := s.l.n
		log.Debug("one")
		log.Info("two", "Name", "Ann \"<x>\" Müller")
		log.Warn("three")
		log.Error("four\nlines")
		since := func(n int) string { return fmt.Sprintf("?since=%d", before+uint64(n)) }
		for _, tt := range []struct{ query, want string }{
			{"", "one two three four\nlines"},
			{"?level=info", "two three four\nlines"},
			{"?level=ERROR", "four\nlines"},
			{"?contains=T", "one two three four\nlines"}, // "time", and the names of the levels
			{"?contains=THREE", "three"},
			{"?contains=%22%3Cx%3E%22+M%C3%BCller", "two"},
			{"?contains=r%0Al", "four\nlines"},
			{"?contains=nothing", ""},
			{"?contains=", "one two three four\nlines"},
			{"?limit=2", "three four\nlines"},
			{"?limit=1&level=info&contains=w", "three"}, // "WARN"
			{"?limit=0", ""},
			{since(0), "one two three four\nlines"},
			{since(2), "three four\nlines"},
			{since(4), ""},
			{since(99), ""},
			{fmt.Sprintf("?since=%d", s.l.n+1<<31+5), ""},                // more than an int of 32 bits has
			{"?since=12", "one two three four\nlines"},                   // of another run
			{"?since=18446744073709551615", "one two three four\nlines"}, // likewise
			{since(1) + "&limit=1", "four\nlines"},
		} {
			resp, text := s.get(tt.query)
			var got []string
			for d := json.NewDecoder(strings.NewReader(text)); ; {
				var m struct{ Msg string }
				if err := d.Decode(&m); err != nil {
					break
				}
				got = append(got, m.Msg)
			}
			if resp.StatusCode != 200 || strings.Join(got, " ") != tt.want || resp.Header.Get("Content-Type") != "application/jsonl" {
				t.Errorf("%s: %d %q, want %q", tt.query, resp.StatusCode, got, tt.want)
			}
		}
		for _, query := range []string{"?level=loud", "?since=-1", "?since=x", "?limit=-1", "?limit=all", "?contains=%ff", "?contains=" + strings.Repeat("a", 201)} {
			if resp, text := s.get(query); resp.StatusCode != 400 {
				t.Errorf("%s: %d %s", query, resp.StatusCode, text)
			}
		}
		if resp, _ := s.get("", "Stranger", "1"); resp.StatusCode != 403 {
			t.Errorf("a stranger gets %d", resp.StatusCode)
		}
		if resp, _ := s.get("?download"); !strings.HasPrefix(resp.Header.Get("Content-Disposition"), `attachment; filename="log-`) {
			t.Error(resp.Header)
		}
	})
}

func TestPublish(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		s := serve(t, p)
		lines := make(chan string, 1000)
		var log *slog.Logger
		// A Tap is called under the hub's lock: a log line from there must not wait for it.
		hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) {
			if m.Topic == "logs" {
				lines <- string(m.Data)
			} else {
				log.Info("from under the lock")
			}
		}}, s.m)
		log = slog.New(s.l.Handler())
		log.Info("before Publish")
		s.l.Publish(s.m, hub, "logs")
		for i := range 200 {
			log.Info("line", "i", i)
		}
		s.run()
		if _, err := hub.Publish("other", nil); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for i := range 201 {
			want := fmt.Sprintf(`"msg":"line","i":%d}`, i)
			if i == 200 {
				want = `"msg":"from under the lock"}`
			}
			text := next(t, lines)
			var m struct{ N uint64 }
			if err := json.Unmarshal([]byte(text), &m); err != nil || !strings.HasSuffix(text, want) || n != 0 && m.N != n+1 {
				t.Fatalf("%s, want %s after %d", text, want, n)
			}
			n = m.N
		}
	})
}

func next(t *testing.T, lines chan string) string {
	t.Helper()
	select {
	case text := <-lines:
		return text
	case <-time.After(time.Minute):
		t.Fatal("no line comes")
		return ""
	}
}

func TestClear(t *testing.T) {
	s := serve(t, 0)
	hub := broadcast.New(s.m)
	s.l.Publish(s.m, hub, "logs")
	log := slog.New(s.l.Handler())
	log.Info("one")
	n := s.l.n
	s.l.Clear()
	log.Info("two")
	if lines := kept(t, s.l); len(lines) != 1 || lines[0]["msg"] != "two" || s.l.n != n+1 {
		t.Error(lines)
	}
	if err := s.m.Poll(0); err != nil {
		t.Fatal(err)
	}
	if st := s.l.Stats(); st.Lines != 2 || st.Dropped != 1 || st.Unpublished != 1 {
		t.Errorf("%+v", st)
	}
	log.Info("three")
	s.l.Clear()
	s.l.feed.publish()
	if st := s.l.Stats(); s.l.feed.told || st.Unpublished != 2 {
		t.Errorf("there is nothing left, but the loop looks again: %v, %+v", s.l.feed.told, st)
	}
	if _, text := s.run().get(""); text != "" {
		t.Error(text)
	}
}

// A turn of the loop publishes a burst, and while there is nothing to publish nothing runs.
func TestPublishInBursts(t *testing.T) {
	s, got := serve(t, 0), 0
	hub := broadcast.NewHub(broadcast.Options{Tap: func(*broadcast.Message, string) { got++ }}, s.m)
	s.l.Publish(s.m, hub, "logs")
	log := slog.New(s.l.Handler())
	for _, n := range []int{1, 1, burst, burst + 1} {
		got = 0
		for range n {
			log.Info("line")
		}
		if err := s.m.Poll(0); err != nil {
			t.Fatal(err)
		}
		if got != min(n, burst) || s.l.feed.told != (n > burst) {
			t.Errorf("of %d lines %d are published, and more is to come: %v", n, got, s.l.feed.told)
		}
	}
}

// A line that the loop was too slow for is left out, and counted; the topic ends with the newest
// line.
func TestPublishLeavesOut(t *testing.T) {
	s := serve(t, 0, Options{Bytes: 4 << 10})
	lines := make(chan string, 1000)
	hub := broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, _ string) { lines <- string(m.Data) }}, s.m)
	s.l.Publish(s.m, hub, "logs")
	log := slog.New(s.l.Handler())
	for i := range 500 {
		log.Info("line", "i", i)
	}
	s.run()
	got := 0
	for {
		text := next(t, lines)
		got++
		if strings.Contains(text, `"i":499}`) {
			break
		}
	}
	if st := s.l.Stats(); st.Unpublished != uint64(500-got) || got > 60 {
		t.Errorf("%d have come, %+v", got, st)
	}
}

// A hub that takes nothing is no reason for more lines, and a closed loop no reason to fail.
func TestPublishToAClosedLoop(t *testing.T) {
	s := serve(t, 0)
	s.l.Publish(s.m, broadcast.New(s.m), "no+topic")
	log := slog.New(s.l.Handler())
	log.Info("one")
	if err := s.m.Poll(0); err != nil {
		t.Fatal(err)
	}
	if st := s.l.Stats(); st.Lines != 1 || st.Unpublished != 1 {
		t.Errorf("%+v", st)
	}
	s.m.Close()
	log.Info("two")
	if lines := kept(t, s.l); len(lines) != 2 {
		t.Error(lines)
	}
}

func TestAllocations(t *testing.T) {
	if racetest.Enabled {
		t.Skip("the race detector has pools forget")
	}
	l := New()
	log := slog.New(l.Handler()).With("who", "ann")
	if n := testing.AllocsPerRun(1000, func() { log.Info("a change", "from", 1, "to", 2) }); n > 3 {
		t.Errorf("%v allocations for a line", n)
	}
}

func BenchmarkLog(b *testing.B) {
	l := New()
	log := slog.New(l.Handler())
	b.ReportAllocs()
	for b.Loop() {
		log.Info("a change", "from", 1, "to", 2)
	}
}
