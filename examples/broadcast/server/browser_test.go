package server

import (
	"context"
	"fmt"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
)

func TestThePageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	tests := []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"figures change live", testFigures},
		{"the page wants the token first", testLogin},
		{"a page of an origin that is refused says so", testOrigin},
		{"the page publishes", testPublish},
		{"messages come live, of the pattern that was chosen", testTail},
		{"the link comes back and nothing is missing", testLinkDown},
		{"a server that was restarted is noticed", testRestart},
		{"a slow consumer is shown", testSlow},
		{"figures of the program's own are shown", testMore},
		{"no width scrolls sideways", testWidths},
		{"text has AA contrast in both themes", testContrast},
		{"everything to operate has a name", testNames},
		{"WebSocket and EventSource of a script", testScript},
		{"screenshots", saveScreenshots},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
	}
	sidebyside.Run(t, 4, names, func(t *testing.T, i int) { tests[i].run(t, browser) })
}

// text waits until the element with the id has exactly that text.
func text(b *browsertest.Tab, id, want string) {
	b.Until(fmt.Sprintf(`document.getElementById(%q).textContent === %q`, id, want))
}

// lines is the data of the messages that the page shows.
const lines = `[...document.querySelectorAll("#tail li:not(.log-break) .text")].map((n) => n.textContent).join(" ")`

const (
	locked = `!document.getElementById("login-section").hidden`
	isLive = `document.getElementById("status").textContent === "Live"`
)

// open opens the page, and shows the token if the browser has not yet.
func open(p *served, browser context.Context, url string) *browsertest.Tab {
	p.t.Helper()
	b := browsertest.OpenUntil(p.t, browser, url, locked+` || `+isLive)
	if browsertest.JS[bool](b, locked) {
		b.Do(chromedp.SetValue(chromedp.ID("token"), p.token), chromedp.Click(chromedp.ID("enter")))
	}
	b.Until(isLive)
	return b
}

func testLogin(t *testing.T, browser context.Context) {
	p := start(t, "-token", "another-token")
	b := browsertest.OpenUntil(t, browser, p.url("/"), locked)
	b.Until(`document.getElementById("status").textContent === "Locked" && document.getElementById("banner").hidden`)
	b.WantNoErrors()
	b.WantTabOrder("skip", "theme", "token", "enter", "topic", "message", "pattern", "subscribe", "tail")
	b.WantNoSidewaysScroll()
	for _, wrong := range []string{"wrong", "secret"} {
		b.Do(chromedp.SetValue(chromedp.ID("token"), wrong), chromedp.Click(chromedp.ID("enter")))
		text(b, "login-note", "Not let in: the token is wrong")
	}
	b.WantContrast()
	b.Do(chromedp.SetValue(chromedp.ID("token"), "another-token"), chromedp.Click(chromedp.ID("enter")))
	b.Until(`document.getElementById("status").textContent === "Live" && document.getElementById("login-section").hidden && !document.getElementById("send").disabled`)
	b.WantNoErrors("Failed to load resource", "login") // the browser reports each answer that is no success

	again := browsertest.Open(t, browser, p.url("/")) // the browser is known now
	again.Until(`document.getElementById("status").textContent === "Live" && document.getElementById("login-section").hidden`)
	again.WantNoErrors()
}

// A proxy that does not pass on the Host makes every page one of another origin.
func testOrigin(t *testing.T, browser context.Context) {
	p := start(t, "-token", "")
	var target atomic.Pointer[url.URL]
	target.Store(&url.URL{Scheme: "http", Host: p.Addr})
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target.Load()) // and the Host with it
	}})
	defer func() {
		proxy.Listener.Close()
		proxy.CloseClientConnections() // the pages fall back to streams of events, which do not end
		proxy.Close()
	}()
	b := browsertest.OpenUntil(t, browser, proxy.URL, fmt.Sprintf(`document.getElementById("hint").textContent.includes("-origin %s")`, proxy.URL))
	b.WantContrast()

	p = start(t, "-token", "", "-origin", proxy.URL)
	target.Store(&url.URL{Scheme: "http", Host: p.Addr})
	b = browsertest.Open(t, browser, proxy.URL)
	b.Until(`document.getElementById("status").textContent === "Live" && document.getElementById("hint").textContent === ""`)
	b.WantNoErrors()
}

func testFigures(t *testing.T, browser context.Context) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		b := open(p, browser, p.url("/"))
		text(b, "subscribers-value", "1") // the page's own
		p.dial("topic=a/%2B")
		p.dial("topic=%23")
		text(b, "subscribers-value", "3")
		p.publish("a/b", "1")
		p.publish("a/b", "2")
		p.publish("c", "3")
		text(b, "published-facts", "3 in all")
		b.Until(`[...document.querySelectorAll("#topics tr")].map((r) => [0, 2, 3].map((i) => r.children[i].textContent).join(" ")).join("; ") === "a/b 2 3; c 1 2"`)
		b.Until(`[...document.querySelectorAll("#hub dt")].some((dt) => dt.textContent === "Delivered" && dt.nextSibling.textContent.trim() === "8")`)
		b.Until(`document.getElementById("settings").textContent.includes("keeps 100 of each topic · over 1.00\u00a0MiB the oldest go")`)
		curve := browsertest.JS[string](b, `document.querySelector("#published-chart .line").getAttribute("d")`)
		b.Until(fmt.Sprintf(`document.querySelector("#published-chart .line").getAttribute("d") !== %q`, curve))
		b.WantNoErrors()
	})
}

func testPublish(t *testing.T, browser context.Context) {
	p := start(t)
	s := p.dial("topic=%23")
	b := open(p, browser, p.url("/"))
	b.Until(`!document.getElementById("send").disabled`)
	set := func(id, value string) {
		b.Do(chromedp.SetValue(chromedp.ID(id), value))
	}
	set("topic", "a/b c/ü")
	set("message", `{"from": "the page"}`)
	b.Do(chromedp.Click(chromedp.ID("send")))
	s.want(`a/b c/ü {"from": "the page"}`)
	b.Until(`/^Published to 2 subscriptions, with offset \d+\.$/.test(document.getElementById("publish-note").textContent)`)
	set("topic", "a/+")
	b.Do(chromedp.Click(chromedp.ID("send")))
	b.Until(`document.getElementById("publish-note").classList.contains("bad") && document.getElementById("publish-note").textContent.includes("is no topic")`)
	set("topic", "d")
	b.Do(chromedp.Focus(chromedp.ID("message")), chromedp.KeyEvent(kb.Enter, chromedp.KeyModifiers(2)))
	s.want(`d {"from": "the page"}`)
	b.WantNoErrors("Failed to load resource", "publish/") // the browser reports each answer that is no success

	b = browsertest.Open(t, browser, start(t, "-token", "").url("/"))
	b.Until(`!document.getElementById("send").disabled`)
	b.Do(chromedp.Click(chromedp.ID("send")))
	b.Until(lines + ` === '{"hello":"world"}' && document.getElementById("login-section").hidden`)
	b.WantNoErrors()
}

func testTail(t *testing.T, browser context.Context) {
	p := start(t)
	p.publish("a", "before the page")
	b := open(p, browser, p.url("/"))
	text(b, "subscribers-value", "1")
	p.publish("a", "one")
	p.publish("b", `{"n": [2]}`)
	b.Until(lines + ` === 'one {"n":[2]}' && document.getElementById("tail-empty").hidden`)

	listen := func(pattern string) {
		b.Do(chromedp.SetValue(chromedp.ID("pattern"), pattern), chromedp.Click(chromedp.ID("subscribe")))
	}
	for _, bad := range []string{"a#", "#/a", "a+/b"} {
		listen(bad)
		b.Until(`document.getElementById("listen-note").textContent.includes("+ stands for") && document.getElementById("pattern").ariaInvalid === "true"`)
	}
	listen("b/+")
	text(b, "listen-note", "")
	b.Until(`document.querySelectorAll("#tail li").length === 0`)
	p.until("the new pattern", func(f Figures) bool { return len(f.Subscribers) == 1 && f.Subscribers[0].Patterns[0] == "b/+" })
	p.publish("a", "not asked for")
	p.publish("b/c", "three")
	b.Until(lines + ` === "three"`)
	for i := range 300 {
		p.publish("b/d", fmt.Sprint(i))
	}
	b.Until(`document.querySelectorAll("#tail li").length === 200 && document.querySelector("#tail li:last-child .text").textContent === "299"`)
	b.WantNoErrors()
}

// The link is silent, which only the page can notice, and messages are published meanwhile.
func testLinkDown(t *testing.T, browser context.Context) {
	p := start(t)
	proxy := browsertest.NewProxy(t, p.Addr)
	b := open(p, browser, proxy.URL)
	text(b, "subscribers-value", "1")
	p.publish("a", "1")
	b.Until(lines + ` === "1"`)
	proxy.Freeze()
	p.publish("a", "2")
	p.publish("a", "3")
	b.Until(`!document.getElementById("banner").hidden && document.getElementById("banner").getBoundingClientRect().height > 20`)
	b.Until(`document.getElementById("announce").textContent.includes("is down")`)
	b.Until(`document.getElementById("banner").hidden && document.getElementById("status").textContent === "Live"`)
	b.Until(lines + ` === "1 2 3"`)
	p.publish("a", "4")
	b.Until(lines + ` === "1 2 3 4"`)
	b.WantNoErrors()
}

func testRestart(t *testing.T, browser context.Context) {
	p := start(t)
	b := open(p, browser, p.url("/"))
	text(b, "subscribers-value", "1")
	p.publish("a", "1")
	b.Until(lines + ` === "1"`)
	b.WantNoErrors()
	if err := p.Terminate(patience); err != nil {
		t.Error(err)
	}
	b.Until(`!document.getElementById("banner").hidden && document.getElementById("status").textContent === "Offline" && document.getElementById("send").disabled`)
	b.Until(`/Next try in \d+ s/.test(document.getElementById("banner-text").textContent)`)
	p = start(t, "-listen", p.Addr)
	b.Until(`document.getElementById("banner").hidden && !document.getElementById("send").disabled`)
	b.Until(`document.querySelector("#tail .log-break")?.textContent.startsWith("the server has restarted")`)
	p.publish("a", "2")
	b.Until(lines + ` === "1 2"`)
	// The browser itself reports each try that found no server; a page cannot prevent that.
	b.WantNoErrors("net::ERR_CONNECTION_")
}

func testSlow(t *testing.T, browser context.Context) {
	p := start(t, "-limit", "1000000")
	b := open(p, browser, p.url("/"))
	text(b, "slow-empty", "Every subscriber keeps up.")
	b.Until(`!document.getElementById("slow-empty").hidden`)
	stall(t, p, stalled)
	b.Until(`document.querySelectorAll("#slow tr").length === 1 && document.getElementById("slow-empty").hidden`)
	b.Until(`document.querySelector("#slow tr.slow").children[2].textContent === "big"`)
	b.Until(`document.getElementById("subscribers-facts").textContent.endsWith("1 slow")`)
	b.WantNoErrors()
}

func testMore(t *testing.T, browser context.Context) {
	p := start(t)
	b := open(p, browser, p.url("/"))
	text(b, "subscribers-value", "1")
	b.Until(`document.getElementById("more-card").hidden`)
	p = start(t, "-more")
	b = open(p, browser, p.url("/"))
	b.Until(`document.getElementById("more-card").checkVisibility() && document.getElementById("more-title").textContent === "Cluster"`)
	b.Until(`document.getElementById("more").textContent === "Enginea test'sLag12 messages"`)
	b.Until(`[...document.querySelectorAll("#more .bad")].map((n) => n.textContent).join() === "12 messages"`)
	b.WantContrast()
	b.WantNoErrors()
}

// busy is a page on which there is something everywhere.
func busy(t *testing.T, browser context.Context) *browsertest.Tab {
	p := start(t, "-limit", "1000000")
	b := open(p, browser, p.url("/"))
	p.publish(strings.Repeat("a-rather-long-level/", 12)+"end", strings.Repeat("long ", 200))
	p.publish("w", strings.Repeat("w", 1000))
	stall(t, p, stalled)
	b.Until(`document.querySelectorAll("#slow tr").length > 0 && document.querySelectorAll("#tail li").length > 3 && document.querySelectorAll("#topics tr").length === 3`)
	return b
}

func testWidths(t *testing.T, browser context.Context) {
	b := busy(t, browser)
	b.WantNoSidewaysScroll()
	b.WantNoErrors()
}

func testContrast(t *testing.T, browser context.Context) {
	b := busy(t, browser)
	browsertest.JS[any](b, `document.getElementById("banner").hidden = false, null`)
	b.Do(chromedp.SetValue(chromedp.ID("topic"), "a/+"), chromedp.Click(chromedp.ID("send")))
	b.Until(`document.getElementById("publish-note").textContent !== ""`)
	b.WantContrast()
}

func testNames(t *testing.T, browser context.Context) {
	b := busy(t, browser)
	b.WantNames()
	b.WantTabOrder("skip", "theme", "topic", "message", "send", "pattern", "subscribe", "tail")
	b.WantNoErrors()
}

// script is what another's page on this server could do: subscribe with both of the browser's ways.
const script = `(async () => {
	const socket = new WebSocket("ws?" + new URLSearchParams({ topic: "a/#" }));
	const source = new EventSource("events?" + new URLSearchParams({ topic: "a/+" }));
	const quiet = new EventSource("events?topic=quiet");
	await Promise.all([socket, source, quiet].map((x) => new Promise((up) => { x.onopen = up; })));
	window.got = [];
	socket.onmessage = (e) => {
		const { topic, offset, data } = JSON.parse(e.data);
		window.got.push(["socket", topic, offset, data]);
	};
	source.onmessage = quiet.onmessage = (e) => {
		const { topic, offset, data } = JSON.parse(e.data);
		window.got.push(["source", topic, offset, data]);
		if (offset !== Number(e.lastEventId)) window.got.push("an id that is not the offset");
	};
})()`

func testScript(t *testing.T, browser context.Context) {
	p := start(t)
	proxy := browsertest.NewProxy(t, p.Addr)
	b := open(p, browser, proxy.URL)
	b.Do(chromedp.Evaluate[chromedp.Void](script, chromedp.EvalAwaitPromise))
	var all []string
	expect := func(who string, r receipt, data string) {
		all = append(all, fmt.Sprintf(`[%q,%q,%d,%q]`, who, r.Topic, r.Offset, data))
	}
	wantAll := func() {
		t.Helper()
		b.Until(fmt.Sprintf(`JSON.stringify(window.got.toSorted()) === JSON.stringify([%s].toSorted())`, strings.Join(all, ",")))
	}
	r := p.publish("a/b", "two\nlines")
	expect("source", r, "two\nlines")
	expect("socket", r, "two\nlines")
	wantAll()

	// An EventSource comes back by itself, and misses nothing, even if it has not got an event
	// before.
	proxy.Cut()
	p.until("the end of the connections", func(f Figures) bool { return f.Connections.Events == 0 })
	expect("source", p.publish("a/b", "while it was away"), "while it was away")
	expect("source", p.publish("quiet", "hush"), "hush")
	wantAll()
	expect("source", p.publish("a/b", "live again"), "live again")
	wantAll()
	b.WantNoErrors("net::ERR_") // of the connections that were cut
}

// saveScreenshots makes pictures of a busy server: MANGUSTA_SCREENSHOTS names a directory for them.
func saveScreenshots(t *testing.T, browser context.Context) {
	dir := os.Getenv("MANGUSTA_SCREENSHOTS")
	if dir == "" {
		t.Skip("MANGUSTA_SCREENSHOTS names no directory")
	}
	p := start(t, "-limit", "100000")
	for range 3 {
		s := p.dial("topic=%23")
		s.SetReadDeadline(time.Time{})
		go func() {
			for {
				if _, _, err := s.ReadMessage(); err != nil {
					return
				}
			}
		}()
	}
	b := open(p, browser, p.url("/"))
	text(b, "subscribers-value", "4")
	frame := fmt.Sprintf(`"%0*d"`, 300_000, 0)
	for i := range 600 {
		if i == 400 {
			p.dial("topic=camera/%23&topic=sensors/%2B/temperature") // reads nothing
		}
		p.publish("sensors/kitchen/temperature", fmt.Sprintf(`{"celsius": %.1f}`, 21+float64(i%30)/10))
		if i%3 == 0 {
			p.publish("sensors/garden/temperature", fmt.Sprintf(`{"celsius": %.1f, "humidity": %d}`, 9+float64(i%20)/10, 60+i%7))
		}
		if i%10 == 0 {
			p.publish("log/door", "the front door was opened")
			p.publish("camera/front", frame)
		}
		time.Sleep(time.Duration(10+i%200) * time.Millisecond) // the subject of the picture is a minute's curves
	}
	for _, theme := range []string{"light", "dark"} {
		b.Theme(theme)
		for name, width := range map[string]int64{"desktop": 1280, "phone": 375} {
			b.Do(chromedp.EmulateViewport(width, 900))
			b.Until(fmt.Sprintf(`innerWidth === %d`, width))
			png, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, theme+"-"+name+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.WantNoErrors()
}
