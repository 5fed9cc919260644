package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func TestDashboardInABrowser(t *testing.T) {
	browser := startBrowser(t)
	tests := []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"values change live", testValuesChange},
		{"a second page sees the control's change", testControl},
		{"the link-down banner shows and goes when the server restarts", testLinkDown},
		{"a link that has gone silent is given up", testSilence},
		{"no width scrolls sideways", testWidths},
		{"text has AA contrast in both themes", testContrast},
		{"the theme can be chosen and stays", testTheme},
		{"the log follows until the reader scrolls up", testLog},
		{"everything to operate has a name", testNames},
		{"a machine without sensors shows n/a", testNothingKnown},
		{"screenshot", saveScreenshot},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, browser) })
	}
}

func testValuesChange(t *testing.T, browser context.Context) {
	eachPoller(t, func(t *testing.T, poller string) {
		b := openTab(t, browser, startFast(t, "-poller", poller).url)
		b.until(`/^\d+(\.\d)?.%$/.test(document.getElementById("cpu-value").textContent)`)
		b.until(`/^\d+(\.\d)?.%$/.test(document.getElementById("memory-value").textContent)`)
		b.until(`[...document.querySelectorAll("#loop dt")].some((dt) => dt.textContent === "Open pages" && dt.nextSibling.textContent.trim() === "1")`)
		b.until(`document.getElementById("loop-facts").textContent.startsWith("` + poller + `")`)
		b.until(`document.querySelectorAll("#nics tr").length > 0 && document.querySelectorAll("#cores li").length > 0`)
		for range 3 {
			// The curve must grow: a point more in the picture, and a new second in the footer.
			before := js[string](b, `document.querySelector("#cpu-chart .line").getAttribute("d")`)
			b.until(fmt.Sprintf(`document.querySelector("#cpu-chart .line").getAttribute("d") !== %q`, before))
		}
		at := js[string](b, `document.getElementById("updated").textContent`)
		b.until(fmt.Sprintf(`document.getElementById("updated").textContent !== %q`, at))
		b.wantNoErrors()
	})
}

func testControl(t *testing.T, browser context.Context) {
	p := start(t)
	one, other := openTab(t, browser, p.url), openTab(t, browser, p.url)
	other.until(`document.getElementById("interval-value").textContent === "1\u00a0s"`)
	one.do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.Home))
	for _, b := range []*tab{one, other} {
		b.until(`document.getElementById("interval-value").textContent === "200\u00a0ms"`)
		b.until(`document.getElementById("interval").getAttribute("aria-valuetext") === "200\u00a0milliseconds"`)
		b.until(`document.getElementById("interval-note").textContent.includes("saved on the device")`)
	}
	other.do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.End))
	one.until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)

	late := openTab(t, browser, p.url)
	late.until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)

	// A second thought, faster than the device's answer to the first.
	one.do(chromedp.Focus(chromedp.ID("interval")), chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.End))
	one.until(`document.getElementById("interval-value").textContent === "10\u00a0s"`)
	one.do(chromedp.KeyEvent(kb.Home), chromedp.KeyEvent(kb.ArrowRight))
	late.until(`document.getElementById("interval-value").textContent === "300\u00a0ms"`)
	one.until(`document.getElementById("interval-value").textContent === "300\u00a0ms"`)
	for _, b := range []*tab{one, other, late} {
		b.wantNoErrors()
	}
}

func testLinkDown(t *testing.T, browser context.Context) {
	p := startFast(t)
	b := openTab(t, browser, p.url)
	b.until(`document.getElementById("updated").textContent !== ""`)
	b.until(`document.getElementById("banner").hidden && !document.getElementById("interval").disabled`)
	b.wantNoErrors()

	p.stop()
	b.until(`!document.getElementById("banner").hidden && document.getElementById("banner").getBoundingClientRect().height > 20`)
	b.until(`document.getElementById("status").textContent === "Offline" && document.getElementById("interval").disabled`)
	b.until(`document.getElementById("announce").textContent.includes("is down")`)
	b.until(`/Next try in \d+ s/.test(document.getElementById("banner-text").textContent)`)

	startFast(t, "-listen", strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b.until(`document.getElementById("banner").hidden && document.getElementById("status").textContent === "Live"`)
	b.until(`document.querySelector("#log .log-break") !== null`)
	b.until(`!document.getElementById("interval").disabled`)
	before := js[string](b, `document.querySelector("#cpu-chart .line").getAttribute("d")`)
	b.until(fmt.Sprintf(`document.querySelector("#cpu-chart .line").getAttribute("d") !== %q`, before))
	// The browser itself reports each try that found nobody; a page cannot prevent that.
	b.wantNoErrors("WebSocket connection to", "failed")
}

// A cable that is pulled closes no connection: the page must notice by itself that nothing comes any more.
func testSilence(t *testing.T, browser context.Context) {
	p := startFast(t)
	url, freeze := freezingProxy(t, strings.TrimSuffix(strings.TrimPrefix(p.url, "http://"), "/"))
	b := openTab(t, browser, url)
	b.until(`document.getElementById("updated").textContent !== ""`)
	freeze()
	b.until(`!document.getElementById("banner").hidden`)
	b.until(`document.getElementById("banner").hidden && document.getElementById("status").textContent === "Live"`)
	b.wantNoErrors()
}

// freezingProxy passes connections on to target. After freeze, those that are open stay so, and nothing moves on them.
func freezingProxy(t *testing.T, target string) (url string, freeze func()) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	frozen := new(atomic.Bool) // of the connections that are open now
	closeAll := []func() error{l.Close}
	t.Cleanup(func() {
		mu.Lock()
		defer mu.Unlock()
		for _, end := range closeAll {
			end()
		}
	})
	pass := func(from, to net.Conn, frozen *atomic.Bool) {
		buf := make([]byte, 32<<10)
		for {
			n, err := from.Read(buf)
			if frozen.Load() {
				if err != nil {
					return // and the other end hears nothing of it
				}
				continue
			}
			if _, werr := to.Write(buf[:n]); err != nil || werr != nil {
				to.Close()
				return
			}
		}
	}
	go func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", target)
			if err != nil {
				in.Close()
				continue
			}
			mu.Lock()
			f := frozen
			closeAll = append(closeAll, in.Close, out.Close)
			mu.Unlock()
			go pass(in, out, f)
			go pass(out, in, f)
		}
	}()
	return "http://" + l.Addr().String() + "/", func() {
		mu.Lock()
		defer mu.Unlock()
		frozen.Store(true)
		frozen = new(atomic.Bool)
	}
}

func testWidths(t *testing.T, browser context.Context) {
	b := openTab(t, browser, startFast(t).url)
	b.until(`document.querySelectorAll("#nics tr").length > 0`)
	for _, width := range []int64{320, 375, 640, 832, 1088, 1280, 1920} {
		b.do(chromedp.EmulateViewport(width, 800))
		b.until(fmt.Sprintf(`innerWidth === %d`, width))
		for _, banner := range []bool{false, true} {
			js[any](b, fmt.Sprintf(`document.getElementById("banner").hidden = %v, null`, !banner))
			if got := js[int64](b, `document.documentElement.scrollWidth`); got > width {
				t.Errorf("at %d px the page is %d px wide", width, got)
			}
		}
		// What a bar or the screen reader's texts hide on purpose does not count.
		const outside = `[...document.querySelectorAll("body *:not(.hidden, .hidden *, .skip, svg *, .bar *)")].filter((n) => {
			const r = n.getBoundingClientRect();
			return r.width > 1 && r.height > 1 && (r.right > innerWidth + 0.5 || r.left < -0.5);
		}).map((n) => n.tagName + "#" + n.id + "." + n.className)`
		if got := js[[]string](b, outside); len(got) > 0 {
			t.Errorf("at %d px these stick out: %v", width, got)
		}
	}
	b.wantNoErrors()
}

// lowContrast lists the texts whose colour is too near to that of the surface below them (WCAG 2.2, 1.4.3: 4.5 to 1, and
// 3 to 1 for large text).
const lowContrast = `(() => {
	const parse = (s) => s.match(/[\d.]+/g).map(Number);
	const light = ([r, g, b]) => [r, g, b].map((v) => v / 255)
		.map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
		.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
	const surface = (n) => {
		for (; n; n = n.parentElement) {
			const c = parse(getComputedStyle(n).backgroundColor);
			if (c.length === 3 || c[3] === 1) return c;
		}
		return [255, 255, 255];
	};
	const bad = new Set();
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const n = walk.currentNode.parentElement;
		if (!walk.currentNode.data.trim() || !n.checkVisibility() || n.closest(".hidden, .skip, noscript")) continue;
		const style = getComputedStyle(n);
		const a = light(parse(style.color)), b = light(surface(n));
		const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		const need = parseFloat(style.fontSize) >= 24 ? 3 : 4.5;
		if (ratio < need) bad.add(n.className + " " + walk.currentNode.data.trim() + " " + ratio.toFixed(2));
	}
	return [...bad];
})()`

func testContrast(t *testing.T, browser context.Context) {
	b := openTab(t, browser, startFast(t).url)
	b.until(`document.querySelectorAll("#log li").length > 0 && document.querySelectorAll("#nics tr").length > 0`)
	js[any](b, `document.getElementById("banner").hidden = false, null`)
	for i, level := range []string{"WARN", "ERROR"} {
		js[any](b, fmt.Sprintf(`document.querySelectorAll("#log li")[%d].dataset.level = %q, null`, i, level))
	}
	for _, theme := range []string{"light", "dark"} {
		b.theme(theme)
		for _, link := range []string{"up", "down"} {
			js[any](b, fmt.Sprintf(`document.getElementById("status").dataset.link = %q, null`, link))
			if bad := js[[]string](b, lowContrast); len(bad) > 0 {
				t.Errorf("%s, link %s: %q", theme, link, bad)
			}
		}
	}
}

func testTheme(t *testing.T, browser context.Context) {
	b := openTab(t, browser, startFast(t).url)
	b.theme("light")
	const background = `getComputedStyle(document.body).backgroundColor`
	light := js[string](b, background)
	b.do(chromedp.Click(chromedp.ID("theme")))
	b.until(`document.getElementById("theme").getAttribute("aria-pressed") === "true"`)
	dark := js[string](b, background)
	if dark == light {
		t.Errorf("the button did not change the background, %s", dark)
	}
	b.do(chromedp.Reload())
	b.until(`document.getElementById("status").dataset.link === "up"`)
	if got := js[string](b, background); got != dark {
		t.Errorf("after a reload the background is %s, want %s", got, dark)
	}
	js[any](b, `localStorage.removeItem("theme"), null`)
	b.do(chromedp.Reload())
	b.until(`document.getElementById("status").dataset.link === "up"`)
	b.theme("dark")
	if got := js[string](b, background); got != dark {
		t.Errorf("where the system is dark the background is %s, want %s", got, dark)
	}
	b.wantNoErrors()
}

func testLog(t *testing.T, browser context.Context) {
	p := startFast(t)
	for range 40 { // two lines each: more than the pane shows
		p.open().conn.Close()
	}
	b := openTab(t, browser, p.url)
	const atEnd = `(() => { const log = document.getElementById("log"); return log.scrollHeight - log.clientHeight - log.scrollTop < 8; })()`
	b.until(`document.querySelectorAll("#log li").length > 40 && ` + atEnd)

	js[any](b, `document.getElementById("log").scrollTop = 0, null`)
	b.until(`!document.getElementById("log-latest").hidden`)
	lines := js[int](b, `document.querySelectorAll("#log li").length`)
	p.open().want("hello", nil)
	b.until(fmt.Sprintf(`document.querySelectorAll("#log li").length > %d`, lines))
	b.until(`/^\d+ new lines? ↓$/.test(document.getElementById("log-latest").textContent)`)
	if top := js[float64](b, `document.getElementById("log").scrollTop`); top != 0 {
		t.Errorf("a new line moved what is being read to %v", top)
	}
	b.do(chromedp.Click(chromedp.ID("log-latest")))
	b.until(`document.getElementById("log-latest").hidden && ` + atEnd)

	for range 100 {
		p.open().conn.Close()
	}
	b.until(`document.querySelectorAll("#log li").length === 200 && ` + atEnd)
	b.wantNoErrors()
}

func testNames(t *testing.T, browser context.Context) {
	b := openTab(t, browser, startFast(t).url)
	b.until(`document.querySelectorAll("#nics tr").length > 0`)
	const nameless = `[...document.querySelectorAll("button, input, a, table, [role=meter], [role=img], article, section, [tabindex='0']")].filter((n) => {
		const ids = n.getAttribute("aria-labelledby");
		const name = n.getAttribute("aria-label") || ids && document.getElementById(ids)?.textContent ||
			n.labels?.[0]?.textContent || n.matches("button, a") && n.textContent;
		return !name?.trim();
	}).map((n) => n.outerHTML.slice(0, 120))`
	if got := js[[]string](b, nameless); len(got) > 0 {
		t.Errorf("without a name: %q", got)
	}
	const landmarks = `["body > header", "body > main", "body > footer", "h1"].filter((s) => document.querySelectorAll(s).length !== 1)`
	if got := js[[]string](b, landmarks); len(got) > 0 {
		t.Errorf("not exactly one of each: %v", got)
	}
	// The keyboard reaches everything, in the order in which it is seen.
	var order []string
	for range 4 {
		b.do(chromedp.KeyEvent(kb.Tab))
		order = append(order, js[string](b, `document.activeElement.id || document.activeElement.className`))
		if ring := js[string](b, `getComputedStyle(document.activeElement).outline`); !strings.Contains(ring, "solid 3px") {
			t.Errorf("the focus on %s is not to be seen: outline is %s", order[len(order)-1], ring)
		}
	}
	if got := strings.Join(order, " "); got != "skip theme interval log" {
		t.Errorf("Tab goes to %s", got)
	}
	b.wantNoErrors()
}

func testNothingKnown(t *testing.T, browser context.Context) {
	p := startUnknown(t)
	b := openTab(t, browser, p.url)
	b.until(`document.getElementById("updated").textContent !== ""`)
	for _, id := range []string{"cpu-value", "memory-value", "rx-value", "load-value", "temp-value", "disks", "cores", "nics"} {
		b.until(fmt.Sprintf(`document.getElementById(%q).textContent === "n/a"`, id))
	}
	b.wantNoErrors()
}

// saveScreenshot makes the picture of the README: MANGUSTA_SCREENSHOT=docs/dashboard.png, from the repository's root.
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
	openTab(t, browser, p.url)
	b := openTab(t, browser, p.url)
	b.theme("light")
	b.do(chromedp.EmulateViewport(1280, 900), chromedp.Focus(chromedp.ID("interval")))
	for _, key := range []string{kb.ArrowLeft, kb.ArrowRight} {
		before := js[string](b, `document.getElementById("interval-value").textContent`)
		b.do(chromedp.KeyEvent(key))
		b.until(fmt.Sprintf(`document.getElementById("interval-value").textContent !== %q`, before))
		b.until(`document.getElementById("interval-note").textContent !== ""`)
	}
	js[any](b, `document.activeElement.blur(), null`)
	time.Sleep(58 * time.Second) // the subject of the picture is a minute's curves
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
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
	b.wantNoErrors()
}
