package logs

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math/rand/v2"
	"strconv"
	"sync"
	"unicode/utf8"
)

// Options configure a Log. The zero value works.
type Options struct {
	// Next gets each record, too, if it is enabled there: it is the program's own handler. Nil is
	// none.
	Next slog.Handler

	// Level is the least level that is kept; slog.LevelInfo when nil.
	Level slog.Leveler

	// Bytes bounds what is kept, and MaxLine one line, in bytes; 256 KiB and 4 KiB when 0. MaxLine
	// is 256 at least.
	Bytes, MaxLine int
}

// A Log keeps the last lines. All its methods are safe for concurrent use, but Mount.
type Log struct {
	opts Options

	mu    sync.Mutex
	lines []line // those up to first have made room
	first int
	bytes int    // of the lines that are kept, with lineCost of each
	n     uint64 // of the last line
	stats Stats
	feed  *feed // to the topic; nil without one
}

// A line is a record that is kept. It never changes.
type line struct {
	n     uint64
	level slog.Level
	text  []byte // JSON, with a line feed
}

// lineCost is what a line takes besides its text.
const lineCost = 64

// Stats count lines since the start.
type Stats struct {
	Lines       uint64 // that were kept
	Dropped     uint64 // that made room since
	Cut         uint64 // that were longer than MaxLine
	Unpublished uint64 // that the topic has not got: they came too fast
}

// New makes a Log.
func New(opts ...Options) *Log {
	l := &Log{n: (1 + rand.Uint64N(1<<20)) << runBits}
	if len(opts) > 0 {
		l.opts = opts[0]
	}
	if l.opts.Level == nil {
		l.opts.Level = slog.LevelInfo
	}
	if l.opts.Bytes == 0 {
		l.opts.Bytes = 256 << 10
	}
	if l.opts.MaxLine == 0 {
		l.opts.MaxLine = 4 << 10
	}
	l.opts.MaxLine = max(l.opts.MaxLine, 256)
	return l
}

// runBits are the bits of a number that count lines; those above are the run's. All numbers are
// exact in JavaScript.
const runBits = 32

// Stats returns the counts so far.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// Clear forgets all lines. Those that come after it have higher numbers.
func (l *Log) Clear() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stats.Dropped += uint64(len(l.lines) - l.first)
	l.lines, l.first, l.bytes = nil, 0, 0
}

// Handler returns the handler for the program's slog.Logger.
func (l *Log) Handler() slog.Handler {
	o := &slog.HandlerOptions{Level: slog.Level(-1 << 30), ReplaceAttr: rename} // Handle asks for the level
	return &handler{l: l, json: slog.NewJSONHandler(writer{l}, o), next: l.opts.Next}
}

// rename keeps the number of a line: an attribute of that name would take its place for a page, since
// the last of two members counts.
func rename(groups []string, a slog.Attr) slog.Attr {
	if a.Key == "n" && len(groups) == 0 {
		a.Key = "n_"
	}
	return a
}

// A handler has the attributes and groups of one slog.Logger.
type handler struct {
	l    *Log
	json slog.Handler
	next slog.Handler // nil is none
}

func (h *handler) keeps(level slog.Level) bool { return level >= h.l.opts.Level.Level() }

func (h *handler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.keeps(level) || h.next != nil && h.next.Enabled(ctx, level)
}

func (h *handler) Handle(ctx context.Context, r slog.Record) (err error) {
	if h.keeps(r.Level) {
		err = h.json.Handle(ctx, r)
	}
	if h.next != nil && h.next.Enabled(ctx, r.Level) {
		err = errors.Join(err, h.next.Handle(ctx, r))
	}
	return err
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	to := &handler{l: h.l, json: h.json.WithAttrs(attrs)}
	if h.next != nil {
		to.next = h.next.WithAttrs(attrs)
	}
	return to
}

func (h *handler) WithGroup(name string) slog.Handler {
	to := &handler{l: h.l, json: h.json.WithGroup(name)}
	if h.next != nil {
		to.next = h.next.WithGroup(name)
	}
	return to
}

// A writer is what the JSONHandler writes to: one line at a time.
type writer struct{ l *Log }

func (w writer) Write(text []byte) (int, error) {
	w.l.add(text)
	return len(text), nil
}

// head is the beginning of a line of JSONHandler.
type head struct {
	Time  json.RawMessage `json:"time,omitempty"`
	Level slog.Level      `json:"level"`
	Msg   string          `json:"msg"`
	Cut   int             `json:"cut,omitempty"` // bytes that the whole line had
}

// maxTime bounds a time as JSONHandler writes it.
const maxTime = 64

// cut makes a shorter line, with the message alone.
func cut(text []byte, most int) []byte {
	var h head
	if err := json.Unmarshal(text, &h); err != nil {
		h = head{Msg: "a line was too long", Level: levelOf(text)}
	}
	if len(h.Time) > maxTime {
		h.Time = nil // an attribute has that name
	}
	h.Cut = len(text)
	for n := most / 2; ; n /= 2 { // what is escaped takes up to six times as much
		h.Msg = firstBytes(h.Msg, n)
		short, err := json.Marshal(h)
		if err == nil && len(short) < most || n == 0 {
			return append(short, '\n')
		}
	}
}

// firstBytes returns s, or its first n bytes or fewer, cut between two characters.
func firstBytes(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n]
}

// levelOf returns the level of a line of JSONHandler, which has it after the time.
func levelOf(text []byte) slog.Level {
	const name = `"level":"`
	var level slog.Level
	for i := 0; i+len(name) < min(len(text), 64); i++ {
		if string(text[i:i+len(name)]) != name {
			continue
		}
		rest := text[i+len(name):]
		for j := range rest {
			if rest[j] == '"' {
				level.UnmarshalText(rest[:j]) // of JSONHandler, so it is one
				return level
			}
		}
	}
	return level
}

// add keeps a line.
func (l *Log) add(text []byte) {
	level := levelOf(text)
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(text) > l.opts.MaxLine {
		text = cut(text, l.opts.MaxLine)
		l.stats.Cut++
	}
	l.n++
	b := make([]byte, 0, len(text)+24)
	b = strconv.AppendUint(append(b, `{"n":`...), l.n, 10)
	b = append(append(b, ','), text[1:]...)
	l.lines = append(l.lines, line{l.n, level, b})
	l.bytes += len(b) + lineCost
	l.stats.Lines++
	for l.bytes > l.opts.Bytes && len(l.lines)-l.first > 1 {
		l.bytes -= len(l.lines[l.first].text) + lineCost
		l.lines[l.first] = line{}
		l.first++
		l.stats.Dropped++
	}
	if l.first > 64 && l.first > len(l.lines)/2 {
		l.lines = l.lines[:copy(l.lines, l.lines[l.first:])]
		l.first = 0
	}
	if l.feed != nil {
		l.feed.tell()
	}
}

// after returns up to most of the lines that are kept, the oldest first, of those after number n.
// It is called with mu held.
func (l *Log) after(n uint64, most int) []line {
	kept := l.lines[l.first:]
	if n>>runBits == l.n>>runBits && len(kept) > 0 && n >= kept[0].n {
		kept = kept[min(n-kept[0].n+1, uint64(len(kept))):]
	}
	return kept[:min(len(kept), most)]
}
