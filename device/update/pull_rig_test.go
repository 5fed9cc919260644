package update

import (
	"bytes"
	"encoding/json"
	"log/slog"
	nethttp "net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// A depot is a server with a manifest and programs. before sees each request first, and reports
// whether it has replied.
type depot struct {
	t   *testing.T
	key *signer
	*httptest.Server

	mu     sync.Mutex
	files  map[string][]byte
	before func(w nethttp.ResponseWriter, r *nethttp.Request) bool
	asked  []string // paths, with the Range
}

func newDepot(t *testing.T, key *signer) *depot {
	d := &depot{t: t, key: key, files: map[string][]byte{}}
	d.Server = httptest.NewServer(nethttp.HandlerFunc(d.serve))
	d.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	t.Cleanup(d.Close)
	return d
}

func (d *depot) serve(w nethttp.ResponseWriter, r *nethttp.Request) {
	d.mu.Lock()
	ask := r.URL.Path
	if v := r.Header.Get("Range"); v != "" {
		ask += " " + v
	}
	d.asked = append(d.asked, ask)
	before, file, ok := d.before, d.files[r.URL.Path], false
	_, ok = d.files[r.URL.Path]
	d.mu.Unlock()
	if before != nil && before(w, r) {
		return
	}
	if !ok {
		nethttp.NotFound(w, r)
		return
	}
	nethttp.ServeContent(w, r, "", time.Time{}, bytes.NewReader(file))
}

func (d *depot) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// offer puts up a program; change may spoil the manifest, and text what is signed as such.
func (d *depot) offer(version string, program []byte, change func(m map[string]any), text func([]byte) []byte) {
	d.t.Helper()
	m := map[string]any{"version": version, "board": "box", "url": "box-" + version, "size": len(program), "minisig": "box-" + version + ".minisig"}
	if change != nil {
		change(m)
	}
	doc, err := json.Marshal(m)
	if err != nil {
		d.t.Fatal(err)
	}
	if text != nil {
		doc = text(doc)
	}
	d.set(func() {
		d.files["/box-"+version] = program
		d.files["/box-"+version+".minisig"] = d.key.version(program, version)
		d.files["/manifest.json"] = doc
		d.files["/manifest.json.minisig"] = d.key.sign(doc, "manifest")
	})
}

// A fetcher is a device that pulls.
type fetcher struct {
	t     *testing.T
	m     *machine
	u     *Updater
	loop  *mgr.Manager
	p     *Puller
	ready []Image
	mu    sync.Mutex
	seen  []string // states of the Puller
	stop  func()
}

// startFetcher boots version 1.0 and its Puller, which looks only when it is asked.
func startFetcher(t *testing.T, poller mgr.Poller, m *machine, d *depot, change ...func(*PullOptions)) *fetcher {
	t.Helper()
	f := &fetcher{t: t, m: m}
	u, _, err := m.boot("a", func(o *Options) {
		o.MaxSize = 4 << 20
		o.Progress = func(s Status) {
			if s.Pull == nil {
				return
			}
			f.mu.Lock()
			defer f.mu.Unlock()
			if now := string(s.Pull.State); len(f.seen) == 0 || f.seen[len(f.seen)-1] != now {
				f.seen = append(f.seen, now)
			}
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	f.u, f.loop = u, looptest.New(t, poller)
	o := PullOptions{URL: d.URL + "/manifest.json", Every: -1, pause: func(int) time.Duration { return time.Millisecond },
		Ready: func(i Image) { f.ready = append(f.ready, i) }}
	for _, g := range change {
		g(&o)
	}
	if f.p, err = u.Pull(f.loop, o); err != nil {
		t.Fatal(err)
	}
	f.stop = looptest.Run(t, f.loop)
	return f
}

// wait waits until the Puller is idle after what the test has done, and returns the Status.
func (f *fetcher) wait(what func(s Status) bool) Status {
	f.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		s := f.u.Status()
		if what(s) {
			return s
		}
		if time.Now().After(end) {
			f.t.Fatalf("%+v %+v", s, s.Pull)
		}
	}
}

// ask has the Puller look, and waits until it is idle again.
func (f *fetcher) ask() Status {
	f.t.Helper()
	asked := make(chan struct{})
	if err := f.loop.Do(func() { f.p.ask(true); close(asked) }); err != nil {
		f.t.Fatal(err)
	}
	<-asked
	return f.wait(func(s Status) bool { return s.Pull.State == PullIdle })
}

// wantReady wants the program of a version to be in the other slot, whole.
func (f *fetcher) wantReady(s Status, version string, program []byte) {
	f.t.Helper()
	if s.State != Ready || s.Next == nil || s.Next.Version != version || s.Pull.Error != "" {
		f.t.Errorf("%+v %+v", s, s.Pull)
	}
	got, err := os.ReadFile(filepath.Join(f.m.dir, "b"))
	if err != nil || !bytes.Equal(got, program) {
		f.t.Errorf("slot b has %d bytes, %v", len(got), err)
	}
}

// wantRefused wants an error with text in it, and the slots as they were.
func (f *fetcher) wantRefused(s Status, text string) {
	f.t.Helper()
	if s.State == Ready || !strings.Contains(s.Pull.Error, text) {
		f.t.Errorf("%v %q, want %q", s.State, s.Pull.Error, text)
	}
	if got, err := os.ReadFile(filepath.Join(f.m.dir, "b")); string(got) != "an old one" {
		f.t.Errorf("slot b has %.40q, %v", got, err)
	}
}

func (d *depot) requests() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.asked, "; ")
}

func newPull(t *testing.T, p mgr.Poller, change ...func(*PullOptions)) (*depot, *fetcher) {
	t.Helper()
	key := newSigner(t)
	d := newDepot(t, key)
	return d, startFetcher(t, p, newMachine(t, disk.OS, t.TempDir(), key), d, change...)
}

var twoZero = bytes.Repeat([]byte("version two "), 100_000)

func redirect(from, to string) func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
		if r.URL.Path != from {
			return false
		}
		nethttp.Redirect(w, r, to, 302)
		return true
	}
}
