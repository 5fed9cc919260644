// Package browsertest drives a page of an example in a browser, for its tests.
package browsertest

import (
	"context"
	"encoding/json"
	"errors"
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
	"github.com/chromedp/cdproto/security"
	"github.com/chromedp/chromedp"
)

// patience is how long a test waits for what must come.
const patience = time.Minute

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
		os.RemoveAll(dir) // the browser may still be writing there, and no test reads it
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start %s: %v", path, err)
	}
	return ctx
}

// A Tab is one page in the browser. Its errors are what a developer would see in red on the
// console.
type Tab struct {
	Context context.Context // of chromedp
	t       *testing.T

	mu     sync.Mutex
	errors []string
}

// Open opens url, and waits until the page says that its link is up.
func Open(t *testing.T, browser context.Context, url string) *Tab {
	t.Helper()
	return OpenUntil(t, browser, url, isUp)
}

// OpenUntil opens url, and waits until the expression is true there.
func OpenUntil(t *testing.T, browser context.Context, url, expression string) *Tab {
	t.Helper()
	b := newTab(t, browser)
	b.Do(chromedp.Navigate(url))
	b.Until(expression)
	return b
}

// OpenUntrusted is Open for a server whose certificate nobody vouches for, as if the user had
// looked at it and gone on.
func OpenUntrusted(t *testing.T, browser context.Context, url string) *Tab {
	t.Helper()
	return OpenUntrustedUntil(t, browser, url, isUp)
}

// OpenUntrustedUntil is OpenUntrusted, and waits as OpenUntil does.
func OpenUntrustedUntil(t *testing.T, browser context.Context, url, expression string) *Tab {
	t.Helper()
	b := newTab(t, browser)
	if _, err := chromedp.Call(b.Context, security.SetIgnoreCertificateErrors, security.SetIgnoreCertificateErrorsParams{Ignore: true}); err != nil {
		t.Fatal(err)
	}
	b.Do(chromedp.Navigate(url))
	b.Until(expression)
	return b
}

func newTab(t *testing.T, browser context.Context) *Tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser)
	t.Cleanup(cancel)
	b := &Tab{Context: ctx, t: t}
	if err := chromedp.Listen(ctx, b.listen); err != nil {
		t.Fatal(err)
	}
	return b
}

// isUp is true on a page whose link to the server is up.
const isUp = `document.getElementById("status").dataset.link === "up"`

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

// Until waits for a JavaScript expression to be true. One that throws is not true yet: what it asks
// for may not be there.
func (b *Tab) Until(expression string) {
	b.t.Helper()
	calm := "(() => { try { return " + expression + "; } catch { return false; } })()"
	ctx, cancel := context.WithTimeout(b.Context, 2*patience) // the page may be stuck
	defer cancel()
	_, err := chromedp.Run(ctx, chromedp.Poll[bool](calm, chromedp.WithPollingInterval(25*time.Millisecond),
		chromedp.WithPollingTimeout(patience)))
	if err != nil {
		b.t.Fatalf("waiting for %s: %v", expression, err)
	}
}

// UntilReloaded is Until for a page that is loaded anew meanwhile.
func (b *Tab) UntilReloaded(expression string) {
	b.t.Helper()
	end := time.Now().Add(patience)
	for {
		is, err := chromedp.Run(b.Context, chromedp.Evaluate[bool](expression))
		if err == nil && is {
			return
		}
		if time.Now().After(end) {
			b.t.Fatalf("waiting for %s: %v", expression, err)
		}
		time.Sleep(25 * time.Millisecond)
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

// Async evaluates an expression that is a promise.
func Async[T any](b *Tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.Context, patience)
	defer cancel()
	wait, byValue := true, true
	r, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, AwaitPromise: &wait, ReturnByValue: &byValue})
	var v T
	switch {
	case err != nil:
	case r.ExceptionDetails != nil:
		err = errors.New(r.ExceptionDetails.Text)
	default:
		err = json.Unmarshal(r.Result.Value, &v)
	}
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

// Languages sets the languages that the reader has chosen, such as "de-AT,de,en".
func (b *Tab) Languages(list string) {
	b.t.Helper()
	agent := JS[string](b, `navigator.userAgent`)
	_, err := chromedp.Call(b.Context, emulation.SetUserAgentOverride, emulation.SetUserAgentOverrideParams{UserAgent: agent, AcceptLanguage: list})
	if err != nil {
		b.t.Fatal(err)
	}
}

// WantNoErrors fails for every error on the console but those that have all of the excuses in them.
// A browser asks for the icon when it has time, and a test cannot wait for that: that the server
// had gone by then is no error.
func (b *Tab) WantNoErrors(excuses ...string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, text := range b.errors {
		excused := len(excuses) > 0 && !slices.ContainsFunc(excuses, func(e string) bool { return !strings.Contains(text, e) })
		icon := strings.Contains(text, "net::ERR_CONNECTION_") && strings.Contains(text, "/favicon.")
		if !excused && !icon {
			b.t.Errorf("console: %s", text)
		}
	}
}
