package main

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// mangusta.js, of package broadcast, is tested here: the core has no browser.

func TestMangustaJS(t *testing.T) {
	browser := browsertest.Start(t)
	tests := []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"messages of each kind come to those that want them", testKinds},
		{"the network is cut", testCut},
		{"the network is silent", testSilence},
		{"the server restarts", testServerRestart},
		{"history is trimmed", testTrimmed},
		{"WebSockets are blocked", testBlocked},
		{"tokens are renewed", testTokens},
		{"a tab is hidden", testHidden},
		{"a tab is hidden and asks for less", testHiddenInterval},
		{"a tab with a stream of events is hidden", testHiddenEvents},
		{"patches", testPatches},
		{"publish", testPublish},
		{"history for a second subscription", testSecond},
		{"what is retained comes to each part of a page", testRetained},
		{"the server says when to come back", testCodes},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
	}
	sidebyside.Run(t, 4, names, func(t *testing.T, i int) { tests[i].run(t, browser) })
}

func testKinds(t *testing.T, browser context.Context) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		s := newSite(t, p, broadcast.Options{}, broadcast.DoorOptions{})
		b := s.page(browser, s.url(), `open(); follow("a/+", {}, "1 "); follow("#", {}, "2 "); window.third = follow("c", {}, "3 ")`)
		b.want("up websocket")
		s.publish("a/b", `{"x": [1]}`)
		s.publish("c", "some text")
		s.publish("a/b/c", "\xff\n\x01")
		s.publish("$sys", "hidden from #")
		s.publish("a/", `""`)
		b.want(`1 a/b={"x":[1]}`, `2 a/b={"x":[1]}`, `2 c="some text"`, `3 c="some text"`, `2 a/b/c=bytes 255,10,1`, `1 a/=""`, `2 a/=""`)
		b.run(`third.close(); follow("$sys", {}, "4 ")`)
		until(t, "the subscription", func() bool { return s.hub.Subscribers("$sys") == 1 })
		s.publish("c", "2")
		s.publish("$sys", "3")
		b.want(`2 c=2`, `4 $sys=3`)
		b.run(`hub.subscribe("c", () => { throw new Error("of the page") }); follow("c", {}, "5 "); hub.close()`)
		until(t, "the end", func() bool { return s.hub.Subscribers("c") == 0 })
		b.run(`hub.open()`)
		b.want("up websocket")
		s.publish("c", "4")
		b.want(`2 c=4`, `5 c=4`)
		b.WantNoErrors("Uncaught")
	}
}

func testCut(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}}, broadcast.DoorOptions{})
	proxy := browsertest.NewProxy(t, s.addr)
	b := s.page(browser, proxy.URL, `open(); follow("a"); follow("b/#")`)
	b.want("up websocket")
	// Even what came before the first message is there.
	for _, n := range []int{0, 1} {
		proxy.Cut()
		until(t, "the end", func() bool { return s.hub.Subscribers("a") == 0 })
		s.publish("a", fmt.Sprint(n))
		s.publish("b/c", fmt.Sprint(n))
		s.publish("c", "not asked for")
		b.want("down", fmt.Sprintf("a=%d", n), fmt.Sprintf("b/c=%d", n), "up websocket")
	}
	s.publish("a", "2")
	b.want("a=2")
	b.WantNoErrors("net::ERR_")
}

func testSilence(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}}, broadcast.DoorOptions{})
	proxy := browsertest.NewProxy(t, s.addr)
	b := s.page(browser, proxy.URL, `open({ answer: 500 }); follow("a")`)
	b.want("up websocket")
	proxy.Freeze()
	s.publish("a", "1")
	b.want("down", "a=1", "up websocket")
	b.WantNoErrors("net::ERR_")
}

func testServerRestart(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}}, broadcast.DoorOptions{})
	b := s.page(browser, s.url(), `open(); follow("a")`)
	b.want("up websocket")
	s.publish("a", "1")
	b.want("a=1")
	s.end()
	b.Until(`log[0] === "down"`)
	s.start()
	s.publish("a", "2")
	b.run(`hub.retryNow()`)
	b.Until(`hub.isUp`)
	// A try in the moment in which the server comes may find that its WebSocket fails, and HEAD does not.
	b.run(`log = log.filter((x) => x !== "down").map((x) => x.replace("eventsource", "websocket"))`)
	b.want("missed 0", "reset", "a=2", "up websocket")
	s.publish("a", "3")
	b.want("a=3")
	b.WantNoErrors("net::ERR_")
}

func testTrimmed(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 2}}, broadcast.DoorOptions{})
	proxy := browsertest.NewProxy(t, s.addr)
	b := s.page(browser, proxy.URL, `open(); follow("a")`)
	b.want("up websocket")
	proxy.Cut()
	until(t, "the end", func() bool { return s.hub.Subscribers("a") == 0 })
	for i := range 5 {
		s.publish("a", fmt.Sprint(i))
	}
	b.want("down", "missed 3", "a=3", "a=4", "up websocket")
}

func testBlocked(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}},
		broadcast.DoorOptions{Rights: broadcast.Rights{Publish: func(string) bool { return true }}, AliveInterval: 100 * time.Millisecond})
	s.noWS.Store(true)
	proxy := browsertest.NewProxy(t, s.addr)
	b := s.page(browser, proxy.URL, `open(); follow("a")`)
	b.want("up eventsource")
	s.publish("a", "1")
	s.publish("a", "\xff")
	b.want("a=1", "a=bytes 255")
	// Other patterns, in one step, with what the one has already.
	s.publish("b", "before")
	b.run(`follow("b"); follow("c", { since: 0 })`)
	b.want("up eventsource")
	s.publish("b", "2")
	s.publish("c", "3")
	b.want("b=2", "c=3")
	proxy.Cut()
	until(t, "the end", func() bool { return s.hub.Subscribers("a") == 0 })
	s.publish("a", "4")
	s.publish("b", "5")
	b.want("down", "a=4", "b=5", "up eventsource")
	b.run(`const { offset, subscribers } = await hub.publish("a", "by POST"); log.push(subscribers + " " + (offset > 1))`)
	b.Until(`log.length === 2`)
	b.run(`log.sort()`)
	b.want("1 true", `a="by POST"`)
	if s.heads.Load() == 0 {
		t.Error("whether the server is there was not asked")
	}
	s.noWS.Store(false)
	proxy.Cut()
	b.want("down", "up websocket")
}

func testTokens(t *testing.T, browser context.Context) {
	var asked atomic.Int64 // the token that came last
	door := broadcast.DoorOptions{Authorize: func(_ *http.Request, token string) (broadcast.Rights, error) {
		var n int64
		fmt.Sscan(token, &n)
		if n == 0 || n == 1 || token == "wrong" {
			return broadcast.Rights{}, fmt.Errorf("token %q is none", token)
		}
		asked.Store(n)
		return broadcast.Rights{Until: time.Now().Add(4 * time.Second), Subscribe: func(p string) bool { return p != "secret" }}, nil
	}}
	s := newSite(t, mgr.Epoll, broadcast.Options{}, door)
	// The first token is refused, and another one asked for at once. This lasts for some seconds,
	// and is renewed in place before: the fifth part that is left is enough on a busy machine.
	b := s.page(browser, s.url(), `open({ token: async () => (await fetch("token")).text() }); follow("a"); follow("secret")`)
	b.want("refused secret", "up websocket")
	until(t, "the third token", func() bool { return asked.Load() >= 3 })
	s.publish("a", "1")
	b.want("a=1")
	if got := s.socks.Load(); got != 2 {
		t.Errorf("%d WebSockets were asked for", got)
	}
	b.run(`hub.close()`)

	// With the same wrong token each time the link is denied, and goes on trying.
	b = s.page(browser, s.url(), `open({ token: () => "wrong" }); follow("a")`)
	b.Until(`log.slice(0, 3).join() === "down,denied,down"`)
	b.run(`hub.close()`)
	// Without a token to ask for it ends.
	b = s.page(browser, s.url(), `open(); follow("a")`)
	b.want("denied")
	b.run(`await new Promise((then) => setTimeout(then, 50))`)
	b.want()

	// Streams of events have the token in their URL.
	s.noWS.Store(true)
	b = s.page(browser, s.url(), `open({ token: async () => (await fetch("token")).text() }); follow("a")`)
	b.want("up eventsource")
	b.run(`hub.close()`)
}

func testHidden(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{}, broadcast.DoorOptions{})
	b := s.page(browser, s.url(), `open(); follow("a")`)
	b.want("up websocket")
	// A page that nobody looks at may wait for long; when it is looked at, it tries at once.
	s.end()
	b.Until(`log[0] === "down"`)
	b.run(`window.due = 0
		hub.addEventListener("down", ({ detail }) => { window.wait = detail.wait; window.due = performance.now() + detail.wait; })
		hub.addEventListener("up", () => log.push(performance.now() < due ? "at once" : "in its turn"))`)
	for wait := 0.0; wait < 5000; wait = browsertest.JS[float64](b.Tab, `wait`) {
		b.run(`window.wait = 0; hub.retryNow()`)
		b.Until(`window.wait > 0`)
	}
	s.start()
	b.run(`log.length = 0; document.dispatchEvent(new Event("visibilitychange"))`)
	b.want("missed 0", "reset", "up websocket", "at once")
}

// A tab that is hidden asks for the newest message of each topic, now and then.
func testHiddenInterval(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{}, broadcast.DoorOptions{})
	b := s.page(browser, s.url(), `window.hide = (hidden) => {
			Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));
		};
		open({ hiddenInterval: 3_000_000 }); follow("#");
		window.count = 0; hub.addEventListener("message", () => count++)`)
	b.want("up websocket")
	s.publish("a", "1")
	s.publish("a", "2")
	b.want("a=1", "a=2")
	b.run(`hide(true)`)
	// It has not arrived as long as messages come in a row.
	for n := 3; s.hub.Stats().Merged == 0 && n < 5000; n++ {
		s.publish("a", fmt.Sprint(n))
		time.Sleep(time.Millisecond)
	}
	// From here on everything is held: what was not has come to the page, and what is published
	// takes the place of what waits before the page is looked at.
	b.Until(fmt.Sprintf(`count === %d`, s.hub.Stats().Delivered))
	b.run(`log.length = 0`)
	merged := s.hub.Stats().Merged
	s.publish("a", "-1")
	s.publish("a", "-2")
	for s.hub.Stats().Merged < merged+2 {
		time.Sleep(time.Millisecond) // the figures tell nobody when they change
	}
	b.run(`hide(false)`)
	b.want("a=-2")
	s.publish("a", "-3")
	s.publish("a", "-4")
	b.want("a=-3", "a=-4")
}

// A stream of events is opened again for that. The messages of the meantime come when it is
// looked at.
func testHiddenEvents(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 100}}, broadcast.DoorOptions{})
	s.noWS.Store(true)
	b := s.page(browser, s.url(), `window.hide = (hidden) => {
			Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
			document.dispatchEvent(new Event("visibilitychange"));
		};
		open({ hiddenInterval: 3_000_000 }); follow("#")`)
	b.want("up eventsource")
	s.publish("a", "1")
	b.want("a=1")
	b.run(`hide(true)`)
	b.want("up eventsource")
	merged := s.hub.Stats().Merged
	s.publish("a", "2") // goes out at once
	b.want("a=2")
	s.publish("a", "3")
	s.publish("a", "4")
	s.publish("b", "5")
	for s.hub.Stats().Merged < merged+1 {
		time.Sleep(time.Millisecond) // the figures tell nobody when they change
	}
	b.run(`hide(false)`)
	b.want("a=3", "a=4", "b=5", "up eventsource")
	s.publish("a", "6")
	s.publish("a", "7")
	b.want("a=6", "a=7")
	// One that is hidden when the link comes up is so from the beginning; twice is once.
	b.run(`hub.close(); hide(true); hide(true); hub.open()`)
	b.want("up eventsource")
	s.publish("a", "8")
	s.publish("a", "9")
	s.publish("b", "10")
	b.want("a=8")
	b.run(`hide(false)`)
	b.want("a=9", "b=10", "up eventsource")
}

// Each newcomer gets the last message of each topic, whether others have had it or not, and over
// which transport. Nobody gets a message twice.
func testRetained(t *testing.T, browser context.Context) {
	for _, transport := range []string{"websocket", "eventsource"} {
		s := newSite(t, mgr.Epoll, broadcast.Options{Retain: true}, broadcast.DoorOptions{})
		s.noWS.Store(transport == "eventsource")
		proxy := browsertest.NewProxy(t, s.addr)
		s.publish("a/b", "1")
		s.publish("a/c", "2")
		up := "up " + transport
		again := func(entries ...string) []string { // a stream of events is opened again for newcomers
			if transport == "eventsource" {
				return append(entries, up)
			}
			return entries
		}
		b := s.page(browser, proxy.URL, `open(); follow("a/+", {}, "1 ")`)
		b.want("1 a/b=1", "1 a/c=2", up)
		s.publish("a/b", "3")
		b.want("1 a/b=3")
		// Two at a time, of the same and of another pattern.
		b.run(`follow("a/+", {}, "2 "); follow("a/+", {}, "3 ")`)
		b.want(again("2 a/c=2", "3 a/c=2", "2 a/b=3", "3 a/b=3")...)
		b.run(`follow("a/b", {}, "4 "); follow("a/b", {}, "5 ")`)
		b.want(again("4 a/b=3", "5 a/b=3")...)
		// Beside one that asks for history.
		b.run(`follow("a/c", {}, "6 "); follow("a/c", { since: 0 }, "7 ")`)
		b.Until(`log.includes("6 a/c=2") && log.includes("7 a/c=2")`)
		if transport == "eventsource" {
			b.Until(fmt.Sprintf(`log.includes(%q)`, up))
			b.run(`log = log.filter((x) => !x.startsWith("up"))`)
		}
		b.run(`log.sort()`)
		b.want("6 a/c=2", "7 a/c=2")
		s.publish("a/b", "4")
		b.want("1 a/b=4", "2 a/b=4", "3 a/b=4", "4 a/b=4", "5 a/b=4")

		// One that comes while the link is down, and one whose link breaks before anything has come.
		b.run(`follow("a/c", {}, "8 ")`)
		proxy.Cut()
		b.run(`follow("a/+", {}, "9 ")`)
		b.Until(`hub.isUp && log.includes("8 a/c=2") && log.includes("9 a/b=4") && log.includes("9 a/c=2")`)
		b.run(`log = log.filter((x) => !/^up|^down/.test(x)).sort()`)
		b.want("8 a/c=2", "9 a/b=4", "9 a/c=2")
		s.publish("a/c", "5")
		b.want("1 a/c=5", "2 a/c=5", "3 a/c=5", "6 a/c=5", "7 a/c=5", "8 a/c=5", "9 a/c=5")
	}
}

// Of objects only what has changed is sent; the page sees the whole, which is a new one each time.
func testPatches(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}}, broadcast.DoorOptions{})
	proxy := browsertest.NewProxy(t, s.addr)
	b := s.page(browser, proxy.URL, `open({ delta: true }); follow("a");
		window.all = []; hub.addEventListener("message", ({ detail }) => all.push(detail.data))`)
	b.want("up websocket")
	const long = `"long":"what stays as it is and is not sent again and again"`
	s.publish("a", `{`+long+`,"x":{"y":[1],"z":2}}`)
	s.publish("a", `{`+long+`,"x":{"y":[1]},"n":3}`)
	s.publish("a", `{`+long+`,"x":4}`)
	whole := []string{`a={` + long + `,"x":{"y":[1],"z":2}}`, `a={` + long + `,"x":{"y":[1]},"n":3}`, `a={` + long + `,"x":4}`}
	b.want(whole...)
	b.Until(`all[0].x.z === 2 && all[1].x.z === undefined && all[1].n === 3`)
	b.run(`all.at(-1).n = "the page's own"`) // its copy: the next patch is for what the server has
	s.publish("a", `{`+long+`,"x":4,"m":1}`)
	b.want(`a={` + long + `,"x":4,"m":1}`)
	proxy.Cut() // the first one is whole again
	b.want("down", "up websocket")
	s.publish("a", `{`+long+`,"x":5}`)
	s.publish("a", `"no object"`)
	s.publish("a", `{`+long+`,"x":6}`)
	b.want(`a={`+long+`,"x":5}`, `a="no object"`, `a={`+long+`,"x":6}`)

	// A hub that makes patches for all: a page that has not asked for that begins anew, once.
	s = newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}, Subscribe: broadcast.SubscribeOptions{Delta: true}}, broadcast.DoorOptions{})
	b = s.page(browser, s.url(), `open(); follow("a")`)
	b.want("up websocket")
	s.publish("a", `{`+long+`,"x":1}`)
	s.publish("a", `{`+long+`,"x":2}`)
	b.want(`a={`+long+`,"x":1}`, "down", `a={`+long+`,"x":2}`, "up websocket")
	s.publish("a", `{`+long+`,"x":3}`)
	b.want(`a={` + long + `,"x":3}`)
}

func testPublish(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{}, broadcast.DoorOptions{
		Rights: broadcast.Rights{Publish: func(topic string) bool { return topic != "no" }}})
	b := s.page(browser, s.url(), `open(); follow("#")`)
	b.want("up websocket")
	b.run(`
		log.push(JSON.stringify(Object.keys(await hub.publish("a", { x: "ü" }))));
		await hub.publish("b", new Uint8Array([10, 255]));
		await hub.publish("c", "text");
		await hub.publish("d", null);
		for (const [topic, data] of [["no", 1], ["a/+", 1], ["e", undefined]]) await hub.publish(topic, data).catch((err) => log.push(err.message));
		hub.close();
		await hub.publish("a", 1).catch((err) => log.push(err.message));`)
	b.Until(`log.length === 9`)
	b.run(`log.sort()`)
	b.want(`["offset","subscribers"]`, `a={"x":"ü"}`, `b=bytes 10,255`, `broadcast: malformed topic`, `c="text"`, `d=null`,
		`the link is down`, `there is no JSON of this`, `this client may not publish to it`)
}

// A subscription that asks for history while another one of the same messages is live: each gets
// each message once, also where the link breaks amid it.
func testSecond(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{History: broadcast.History{Count: 10}}, broadcast.DoorOptions{})
	proxy := browsertest.NewProxy(t, s.addr)
	s.publish("a/b", "1")
	s.publish("c", "2")
	b := s.page(browser, proxy.URL, `open(); follow("a/#", {}, "1 ")`)
	b.want("up websocket")
	s.publish("a/b", "3")
	b.want("1 a/b=3")
	b.run(`follow("#", { since: 0 }, "2 ")`)
	b.want("2 a/b=1", "2 c=2", "2 a/b=3")
	b.run(`follow("a/#", { since: 0 }, "3 ")`)
	b.want("3 a/b=1", "3 a/b=3")
	b.run(`follow("a/#", {}, "4 ")`)
	proxy.Cut()
	until(t, "the end", func() bool { return s.hub.Subscribers("a") == 0 })
	s.publish("a/b", "4")
	b.want("down", "1 a/b=4", "2 a/b=4", "3 a/b=4", "4 a/b=4", "up websocket")
}

func testCodes(t *testing.T, browser context.Context) {
	s := newSite(t, mgr.Epoll, broadcast.Options{}, broadcast.DoorOptions{})
	b := s.page(browser, s.url(), `open(); follow("a");
		hub.addEventListener("down", ({ detail }) => log.push(detail.code + (detail.wait >= 5000 ? " not soon" : " soon")))`)
	b.want("up websocket")
	for _, tt := range []struct {
		code websocket.Code
		want string
	}{{websocket.CloseTryLater, "1013 not soon"}, {websocket.CloseRestart, "1012 soon"}, {websocket.CloseGoingAway, "1001 soon"}} {
		s.m.Broadcast(func(c *conn.Conn) { websocket.CloseWith(c, tt.code, "") })
		b.want("down", tt.want)
		b.run(`hub.retryNow()`)
		b.want("up websocket")
	}
}
