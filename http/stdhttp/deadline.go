package stdhttp

import (
	"fmt"
	"os"
	"time"
)

var (
	errReadDeadline  = fmt.Errorf("stdhttp: read: %w", os.ErrDeadlineExceeded)
	errWriteDeadline = fmt.Errorf("stdhttp: write: %w", os.ErrDeadlineExceeded)
)

// A deadline is guarded by the mutex of its exchange.
type deadline struct {
	timer  *time.Timer
	set    int // how often it was set: a timer of an earlier time does nothing
	passed bool
}

// at sets d; the zero time is never.
func (d *deadline) at(x *exchange, t time.Time) {
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	set := d.set
	d.timer = time.AfterFunc(time.Until(t), func() {
		x.mu.Lock()
		defer x.mu.Unlock()
		if d.set == set {
			d.passed = true
			x.changed.Broadcast()
		}
	})
}

func (d *deadline) stop() {
	d.set++
	if d.timer != nil {
		d.timer.Stop()
		d.timer = nil
	}
}
