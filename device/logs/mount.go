package logs

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// Mount adds the route of the Log to x:
//
//	GET PATH    the lines that are kept, the oldest first, as JSON lines (application/jsonl)
//
// The query chooses: level=warn is the least level, contains=TEXT is in the line (small and capital
// letters of ASCII are the same; at most 200 bytes), since=N are those after the line number N, and
// limit=N the newest N. With download the reply is a file to be saved. A malformed one gets 400.
//
// mayRead is called for each request. If it returns false it must have replied.
func (l *Log) Mount(x *http.Mux, path string, mayRead func(c *conn.Conn, r *http.Request) bool) {
	x.MustHandle("GET "+path, l.get, http.Guard(mayRead))
}

func (l *Log) get(c *conn.Conn, m *http.Message) {
	w, err := parseWish(m)
	http.SetHeader(c, "Cache-Control", "no-store")
	if err != "" {
		http.Reply(c, 400, "text/plain; charset=utf-8", "%s\n", err)
		return
	}
	if _, ok := m.QueryVar("download"); ok {
		http.SetHeader(c, "Content-Disposition", `attachment; filename="log-`+time.Now().UTC().Format("20060102-150405")+`.jsonl"`)
	}
	http.ReplyBytes(c, 200, "application/jsonl", l.find(&w))
}

// maxPart is the longest text that is looked for: the search is on the loop, and takes as many steps
// as the lines have bytes, times this in the worst case.
const maxPart = 200

// A wish says which lines are wanted.
type wish struct {
	level slog.Level
	part  []byte // as JSON has it, in small letters
	since uint64
	limit int
}

// parseWish reads a query. err is for the client.
func parseWish(m *http.Message) (w wish, err string) {
	w.level, w.limit = slog.Level(math.MinInt), math.MaxInt
	if text, ok := m.QueryVar("level"); ok && w.level.UnmarshalText([]byte(text)) != nil {
		return w, "level is debug, info, warn or error"
	}
	if text, ok := m.QueryVar("since"); ok {
		var bad error
		if w.since, bad = strconv.ParseUint(text, 10, 64); bad != nil {
			return w, "since is the number of a line"
		}
	}
	if text, ok := m.QueryVar("limit"); ok {
		n, bad := strconv.Atoi(text)
		if bad != nil || n < 0 {
			return w, "limit is how many lines are wanted"
		}
		w.limit = n
	}
	if text, _ := m.QueryVar("contains"); !utf8.ValidString(text) || len(text) > maxPart {
		return w, "contains is a text in UTF-8, of at most 200 bytes"
	} else if text != "" {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false) // as slog has it
		e.Encode(text)         // a string is never refused
		w.part = lower(bytes.TrimSuffix(b.Bytes(), []byte("\n")))
		w.part = w.part[1 : len(w.part)-1]
	}
	return w, ""
}

// find returns the lines that w wants.
func (l *Log) find(w *wish) []byte {
	l.mu.Lock()
	lines := slices.Clone(l.after(w.since, math.MaxInt))
	l.mu.Unlock()
	from, size, n := len(lines), 0, 0
	for ; from > 0 && n < w.limit; from-- {
		line := &lines[from-1]
		if line.level < w.level || len(w.part) > 0 && !contains(line.text, w.part) {
			line.text = nil
			continue
		}
		size += len(line.text)
		n++
	}
	b := make([]byte, 0, size)
	for _, line := range lines[from:] {
		b = append(b, line.text...)
	}
	return b
}

// lower makes small letters of the ASCII letters of b.
func lower(b []byte) []byte {
	for i, c := range b {
		b[i] = lowerOf(c)
	}
	return b
}

func lowerOf(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// contains reports whether text has part in it, which is in small letters.
func contains(text, part []byte) bool {
	for i := 0; i+len(part) <= len(text); i++ {
		j := 0
		for j < len(part) && lowerOf(text[i+j]) == part[j] {
			j++
		}
		if j == len(part) {
			return true
		}
	}
	return false
}
