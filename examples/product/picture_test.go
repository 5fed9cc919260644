package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

// pictures is the directory that TestPictures writes to.
const pictures = "MANGUSTA_PICTURES"

// Makes the pictures of docs/product.md: MANGUSTA_PICTURES=docs/img go test -run TestPictures
// ./examples/product, from the repository's root. With MANGUSTA_PICTURES_ALL=1 it makes those of
// all sections, in each theme and width, for a look at the design.
func TestPictures(t *testing.T) {
	dir := os.Getenv(pictures)
	if dir == "" {
		t.Skip(pictures + " names no directory")
	}
	if !filepath.IsAbs(dir) {
		dir = filepath.Join("..", "..", dir)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	all := os.Getenv("MANGUSTA_PICTURES_ALL") != ""
	eachSection(t, func(b *browsertest.Tab, section string) {
		if section == "files" {
			browsertest.Async[bool](b, someFiles)
			show(b, "overview")
			show(b, "files")
		}
		for _, size := range [][2]int64{desktop, phone} {
			b.Do(chromedp.EmulateViewport(size[0], size[1]))
			for _, theme := range []string{"light", "dark"} {
				name := section + map[int64]string{desktop[0]: "-desktop-", phone[0]: "-phone-"}[size[0]] + theme + ".png"
				if !all && !ofDocs[name] {
					continue
				}
				b.Theme(theme)
				save(t, b, filepath.Join(dir, name), all)
			}
		}
	})
}

// someFiles puts a few files onto the device.
const someFiles = `(async () => {
	await fetch("/files/logos?mkdir", { method: "POST" });
	for (const [name, size] of [["floor-plan.svg", 48211], ["readings-2026-11.csv", 9183022], ["manual.pdf", 1843004]]) {
		await fetch("/files/" + name, { method: "PUT", body: new Uint8Array(size) });
	}
	return true;
})()`

// ofDocs are the pictures that docs/product.md shows.
var ofDocs = map[string]bool{
	"overview-desktop-light.png": true, "settings-desktop-dark.png": true, "network-phone-light.png": true,
	"files-phone-dark.png": true, "people-phone-light.png": true, "logs-desktop-dark.png": true,
}

// save writes a picture of the page, whole or as far as one sees it.
func save(t *testing.T, b *browsertest.Tab, path string, whole bool) {
	t.Helper()
	shot, err := chromedp.Call(b.Context, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: &whole})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, shot.Data, 0o644); err != nil {
		t.Fatal(err)
	}
	t.Logf("%s: %d bytes", path, len(shot.Data))
}
