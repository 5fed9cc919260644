package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

func TestDashboardInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
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
	// The browser itself reports each try that found nobody; a page cannot prevent that.
	b.WantNoErrors("WebSocket connection to", "failed")
}

// A cable that is pulled closes no connection: the page must notice by itself that nothing comes any more.
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
	b.WantTabOrder("skip", "theme", "interval", "log")
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
