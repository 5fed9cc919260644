package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

// marked puts the words of each language between ⟦ and ⟧ on their way to the page.
const marked = `(() => {
	const get = window.fetch;
	window.fetch = async (what, init) => {
		const r = await get(what, init);
		if (!String(what).startsWith("lang/")) return r;
		const words = await r.json();
		for (const key of Object.keys(words)) words[key] = "⟦" + words[key] + "⟧";
		return new Response(JSON.stringify(words));
	};
})()`

// unmarked lists the words that a reader sees or hears, and that are not of a language. Text
// with translate="no" is data.
const unmarked = `(() => {
	const bad = new Set();
	const look = (text, n, what) => {
		let rest = text;
		for (let before; before !== rest;) [before, rest] = [rest, rest.replace(/⟦[^⟦⟧]*⟧/g, " ")]; // one may be in another
		rest = rest.replace(/\d[\d.,]*\s\p{L}+\.?/gu, " "); // of Intl
		if (/\p{L}{2}/u.test(rest) && !n.closest("[translate=no], noscript, script, style")) bad.add(what + ": " + text.trim().slice(0, 80));
	};
	const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
	while (walk.nextNode()) {
		const n = walk.currentNode.parentElement;
		if (n.checkVisibility()) look(walk.currentNode.data, n, n.tagName);
	}
	for (const name of ["aria-label", "placeholder", "title", "alt"]) {
		for (const n of document.querySelectorAll("[" + name + "]")) if (n.checkVisibility()) look(n.getAttribute(name), n, name);
	}
	return [...bad];
})()`

// Every word of every section is from the file of the language. In German the texts of the
// declaration are, too.
func TestEveryWordIsOfALanguage(t *testing.T) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/nothing", "true")
	if _, err := chromedp.Call(b.Context, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: marked}); err != nil {
		t.Fatal(err)
	}
	browsertest.JS[any](b, `localStorage.setItem("lang", "de"), null`)
	look := func(section string) {
		t.Helper()
		for _, text := range browsertest.JS[[]string](b, unmarked) {
			t.Errorf("%s: %s", section, text)
		}
	}
	b.Do(chromedp.Navigate("http://" + p.Addr + "/"))
	b.Until(`document.querySelectorAll("#readings .big:not(.na)").length >= 7`)
	look("overview")
	show(b, "enter")
	look("enter")
	enter(b, codeIn.FindStringSubmatch(p.Said)[1])
	b.Until(`document.getElementById("who").textContent.includes("ann, ")`)
	for _, section := range sectionsOfOwner {
		show(b, section)
		look(section)
	}
}

// The page speaks the language of the browser, and another one after a choice.
func TestLanguages(t *testing.T) {
	chromium := browsertest.Start(t)
	p := start(t, t.TempDir(), "auto")
	setUp(t, "http://"+p.Addr, p.Said)
	b := browsertest.OpenUntil(t, chromium, "http://"+p.Addr+"/nothing", "true")
	b.Languages("de-DE,de,en")
	b.Do(chromedp.Navigate("http://" + p.Addr + "/"))
	said := func(lang, title string) {
		t.Helper()
		b.UntilReloaded(fmt.Sprintf(`document.documentElement.lang === %q && document.getElementById("enter-title")?.textContent === %q`, lang, title))
	}
	said("de", "Anmelden")
	b.Do(chromedp.Click(chromedp.ID("enter-go")))
	b.Until(`document.querySelector("#user ~ .note").textContent === "Das wird gebraucht."`) // the browser itself speaks English
	fill(b, "user", "ann")
	fill(b, "password", "wrong horse")
	b.Do(chromedp.Click(chromedp.ID("enter-go")))
	b.Until(`document.getElementById("enter-error").textContent === "Der Name oder das Passwort ist falsch."`)
	fill(b, "password", "correct horse")
	b.Do(chromedp.Click(chromedp.ID("enter-go")))
	b.Until(`document.getElementById("who").textContent === "ann, Admin"`)
	b.Until(`/^\d+,?\d*\u2009°C$/.test(document.querySelector('[data-path="readings.temperature"]')?.textContent)`)
	show(b, "settings")
	b.Until(`document.querySelector('label[for="set-target"]').textContent === "Sollwert (°C)"`)
	fill(b, "set-interval", "5")
	b.Do(chromedp.Click(chromedp.ID("save")))
	b.Until(`document.getElementById("set-interval-note").textContent === "Intervall: muss 200 bis 10.000 ms sein"`)
	b.Do(chromedp.Click(chromedp.ID("undo")))

	browsertest.JS[any](b, `document.getElementById("lang").value = "en", document.getElementById("lang").dispatchEvent(new Event("change")), null`)
	b.UntilReloaded(`document.documentElement.lang === "en" && document.querySelector('label[for="set-target"]')?.textContent === "Target (°C)"`)
	b.Do(chromedp.Reload())
	b.UntilReloaded(`document.documentElement.lang === "en" && document.getElementById("who")?.textContent === "ann, admin"`)
	if got := browsertest.JS[string](b, `document.querySelector('nav a[href="#people"]').textContent`); !strings.Contains(got, "Access") {
		t.Errorf("the section is %q", got)
	}
}
