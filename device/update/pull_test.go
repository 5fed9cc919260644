package update

import (
	"bytes"
	"fmt"
	"io"
	nethttp "net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestPull(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		d, f := newPull(t, p)
		f.wantRefused(f.ask(), "status 404")
		d.offer("1.0", twoZero, nil, nil)
		f.wantRefused(f.ask(), "") // it runs already
		d.offer("2.0", twoZero, nil, nil)
		f.wantReady(f.ask(), "2.0", twoZero)
		d.set(func() { d.asked = nil })
		f.wantReady(f.ask(), "2.0", twoZero)
		if got := d.requests(); got != "/manifest.json; /manifest.json.minisig" {
			t.Errorf("it is ready, and %s was fetched", got)
		}
		f.stop()
		if fmt.Sprint(f.ready) != "[{2.0 box}]" {
			t.Errorf("ready: %v", f.ready)
		}
		if got := strings.Join(f.seen, " "); !strings.HasSuffix(got, "idle asking receiving idle asking idle") {
			t.Errorf("it was %s", got)
		}
		if u, next, err := f.m.boot("a"); u != nil || next != "b" {
			t.Errorf("the next start is %q, %v", next, err)
		}
	})
}

// An old manifest, sent again, does not take the place of an update that is ready; a newer one does.
func TestPullKeepsTheNewestThatIsReady(t *testing.T) {
	d, f := newPull(t, mgr.Auto)
	three, four := bytes.ToUpper(twoZero), bytes.Repeat([]byte("4"), 1000)
	d.offer("3.0", three, nil, nil)
	f.wantReady(f.ask(), "3.0", three)
	d.offer("2.0", twoZero, nil, nil)
	f.wantReady(f.ask(), "3.0", three)
	d.offer("4.0", four, nil, nil)
	f.wantReady(f.ask(), "4.0", four)
}

func TestPullOfAnInlineSignature(t *testing.T) {
	d, f := newPull(t, mgr.Auto)
	d.offer("2.0", twoZero, func(m map[string]any) { m["minisig"] = string(d.key.version(twoZero, "2.0")) }, nil)
	f.wantReady(f.ask(), "2.0", twoZero)
}

// Each of these is refused, and changes nothing.
func TestPullRefuses(t *testing.T) {
	other := newSigner(t)
	for name, tt := range map[string]struct {
		offer func(d *depot)
		want  string
	}{
		"another board":  {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["board"] = "fridge" }, nil) }, ErrBoard.Error()},
		"a wrong size":   {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["size"] = len(twoZero) - 1 }, nil) }, ErrSize.Error()},
		"a larger size":  {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["size"] = len(twoZero) + 1 }, nil) }, ErrSize.Error()},
		"a huge program": {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["size"] = int64(1) << 40 }, nil) }, ErrSize.Error()},
		"no size":        {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["size"] = 0 }, nil) }, ErrSize.Error()},
		"an older version": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/box-2.0.minisig"] = d.key.version(twoZero, "0.9")
		}, "it is of version 0.9, and the manifest of 2.0"},
		"the signature of another key": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/box-2.0.minisig"] = other.version(twoZero, "2.0")
		}, ErrSignature.Error()},
		"another program": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/box-2.0"] = bytes.ToUpper(twoZero)
		}, ErrSignature.Error()},
		"a program for another board": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/box-2.0.minisig"] = d.key.sign(twoZero, "version=2.0 board=fridge")
		}, ErrBoard.Error()},
		"a manifest of another key": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/manifest.json.minisig"] = other.sign(d.files["/manifest.json"], "manifest")
		}, ErrManifest.Error()},
		"another manifest": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/manifest.json"] = append(d.files["/manifest.json"], ' ')
		}, ErrManifest.Error()},
		"the signature of a program for the manifest": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/manifest.json.minisig"] = d.key.version(d.files["/manifest.json"], "2.0")
		}, "no word \"manifest\""},
		"a manifest that is no JSON": {func(d *depot) { d.offer("2.0", twoZero, nil, func([]byte) []byte { return []byte("<html>") }) }, ErrManifest.Error()},
		"a manifest without a URL":   {func(d *depot) { d.offer("2.0", twoZero, func(m map[string]any) { m["url"] = "" }, nil) }, "it needs version, board, url"},
		"a huge manifest": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["x"] = strings.Repeat("x", maxManifest) }, nil)
		}, http.ErrLongBody.Error()},
		"a huge signature": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.files["/box-2.0.minisig"] = bytes.Repeat([]byte("x"), maxSignature+1)
		}, http.ErrLongBody.Error()},
		"a manifest that has expired": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["expires"] = "2020-01-01T00:00:00Z" }, nil)
		}, "it has expired"},
		"a URL on another host": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["url"] = "http://192.0.2.1/admin" }, nil)
		}, ErrElsewhere.Error() + ": 192.0.2.1:80"},
		"a signature on another host": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["minisig"] = "//localhost/x" }, nil)
		}, ErrElsewhere.Error()},
		"a URL that is none": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["url"] = "file:///etc/passwd" }, nil)
		}, "the scheme is not http or https"},
		"a manifest that leads to itself": {func(d *depot) {
			d.offer("2.0", twoZero, func(m map[string]any) { m["url"] = "manifest.json" }, nil)
		}, ErrSize.Error()},
		"a redirect to another host": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.before = redirect("/box-2.0", "http://192.0.2.1/box-2.0")
		}, ErrElsewhere.Error()},
		"a manifest on another host": {func(d *depot) {
			d.before = redirect("/manifest.json", "http://192.0.2.1/manifest.json")
		}, ErrElsewhere.Error()},
		"redirects without an end": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.before = redirect("/manifest.json", "/manifest.json")
		}, "more than 5 redirects"},
		"an encoded program": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
				w.Header().Set("Content-Encoding", "br")
				return false
			}
		}, ErrTransfer.Error()},
		"a program without an end": {func(d *depot) {
			d.offer("2.0", twoZero, nil, nil)
			d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
				for r.URL.Path == "/box-2.0" {
					if _, err := w.Write(twoZero); err != nil {
						return true
					}
				}
				return false
			}
		}, ErrSize.Error()},
		"a manifest that stalls": {func(d *depot) {
			d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
				<-r.Context().Done()
				return true
			}
		}, http.ErrFirstByteTimeout.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			d, f := newPull(t, mgr.Auto, func(o *PullOptions) {
				if name == "a manifest that stalls" {
					o.Client.FirstByteTimeout = 50 * time.Millisecond
				}
			})
			tt.offer(d)
			d.set(func() {}) // the server sees what offer has done
			s := f.ask()
			f.wantRefused(s, tt.want)
			if n := len(d.requests()); n > 500 {
				t.Errorf("so many requests: %s", d.requests())
			}
			// It can still be mended.
			d.set(func() { d.before = nil })
			d.offer("2.1", twoZero, nil, nil)
			f.wantReady(f.ask(), "2.1", twoZero)
		})
	}
}

// A redirect to a host that is allowed is followed.
func TestPullFollowsAllowedRedirects(t *testing.T) {
	key := newSigner(t)
	mirror := newDepot(t, key)
	d := newDepot(t, key)
	at, err := url.Parse(mirror.URL)
	if err != nil {
		t.Fatal(err)
	}
	f := startFetcher(t, mgr.Auto, newMachine(t, disk.OS, t.TempDir(), key), d, func(o *PullOptions) { o.Hosts = []string{"localhost"} })
	mirror.offer("2.0", twoZero, nil, nil)
	d.offer("2.0", twoZero, nil, nil)
	d.set(func() { d.before = redirect("/box-2.0", "http://localhost:"+at.Port()+"/box-2.0") })
	f.wantReady(f.ask(), "2.0", twoZero)
	if mirror.requests() != "/box-2.0" {
		t.Error(mirror.requests())
	}
}

// The time between two looks is Every, a tenth more or less, and so short after the start that the
// first one comes.
func TestPullLooksByItself(t *testing.T) {
	d, f := newPull(t, mgr.Auto, func(o *PullOptions) { o.Every = 20 * time.Millisecond })
	f.wait(func(s Status) bool { return strings.Contains(s.Pull.Error, "404") })
	d.offer("2.0", twoZero, nil, nil)
	f.wantReady(f.wait(func(s Status) bool { return s.State == Ready && s.Pull.State == PullIdle && s.Pull.Error == "" }), "2.0", twoZero)
}

// A version that was rolled back is not fetched again by itself: it would be tried and rolled back
// for ever. A person may.
func TestPullLeavesAVersionThatHasFailed(t *testing.T) {
	key := newSigner(t)
	d := newDepot(t, key)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	d.offer("2.0", twoZero, nil, nil)
	f := startFetcher(t, mgr.Auto, m, d)
	f.wantReady(f.ask(), "2.0", twoZero)
	f.stop()
	if _, next, err := m.boot("a"); next != "b" || err != nil {
		t.Fatal(next, err)
	}
	for range 2 { // it crashes; the device is restarted after that
		u, _, err := m.boot("a")
		if err != nil || u.Status().Failed != "2.0" {
			t.Fatalf("%+v %v", u.Status(), err)
		}
	}
	f = startFetcher(t, mgr.Auto, m, d, func(o *PullOptions) { o.Every = 20 * time.Millisecond })
	f.wait(func(s Status) bool { return strings.Contains(s.Pull.Error, ErrFailedBefore.Error()) })
	f.wantReady(f.ask(), "2.0", twoZero)
	f.stop()
	if _, next, _ := m.boot("a"); next != "b" {
		t.Fatal(next)
	}
	u, _, err := m.boot("b")
	if err != nil {
		t.Fatal(err)
	}
	if err := u.Confirm(); err != nil {
		t.Fatal(err)
	}
	if s := u.Status(); s.Failed != "" || u.dir.failed() != "" {
		t.Errorf("%+v: it works now", s)
	}
}

// A person who sends an update goes before the Puller.
func TestAPersonGoesBeforeThePuller(t *testing.T) {
	d, f := newPull(t, mgr.Auto)
	d.offer("2.0", twoZero, nil, nil)
	mine := bytes.Repeat([]byte("mine"), 1000)
	if _, err := f.u.Begin(d.key.version(mine, "3.0"), int64(len(mine)), false); err != nil {
		t.Fatal(err)
	}
	if s := f.ask(); s.Pull.Error != ErrBusy.Error() {
		t.Errorf("%+v", s.Pull)
	}
	if _, err := f.u.Write(mine[:100]); err != nil {
		t.Fatal(err)
	}
	if err := f.u.Abort(); err != nil {
		t.Fatal(err)
	}
	// In the middle of a transfer.
	began := make(chan struct{})
	d.set(func() {
		d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
			if r.URL.Path != "/box-2.0" {
				return false
			}
			w.Header().Set("Content-Length", fmt.Sprint(len(twoZero)))
			w.Write(twoZero[:1000])
			w.(nethttp.Flusher).Flush()
			<-began
			w.Write(twoZero[1000:])
			return true
		}
	})
	if err := f.p.Ask(); err != nil {
		t.Fatal(err)
	}
	f.wait(func(s Status) bool { return s.Offset > 0 })
	offset, err := f.u.Begin(d.key.version(mine, "3.0"), int64(len(mine)), false)
	if err != nil {
		t.Fatal(err)
	}
	close(began)
	f.wait(func(s Status) bool { return s.Pull.State == PullIdle })
	for rest := mine[offset:]; len(rest) > 0; {
		n, err := f.u.Write(rest)
		if err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if i, err := f.u.Finish(); err != nil || i.Version != "3.0" {
		t.Errorf("%v %v", i, err)
	}
}

func TestPullOptionsAreChecked(t *testing.T) {
	key := newSigner(t)
	u := newMachine(t, disk.OS, t.TempDir(), key).on()
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	for _, u2 := range []string{"", "nowhere", "ftp://x/y", "https://x/y", "http://user@x/y"} {
		if _, err := u.Pull(m, PullOptions{URL: u2}); err == nil {
			t.Errorf("%q was taken", u2)
		}
	}
	p, err := u.Pull(m, PullOptions{URL: "http://x/y?z=1"})
	if err != nil || p.sigAt.Text != "http://x/y.minisig?z=1" {
		t.Error(p, err)
	}
	p.Close()
	p.ask(true) // does nothing
}

func TestPullOverHTTP(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, poller mgr.Poller) {
		key := newSigner(t)
		d := newDepot(t, key)
		d.offer("2.0", twoZero, nil, nil)
		m := newMachine(t, disk.OS, t.TempDir(), key)
		var p *Puller
		s := serve(t, poller, m, func(u *Updater, loop *mgr.Manager, x *http.Mux) {
			var err error
			if p, err = u.Pull(loop, PullOptions{URL: d.URL + "/manifest.json", Every: -1}); err != nil {
				t.Fatal(err)
			}
			p.Mount(x, "/update/pull", looptest.Unless("Stranger"))
		})
		s.want(403, "", "POST", "/pull", nil, "Stranger", "1")
		s.want(403, "", "POST", "/pull", nil, "Origin", "https://evil.example")
		s.want(202, "settled 0 ", "POST", "/pull", nil)
		done := func(s Status) bool { return s.State == Ready && s.Pull.State == PullIdle }
		for end := time.Now().Add(time.Minute); !done(p.u.Status()); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%+v", p.u.Status())
			}
		}
		if _, text := s.ask("GET", "", io.MultiReader()); !strings.Contains(text, `"pull":{"state":"idle"`) {
			t.Error(text)
		}
	})
}
