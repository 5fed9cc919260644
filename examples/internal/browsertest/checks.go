package browsertest

import (
	"fmt"
	"strings"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// lowContrast lists the texts whose colour is too near to that of the surface below them (WCAG 2.2,
// 1.4.3: 4.5 to 1, and 3 to 1 for large text).
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

// WantContrast fails for each text of the page that is hard to read, in either theme.
func (b *Tab) WantContrast() {
	b.t.Helper()
	for _, theme := range []string{"light", "dark"} {
		b.Theme(theme)
		for _, link := range []string{"up", "down"} {
			JS[any](b, fmt.Sprintf(`document.getElementById("status").dataset.link = %q, null`, link))
			if bad := JS[[]string](b, lowContrast); len(bad) > 0 {
				b.t.Errorf("%s, link %s: %q", theme, link, bad)
			}
		}
	}
}

// outside lists what sticks out of the page. Text that a bar or the styles for screen readers hide
// on purpose does not count.
const outside = `[...document.querySelectorAll("body *:not(.hidden, .hidden *, .skip, svg *, .bar *)")].filter((n) => {
	const r = n.getBoundingClientRect();
	return r.width > 1 && r.height > 1 && (r.right > innerWidth + 0.5 || r.left < -0.5);
}).map((n) => n.tagName + "#" + n.id + "." + n.className)`

// WantNoSidewaysScroll looks at the page from the width of a small phone to that of a large screen,
// with and without the banner.
func (b *Tab) WantNoSidewaysScroll() {
	b.t.Helper()
	for _, width := range []int64{320, 375, 640, 832, 1088, 1280, 1920} {
		b.Do(chromedp.EmulateViewport(width, 800))
		b.Until(fmt.Sprintf(`innerWidth === %d`, width))
		for _, banner := range []bool{false, true} {
			JS[any](b, fmt.Sprintf(`document.getElementById("banner").hidden = %v, null`, !banner))
			if got := JS[int64](b, `document.documentElement.scrollWidth`); got > width {
				b.t.Errorf("at %d px the page is %d px wide", width, got)
			}
		}
		if got := JS[[]string](b, outside); len(got) > 0 {
			b.t.Errorf("at %d px these stick out: %v", width, got)
		}
	}
}

// nameless lists what can be operated, or stands for something, and that a screen reader has no
// name for.
const nameless = `[...document.querySelectorAll("button, input, a, table, [role=meter], [role=img], article, section, [tabindex='0']")].filter((n) => {
	const ids = n.getAttribute("aria-labelledby");
	const name = n.getAttribute("aria-label") || ids && document.getElementById(ids)?.textContent ||
		n.labels?.[0]?.textContent || n.matches("button, a") && n.textContent;
	return !name?.trim();
}).map((n) => n.outerHTML.slice(0, 120))`

const landmarks = `["body > header", "body > main", "body > footer", "h1"].filter((s) => document.querySelectorAll(s).length !== 1)`

// WantNames fails for what a screen reader could not tell, and for missing landmarks.
func (b *Tab) WantNames() {
	b.t.Helper()
	if got := JS[[]string](b, nameless); len(got) > 0 {
		b.t.Errorf("without a name: %q", got)
	}
	if got := JS[[]string](b, landmarks); len(got) > 0 {
		b.t.Errorf("not exactly one of each: %v", got)
	}
}

// WantTabOrder presses Tab and looks which elements, by id or class, get the focus, and whether one
// can see it.
func (b *Tab) WantTabOrder(want ...string) {
	b.t.Helper()
	for i, name := range want {
		b.Do(chromedp.KeyEvent(kb.Tab))
		if got := JS[string](b, `document.activeElement.id || document.activeElement.className`); got != name {
			b.t.Errorf("Tab number %d goes to %s, want %s", i+1, got, name)
		}
		if ring := JS[string](b, `getComputedStyle(document.activeElement).outline`); !strings.Contains(ring, "solid 3px") {
			b.t.Errorf("the focus on %s is not to be seen: outline is %s", name, ring)
		}
	}
}
