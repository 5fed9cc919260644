package middleware

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

func TestRecoverAnswers(t *testing.T) {
	var b bytes.Buffer
	r := newRig(t, func(c *conn.Conn, m *http.Message) {
		if m.Match("/boom") {
			panic("boom")
		}
		okHandler(c, m)
	}, Recover(slog.New(slog.NewTextHandler(&b, nil))))
	r.want("GET /boom", nil, 500, "Connection:")
	for _, want := range []string{"level=ERROR", "panic=boom", "target=/boom", "TestRecoverAnswers"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("%q has no %q", b.String(), want)
		}
	}
	r.want("GET /", nil, 200)
}

func TestRecoverBehindTheAnswer(t *testing.T) {
	for name, f := range map[string]func(*conn.Conn, *http.Message){
		"a reply":  okHandler,
		"a stream": func(c *conn.Conn, m *http.Message) { http.Begin(c, 200, "") },
		"a hijack": func(c *conn.Conn, m *http.Message) { http.Hijack(c) },
	} {
		r := newRig(t, func(c *conn.Conn, m *http.Message) {
			f(c, m)
			panic("boom")
		}, Recover(nil)) // and no log of the loop
		r.ask("GET /")
		if !r.done || r.reason != conn.Panicked || !strings.Contains(r.failure.Error(), "panic: boom") {
			t.Errorf("%s: done %v, %v, %v", name, r.done, r.reason, r.failure)
		}
	}
}

func TestRecoverLogsToTheLoop(t *testing.T) {
	var b bytes.Buffer
	r := newRig(t, func(c *conn.Conn, m *http.Message) { panic("boom") }, Recover(nil))
	r.sh.Log = slog.New(slog.NewTextHandler(&b, nil))
	r.want("GET /", nil, 500)
	if !strings.Contains(b.String(), "panic=boom") {
		t.Error(b.String())
	}
}
