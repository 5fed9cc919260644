package main

import (
	"fmt"
	"math"
	"time"

	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/device/update"
)

// readings has the sensors read as often as the settings say.
func (p *product) readings() {
	p.set(func(s *Settings) { s.Readings.Temperature = 19 })
	begin := func() {
		if p.reading != nil {
			p.reading.Stop()
		}
		p.reading = p.m.Every(p.dev.Get().Interval, func() { p.set(func(s *Settings) { read(s, time.Since(p.began)) }) })
	}
	begin()
	p.dev.OnChange(func(c *device.Change) {
		if c.Has("interval") {
			begin()
		}
	})
}

// read makes the next readings: those of a room that cools down, and of a heater.
func read(s *Settings, up time.Duration) {
	r := &s.Readings
	switch {
	case s.Mode == "off" || r.Temperature > s.Target+s.Hysteresis:
		r.Heating = false
	case s.Mode == "heat" || r.Temperature < s.Target-s.Hysteresis:
		r.Heating = true
	}
	step := -0.1
	if r.Heating {
		step = 0.2
	}
	r.Temperature = math.Round(10*max(r.Temperature+step, 12)) / 10
	r.Humidity = math.Round(10*(45+5*math.Sin(up.Seconds()/30))) / 10
	r.Alarm = s.Alarm.On && (r.Temperature < s.Alarm.Low || r.Temperature > s.Alarm.High)
	r.Uptime = up.Round(time.Second)
}

// updating shows what the updater does as a reading.
func (p *product) updating(s update.Status) {
	if p.dev == nil {
		return // Boot calls before there are settings
	}
	text := string(s.State)
	if s.Size > 0 && s.Offset < s.Size {
		text = fmt.Sprintf("receiving %s: %d %%", s.Next.Version, 100*s.Offset/s.Size)
	}
	p.set(func(s *Settings) { s.Readings.Update = text })
	p.publish(topicUpdate, s)
}

// set changes readings, in the program's own name.
func (p *product) set(f func(s *Settings)) error {
	err := p.dev.Set(device.Program, f)
	if err != nil {
		p.log.Error("the readings could not be set", "why", err)
	}
	return err
}
