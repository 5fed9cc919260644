package sntp

import "time"

// A Drift finds out how fast this machine's clock goes, from good answers of a server. The zero
// value is ready; it is not safe for concurrent use.
//
// It compares the server's time with the monotonic clock of this machine, which nobody sets. A
// program such as chronyd that changes the rate of the system's clock changes that of the monotonic
// clock too, so Rate is what is left of the drift.
type Drift struct {
	points []point // the oldest first
}

// A point is one answer.
type point struct {
	at     time.Time // by this machine, with a monotonic reading
	server time.Time // by the server
	delay  time.Duration
	source string
}

// driftPoints bounds the answers that are remembered: with the usual 1024 s between them, the
// drift is that of the last hours, and follows the temperature.
const driftPoints = 16

// Add takes a good answer, whose At has a monotonic reading, as those of Query and of a Client have.
// An answer of another server begins anew: two servers differ by more than a clock drifts in an hour.
func (d *Drift) Add(s Sample) {
	if n := len(d.points); n > 0 && (d.points[n-1].source != s.Server || !s.At.After(d.points[n-1].at)) {
		d.points = d.points[:0]
	}
	if len(d.points) == driftPoints {
		d.points = append(d.points[:0], d.points[1:]...)
	}
	d.points = append(d.points, point{s.At, s.At.Round(0).Add(s.Offset), s.Delay, s.Server})
}

// Rate returns the drift in parts per million, positive if this machine's clock is fast, and by how
// much that may be wrong because an answer may have been on its way longer in one direction. ok is
// false as long as there are no two answers.
func (d *Drift) Rate() (ppm, within float64, ok bool) {
	n := len(d.points)
	if n < 2 {
		return 0, 0, false
	}
	first, last := d.points[0], d.points[n-1]
	// The slope of a straight line through the points, by least squares: x is the server's time, y is
	// by how much ours has gained.
	var sx, sy, sxx, sxy float64
	for _, p := range d.points {
		passed := p.server.Sub(first.server)
		x, y := passed.Seconds(), (p.at.Sub(first.at) - passed).Seconds()
		sx, sy, sxx, sxy = sx+x, sy+y, sxx+x*x, sxy+x*y
	}
	span := last.server.Sub(first.server).Seconds()
	det := float64(n)*sxx - sx*sx
	if span <= 0 || det <= 0 {
		return 0, 0, false
	}
	ppm = 1e6 * (float64(n)*sxy - sx*sy) / det
	return ppm, 1e6 * (first.delay + last.delay).Seconds() / 2 / span, true
}
