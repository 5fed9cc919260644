package interop

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/internal/sidebyside"
	"github.com/seed4930a636/mangusta/mgr"
)

// page has the conversation, as far as a page's script can, and leaves its outcome in
// window.outcome.
const page = `<!doctype html><title>interop</title><script>
const next = (s, what) => new Promise((done, fail) => {
	s.addEventListener(what, done, { once: true });
	s.addEventListener("error", () => fail(new Error("error event")), { once: true });
});
const same = (a, b) => a.length === b.length && a.every((x, i) => x === b[i]);
const check = (ok, what) => { if (!ok) throw new Error(what); };
async function open() {
	const s = new WebSocket("ws://" + location.host + "/ws");
	s.binaryType = "arraybuffer";
	await next(s, "open");
	check(s.extensions.startsWith("permessage-deflate") === DEFLATE, "extensions " + s.extensions);
	return s;
}
async function echoes(s, data) {
	s.send(data);
	const got = (await next(s, "message")).data;
	if (typeof data === "string") check(got === data, "echo of " + data.length + " characters");
	else check(got instanceof ArrayBuffer && same(new Uint8Array(got), data), "echo of " + data.length + " bytes");
}
function noise(n) {
	const b = new Uint8Array(n);
	for (let i = 0; i < n; i += 65536) crypto.getRandomValues(b.subarray(i, i + 65536));
	return b;
}
async function converse() {
	let s = await open();
	for (const n of [0, 1, 125, 126, 127, 1000, 65535, 65536, 1 << 20, 16 << 20].filter((n) => n <= LARGEST)) {
		await echoes(s, "Grüße κόσμε 😀 ".repeat(n / 24) + "x".repeat(n % 24));
		await echoes(s, noise(n));
	}
	for (let i = 0; i < 100; i++) await echoes(s, '{"id":1,"name":"small and often","ok":true}');
	s.send("ping me");
	check((await next(s, "message")).data === "ponged", "pong");
	s.send("fragment me");
	check((await next(s, "message")).data === "first, second, κόσμε", "fragments");
	s.send("close me");
	let e = await next(s, "close");
	check(e.code === 4002 && e.reason === "enough" && e.wasClean, "close " + e.code);
	for (const code of [1000, 3000, 4999]) { // the others a page may not use
		s = await open();
		s.close(code, "bye");
		e = await next(s, "close");
		check(e.code === code && e.wasClean, "close " + e.code + " for " + code);
	}
	s = await open();
	s.close();
	e = await next(s, "close");
	check(e.code === 1005 && e.wasClean, "close " + e.code + " without a code");
}
converse().then(() => window.outcome = "ok", (e) => window.outcome = String(e));
</script>`

func TestChromium(t *testing.T) {
	browser := browsertest.Start(t)
	tests := []func(*testing.T, context.Context){testWebSockets, testPageOf100Assets, testSeekAndResume}
	names := []string{"WebSockets", "a page of 100 assets", "seek and resume"}
	sidebyside.Run(t, len(tests), names, func(t *testing.T, i int) { tests[i](t, browser) })
}

func testWebSockets(t *testing.T, browser context.Context) {
	each(t, []mode{plain, alone, takeover, window}, func(t *testing.T, p mgr.Poller, m mode) {
		list := sizes(p)
		fill := strings.NewReplacer("DEFLATE", fmt.Sprint(m != plain), "LARGEST", fmt.Sprint(list[len(list)-1]))
		s := listen(t, p, m, fill.Replace(page))
		tab, cancel := chromedp.NewContext(browser)
		defer cancel()
		ctx, stop := context.WithTimeout(tab, 2*patience)
		defer stop()
		url := strings.Replace(strings.TrimSuffix(s.url, "ws"), "ws:", "http:", 1)
		if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
			t.Fatal(err)
		}
		outcome, err := chromedp.Run(ctx, chromedp.Poll[string](`window.outcome`, chromedp.WithPollingTimeout(2*patience),
			chromedp.WithPollingInterval(50*time.Millisecond)))
		if err != nil || outcome != "ok" {
			t.Fatalf("%s, %v", outcome, err)
		}
		for _, code := range []int{4002, 1000, 3000, 4999, 1005} {
			s.wantEnd(code)
		}
	})
}
