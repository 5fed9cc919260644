package main

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// narrow is the width of a phone, or of a desktop at a zoom of 400 % (WCAG 2.2, 1.4.10).
var narrow = [2]int64{320, 640}

// axe-core finds nothing in the states that the sections are not always in: with errors, questions,
// forms and banners. The short form looks at each in the light on a narrow page. MANGUSTA_PICTURES
// has a picture made of each.
func TestAxeFindsNothingInAnyState(t *testing.T) {
	browsertest.NeedAxe(t)
	eachState(t, func(b *browsertest.Tab, state string) {
		for i, size := range [][2]int64{narrow, desktop} {
			for k, theme := range []string{"light", "dark"} {
				if i+k > 0 && !exhaustive.On() {
					continue
				}
				b.Do(chromedp.EmulateViewport(size[0], size[1]))
				b.Theme(theme)
				b.WantAxe(fmt.Sprintf("%s, %s, %d px", state, theme, size[0]))
				if over := browsertest.JS[int64](b, `document.documentElement.scrollWidth - innerWidth`); over > 0 {
					t.Errorf("%s: at %d px the page is %d px too wide", state, size[0], over)
				}
				if dir := os.Getenv(pictures); dir != "" {
					save(t, b, filepath.Join(dir, fmt.Sprintf("%s-%d-%s.png", state, size[0], theme)), true)
				}
			}
		}
		b.Do(chromedp.EmulateViewport(desktop[0], desktop[1]))
	})
}

// longNames has the device have files with names that are hard to show.
const longNames = `(async () => {
	for (const name of ["مرحبا بالعالم.txt", "a-name-without-a-space-that-goes-on-and-on-for-more-than-a-line-of-a-phone.csv", "old.txt"]) {
		await fetch("/files/" + encodeURIComponent(name), { method: "PUT", body: "x" });
	}
	await fetch("/files/a-folder-without-a-space-in-its-name-that-goes-on-and-on?mkdir", { method: "POST" });
	return true;
})()`

// eachState calls f with the page in each of the states.
func eachState(t *testing.T, f func(b *browsertest.Tab, state string)) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/#enter", `!document.getElementById("enter").hidden`)
	click := func(selector string) { browsertest.JS[any](b, "document.querySelector(`"+selector+"`).click(), null") }

	click("#enter-go")
	b.Until(`document.querySelectorAll("#enter .note.bad:not(:empty)").length === 3`)
	f(b, "setup with errors")
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin" && document.activeElement.id === "main"`)

	show(b, "settings")
	b.Until(`!document.getElementById("groups").inert`)
	fill(b, "set-name", "ثرموستات")
	click("#save")
	b.Until(`document.getElementById("settings-note").textContent === "Saved." && document.getElementById("name").textContent === "ثرموستات"`)
	fill(b, "set-alarm.low", "40")
	click("#save")
	b.Until(`document.getElementById("set-alarm.high").ariaInvalid === "true"`)
	f(b, "settings with an error")
	wantShapes(b)
	click("#undo")

	show(b, "actions")
	click(`[data-action="reboot"]`)
	b.Until(`document.getElementById("ask").open`)
	f(b, "actions with a question")
	click("#ask [value='']")

	browsertest.Async[bool](b, longNames)
	show(b, "files")
	click(`[data-name="old.txt"] button:last-child`)
	b.Until(`document.activeElement.id === "files-undo"`)
	click(`[data-name^="a-name"] button`)
	b.Until(`document.querySelectorAll(".name-form").length === 1`)
	browsertest.JS[any](b, `document.querySelector(".name-form input").value = "x/y", null`)
	click(".name-form .primary")
	b.Until(`document.querySelector(".name-form input").ariaInvalid === "true"`)
	f(b, "files with forms")
	click(`[data-name^="مرحبا"] button:last-child`)
	b.Until(`document.getElementById("files-deleted").textContent === "\u2068مرحبا بالعالم.txt\u2069 is deleted."`)

	show(b, "people")
	click("#user-form .button")
	click("#password-form .button")
	browsertest.JS[any](b, `document.querySelector("#token-form [name=name]").value = "abcdefghijklmnopqrstuvwxyz-.-123", null`)
	click("#token-form > .buttons .button")
	b.Until(`document.querySelectorAll("#token-made code").length === 1 && document.querySelectorAll("#people [aria-invalid=true]").length === 4`)
	f(b, "access with errors")

	show(b, "logs")
	fill(b, "log-text", "in no line")
	b.Until(`!document.querySelector("#logs .nothing").hidden`)
	f(b, "logs without a line")

	show(b, "overview")
	browsertest.JS[any](b, `document.getElementById("newer").hidden = false, null`)
	b.Do(chromedp.EmulateViewport(narrow[0], narrow[1]))
	b.Until(`document.getElementById("menu").checkVisibility()`)
	click("#menu")
	f(b, "overview with the menu")
	if err := p.Terminate(patience); err != nil {
		t.Fatal(err)
	}
	b.Until(`!document.getElementById("banner").hidden`)
	f(b, "link down")
	b.Do(chromedp.Reload())
	b.UntilReloaded(`document.getElementById("offline")?.hidden === false`)
	f(b, "offline")
}

// wantShapes fails if, where the system chooses the colours, the section that is shown and a wrong
// field look as others do.
func wantShapes(b *browsertest.Tab) {
	set := func(value string) {
		_, err := chromedp.Call(b.Context, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "forced-colors", Value: value}}})
		if err != nil {
			panic(err)
		}
	}
	set("active")
	defer set("none")
	b.Until(`getComputedStyle(document.querySelector("#tabs [aria-current]")).outlineStyle === "solid"`)
	b.Until(`getComputedStyle(document.querySelector("[aria-invalid=true]")).borderTopStyle === "dashed"`)
}
