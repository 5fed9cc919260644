package main

import "time"

// The page's charts show so much of the past, with no more points than that.
const (
	historySpan  = 5 * time.Minute
	historyStep  = time.Second
	historyCount = int(historySpan / historyStep)
)

// A history holds the figures that the charts draw, so that a page opened now starts with the last
// minutes and not with an empty grid. shared has its lock.
type history struct {
	points []point
	last   int64 // time of the newest point in ms
}

// A point is [time in ms, CPU %, memory %, load, received B/s, sent B/s, hottest °C]; null where
// unknown.
type point [7]*float64

// add keeps s, unless the newest point is younger than historyStep: a short sample interval does
// not shorten the past.
func (h *history) add(s *Sample) {
	// A tenth off, as the timer that paces the samples is not exact.
	if gap := s.Time - h.last; len(h.points) > 0 && gap >= 0 && gap < historyStep.Milliseconds()*9/10 {
		return
	}
	h.last = s.Time
	t := float64(s.Time)
	p := point{0: &t}
	if s.CPU != nil {
		p[1] = s.CPU.Total
	}
	if s.Memory != nil {
		p[2] = round(100*float64(s.Memory.Used)/float64(s.Memory.Total), 1)
	}
	if s.Load != nil {
		p[3] = &s.Load[0]
	}
	if s.Traffic != nil {
		p[4], p[5] = &s.Traffic.Rx, &s.Traffic.Tx
	}
	for _, sensor := range s.Sensors {
		if p[6] == nil || sensor.Celsius > *p[6] {
			p[6] = &sensor.Celsius
		}
	}
	if len(h.points) == historyCount {
		h.points = append(h.points[:0], h.points[1:]...)
	}
	h.points = append(h.points, p)
}
