package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/examples/internal/browsertest"
)

func TestThePageInABrowser(t *testing.T) {
	browser := browsertest.Start(t)
	tests := []struct {
		name string
		run  func(*testing.T, context.Context)
	}{
		{"screenshot", saveScreenshot},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) { tt.run(t, browser) })
	}
}

// saveScreenshot makes pictures of a busy server: MANGUSTA_SCREENSHOT names a directory for them.
func saveScreenshot(t *testing.T, browser context.Context) {
	dir := os.Getenv("MANGUSTA_SCREENSHOT")
	if dir == "" {
		t.Skip("MANGUSTA_SCREENSHOT names no directory")
	}
	p := start(t, "-limit", "100000")
	for range 3 {
		s := p.dial("topic=%23")
		go func() {
			for {
				if _, _, err := s.ReadMessage(); err != nil {
					return
				}
			}
		}()
	}
	p.dial("topic=camera/%23&topic=sensors/%2B/temperature") // reads nothing
	b := browsertest.Open(t, browser, p.url("/"))
	b.Do(chromedp.EmulateViewport(1280, 900))
	b.Until(`document.getElementById("published-value").textContent !== "–"`)
	frame := fmt.Sprintf(`"%0*d"`, 300_000, 0)
	for i := range 600 {
		p.publish("sensors/kitchen/temperature", fmt.Sprintf(`{"celsius": %.1f}`, 21+float64(i%30)/10))
		if i%3 == 0 {
			p.publish("sensors/garden/temperature", fmt.Sprintf(`{"celsius": %.1f, "humidity": %d}`, 9+float64(i%20)/10, 60+i%7))
		}
		if i%10 == 0 {
			p.publish("log/door", "the front door was opened")
			p.publish("camera/front", frame)
		}
		time.Sleep(time.Duration(10+i%200) * time.Millisecond) // the subject of the picture is a minute's curves
	}
	for _, theme := range []string{"light", "dark"} {
		b.Theme(theme)
		for name, width := range map[string]int64{"desktop": 1280, "phone": 375} {
			b.Do(chromedp.EmulateViewport(width, 800))
			b.Until(fmt.Sprintf(`innerWidth === %d`, width))
			png, err := chromedp.Run(b.Context, chromedp.FullScreenshot(100))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, theme+"-"+name+".png"), png, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	b.WantNoErrors()
}
