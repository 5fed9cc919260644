package main

import (
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

// A session that ends in the middle of an edit takes nothing from its user: after the login the
// changes are back. Nobody else gets them, and nobody sees them meanwhile.
func TestASessionEndsDuringAnEdit(t *testing.T) {
	b, ann := openAsOwner(t, "settings")
	b.Until(`document.getElementById("set-name").value === "thermostat"`)
	edit := func() {
		t.Helper()
		fill(b, "set-name", "hall")
		fill(b, "set-target", "18")
		fill(b, "set-network.password", "not to be kept")
		browsertest.JS[any](b, `document.getElementById("set-led.on").click(), null`)
		ann.want(200, "", "PUT", "/owner/users/bob", `{"role": "user", "password": "correct horse"}`)
		endSessions(t, ann)
		b.Until(`!document.getElementById("enter").hidden && document.getElementById("groups").textContent === ""`)
	}
	logIn := func(name string) {
		t.Helper()
		b.Until(`!document.getElementById("enter-go").disabled`)
		fill(b, "user", name)
		fill(b, "password", "correct horse")
		b.Do(chromedp.Click(chromedp.ID("enter-go")))
		b.Until(`document.getElementById("who").textContent.startsWith("` + name + `, ")`)
		show(b, "settings")
		b.Until(`document.getElementById("groups").inert === false`)
	}
	const values = `["set-name", "set-target", "set-network.password"].map((id) => document.getElementById(id).value).join() + document.getElementById("set-led.on").checked`
	edit()
	logIn("ann")
	if got := browsertest.JS[string](b, values); got != "hall,18,false" {
		t.Errorf("after the login the fields have %q", got)
	}
	b.Until(`!document.getElementById("save").disabled`)

	edit()
	logIn("bob")
	if got := browsertest.JS[string](b, values); got != "thermostat,21,true" {
		t.Errorf("another user gets %q", got)
	}
	b.Until(`document.getElementById("save").disabled`)
}

// endSessions ends all sessions of ann but the one of c.
func endSessions(t *testing.T, c *browser) {
	t.Helper()
	c.want(200, "", "PUT", "/owner/password", `{"old": "correct horse", "password": "correct horse"}`)
}

// noHub keeps the page from getting any message of the hub.
const noHub = `(() => {
	const get = window.fetch;
	window.fetch = (what, init) => String(what).startsWith("/hub") || String(what).includes("/hub?") ? Promise.reject(new TypeError()) : get(what, init);
	window.WebSocket = class { constructor() { throw new SyntaxError(); } };
})()`

// Until the values of the settings are known nobody can type into their fields: the values would take
// the place of what was typed.
func TestSettingsThatAreNotKnownYet(t *testing.T) {
	b, _ := openAsOwner(t, "about")
	if _, err := chromedp.Call(b.Context, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: noHub}); err != nil {
		t.Fatal(err)
	}
	b.Do(chromedp.Reload())
	b.UntilReloaded(`document.getElementById("who").textContent === "ann, admin"`)
	show(b, "settings")
	if !browsertest.JS[bool](b, `document.getElementById("set-name").focus(), document.activeElement.id !== "set-name" && document.getElementById("set-name").value === ""`) {
		t.Error("a field whose value is not known takes the focus")
	}
}
