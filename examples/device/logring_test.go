package main

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestLogRingKeepsTheLast200Lines(t *testing.T) {
	r := newLogRing()
	for i := 1; i <= 450; i++ {
		r.add(Line{Text: fmt.Sprint(i)})
	}
	tests := []struct {
		since       uint64
		first, last string
		n           int
	}{
		{0, "251", "450", 200},
		{100, "251", "450", 200},
		{250, "251", "450", 200},
		{251, "252", "450", 199},
		{449, "450", "450", 1},
		{450, "", "", 0},
		{999, "", "", 0},
	}
	for _, tt := range tests {
		got := r.since(tt.since)
		if len(got) != tt.n || tt.n > 0 && (got[0].Text != tt.first || got[tt.n-1].Text != tt.last) {
			t.Errorf("since(%d) has %d lines, want %d from %s to %s", tt.since, len(got), tt.n, tt.first, tt.last)
		}
		for _, l := range got {
			if fmt.Sprint(l.Seq) != l.Text {
				t.Errorf("line %q has number %d", l.Text, l.Seq)
			}
		}
	}
}

func TestLogRingFormatsRecords(t *testing.T) {
	r := newLogRing()
	log := slog.New(r.handler(slog.DiscardHandler))
	log.Debug("not kept")
	log.Info("plain")
	log.Warn("attributes", "n", 3, "s", "two words", "empty", "", "err", errors.New(`say "x"`), "d", 1500*time.Millisecond)
	log.With("a", 1).WithGroup("g").With("b", 2).Error("groups", "c", 3, slog.Group("h", "d", 4))
	log.Info("ignored", slog.Attr{})
	log.Info("line\nbreak", "x", "a\nb")
	want := []string{
		"INFO plain",
		`WARN attributes n=3 s="two words" empty="" err="say \"x\"" d=1.5s`,
		"ERROR groups a=1 g.b=2 g.c=3 g.h.d=4",
		"INFO ignored",
		"INFO line\nbreak x=\"a\\nb\"",
	}
	got := r.since(0)
	if len(got) != len(want) {
		t.Fatalf("%d lines: %v", len(got), got)
	}
	for i, l := range got {
		if l.Level+" "+l.Text != want[i] {
			t.Errorf("line %d is %q, want %q", i, l.Level+" "+l.Text, want[i])
		}
		if l.Time == 0 {
			t.Errorf("line %d has no time", i)
		}
	}
}

func TestLogRingCutsLongLinesBetweenCharacters(t *testing.T) {
	r := newLogRing()
	slog.New(r.handler(slog.DiscardHandler)).Info(strings.Repeat("é", maxLine))
	if got := r.since(0)[0].Text; got != strings.Repeat("é", maxLine/2)+"…" {
		t.Errorf("%d bytes kept", len(got))
	}
	if got := cut("aéb", 2); got != "a…" {
		t.Errorf("cut is %q", got)
	}
}

func TestLogRingPassesRecordsOn(t *testing.T) {
	var out strings.Builder
	slog.New(newLogRing().handler(slog.NewTextHandler(&out, nil))).With("a", 1).Info("hello", "b", 2)
	if !strings.Contains(out.String(), "msg=hello a=1 b=2") {
		t.Errorf("next got %q", out.String())
	}
}

func TestLogRingTellsThatItGrewAndNeverWaits(t *testing.T) {
	r := newLogRing()
	log := slog.New(r.handler(slog.DiscardHandler))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				log.Info("x")
			}
		})
	}
	all.Wait()
	select {
	case <-r.grown:
	default:
		t.Error("nothing in grown")
	}
	if got := r.since(0); len(got) != maxLines || got[maxLines-1].Seq != 8000 {
		t.Errorf("%d lines", len(got))
	}
}
