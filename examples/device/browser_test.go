package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
)

func TestDashboardInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	tests := []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"values change live", testValuesChange},
		{"values change live over TLS", testTLS},
		{"a second page sees the control's change", testControl},
		{"the link-down banner shows and goes when the server restarts", testLinkDown},
		{"a page that was cut off has the whole log", testCut},
		{"a line that comes before hello hides none of it", testBeforeHello},
		{"a setting that is refused is told where it was chosen", testRefused},
		{"a link that has gone silent is given up", testSilence},
		{"no width scrolls sideways", testWidths},
		{"text has AA contrast in both themes", testContrast},
		{"the theme can be chosen and stays", testTheme},
		{"the log follows until the reader scrolls up", testLog},
		{"everything to operate has a name", testNames},
		{"charts stay in their frame when the past is longer than they", testChartsStayInside},
		{"figures that are too high say so", testThresholds},
		{"storage is what df says", testStorage},
		{"without JavaScript the notice keeps the page's margins", testNoScript},
		{"a machine without sensors shows n/a", testNothingKnown},
		{"screenshot", saveScreenshot},
	}
	var names []string
	for _, tt := range tests {
		names = append(names, tt.name)
	}
	sidebyside.Run(t, 4, names, func(t *testing.T, i int) { tests[i].run(t, browser) })
}

func testValuesChange(t *testing.T, browser context.Context) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		b := browsertest.Open(t, browser, startFast(t, "-poller", poller).url)
		b.Until(`/^\d+(\.\d)?.%$/.test(document.getElementById("cpu-value").textContent)`)
		b.Until(`/^\d+(\.\d)?.%$/.test(document.getElementById("memory-value").textContent)`)
		b.Until(`[...document.querySelectorAll("#loop dt")].some((dt) => dt.textContent === "Open pages" && dt.nextSibling.textContent.trim() === "1")`)
		b.Until(`document.getElementById("loop-facts").textContent.startsWith("` + poller + `")`)
		b.Until(`document.querySelectorAll("#nics tr").length > 0 && document.querySelectorAll("#cores li").length > 0`)
		for range 3 {
			// The curve must grow: a point more in the picture, and a new second in the footer.
			before := browsertest.JS[string](b, `document.querySelector("#cpu-chart .line").getAttribute("d")`)
			b.Until(fmt.Sprintf(`document.querySelector("#cpu-chart .line").getAttribute("d") !== %q`, before))
		}
		at := browsertest.JS[string](b, `document.getElementById("updated").textContent`)
		b.Until(fmt.Sprintf(`document.getElementById("updated").textContent !== %q`, at))
		b.WantNoErrors()
	})
}

// The device's own certificate: the page and its WebSocket come over TLS, and after a restart the
// link is back with the same certificate.
func testTLS(t *testing.T, browser context.Context) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		dir := filepath.Join(t.TempDir(), "tls")
		p := startFast(t, "-poller", poller, "-tls", dir)
		b := browsertest.OpenUntrusted(t, browser, p.url)
		live := func() {
			t.Helper()
			before := browsertest.JS[string](b, `document.querySelector("#cpu-chart .line").getAttribute("d")`)
			b.Until(fmt.Sprintf(`document.querySelector("#cpu-chart .line").getAttribute("d") !== %q`, before))
		}
		b.Until(`location.protocol === "https:" && document.getElementById("updated").textContent !== ""`)
		b.Until(`performance.getEntriesByType("navigation")[0].nextHopProtocol === "http/1.1"`)
		live()
		b.Do(chromedp.Reload())
		b.Until(`document.getElementById("status").dataset.link === "up"`)
		b.Until(`fetch("/metrics").then((r) => r.text()).then((s) => /\nmangusta_tls_handshakes_total\{version="1.3"\} [1-9]/.test(s))`)
		b.WantNoErrors()
		p.stop()
		b.Until(`document.getElementById("status").textContent === "Offline"`)
		startFast(t, "-poller", poller, "-tls", dir, "-listen", strings.TrimSuffix(strings.TrimPrefix(p.url, "https://"), "/"))
		b.Until(`document.getElementById("status").textContent === "Live"`)
		live()
		b.WantNoErrors("net::ERR_CONNECTION_")
	})
}

func testControl(t *testing.T, browser context.Context) {
	p := start(t)
	one, other := browsertest.Open(t, browser, p.url), browsertest.Open(t, browser, p.url)
	other.Until(`document.getElementById("interval-value").textContent === "1\u00a0s"`)
	one.Do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.Home))
	for _, b := range []*browsertest.Tab{one, other} {
		b.Until(`document.getElementById("interval-value").textContent === "200\u00a0ms"`)
		b.Until(`document.getElementById("interval").getAttribute("aria-valuetext") === "200\u00a0milliseconds"`)
		b.Until(`document.getElementById("interval-note").textContent.includes("saved on the device")`)
	}
	other.Do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.End))
	one.Until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)

	late := browsertest.Open(t, browser, p.url)
	late.Until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)

	// A second thought, faster than the device's answer to the first.
	one.Do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.End))
	one.Until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)
	one.Do(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	late.Until(`document.getElementById("interval-value").textContent === "300\u00a0ms"`)
	one.Until(`document.getElementById("interval-value").textContent === "300\u00a0ms"`)
	for _, b := range []*browsertest.Tab{one, other, late} {
		b.WantNoErrors()
	}
}

func testLinkDown(t *testing.T, browser context.Context) {
	p := startFast(t)
	b := browsertest.Open(t, browser, p.url)
	b.Until(`document.getElementById("updated").textContent !== ""`)
	b.Until(`document.getElementById("banner").hidden && !document.getElementById("interval").disabled`)
	b.WantNoErrors()

	p.stop()
	b.Until(`!document.getElementById("banner").hidden && document.getElementById("banner").getBoundingClientRect().height > 20`)
	b.Until(`document.getElementById("status").textContent === "Offline" && document.getElementById("interval").disabled`)
	b.Until(`document.getElementById("announce").textContent.includes("is down")`)
	b.Until(`/Next try in \d+ s/.test(document.getElementById("banner-text").textContent)`)

	startFast(t, "-listen", strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b.Until(`document.getElementById("banner").hidden && document.getElementById("status").textContent === "Live"`)
	b.Until(`document.querySelector("#log .log-break") !== null`)
	b.Until(`!document.getElementById("interval").disabled`)
	before := browsertest.JS[string](b, `document.querySelector("#cpu-chart .line").getAttribute("d")`)
	b.Until(fmt.Sprintf(`document.querySelector("#cpu-chart .line").getAttribute("d") !== %q`, before))
	// The browser itself reports each try that found no server; a page cannot prevent that.
	b.WantNoErrors("net::ERR_CONNECTION_")
}

// A page that loses its link again and again, while lines are logged, has each of them once.
func testCut(t *testing.T, browser context.Context) {
	p := start(t)
	proxy := browsertest.NewProxy(t, strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b := browsertest.Open(t, browser, proxy.URL)
	b.Until(`document.querySelectorAll("#log li").length > 0`)
	const lines = 120
	for i := range lines {
		p.set(fmt.Sprintf(`{"ms": -%d}`, i+1)) // the log says that it is refused
		if i%40 == 10 {
			proxy.Cut()
			b.Until(`document.getElementById("status").dataset.link === "down"`)
		}
		if i%40 == 20 {
			b.Until(`document.getElementById("status").dataset.link === "up"`)
		}
	}
	const numbers = `[...document.querySelectorAll("#log .text")].flatMap((x) => x.textContent.match(/not -(\d+)/)?.[1] ?? []).map(Number)`
	b.Until(numbers + fmt.Sprintf(`.at(-1) === %d`, lines))
	if !browsertest.JS[bool](b, fmt.Sprintf(`((all) => all.length === %d && all.every((n, i) => n === i + 1))(`+numbers+`)`, lines)) {
		t.Errorf("the log shows %s", browsertest.JS[string](b, numbers+`.join(" ")`))
	}
	if browsertest.JS[bool](b, `document.querySelector("#log .log-break") !== null`) {
		t.Error("the page says that the device has restarted")
	}
}

// testBeforeHello has a line published after the page has subscribed, and before it is greeted: of
// those that were logged while it was cut off, the page gets the last one first.
func testBeforeHello(t *testing.T, browser context.Context) {
	d := newUnknown(t)
	p := runUnknown(t, d)
	proxy := browsertest.NewProxy(t, strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b := browsertest.Open(t, browser, proxy.URL)
	b.Until(`document.querySelectorAll("#log li").length > 0`)
	subscribers := func(want int) {
		t.Helper()
		for deadline := time.Now().Add(patience); d.hub.Subscribers(logLines) != want; time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("the log has %d subscribers, want %d", d.hub.Subscribers(logLines), want)
			}
		}
	}
	func() {
		d.shared.Lock() // nobody is greeted, and the sampler publishes nothing
		defer d.shared.Unlock()
		proxy.Cut()
		subscribers(0)
		d.log.Info("line one")
		subscribers(1)
		d.log.Info("line two")
		lines := d.ring.since(0)
		text, err := json.Marshal(map[string]any{"lines": lines[len(lines)-1:]})
		if err != nil {
			t.Fatal(err)
		}
		d.say(logLines, text)
	}()
	b.Until(`[...document.querySelectorAll("#log .text")].map((x) => x.textContent).filter((x) => x.startsWith("line ")).join() === "line one,line two"`)
}

func testRefused(t *testing.T, browser context.Context) {
	p := start(t)
	one, other := browsertest.Open(t, browser, p.url), browsertest.Open(t, browser, p.url)
	one.Until(`document.getElementById("interval-value").textContent === "1\u00a0s"`)
	browsertest.JS[any](one, `window.fetch = async () => new Response('{"error": "not today"}', { status: 503 }), null`)
	one.Do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.Home))
	one.Until(`document.getElementById("interval-note").matches(".bad") && document.getElementById("interval-note").textContent === "not today"`)
	one.Until(`document.getElementById("interval-value").textContent === "1\u00a0s"`)
	if note := browsertest.JS[string](other, `document.getElementById("interval-note").textContent`); note != "" {
		t.Errorf("the other page says %q", note)
	}
	one.WantNoErrors()
}

// A cable that is pulled closes no connection: the page must notice by itself that nothing comes
// any more.
func testSilence(t *testing.T, browser context.Context) {
	p := startFast(t)
	proxy := browsertest.NewProxy(t, strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b := browsertest.Open(t, browser, proxy.URL)
	b.Until(`document.getElementById("updated").textContent !== ""`)
	proxy.Freeze()
	b.Until(`!document.getElementById("banner").hidden`)
	b.Until(`document.getElementById("banner").hidden && document.getElementById("status").textContent === "Live"`)
	b.WantNoErrors()
}

func testWidths(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startFast(t).url)
	b.Until(`document.querySelectorAll("#nics tr").length > 0`)
	b.WantNoSidewaysScroll()
	b.WantNoErrors()
}

func testContrast(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startFast(t).url)
	b.Until(`document.querySelectorAll("#log li").length > 0 && document.querySelectorAll("#nics tr").length > 0`)
	browsertest.JS[any](b, `document.getElementById("banner").hidden = false, null`)
	for i, level := range []string{"WARN", "ERROR"} {
		browsertest.JS[any](b, fmt.Sprintf(`document.querySelectorAll("#log li")[%d].dataset.level = %q, null`, i, level))
	}
	b.WantContrast()
}

func testTheme(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startFast(t).url)
	b.Theme("light")
	const background = `getComputedStyle(document.body).backgroundColor`
	light := browsertest.JS[string](b, background)
	b.Do(chromedp.Click(chromedp.ID("theme")))
	b.Until(`document.getElementById("theme").getAttribute("aria-pressed") === "true"`)
	dark := browsertest.JS[string](b, background)
	if dark == light {
		t.Errorf("the button did not change the background, %s", dark)
	}
	b.Do(chromedp.Reload())
	b.Until(`document.getElementById("status").dataset.link === "up"`)
	if got := browsertest.JS[string](b, background); got != dark {
		t.Errorf("after a reload the background is %s, want %s", got, dark)
	}
	browsertest.JS[any](b, `localStorage.removeItem("theme"), null`)
	b.Do(chromedp.Reload())
	b.Until(`document.getElementById("status").dataset.link === "up"`)
	b.Theme("dark")
	if got := browsertest.JS[string](b, background); got != dark {
		t.Errorf("where the system is dark the background is %s, want %s", got, dark)
	}
	b.WantNoErrors()
}

func testLog(t *testing.T, browser context.Context) {
	p := startFast(t)
	for range 40 { // two lines each: more than the pane shows
		p.open().conn.Close()
	}
	b := browsertest.Open(t, browser, p.url)
	const atEnd = `(() => { const log = document.getElementById("log"); return log.scrollHeight - log.clientHeight - log.scrollTop < 8; })()`
	b.Until(`document.querySelectorAll("#log li").length > 40 && ` + atEnd)

	browsertest.JS[any](b, `document.getElementById("log").scrollTop = 0, null`)
	b.Until(`!document.getElementById("log-latest").hidden`)
	lines := browsertest.JS[int](b, `document.querySelectorAll("#log li").length`)
	p.open().want("hello", nil)
	b.Until(fmt.Sprintf(`document.querySelectorAll("#log li").length > %d`, lines))
	b.Until(`/^\d+ new lines? ↓$/.test(document.getElementById("log-latest").textContent)`)
	if top := browsertest.JS[float64](b, `document.getElementById("log").scrollTop`); top != 0 {
		t.Errorf("a new line moved what is being read to %v", top)
	}
	b.Do(chromedp.Click(chromedp.ID("log-latest")))
	b.Until(`document.getElementById("log-latest").hidden && ` + atEnd)

	for range 100 {
		p.open().conn.Close()
	}
	b.Until(`document.querySelectorAll("#log li").length === 200 && ` + atEnd)
	b.WantNoErrors()
}

func testNames(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startFast(t).url)
	b.Until(`document.querySelectorAll("#nics tr").length > 0`)
	b.WantNames()
	b.WantTabOrder("skip", "theme", "interval", "changes", "log")
	b.WantNoErrors()
}

func testNothingKnown(t *testing.T, browser context.Context) {
	p := startUnknown(t)
	b := browsertest.Open(t, browser, p.url)
	b.Until(`document.getElementById("updated").textContent !== ""`)
	for _, id := range []string{"cpu-value", "memory-value", "rx-value", "load-value", "temp-value", "disks", "cores", "nics"} {
		b.Until(fmt.Sprintf(`document.getElementById(%q).textContent === "n/a"`, id))
	}
	b.WantNoErrors()
}

// testChartsStayInside opens the page of a device that has been up for longer than its charts show.
func testChartsStayInside(t *testing.T, browser context.Context) {
	d := newUnknown(t)
	now := time.Now().UnixMilli()
	for i := range int64(330) {
		v, p := float64(10+i%80), point{}
		at := float64(now - 1000*(330-i))
		p[0] = &at
		for k := range p[1:] {
			p[k+1] = &v
		}
		d.shared.history.points = append(d.shared.history.points, p)
	}
	b := browsertest.Open(t, browser, runUnknown(t, d).url)
	b.Until(`document.querySelector("#cpu-chart .line").getAttribute("d")?.length > 1000`)
	outside := browsertest.JS[string](b, `[...document.querySelectorAll(".chart")].flatMap((chart) => {
		const xs = [...chart.querySelectorAll(".line, .area")].flatMap((p) => [...p.getAttribute("d").matchAll(/[ML](-?[\d.]+) /g)].map((m) => +m[1]));
		const frame = chart.getBoundingClientRect();
		const boxes = [...chart.querySelectorAll(".line, .area")].map((p) => p.getBoundingClientRect());
		const wrong = xs.length < 100 || Math.min(...xs) !== 0 || Math.max(...xs) > 600 ||
			boxes.some((r) => r.left < frame.left - 1.5 || r.right > frame.right + 1.5);
		return wrong ? [chart.id + " " + xs.length + " points from " + Math.min(...xs) + " to " + Math.max(...xs)] : [];
	}).join("; ")`)
	if outside != "" {
		t.Error(outside)
	}
	b.WantNoErrors()
}

// testThresholds gives the page samples of its own.
func testThresholds(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startUnknown(t).url)
	b.Until(`document.getElementById("updated").textContent !== ""`)
	browsertest.JS[any](b, `import("./view.js").then((view) => { window.view = view; }), null`)
	b.Until(`window.view !== undefined`)
	for _, tt := range []struct {
		name, cpus string // the use of the processors in each sample, 10 s from one to the next
		load, temp float64
		used, free int
		want       string
	}{
		{"nothing", "[10]", 0.5, 40, 10, 90, "cpu= load= temp= disk="},
		{"a moment of work", "[10, 10, 100]", 3.9, 74.9, 79, 21, "cpu= load= temp= disk="},
		{"high", "[85, 85, 85]", 4, 75, 80, 20, "cpu=warn load=warn temp=warn disk=warn"},
		{"too high", "[100, 100, 100]", 8, 90, 95, 5, "cpu=bad load=bad temp=bad disk=bad"},
		{"over again", "[10, 10, 10]", 1, 50, 10, 90, "cpu= load= temp= disk="},
	} {
		got := browsertest.JS[string](b, fmt.Sprintf(`(() => {
			const start = window.start = (window.start ?? 0) + 1_000_000;
			%s.forEach((cpu, i) => view.showSample({ time: start + 10_000 * i, uptime: 1, load: [%v, 0, 0], sensors: [{ name: "s", celsius: %v }],
				cpu: { total: cpu, cores: [0, 1, 2, 3].map((id) => ({ id, used: cpu })) },
				disks: [{ path: "/", fs: "ext4", total: 1000, used: %d, free: %d, ro: false }] }));
			return ["cpu", "load", "temp"].map((id) => id + "=" + document.getElementById(id + "-value").dataset.state).join(" ") +
				" disk=" + document.querySelector("#disks .bar").dataset.state;
		})()`, tt.cpus, tt.load, tt.temp, tt.used, tt.free))
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.name, got, tt.want)
		}
	}
	word := browsertest.JS[string](b, `(() => { const n = document.getElementById("cpu-value"); n.dataset.state = "bad";
		return getComputedStyle(n, "::after").content + " " + (getComputedStyle(n).color !== getComputedStyle(document.body).color); })()`)
	if word != `"too high" true` {
		t.Error(word)
	}
	b.WantNoErrors()
}

// testStorage has a file system of which a part is kept for root.
func testStorage(t *testing.T, browser context.Context) {
	d := newUnknown(t)
	d.sampler.source.statfs = func(string) (usage, error) { return usage{total: 252 << 30, free: 235 << 30, avail: 68 << 30}, nil }
	b := browsertest.Open(t, browser, runUnknown(t, d).url)
	b.Until(`document.querySelector("#disks .bar")?.getAttribute("aria-valuenow") === "20"`)
	b.Until(`document.querySelector("#disks .bar-text").textContent.includes("17.0\u00a0GiB of 85.0\u00a0GiB")`)
	b.WantNoErrors()
}

func testNoScript(t *testing.T, browser context.Context) {
	b := browsertest.Open(t, browser, startFast(t).url)
	if _, err := chromedp.Call(b.Context, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	b.Do(chromedp.Reload())
	edges := func(selector string) [2]float64 {
		t.Helper()
		box, err := chromedp.Run(b.Context, chromedp.Dimensions(selector))
		if err != nil {
			t.Fatal(err)
		}
		return [2]float64{box.Border[0], box.Border[2]}
	}
	if notice, card := edges("noscript .banner"), edges(".card.full"); notice != card {
		t.Errorf("the notice is from %v, a card from %v", notice, card)
	}
}

// saveScreenshot makes the picture of the README: MANGUSTA_SCREENSHOT=docs/dashboard.png, from the
// repository's root.
func saveScreenshot(t *testing.T, browser context.Context) {
	path := os.Getenv("MANGUSTA_SCREENSHOT")
	if path == "" {
		t.Skip("MANGUSTA_SCREENSHOT names no file")
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join("..", "..", path)
	}
	path, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	p := start(t, "-state", "device.json")
	browsertest.Open(t, browser, p.url)
	b := browsertest.Open(t, browser, p.url)
	b.Theme("light")
	b.Do(chromedp.EmulateViewport(1280, 900), chromedp.Focus(chromedp.ID("interval")))
	for _, key := range []string{kb.ArrowLeft, kb.ArrowRight} {
		before := browsertest.JS[string](b, `document.getElementById("interval-value").textContent`)
		b.Do(chromedp.KeyEvent(key))
		b.Until(fmt.Sprintf(`document.getElementById("interval-value").textContent !== %q`, before))
		b.Until(`document.getElementById("interval-note").textContent !== ""`)
	}
	browsertest.JS[any](b, `document.activeElement.blur(), null`)
	time.Sleep(58 * time.Second) // the subject of the picture is a minute's curves
	png, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", path, len(png))
	b.WantNoErrors()
}
