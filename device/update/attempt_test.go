package update

import (
	"bytes"
	"fmt"
	nethttp "net/http"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/device/internal/disk"
	"github.com/seed4930a636/mangusta/internal/looptest"
	"github.com/seed4930a636/mangusta/mgr"
)

// cut serves a file, and cuts each connection after n bytes of it.
func (d *depot) cut(path string, n int, ranges bool) func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
	return func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
		if r.URL.Path != path {
			return false
		}
		if !ranges {
			r.Header.Del("Range")
		}
		nethttp.ServeContent(&cutter{w, n}, r, "", time.Time{}, bytes.NewReader(d.files[path]))
		return true
	}
}

type cutter struct {
	nethttp.ResponseWriter
	left int
}

func (c *cutter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p[:min(len(p), c.left)])
	if c.left -= n; c.left == 0 {
		c.ResponseWriter.(nethttp.Flusher).Flush()
		panic(nethttp.ErrAbortHandler)
	}
	return n, err
}

// Connections that break off cost what was lost, no more.
func TestPullGoesOnAfterCuts(t *testing.T) {
	looptest.EachPoller(t, func(t *testing.T, p mgr.Poller) {
		d, f := newPull(t, p)
		d.offer("2.0", twoZero, nil, nil)
		d.set(func() { d.before = d.cut("/box-2.0", 300_000, true) })
		f.wantReady(f.ask(), "2.0", twoZero)
		got := d.requests()
		if n := strings.Count(got, "/box-2.0 bytes="); n < 3 {
			t.Errorf("it went on %d times: %s", n, got)
		}
	})
}

// A server that does not know Range sends all of it again, and that is enough if a connection once
// stays.
func TestPullFromAServerWithoutRange(t *testing.T) {
	d, f := newPull(t, mgr.Auto)
	d.offer("2.0", twoZero, nil, nil)
	n := 300_000
	d.set(func() {
		d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
			if r.URL.Path == "/box-2.0" {
				n += 300_000
			}
			return d.cut("/box-2.0", n, false)(w, r)
		}
	})
	f.wantReady(f.ask(), "2.0", twoZero)
}

// A server that sends another part than the one that was asked for.
func TestPullRefusesAnotherPart(t *testing.T) {
	for _, part := range []string{"", "bytes 0-1199999/1200000", "bytes 300000-1199999/1300000", "bytes 300000-300001/1200000", "bytes */1200000"} {
		d, f := newPull(t, mgr.Auto)
		d.offer("2.0", twoZero, nil, nil)
		first := d.cut("/box-2.0", 300_000, true)
		d.set(func() {
			d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
				if r.Header.Get("Range") == "" {
					return first(w, r)
				}
				if part != "" {
					w.Header().Set("Content-Range", part)
				}
				w.WriteHeader(206)
				w.Write(twoZero[300_000:])
				return true
			}
		})
		s := f.ask()
		f.wantRefused(s, ErrTransfer.Error())
		if s.Offset != 300_000 {
			t.Errorf("%q: there are %d bytes", part, s.Offset)
		}
	}
}

func TestPullGivesUpWithoutProgress(t *testing.T) {
	for name, before := range map[string]func(w nethttp.ResponseWriter, r *nethttp.Request){
		"cuts":   func(nethttp.ResponseWriter, *nethttp.Request) { panic(nethttp.ErrAbortHandler) },
		"stalls": func(_ nethttp.ResponseWriter, r *nethttp.Request) { <-r.Context().Done() },
		"500":    func(w nethttp.ResponseWriter, _ *nethttp.Request) { w.WriteHeader(500) },
		"stalls after the head": func(w nethttp.ResponseWriter, r *nethttp.Request) {
			w.Header().Set("Content-Length", fmt.Sprint(len(twoZero)))
			w.WriteHeader(200)
			w.(nethttp.Flusher).Flush()
			<-r.Context().Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, f := newPull(t, mgr.Auto, func(o *PullOptions) {
				o.Client.StallTimeout, o.Client.FirstByteTimeout = 20*time.Millisecond, 20*time.Millisecond
			})
			d.offer("2.0", twoZero, nil, nil)
			d.set(func() {
				d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
					if r.URL.Path != "/box-2.0" {
						return false
					}
					before(w, r)
					return true
				}
			})
			s := f.ask()
			if s.State == Ready || s.Pull.Error == "" {
				t.Errorf("%+v", s.Pull)
			}
			if n := strings.Count(d.requests(), "/box-2.0;"); n > maxTries {
				t.Errorf("it tried %d times", n)
			}
		})
	}
}

// A process that dies in the middle of a transfer has a successor that goes on with it.
func TestPullGoesOnInTheNextProcess(t *testing.T) {
	key := newSigner(t)
	d := newDepot(t, key)
	m := newMachine(t, disk.OS, t.TempDir(), key)
	d.offer("2.0", twoZero, nil, nil)
	d.set(func() { d.before = d.cut("/box-2.0", 500_000, true) })
	f := startFetcher(t, mgr.Auto, m, d, func(o *PullOptions) { o.pause = func(int) time.Duration { return time.Hour } })
	if err := f.p.Ask(); err != nil {
		t.Fatal(err)
	}
	s := f.wait(func(s Status) bool { return s.Pull.State == PullWaiting })
	if s.Offset == 0 || s.Offset > 500_000 || s.Pull.Error == "" || s.Pull.Next.IsZero() {
		t.Errorf("%+v %+v", s, s.Pull)
	}
	f.stop()
	d.set(func() { d.before, d.asked = nil, nil })
	f = startFetcher(t, mgr.Auto, m, d)
	f.wantReady(f.ask(), "2.0", twoZero)
	if want := fmt.Sprintf("/box-2.0 bytes=%d-", s.Offset); !strings.HasSuffix(d.requests(), want) {
		t.Errorf("%s, want %s", d.requests(), want)
	}
}

// Retry-After is heeded, in both forms.
func TestPullHeedsRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "Sun, 29 Nov 2026 12:30:00 GMT": 30 * time.Minute, "Sun, 29 Nov 2026 11:00:00 GMT": 0,
		"999999999999999999999999": maxWait, "Sun, 29 Nov 2099 12:30:00 GMT": maxWait,
	} {
		if got, ok := retryAfter([]byte(value), now); got != want || !ok {
			t.Errorf("%s: %v", value, got)
		}
	}
	for _, value := range []string{"", "soon", "-1", "1.5"} {
		if _, ok := retryAfter([]byte(value), now); ok {
			t.Errorf("%q was read", value)
		}
	}
	d, f := newPull(t, mgr.Auto, func(o *PullOptions) { o.Every = time.Hour })
	d.set(func() {
		d.before = func(w nethttp.ResponseWriter, r *nethttp.Request) bool {
			w.Header().Set("Retry-After", "7200")
			w.WriteHeader(503)
			return true
		}
	})
	f.ask()
	s := f.wait(func(s Status) bool { return !s.Pull.Next.IsZero() })
	if d := time.Until(s.Pull.Next); d < 119*time.Minute || d > 2*time.Hour || !strings.Contains(s.Pull.Error, "asks for a wait of 2h") {
		t.Errorf("%v %+v", d, s.Pull)
	}
}
