package main

import (
	"bytes"
	"io"
	nethttp "net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// keptPaths are the paths that the page's caches have, in all.
const keptPaths = `(async () => (await Promise.all((await caches.keys()).map(async (name) =>
	(await (await caches.open(name)).keys()).map((r) => new URL(r.url).pathname + new URL(r.url).search)))).flat())()`

const workerIsUp = `navigator.serviceWorker.controller?.state === "activated"`

// The page opens without the device, says so, and shows the device as soon as that replies. What
// the device says is not kept.
func TestOffline(t *testing.T) {
	chromium := browsertest.Start(t)
	dir := t.TempDir()
	p := start(t, dir, "auto")
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/#enter", workerIsUp)
	errs, err := chromedp.Call(b.Context, page.GetInstallabilityErrors, struct{}{})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range errs.InstallabilityErrors {
		t.Errorf("the page cannot be installed: %+v", e)
	}
	b.Until(`!document.getElementById("enter").hidden`)
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	for _, section := range sectionsOfOwner {
		show(b, section)
	}
	kept, shell := browsertest.Async[[]string](b, keptPaths), newShell()
	slices.Sort(kept)
	if want := slices.Sorted(slices.Values(shell.paths)); !slices.Equal(kept, want) {
		t.Errorf("the browser keeps %q, want %q", kept, want)
	}

	if err := p.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	b.Until(`document.getElementById("status").dataset.link === "down"`)
	b.Do(chromedp.Reload())
	b.Until(`!document.getElementById("offline").hidden && document.getElementById("nav").hidden`)
	b.Until(`document.getElementById("status-text").textContent === "Offline"`)
	if text := browsertest.JS[string](b, `document.getElementById("offline").innerText`); !strings.Contains(text, "cannot be reached") {
		t.Errorf("it says %q", text)
	}
	b.WantNoSidewaysScroll()

	programtest.Start(t, "-listen", p.Addr, "-data", dir)
	b.Do(chromedp.Click(chromedp.ID("offline-retry")))
	b.Until(`document.getElementById("who").textContent === "ann, admin" && document.getElementById("status").dataset.link === "up"`)
}

// storm has a page ask the device for much in the moment in which a new worker is ready: each
// request wakes the old worker while that is being stopped. See hurry in shell.js.
const storm = `(() => {
	const rain = (worker) => worker?.addEventListener("statechange", () => {
		const end = performance.now() + 300;
		const drop = () => performance.now() < end && fetch("/owner").finally(() => setTimeout(drop));
		if (worker.state === "installed") for (let i = 0; i < 3; i++) drop();
	});
	navigator.serviceWorker?.getRegistration().then((registration) => {
		if (!registration) return;
		rain(registration.installing);
		registration.addEventListener("updatefound", () => rain(registration.installing));
	});
})()`

// After an update of the device an open page takes the new version by itself, as soon as the device
// is there again; a page with changes that are not saved offers to.
func TestANewVersion(t *testing.T) {
	chromium := browsertest.Start(t)
	dir := t.TempDir()
	p := start(t, dir, "auto")
	base, update := versions(t, p.Addr)
	b := browsertest.OpenUntil(t, chromium, base+"/#enter", workerIsUp)
	if _, err := chromedp.Call(b.Context, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: storm}); err != nil {
		t.Fatal(err)
	}
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	editing := browsertest.OpenUntil(t, chromium, base+"/#settings", `document.getElementById("set-name")?.value === "thermostat"`)
	fill(editing, "set-name", "hall")
	old := browsertest.JS[string](b, versionOfPage)
	b.Until(`document.getElementById("status").dataset.link === "up"`)
	if err := p.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	b.Until(`document.getElementById("status").dataset.link === "down"`)
	update()
	programtest.Start(t, "-listen", p.Addr, "-data", dir)
	for _, tab := range []*browsertest.Tab{b, editing} {
		browsertest.JS[any](tab, `setInterval(() => document.getElementById("retry").click(), 100), null`)
	}
	b.UntilReloaded(versionOfPage + ` === "new"`)
	if old == "new" || len(old) != 16 {
		t.Errorf("the first version is %q", old)
	}
	b.UntilReloaded(`document.getElementById("status")?.dataset.link === "up" && ` + workerIsUp)
	browsertest.Async[bool](b, `(async () => {
		while ((await caches.keys()).join() !== "shell-new") await new Promise((resolve) => setTimeout(resolve, 25));
		return true;
	})()`)

	editing.Until(`!document.getElementById("newer").hidden && ` + versionOfPage + ` !== "new"`)
	editing.Until(`document.getElementById("set-name").value === "hall" && !document.getElementById("save").disabled`)
	editing.Do(chromedp.Click("#save"))
	editing.Until(`document.getElementById("settings-note").textContent === "Saved."`)
	editing.Do(chromedp.Click("#reload"))
	editing.UntilReloaded(versionOfPage + ` === "new" && document.getElementById("set-name")?.value === "hall"`)
}

// versions starts a proxy for the program. From update() on the page that comes through it has the
// version "new".
func versions(t *testing.T, addr string) (base string, update func()) {
	t.Helper()
	var updated atomic.Bool
	version := []byte(newShell().version)
	target, err := url.Parse("http://" + addr)
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(&httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Del("Accept-Encoding")
			if updated.Load() {
				r.Out.Header.Del("If-None-Match")
			}
		},
		ErrorHandler: func(w nethttp.ResponseWriter, _ *nethttp.Request, _ error) { panic(nethttp.ErrAbortHandler) },
		ModifyResponse: func(r *nethttp.Response) error {
			if path := r.Request.URL.Path; !updated.Load() || path != "/" && path != "/sw.js" {
				return nil
			}
			text, err := io.ReadAll(r.Body)
			text = bytes.ReplaceAll(text, version, []byte("new"))
			r.Body = io.NopCloser(bytes.NewReader(text))
			r.ContentLength = int64(len(text))
			r.Header.Set("Content-Length", strconv.Itoa(len(text)))
			return err
		},
	})
	t.Cleanup(s.Close)
	return s.URL, func() { updated.Store(true) }
}

const versionOfPage = `document.querySelector("meta[name=version]").content`

// A page that finds nobody at the other end of a connection does not wait for ever.
func TestASilentDevice(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("it waits as long as a person would")
	}
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	proxy := browsertest.NewProxy(t, p.Addr)
	b := browsertest.OpenUntil(t, chromium, proxy.URL, workerIsUp)
	b.Until(`document.getElementById("status").dataset.link === "up"`)
	proxy.Deaf()
	b.Do(chromedp.Reload())
	b.Until(`!document.getElementById("offline").hidden`)
}
