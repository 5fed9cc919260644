package main

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

// A site is a hub with a Door at /hub and a page that has connect of mangusta.js.
type site struct {
	t      *testing.T
	poller mgr.Poller
	m      *mgr.Manager
	addr   string
	hub    *broadcast.Hub
	opts   broadcast.Options
	door   broadcast.DoorOptions
	end    func()
	noWS   atomic.Bool  // WebSockets are refused, as by a proxy that does not know them
	heads  atomic.Int64 // HEAD requests
	socks  atomic.Int64 // WebSockets asked for
	tokens atomic.Int64 // given
}

func newSite(t *testing.T, poller mgr.Poller, opts broadcast.Options, door broadcast.DoorOptions) *site {
	opts.Encode = broadcast.Framed
	s := &site{t: t, poller: poller, addr: "127.0.0.1:0", opts: opts, door: door}
	s.start()
	t.Cleanup(func() { s.end() })
	return s
}

// start starts a server, with a new hub, where the last one was.
func (s *site) start() {
	s.t.Helper()
	m, err := mgr.New(mgr.Options{Poller: s.poller})
	if err != nil {
		s.t.Fatal(err)
	}
	last := s.hub
	s.m, s.hub = m, broadcast.NewHub(s.opts, m)
	for last != nil && s.hub.Offset() >= last.Offset() { // the harder case: its offsets are lower than what a page has
		s.hub = broadcast.NewHub(s.opts, m)
	}
	door := broadcast.NewDoor(s.hub, s.door)
	x := http.NewMux()
	x.MustHandle("/hub", func(c *conn.Conn, ev *http.Message) {
		upgrade := ev.HasToken("Upgrade", "websocket")
		if ev.Method == "HEAD" {
			s.heads.Add(1)
		}
		if upgrade {
			s.socks.Add(1)
		}
		if upgrade && s.noWS.Load() {
			http.Error(c, 403)
			return
		}
		door.Serve(c, ev)
	})
	x.MustHandle("GET /mangusta.js", broadcast.Script)
	x.MustHandle("GET /token", func(c *conn.Conn, _ *http.Message) {
		http.Reply(c, 200, "text/plain", "%d", s.tokens.Add(1))
	})
	x.MustHandle("GET /{$}", func(c *conn.Conn, _ *http.Message) { http.Reply(c, 200, "text/html", "%s", bench) })
	l, err := http.Listen(m, "tcp://"+s.addr, x.Serve)
	if err != nil {
		s.t.Fatal(err)
	}
	s.addr = l.LocalAddr().String()
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	s.end = func() {
		cancel()
		<-done
		m.Close()
	}
}

// bench is a page on which open makes a Hub whose doings are in the list log.
const bench = `<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,">
<script type="module">
  import { connect } from "./mangusta.js";
  window.log = [];
  window.open = (options = {}, url = "hub") => {
    const hub = window.hub = connect(url, { silence: 1000, ...options });
    hub.addEventListener("up", ({ detail }) => log.push("up " + detail.transport));
    hub.addEventListener("down", ({ detail }) => log.push("down"));
    hub.addEventListener("missed", ({ detail }) => log.push("missed " + detail.missed));
    hub.addEventListener("reset", () => log.push("reset"));
    hub.addEventListener("refused", ({ detail }) => log.push("refused " + detail.pattern));
    hub.addEventListener("denied", ({ detail }) => log.push("denied"));
    return hub;
  };
  window.follow = (pattern, options, name = "") => hub.subscribe(pattern, ({ topic, data }) => log.push(name + topic + "=" +
    (data instanceof Uint8Array ? "bytes " + [...data].join() : JSON.stringify(data))), options);
</script>`

// page opens the page, and runs a script there.
func (s *site) page(browser context.Context, url, script string) *tab {
	s.t.Helper()
	b := &tab{browsertest.OpenUntil(s.t, browser, url, `window.follow !== undefined`), s.t}
	b.run(script)
	return b
}

func (s *site) url() string { return "http://" + s.addr + "/" }

func (s *site) publish(topic, data string) uint64 {
	s.t.Helper()
	r, err := s.hub.Publish(topic, []byte(data))
	if err != nil {
		s.t.Fatal(err)
	}
	return r.Offset
}

// until waits for ok.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s does not come", what)
		}
	}
}

type tab struct {
	*browsertest.Tab
	t *testing.T
}

// run runs a script, and waits for its promise.
func (b *tab) run(script string) {
	b.t.Helper()
	b.Do(chromedp.Evaluate[chromedp.Void](`(async () => {`+script+`})()`, chromedp.EvalAwaitPromise))
}

// want waits until the log has these entries, and no other, and empties it.
func (b *tab) want(entries ...string) {
	b.t.Helper()
	want := strings.Join(entries, "; ")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		got := browsertest.JS[string](b.Tab, `log.join("; ")`)
		if got == want {
			break
		}
		if len(got) > len(want) && !strings.HasPrefix(want, got) || time.Now().After(end) {
			b.t.Fatalf("the log is %q, want %q", got, want)
		}
	}
	b.run(`log.length = 0`)
}
