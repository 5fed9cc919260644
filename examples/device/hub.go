package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
)

// Two goroutines share the device, and no lock: the loop's owns loopSide, the sampler's owns samplerSide. What the sampler has to
// say goes to the loop with Manager.Do and from there, on a topic of the hub, to the pages; the sampler hears of a new
// setting through device.orders.

// The topics.
const (
	samples  = "sample" // of which a new page gets the latest, and so does, of those that wait for it, one that is slow
	settings = "state"
	logLines = "log"
)

// An order is a setting that a page has asked for, checked already.
type order struct {
	interval int64 // ms
	from     string
}

// samplerSide belongs to the sampler's goroutine.
type samplerSide struct {
	*device
	source *sampler
	file   string
	state  State
	sent   uint64 // the last log line that the pages have

	stats     mgr.Stats // of the sample before
	statsTime time.Time
}

// firstSample is soon after the start: rates need two readings, and nobody wants to look at an empty page.
const firstSample = 250 * time.Millisecond

// run samples until ctx is done or the manager is closed.
func (s *samplerSide) run(ctx context.Context) {
	tick := time.NewTicker(firstSample)
	defer tick.Stop()
	s.source.sample(time.Now())
	first := true
	for {
		var err error
		select {
		case <-ctx.Done():
			return
		case o := <-s.orders:
			err = s.setInterval(o)
			tick.Reset(s.state.interval())
		case <-s.ring.grown:
			err = s.publishLog()
		case <-tick.C:
			if first {
				tick.Reset(s.state.interval())
				first = false
			}
			err = errors.Join(s.publishSample(ctx), s.publishLog())
		}
		if errors.Is(err, mgr.ErrClosed) || ctx.Err() != nil {
			return
		}
		if err != nil {
			// The loop's queue is full: this sample is lost, the next one may do better. The log lines wait.
			s.log.Error("the loop does not keep up", "why", err)
		}
	}
}

// publishSample reads everything and encodes it once, for all pages.
func (s *samplerSide) publishSample(ctx context.Context) error {
	sample := s.source.sample(time.Now())
	sample.Interval = s.state.IntervalMS
	loop, err := s.loopStats(ctx)
	if err != nil {
		return err
	}
	sample.Loop = loop
	text, err := json.Marshal(sample)
	if err != nil {
		return fmt.Errorf("device: encode the sample: %w", err)
	}
	// On the loop: a page that is opened meanwhile has the sample in its history, or gets it live.
	return s.m.Do(func() {
		s.loop.history.add(sample)
		s.say(samples, text)
	})
}

// say publishes text on the loop.
func (d *device) say(topic string, text []byte) {
	if _, err := d.hub.Publish(topic, text); err != nil && !errors.Is(err, broadcast.ErrClosed) {
		d.log.Error("the pages could not be told", "topic", topic, "why", err)
	}
}

// loopStats asks the loop for its figures.
func (s *samplerSide) loopStats(ctx context.Context) (*Loop, error) {
	type answer struct {
		mgr.Stats
		pages int
	}
	answers := make(chan answer, 1)
	if err := s.m.Do(func() { answers <- answer{s.m.Stats(), s.loop.pages} }); err != nil {
		return nil, err
	}
	var is answer
	select {
	case is = <-answers:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now, elapsed := time.Now(), 0.0
	if !s.statsTime.IsZero() {
		elapsed = now.Sub(s.statsTime).Seconds()
	}
	was := s.stats
	s.stats, s.statsTime = is.Stats, now
	return &Loop{Poller: s.m.Poller(), Connections: is.Conns, Pages: is.pages, Accepts: is.Accepts,
		TurnRate: rate(was.Turns, is.Turns, elapsed), EventRate: rate(was.Events, is.Events, elapsed),
		InRate: rate(was.BytesIn, is.BytesIn, elapsed), OutRate: rate(was.BytesOut, is.BytesOut, elapsed),
		In: is.BytesIn, Out: is.BytesOut}, nil
}

// publishLog sends the pages what was logged since the last time.
func (s *samplerSide) publishLog() error {
	lines := s.ring.since(s.sent)
	if len(lines) == 0 {
		return nil
	}
	text, err := json.Marshal(struct {
		Type  string `json:"type"`
		Lines []Line `json:"lines"`
	}{"log", lines})
	if err == nil {
		_, err = s.hub.Publish(logLines, text)
	}
	if err == nil {
		s.sent = lines[len(lines)-1].Seq
	}
	return err
}

// setInterval makes a page's wish the device's state, on disk and on every page.
func (s *samplerSide) setInterval(o order) error {
	s.state.IntervalMS = o.interval
	warning := ""
	if err := saveState(s.file, s.state); err != nil {
		warning = "The interval is set, but it could not be saved: a restart will forget it."
		s.log.Error("the settings could not be saved", "why", err)
	}
	s.log.Info("sample interval set", "interval", s.state.interval(), "by", o.from)
	text, err := json.Marshal(struct {
		Type     string `json:"type"`
		Interval int64  `json:"interval"`
		Saved    bool   `json:"saved"`
		Warning  string `json:"warning,omitempty"`
	}{"state", o.interval, warning == "", warning})
	if err != nil {
		return fmt.Errorf("device: encode: %w", err)
	}
	return s.m.Do(func() {
		s.loop.interval = o.interval
		s.say(settings, text)
	})
}
