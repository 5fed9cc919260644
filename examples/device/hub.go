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

// The sampler's goroutine owns samplerSide. What it has to say goes to the pages on a topic of the
// hub; it hears of a new setting through device.orders. What the loops and the sampler share has a
// lock: shared.

// The topics, besides changes.
const (
	greetings = "hello"
	samples   = "sample" // a new page gets the latest one, and so does a slow page
	settings  = "state"
	logLines  = "log"
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

// firstSample is soon after the start: rates need two readings, and a user should not have to look
// at an empty page.
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
			// The loop's queue is full: this sample is lost, the next one may do better. The log
			// lines wait.
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
	s.shared.Lock()
	sample.Clock = s.shared.clock
	s.shared.Unlock()
	text, err := json.Marshal(sample)
	if err != nil {
		return fmt.Errorf("device: encode the sample: %w", err)
	}
	// A page that is opened meanwhile is greeted with the sample, or gets it live.
	s.shared.Lock()
	defer s.shared.Unlock()
	s.shared.history.add(sample)
	s.shared.latest = text
	s.say(samples, text)
	return nil
}

// say publishes text.
func (d *device) say(topic string, text []byte) {
	if _, err := d.hub.Publish(topic, text); err != nil && !errors.Is(err, broadcast.ErrClosed) {
		d.log.Error("the pages could not be told", "topic", topic, "why", err)
	}
}

// figures returns the Stats of the loops.
func (s *samplerSide) figures(ctx context.Context) (mgr.Stats, error) {
	if l, ok := s.m.(*mgr.Loops); ok {
		return l.Stats(), nil
	}
	m := s.m.Managers()[0]
	answers := make(chan mgr.Stats, 1)
	if err := m.Do(func() { answers <- m.Stats() }); err != nil {
		return mgr.Stats{}, err
	}
	select {
	case is := <-answers:
		return is, nil
	case <-ctx.Done():
		return mgr.Stats{}, ctx.Err()
	}
}

// loopStats makes what the pages show of the loops.
func (s *samplerSide) loopStats(ctx context.Context) (*Loop, error) {
	is, err := s.figures(ctx)
	if err != nil {
		return nil, err
	}
	now, elapsed := time.Now(), 0.0
	if !s.statsTime.IsZero() {
		elapsed = now.Sub(s.statsTime).Seconds()
	}
	was := s.stats
	s.stats, s.statsTime = is, now
	return &Loop{Poller: s.m.Poller(), Connections: is.Conns, Pages: int(s.shared.pages.Load()), Accepts: is.Accepts,
		TurnRate: rate(was.Turns, is.Turns, elapsed), EventRate: rate(was.Events, is.Events, elapsed),
		InRate: rate(was.BytesIn, is.BytesIn, elapsed), OutRate: rate(was.BytesOut, is.BytesOut, elapsed),
		In: is.BytesIn, Out: is.BytesOut}, nil
}

// publishLog sends the pages what was logged since the last time. A page that is greeted before has
// some of it already: the numbers tell.
func (s *samplerSide) publishLog() error {
	s.shared.Lock()
	defer s.shared.Unlock()
	lines := s.ring.since(s.sent)
	if len(lines) == 0 {
		return nil
	}
	text, err := json.Marshal(struct {
		Lines []Line `json:"lines"`
	}{lines})
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
		Interval int64  `json:"interval"`
		Saved    bool   `json:"saved"`
		Warning  string `json:"warning,omitempty"`
	}{o.interval, warning == "", warning})
	if err != nil {
		return fmt.Errorf("device: encode: %w", err)
	}
	s.shared.Lock()
	defer s.shared.Unlock()
	s.shared.interval = o.interval
	s.say(settings, text)
	return nil
}
