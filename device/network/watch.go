package network

import (
	"log/slog"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Options are those of Watch. The zero value works.
type Options struct {
	// Watched reports whether the counters matter now: a page shows them. It is called on the loop
	// after each Every. Nil is never: then the counters come with other changes alone.
	Watched func() bool

	// Every is how often the counters are read while Watched; 1 s when 0.
	Every time.Duration

	// Log gets what went wrong; slog.Default when nil.
	Log *slog.Logger

	read   func() (Status, error) // Read; tests have another
	gather time.Duration          // how long after an announcement the Status is read: they come in bursts
}

// anyway is after how many Every the Status is read even though nothing was announced: the kernel
// knows nothing of resolv.conf.
const anyway = 30

// A Watcher calls a function when the network has changed. It belongs to the goroutine of its loop.
type Watcher struct {
	opts    Options
	m       *mgr.Manager
	changed func(Status)

	kernel *conn.Conn // nil where it announces nothing: then each Every is a reason to read
	timer  *mgr.Timer
	soon   *mgr.Timer // after an announcement; nil is none
	ticks  int        // since the last reading

	reading bool
	again   bool // there was a reason to read while one was under way
	stopped bool
	told    bool // there was a Status
	last    Status
	failed  string // the last error, which is logged once
}

// Watch calls changed, on the loop of m, with the Status at the beginning, and again when it is
// another one. The counters alone are a change while Options.Watched says so. changed must not
// change the Status. The reading is done on another goroutine, one at a time.
func Watch(m *mgr.Manager, changed func(Status), opts ...Options) *Watcher {
	w := &Watcher{m: m, changed: changed}
	if len(opts) > 0 {
		w.opts = opts[0]
	}
	if w.opts.Every == 0 {
		w.opts.Every = time.Second
	}
	if w.opts.Watched == nil {
		w.opts.Watched = func() bool { return false }
	}
	if w.opts.Log == nil {
		w.opts.Log = slog.Default()
	}
	if w.opts.read == nil {
		w.opts.read = Read
	}
	if w.opts.gather == 0 {
		w.opts.gather = 100 * time.Millisecond
	}
	var err error
	if w.kernel, err = announcements(m, w.announced, func() { w.kernel = nil }); err != nil {
		w.opts.Log.Warn("network: the kernel announces no changes; they are looked for", "every", w.opts.Every, "why", err)
	}
	w.timer = m.Every(w.opts.Every, w.tick)
	w.read()
	return w
}

// Stop ends the calls.
func (w *Watcher) Stop() {
	if w.stopped {
		return
	}
	w.stopped = true
	w.timer.Stop()
	if w.soon != nil {
		w.soon.Stop()
	}
	if w.kernel != nil {
		w.kernel.Close()
	}
}

func (w *Watcher) announced() {
	if w.soon == nil && !w.stopped {
		w.soon = w.m.AfterFunc(w.opts.gather, func() {
			w.soon = nil
			w.read()
		})
	}
}

func (w *Watcher) tick() {
	if w.ticks++; w.kernel == nil || w.ticks >= anyway || w.opts.Watched() {
		w.read()
	}
}

// read begins a reading.
func (w *Watcher) read() {
	w.ticks = 0
	if w.reading {
		w.again = true
		return
	}
	w.reading = true
	go func() {
		s, err := w.opts.read()
		w.m.Complete(func() { w.have(s, err) })
	}()
}

// have is called on the loop with what was read.
func (w *Watcher) have(s Status, err error) {
	w.reading = false
	if w.stopped {
		return
	}
	if w.again {
		w.again = false
		defer w.read()
	}
	if err != nil {
		if w.failed != err.Error() {
			w.failed = err.Error()
			w.opts.Log.Error("network: it cannot be read", "why", err)
		}
		return
	}
	w.failed = ""
	if w.told && w.last.equal(&s, w.opts.Watched()) {
		return
	}
	w.last, w.told = s, true
	w.changed(s)
}
