package main

import (
	"fmt"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// phone and desktop are the sizes that the page is looked at in, in CSS pixels.
var phone, desktop = [2]int64{360, 740}, [2]int64{1280, 900}

// axe-core finds nothing in any section. The short form looks at each section in the light on a
// desktop and in the dark on a phone, the long form at all four.
func TestAxeFindsNothing(t *testing.T) {
	browsertest.NeedAxe(t)
	eachSection(t, func(b *browsertest.Tab, section string) {
		for i, size := range [][2]int64{desktop, phone} {
			b.Do(chromedp.EmulateViewport(size[0], size[1]))
			for k, theme := range []string{"light", "dark"} {
				if i != k && !exhaustive.On() {
					continue
				}
				b.Theme(theme)
				b.WantAxe(fmt.Sprintf("%s, %s, %d px", section, theme, size[0]))
			}
		}
	})
}

// Everything can be reached by Tab.
func TestKeyboard(t *testing.T) {
	eachSection(t, func(b *browsertest.Tab, section string) {
		b.WantTabWalk(section)
	})
}

var sectionsOfOwner = []string{"overview", "settings", "actions", "network", "files", "logs", "people", "certificate", "update", "about"}

// eachSection calls f with each section of the page: those that a person meets before the setup,
// and then those of the owner.
func eachSection(t *testing.T, f func(b *browsertest.Tab, section string)) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/", `document.querySelectorAll("#readings .big:not(.na)").length >= 7`)
	f(b, "overview")
	show(b, "enter")
	f(b, "enter")
	b.Do(chromedp.EmulateViewport(desktop[0], desktop[1]))
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	for _, section := range sectionsOfOwner {
		b.Do(chromedp.EmulateViewport(desktop[0], desktop[1]))
		show(b, section)
		b.Until(`document.getElementById("status").dataset.link === "up" && document.getElementById("banner").hidden`)
		f(b, section)
	}
}
