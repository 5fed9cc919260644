package main

import (
	"bufio"
	"context"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

// A line is a WebSocket of the browser's to the program.
type line struct {
	t *testing.T
	io.ReadWriter
}

func (b *browser) dial(path string) *line {
	b.t.Helper()
	at, err := url.Parse(b.base)
	if err != nil {
		b.t.Fatal(err)
	}
	header := nethttp.Header{}
	for _, c := range b.c.Jar.Cookies(at) {
		header.Add("Cookie", c.String())
	}
	c, r, _, err := ws.Dialer{Header: ws.HandshakeHeaderHTTP(header)}.Dial(context.Background(), "ws"+strings.TrimPrefix(b.base, "http")+path)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(patience))
	if r == nil {
		r = bufio.NewReader(c)
	}
	return &line{b.t, struct {
		io.Reader
		io.Writer
	}{r, c}}
}

func (l *line) say(text string) {
	l.t.Helper()
	if err := wsutil.WriteClientText(l, []byte(text)); err != nil {
		l.t.Fatal(err)
	}
}

// until reads messages until one has part in it, and returns that.
func (l *line) until(part string) string {
	l.t.Helper()
	for {
		text, err := wsutil.ReadServerText(l)
		if err != nil {
			l.t.Fatalf("%q: %v", part, err)
		}
		if strings.Contains(string(text), part) {
			return string(text)
		}
	}
}

func TestHub(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, t.TempDir(), poller)
		base := "http://" + p.Addr

		// Without an owner the machine itself can look.
		l := newBrowser(t, base).dial("/hub")
		l.say(`{"subscribe":{"state":0,"logs":0}}`)
		l.until(`{"refused":"logs"`)
		l.until(`"name":"thermostat"`)

		ann := setUp(t, base, p.Said)
		newBrowser(t, base).want(401, "", "GET", "/hub?topic=state", "")
		l = ann.dial("/hub")
		l.say(`{"subscribe":{"state":0,"network":0,"update":0,"logs":0},"delta":true}`)
		l.until(`"name":"lo"`)
		l.until(`"received_bytes":`) // they change: that is of a second Status
		ann.want(200, "", "PATCH", "/api/settings", `{"target": 22.5, "network": {"password": "swordfish"}}`)
		ann.want(200, `"what":"target","from":"21","to":"22.5"}`, "GET", "/logs?contains=22.5", "")
		newBrowser(t, base).want(401, "", "GET", "/logs", "")
		state, logged := false, false // the loop publishes the lines; the change was quicker, or not
		for !state || !logged {
			text := l.until(`target`)
			state = state || strings.Contains(text, `"target":22.5`)
			logged = logged || strings.Contains(text, `"what":"target"`)
			if strings.Contains(text, "swordfish") {
				t.Errorf("the secret is in %s", text)
			}
		}
		ann.want(200, "", "POST", "/owner/logout", "")
		for {
			if _, err := wsutil.ReadServerText(l); err != nil {
				if !strings.Contains(err.Error(), "4401") {
					t.Errorf("it ended with %v", err)
				}
				return
			}
		}
	})
}
