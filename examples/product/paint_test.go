package main

import (
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

// links are what DevTools calls so: a bound on the bytes, and a delay of each reply.
var links = []struct {
	name  string
	bytes float64 // a second
	delay time.Duration
}{
	{"fast 3G: 1.44 Mbit/s, 563 ms", 1.6e6 * 0.9 / 8, 562500 * time.Microsecond},
	{"slow 3G: 400 kbit/s, 2 s", 5e5 * 0.8 / 8, 2 * time.Second},
}

// timesOfPage are, in ms from the click on: the first text, the readings; and the bytes that came.
const timesOfPage = `(async () => {
	const paint = () => performance.getEntriesByName("first-contentful-paint")[0];
	const shown = () => [...document.querySelectorAll("#readings .big")].some((n) => /\d/.test(n.textContent));
	let at = 0;
	while (!at || !paint()) {
		if (!at && shown()) at = performance.now();
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
	const loads = [performance.getEntriesByType("navigation")[0], ...performance.getEntriesByType("resource")];
	return [paint().startTime, at, loads.reduce((sum, r) => sum + (r.transferSize || 0), 0), loads.length];
})()`

// Measures how long a first visit takes over slow links: MANGUSTA_PAINT=1 go test -run
// TestFirstPaint -v ./examples/product. The figures are medians of five visits.
func TestFirstPaint(t *testing.T) {
	if os.Getenv("MANGUSTA_PAINT") == "" {
		t.Skip("it measures; MANGUSTA_PAINT=1")
	}
	p := start(t, t.TempDir(), "auto")
	for _, link := range links {
		var paints, readings []float64
		var rest string
		for range 5 {
			chromium := browsertest.Start(t) // nothing is kept
			b := browsertest.OpenUntil(t, chromium, "about:blank", "true")
			_, err := chromedp.Call(b.Context, network.EmulateNetworkConditionsByRule, network.EmulateNetworkConditionsByRuleParams{
				MatchedNetworkConditions: []*network.Conditions{{
					Latency: float64(link.delay.Microseconds()) / 1000, DownloadThroughput: link.bytes, UploadThroughput: link.bytes,
				}},
			})
			if err != nil {
				t.Fatal(err)
			}
			b.Do(chromedp.Navigate("http://" + p.Addr + "/"))
			times := browsertest.Async[[]float64](b, timesOfPage)
			paints, readings = append(paints, times[0]), append(readings, times[1])
			rest = fmt.Sprintf("%.0f bytes in %.0f requests", times[2], times[3])
		}
		slices.Sort(paints)
		slices.Sort(readings)
		t.Logf("%s: first text after %.1f s (%.1f to %.1f), the readings after %.1f s (%.1f to %.1f); %s", link.name,
			paints[2]/1000, paints[0]/1000, paints[4]/1000, readings[2]/1000, readings[0]/1000, readings[4]/1000, rest)
	}
}
