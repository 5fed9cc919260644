package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

// From the first start to a change that another page sees.
func TestPageInABrowser(t *testing.T) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	url := "http://" + p.Addr + "/"
	b := browsertest.OpenUntil(t, chromium, url, `document.querySelectorAll("#readings .big:not(.na)").length === 8`) // the host and the clock have no values
	b.Until(`document.getElementById("status").dataset.link === "up" && !document.getElementById("setup-hint").hidden`)

	// Readings come live.
	before := browsertest.JS[string](b, `document.querySelector('[data-path="readings.uptime"]').textContent`)
	b.Until(`document.querySelector('[data-path="readings.uptime"]').textContent !== ` + "`" + before + "`")

	// Without an owner the form is there to be read.
	show(b, "settings")
	b.Until(`document.getElementById("set-name").value === "thermostat" && document.getElementById("set-name").disabled`)

	// Setup: a wrong code, then the right one. The browser itself puts refusals on the console.
	show(b, "enter")
	enter(b, "AAAA-AAAA")
	b.Until(`document.querySelector("#code-field .note.bad")?.textContent.includes("the code is wrong")`)
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	b.WantNoErrors("401", "/owner/setup")

	// A change, undone; one that is refused, beside its field; one that another page sees.
	other := browsertest.OpenUntil(t, chromium, url+"#settings", `document.getElementById("set-name")?.value === "thermostat"`)
	show(b, "settings")
	b.Until(`document.getElementById("set-name").value === "thermostat" && !document.getElementById("set-name").disabled`)
	fill(b, "set-name", "hall")
	b.Until(`!document.getElementById("save").disabled`)
	b.Do(chromedp.Click(chromedp.ID("undo")))
	b.Until(`document.getElementById("set-name").value === "thermostat" && document.getElementById("save").disabled`)
	fill(b, "set-alarm.low", "40")
	b.Do(chromedp.Click(chromedp.ID("save")))
	b.Until(`document.getElementById("set-alarm.high-note").textContent.includes("must be above the low threshold")`)
	b.Until(`document.activeElement.id === "set-alarm.high"`)
	fill(b, "set-alarm.low", "4")
	fill(b, "set-name", "hall")
	b.Do(chromedp.Click(chromedp.ID("save")))
	b.Until(`document.getElementById("settings-note").textContent === "Saved."`)
	other.Until(`document.getElementById("set-name").value === "hall" && document.getElementById("set-alarm.low").value === "4"`)

	// An action.
	show(b, "actions")
	b.Do(chromedp.Click(`[data-action="identify"]`))
	b.Until(`document.getElementById("action-note").textContent === "Identify: done."`)
	show(b, "overview")
	b.Until(`document.querySelector('[data-path="readings.identifying"]').textContent === "yes"`)

	show(b, "update")
	b.Until(`document.getElementById("update-state").textContent.startsWith("Updates are off")`)
	show(b, "about")
	b.Until(`[...document.querySelectorAll("#audit li")].some((li) => li.textContent.includes('name, "thermostat" → "hall"'))`)

	for _, section := range []string{"overview", "settings", "actions", "people", "update", "about"} {
		show(b, section)
		b.WantNoSidewaysScroll()
		b.WantContrast()
	}

	// A name that is no section leads to the first one.
	browsertest.JS[any](b, `location.hash = "#constructor", null`)
	b.Until(`!document.getElementById("overview").hidden && document.getElementById("about").hidden`)

	// Logged out, and in again. Nothing of what was shown stays in the page.
	show(b, "people")
	b.Until(`document.querySelectorAll("#users li").length === 1`)
	b.Do(chromedp.Click("#logout"))
	b.Until(`!document.getElementById("enter").hidden && document.getElementById("enter-title").textContent === "Log in"`)
	if left := browsertest.JS[string](b, `document.title + document.querySelector("header").textContent`); strings.Contains(left, "ann") || strings.Contains(left, "hall") {
		t.Errorf("after the logout the header still has %q", left)
	}
	if left := browsertest.JS[string](b, `[...document.querySelectorAll("#readings, #groups, #people, #about, #update, #actions")].map((n) => n.textContent).join("")`); left != "" {
		t.Errorf("after the logout the page still has %.200q", left)
	}
	enter(b, "")
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
}

// Before the login the page asks for nothing that the device would refuse, and for each thing once;
// it asks who is there before it has its modules.
func TestBeforeTheLogin(t *testing.T) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	setUp(t, "http://"+p.Addr, p.Said)
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/", `!document.getElementById("enter").hidden`)
	asked := browsertest.JS[[]string](b, `performance.getEntriesByType("resource").map((r) => r.initiatorType + " " + new URL(r.name).pathname).filter((s) => /\/(owner|api\/|hub|lang)/.test(s))`)
	slices.Sort(asked)
	if want := []string{"link /lang/en.json", "link /owner"}; !slices.Equal(asked, want) {
		t.Errorf("the page asks for %q, want %q", asked, want)
	}
	b.WantNoErrors()
}

// An update by the page: upload, reboot after a question, and the new version.
func TestUpdateInABrowser(t *testing.T) {
	chromium := browsertest.Start(t)
	s, started := startSlots(t, "auto")
	addr, said := started()
	b := browsertest.OpenUntil(t, chromium, "http://"+addr+"/#enter", `!document.getElementById("enter").hidden`)
	enter(b, codeIn.FindStringSubmatch(said)[1])
	b.Until(`document.getElementById("who").textContent === "ann, admin"`)
	show(b, "update")
	b.Until(`document.getElementById("update-state").textContent === "Version 1.0 runs from slot a: settled."`)
	program, sig := s.image("2.0")
	dir := t.TempDir()
	for name, text := range map[string][]byte{"image": program, "signature": sig} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		b.Do(chromedp.SetUploadFiles(chromedp.ID(name), []string{file}))
	}
	b.Do(chromedp.Click(chromedp.ID("send")))
	b.Until(`document.getElementById("update-note").textContent === "Version 2.0 is ready. Restart the device to try it."`)
	show(b, "actions")
	b.Do(chromedp.Click(`[data-action="reboot"]`), chromedp.Click("#ask-yes"))
	addr, _ = started()
	ann := newBrowser(t, "http://"+addr)
	ann.want(200, "", "POST", "/owner/login", `{"name": "ann", "password": "correct horse"}`)
	ann.want(200, `"running":{"version":"2.0"`, "GET", "/update", "")
}

// show goes to a section, and waits until it has its contents.
func show(b *browsertest.Tab, section string) {
	browsertest.JS[any](b, `location.hash = "#`+section+`", null`)
	b.Until(`(({ hidden, ariaBusy }) => !hidden && ariaBusy !== "true")(document.getElementById("` + section + `"))`)
}

// fill types into a field as a person does, as far as the page can tell.
func fill(b *browsertest.Tab, id, value string) {
	browsertest.JS[any](b, `(() => {
		const field = document.getElementById("`+id+`");
		field.value = "`+value+`";
		field.dispatchEvent(new Event("input", { bubbles: true }));
		return null;
	})()`)
}

// enter fills in the form of the setup or the login, and sends it.
func enter(b *browsertest.Tab, code string) {
	b.Until(`!document.getElementById("enter-go").disabled`)
	fill(b, "code", code)
	fill(b, "user", "ann")
	fill(b, "password", "correct horse")
	b.Do(chromedp.Click(chromedp.ID("enter-go")))
}
