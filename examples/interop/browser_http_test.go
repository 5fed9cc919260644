package interop

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"image"
	"image/png"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A site serves the files of a directory, and notes what a browser asks for.
type site struct {
	url string
	m   *mgr.Manager

	mu       sync.Mutex
	accepted int
	answers  []sent
}

type sent struct {
	path, asked string // asked is the Range field
	status      int
	bytes       int64
}

func serveDir(t *testing.T, p mgr.Poller, dir string, o http.FileOptions) *site {
	t.Helper()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	s := &site{m: m}
	l, err := http.Listen(m, "http://127.0.0.1:0", func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Accept:
			s.mu.Lock()
			s.accepted++
			s.mu.Unlock()
		case *http.Message:
			a := sent{path: string(ev.Path), asked: string(ev.Header("Range"))}
			http.OnReply(c, func(status int, bytes int64) {
				a.status, a.bytes = status, bytes
				s.mu.Lock()
				s.answers = append(s.answers, a)
				s.mu.Unlock()
			})
			http.ServeDir(c, ev, root, o)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	s.url = "http://" + l.LocalAddr().String() + "/"
	ran := make(chan error, 1)
	go func() { ran <- m.Run(context.Background()) }()
	t.Cleanup(func() {
		m.Close()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		root.Close()
	})
	return s
}

// told returns the answers with that status so far.
func (s *site) told(status int) (list []sent) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range s.answers {
		if a.status == status {
			list = append(list, a)
		}
	}
	return list
}

func (s *site) connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

func write(t *testing.T, dir, name string, data []byte) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
		t.Fatal(err)
	}
}

const assets = 100

// writePage makes a page of 100 assets: images, scripts and style sheets, each of which shows that
// it has arrived whole.
func writePage(t *testing.T, dir string) {
	var head, body strings.Builder
	for i := range assets {
		switch i % 3 {
		case 0:
			var b bytes.Buffer
			if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 10+i, 10))); err != nil {
				t.Fatal(err)
			}
			write(t, dir, fmt.Sprintf("%d.png", i), b.Bytes())
			fmt.Fprintf(&body, `<img id="i%d" src="%d.png">`, i, i)
		case 1:
			filler := strings.Repeat("// some code that does nothing\n", 100*(i+1)) // of the last, 300 kB: by sendfile
			write(t, dir, fmt.Sprintf("%d.js", i), []byte(filler+"window.scripts = (window.scripts || 0) + 1;"))
			fmt.Fprintf(&head, `<script src="%d.js" defer></script>`, i)
		case 2:
			write(t, dir, fmt.Sprintf("%d.css", i), fmt.Appendf(nil, "#i%d { border-left: %dpx solid }", i-2, i))
			fmt.Fprintf(&head, `<link rel="stylesheet" href="%d.css">`, i)
		}
	}
	write(t, dir, "index.html", []byte(`<!doctype html><meta charset="utf-8"><title>assets</title><link rel="icon" href="0.png">`+
		head.String()+"<body>"+body.String()))
}

// arrived counts what a page has of its assets.
const arrived = `(window.scripts || 0) + [...document.images].filter((i) => i.complete && i.naturalWidth === 10 + Number(i.id.slice(1))).length +
	[...document.images].filter((i) => getComputedStyle(i).borderLeftWidth === (Number(i.id.slice(1)) + 2) + "px").length`

// A browser loads a page of 100 assets over the few connections that it opens, and from its cache
// when it comes again.
func testPageOf100Assets(t *testing.T, browser context.Context) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			dir := t.TempDir()
			writePage(t, dir)
			s := serveDir(t, p, dir, http.FileOptions{CacheControl: "no-cache"})
			tab, cancel := chromedp.NewContext(browser)
			defer cancel()
			ctx, stop := context.WithTimeout(tab, 2*patience)
			defer stop()
			for visit := range 2 {
				// Navigate returns after the load event: all is there, or has failed.
				if err := chromedp.Do(ctx, chromedp.Navigate(s.url)); err != nil {
					t.Fatal(err)
				}
				n, err := chromedp.Run(ctx, chromedp.Evaluate[int](arrived))
				if err != nil || n != assets {
					t.Fatalf("visit %d: %d assets, %v", visit, n, err)
				}
			}
			if n := len(s.told(200)); n < assets+1 || n > assets+3 {
				t.Errorf("%d files went out whole", n) // the page and its assets; the icon is one of them, or asked for twice
			}
			if n := len(s.told(304)); n < assets {
				t.Errorf("%d of %d assets were confirmed as unchanged", n, assets)
			}
			if n := s.connections(); n > 12 {
				t.Errorf("%d connections", n) // a browser opens six to a host, and now and then one in advance
			}
		})
	}
}

// writeSound makes an hour of silence: a WAV file of 8-bit samples, most of it a hole on the disk.
func writeSound(t *testing.T, dir string) (size int64) {
	const rate, seconds = 8000, 3600
	const data = rate * seconds
	var b bytes.Buffer
	b.WriteString("RIFF")
	binary.Write(&b, binary.LittleEndian, uint32(36+data))
	b.WriteString("WAVEfmt ")
	for _, x := range []any{uint32(16), uint16(1), uint16(1), uint32(rate), uint32(rate), uint16(1), uint16(8)} {
		binary.Write(&b, binary.LittleEndian, x)
	}
	b.WriteString("data")
	binary.Write(&b, binary.LittleEndian, uint32(data))
	size = int64(b.Len()) + data
	write(t, dir, "hour.wav", b.Bytes())
	if err := os.Truncate(filepath.Join(dir, "hour.wav"), size); err != nil {
		t.Fatal(err)
	}
	return size
}

const player = `<!doctype html><title>player</title><video id="v" muted preload="metadata" src="hour.wav"></video><script>
const v = document.getElementById("v");
const next = (what) => new Promise((done, fail) => {
	v.addEventListener(what, done, { once: true });
	v.addEventListener("error", () => fail(new Error(what + ": " + v.error.message)), { once: true });
});
async function seek(part) {
	const there = next("seeked");
	v.currentTime = v.duration * part;
	await there;
	return Math.round(v.currentTime / v.duration * 100);
}
async function watch() {
	if (v.readyState < 1) await next("loadedmetadata");
	const playing = next("timeupdate");
	await v.play();
	await playing;
}
</script>`

// A browser that plays a large file asks for ranges of it: it seeks without waiting for what lies
// between, and goes on where it was when its connection has been cut.
func testSeekAndResume(t *testing.T, browser context.Context) {
	for _, p := range []mgr.Poller{mgr.Epoll, mgr.Select} {
		t.Run(p.String(), func(t *testing.T) {
			dir := t.TempDir()
			size := writeSound(t, dir)
			write(t, dir, "index.html", []byte(player))
			// At 4 MB/s the whole would take 7 s: a place far away is not there yet.
			s := serveDir(t, p, dir, http.FileOptions{BytesPerSecond: 4 << 20})
			tab, cancel := chromedp.NewContext(browser)
			defer cancel()
			ctx, stop := context.WithTimeout(tab, 2*patience)
			defer stop()
			if err := chromedp.Do(ctx, chromedp.Navigate(s.url)); err != nil {
				t.Fatal(err)
			}
			if _, err := chromedp.Run(ctx, chromedp.Evaluate[any](`watch().then(() => "ok")`, chromedp.EvalAwaitPromise)); err != nil {
				t.Fatal(err)
			}
			for i, percent := range []int{90, 40, 97, 10} {
				if i == 2 { // the network breaks
					if err := s.m.Broadcast(func(c *conn.Conn) {
						if !c.IsListener() {
							c.Close()
						}
					}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := chromedp.Run(ctx, chromedp.Evaluate[int](fmt.Sprintf(`seek(%d / 100)`, percent), chromedp.EvalAwaitPromise))
				if err != nil || got != percent {
					t.Fatalf("seek to %d%%: %d%%, %v", percent, got, err)
				}
			}
			if err := chromedp.Do(ctx, chromedp.Navigate("about:blank")); err != nil {
				t.Fatal(err)
			}
			s.wantRanges(t, size, 0, 90, 40, 97)
		})
	}
}

// wantRanges wants 206s that begin near these percentages of a file, and nothing but 206s of it.
func (s *site) wantRanges(t *testing.T, size int64, percents ...int64) {
	t.Helper()
	begun := func(list []sent, percent int64) bool {
		return slices.ContainsFunc(list, func(a sent) bool {
			var from int64
			n, _ := fmt.Sscanf(a.asked, "bytes=%d-", &from)
			return n == 1 && from*100/size <= percent && percent <= from*100/size+1
		})
	}
	for _, want := range percents {
		list := s.told(206)
		for range 100 { // a reply is noted when the player has given it up
			if begun(list, want) {
				break
			}
			time.Sleep(50 * time.Millisecond)
			list = s.told(206)
		}
		if !begun(list, want) {
			t.Errorf("no range from %d%% of %d bytes on: %v", want, size, list)
		}
	}
	for _, a := range s.told(200) {
		if a.path == "/hour.wav" {
			t.Errorf("%v", a)
		}
	}
}
