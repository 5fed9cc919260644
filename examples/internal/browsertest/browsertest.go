// Package browsertest drives a page of an example in a browser, for its tests.
package browsertest

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must come.
const patience = 20 * time.Second

// findChromium returns the browser to drive, or "".
func findChromium() string {
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

// Start returns a context whose children are tabs of one fresh, offline-minded browser.
func Start(t *testing.T) context.Context {
	path := findChromium()
	if path == "" {
		t.Skip("SKIPPED, NOT TESTED: there is no chromium here (apt-get install chromium)")
	}
	dir, err := os.MkdirTemp("", "mangusta-chromium-")
	if err != nil {
		t.Fatal(err)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.UserDataDir(dir),
		chromedp.Env("HOME="+dir), chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.WSURLReadTimeout(time.Minute)) // the first start on a busy machine is slow
	allocator, freeAllocator := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		end, stop := context.WithTimeout(ctx, patience)
		if err := chromedp.Cancel(end); err != nil {
			t.Logf("the browser's end: %v", err)
		}
		stop()
		cancel()
		freeAllocator()
		os.RemoveAll(dir) // what the browser may still be writing there is nobody's loss
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// A Tab is one page in the browser. Its errors are what a developer would see in red on the console.
type Tab struct {
	Context context.Context // of chromedp
	t       *testing.T

	mu     sync.Mutex
	errors []string
}

// Open opens url, and waits until the page says that its link is up.
func Open(t *testing.T, browser context.Context, url string) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &Tab{Context: ctx, t: t}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	b.Do(chromedp.Navigate(url))
	b.Until(`document.getElementById("status").dataset.link === "up"`)
	return b
}

func (b *Tab) listen(ev any) {
	text := ""
	switch ev := ev.(type) {
	case *runtime.EventExceptionThrown:
		text = ev.ExceptionDetails.Text
	case *runtime.EventConsoleAPICalled:
		if ev.Type != "error" && ev.Type != "warning" && ev.Type != "assert" {
			return
		}
		text = fmt.Sprintf("console.%s", ev.Type)
	case *log.EventEntryAdded:
		if ev.Entry.Level != log.EntryLevelError && ev.Entry.Level != log.EntryLevelWarning {
			return
		}
		text = ev.Entry.Text + " " + ev.Entry.URL
	default:
		return
	}
	b.mu.Lock()
	b.errors = append(b.errors, text)
	b.mu.Unlock()
}

// Do runs steps of chromedp.
func (b *Tab) Do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// Until waits for a JavaScript expression to be true.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	_, err := chromedp.Run(b.Context, chromedp.Poll[bool](expression, chromedp.WithPollingInterval(25*time.Millisecond),
		chromedp.WithPollingTimeout(patience)))
	if err != nil {
		b.t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// JS evaluates an expression.
func JS[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// Theme makes the system light or dark, and still.
func (b *Tab) Theme(name string) {
	b.t.Helper()
	_, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: name}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// WantNoErrors fails for every error on the console but those that have all of the excuses in them.
func (b *Tab) WantNoErrors(excuses ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.errors {
		excused := len(excuses) > 0 && !slices.ContainsFunc(excuses, func(e string) bool { return !strings.Contains(text, e) })
		if !excused {
			b.t.Errorf("console: %s", text)
		}
	}
}
