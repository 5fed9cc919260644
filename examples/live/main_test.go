package main

import (
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/examples/internal/programtest"
)

func TestMain(m *testing.M) { programtest.Main(m, main) }

func TestANoteReachesEveryPage(t *testing.T) {
	browser := browsertest.Start(t)
	p := programtest.Start(t, "-listen", "127.0.0.1:0")
	const live = `document.querySelector("output")?.value === "live"`
	first := browsertest.OpenUntil(t, browser, "http://"+p.Addr+"/", live)
	second := browsertest.OpenUntil(t, browser, "http://"+p.Addr+"/", live)
	first.Do(chromedp.SetValue("input", "from the first"), chromedp.Click("button"))
	for _, b := range []*browsertest.Tab{first, second} {
		b.Until(`document.querySelector("li")?.textContent === "from the first"`)
		b.WantNoErrors()
	}
	third := browsertest.OpenUntil(t, browser, "http://"+p.Addr+"/", live)
	third.Until(`document.querySelector("li")?.textContent === "from the first"`)
}
