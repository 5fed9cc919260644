package stdhttp

import (
	"fmt"
	"os"
	"sync"
	"time"
)

var (
	errReadDeadline  = fmt.Errorf("stdhttp: read: %w", os.ErrDeadlineExceeded)
	errWriteDeadline = fmt.Errorf("stdhttp: write: %w", os.ErrDeadlineExceeded)
	errBodyDeadline  = fmt.Errorf("stdhttp: read: the body took longer than Options.BodyTime: %w", os.ErrDeadlineExceeded)
)

// A deadline is guarded by the lock of the condition that it signals.
type deadline struct {
	timer  *time.Timer
	set    int // how often it was set: the timer of an earlier setting does nothing
	passed bool
}

// at sets d; the zero time is never. It is called with changed.L held.
func (d *deadline) at(changed *sync.Cond, t time.Time) {
	d.stop()
	d.passed = false
	if t.IsZero() {
		return
	}
	left := time.Until(t)
	if left <= 0 {
		d.passed = true
		changed.Broadcast()
		return
	}
	set := d.set
	d.timer = time.AfterFunc(left, func() {
		changed.L.Lock()
		defer changed.L.Unlock()
		if d.set == set {
			d.passed = true
			changed.Broadcast()
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
