package main

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

const (
	maxLines = 200
	maxLine  = 1024 // bytes of one line's text; the rest is cut
)

// A Line is one log record as the page shows it. Seq counts from 1 and never repeats while the
// program runs.
type Line struct {
	Seq   uint64 `json:"seq"`
	Time  int64  `json:"time"` // Unix time in ms
	Level string `json:"level"`
	Text  string `json:"text"`
}

// A logRing keeps the last maxLines lines. Safe for concurrent use, the loop included: it never
// waits.
type logRing struct {
	// grown gets a value after lines were added; many additions may share one.
	grown chan struct{}

	mu    sync.Mutex
	lines [maxLines]Line
	n     uint64 // lines ever added; line seq is at (seq-1) % maxLines
}

func newLogRing() *logRing { return &logRing{grown: make(chan struct{}, 1)} }

func (r *logRing) add(l Line) {
	r.mu.Lock()
	r.n++
	l.Seq = r.n
	r.lines[(r.n-1)%maxLines] = l
	r.mu.Unlock()
	select {
	case r.grown <- struct{}{}:
	default:
	}
}

// since returns the lines after line seq that are still kept, oldest first.
func (r *logRing) since(seq uint64) []Line {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n > maxLines {
		seq = max(seq, r.n-maxLines)
	}
	out := make([]Line, 0, r.n-min(seq, r.n))
	for ; seq < r.n; seq++ {
		out = append(out, r.lines[seq%maxLines])
	}
	return out
}

// handler returns a slog.Handler that adds every record to the ring and passes it on to next.
func (r *logRing) handler(next slog.Handler) slog.Handler { return &ringHandler{ring: r, next: next} }

type ringHandler struct {
	ring   *logRing
	next   slog.Handler
	attrs  string // of WithAttrs, ready to append
	prefix string // of WithGroup, with a dot after each name
}

func (h *ringHandler) Enabled(_ context.Context, l slog.Level) bool { return l >= slog.LevelInfo }

func (h *ringHandler) Handle(ctx context.Context, rec slog.Record) error {
	var b strings.Builder
	b.WriteString(rec.Message)
	b.WriteString(h.attrs)
	rec.Attrs(func(a slog.Attr) bool {
		appendAttr(&b, h.prefix, a)
		return true
	})
	h.ring.add(Line{Time: rec.Time.UnixMilli(), Level: rec.Level.String(), Text: cut(b.String(), maxLine)})
	if h.next.Enabled(ctx, rec.Level) {
		return h.next.Handle(ctx, rec)
	}
	return nil
}

func (h *ringHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.prefix, a)
	}
	return &ringHandler{ring: h.ring, next: h.next.WithAttrs(attrs), attrs: b.String(), prefix: h.prefix}
}

func (h *ringHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return &ringHandler{ring: h.ring, next: h.next.WithGroup(name), attrs: h.attrs, prefix: h.prefix + name + "."}
}

// appendAttr writes " key=value", quoted where a reader could not see the end of it.
func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, member := range v.Group() {
			appendAttr(b, prefix, member)
		}
		return
	}
	if a.Equal(slog.Attr{}) {
		return // slog.Handler: an empty Attr is ignored
	}
	text := v.String()
	if text == "" || strings.ContainsAny(text, " \t\r\n\"=") {
		text = strconv.Quote(text)
	}
	b.WriteString(" " + prefix + a.Key + "=" + text)
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
