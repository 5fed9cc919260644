package browsertest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

const axePackage = "axe-core@4.14.1"

// axeSource is the text of axe-core. npm fetches it once for all tests of a process.
var axeSource = sync.OnceValues(func() (string, error) {
	if _, err := exec.LookPath("npm"); err != nil {
		return "", errors.New("there is no npm here (apt-get install npm)")
	}
	dir, err := os.MkdirTemp("", "mangusta-axe-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	install := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--prefer-offline", axePackage)
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return "", fmt.Errorf("npm cannot install %s: %w\n%s", axePackage, err, out)
	}
	text, err := os.ReadFile(filepath.Join(dir, "node_modules", "axe-core", "axe.min.js"))
	return string(text), err
})

// NeedAxe skips the test where axe-core cannot be had.
func NeedAxe(t *testing.T) {
	t.Helper()
	if _, err := axeSource(); err != nil {
		t.Skip("SKIPPED, NOT TESTED: ", err)
	}
}

// axeRun returns the violations, one line for each element.
const axeRun = `axe.run(document, { resultTypes: ["violations"] }).then(({ violations }) => violations.flatMap((v) =>
	v.nodes.map((n) => v.id + ": " + v.help + ": " + n.html.slice(0, 160) + " " + (n.any[0]?.message ?? ""))))`

// WantAxe fails for each violation that axe-core finds on the page as it is now. where is for the
// message. The test must have called NeedAxe.
func (b *Tab) WantAxe(where string) {
	b.t.Helper()
	source, err := axeSource()
	if err != nil {
		b.t.Fatal(err)
	}
	if !JS[bool](b, `"axe" in window`) {
		JS[any](b, source+`;null`)
	}
	for _, v := range Async[[]string](b, axeRun) {
		b.t.Errorf("%s: %s", where, v)
	}
}

// tabbable lists what Tab has to reach, in the order of the document: radio buttons of a group
// count once, and what is hidden does not count.
const tabbable = `[...document.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex='0']")]
	.filter((n) => !n.disabled && n.checkVisibility() && n.tabIndex >= 0)`

// WantTabWalk presses Tab from the start of the page to its end: it has to reach everything that
// can be operated, once, in the order of the document, and the focus has to be visible and not
// covered. The page must not have been clicked.
func (b *Tab) WantTabWalk(where string) {
	b.t.Helper()
	n := JS[int64](b, `(() => {
		const start = document.getElementById("walk-start") ?? document.createElement("span");
		start.id = "walk-start";
		start.tabIndex = -1;
		document.body.prepend(start);
		start.focus();
		window.walk = `+tabbable+`;
		return walk.length;
	})()`)
	if n == 0 {
		b.t.Errorf("%s: nothing can be operated", where)
	}
	for i := range n {
		b.Do(chromedp.KeyEvent(kb.Tab))
		if bad := JS[string](b, fmt.Sprintf(`(() => {
			const want = walk[%d], is = document.activeElement, name = (n) => n.outerHTML.slice(0, 120);
			if (is !== want) return name(is) + " has the focus, want " + name(want);
			const style = getComputedStyle(is);
			if (style.outlineStyle !== "solid" || parseFloat(style.outlineWidth) < 2) return name(is) + " shows no focus: " + style.outline;
			const r = is.getBoundingClientRect();
			if (r.bottom < 1 || r.top > innerHeight - 1 || r.width < 1) return name(is) + " has the focus where nobody sees it: " + r.top;
			const top = document.elementFromPoint(r.x + r.width / 2, Math.min(Math.max(r.y + r.height / 2, 1), innerHeight - 1));
			if (top && !is.contains(top) && !top.contains(is)) return name(is) + " has the focus below " + name(top);
			return "";
		})()`, i)); bad != "" {
			b.t.Errorf("%s, Tab number %d: %s", where, i+1, bad)
			return
		}
	}
}
