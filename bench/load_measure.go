package main

import (
	"fmt"
	"time"
)

// result is what one run of one server gave.
type result struct {
	Ops     int           `json:"ops"`
	Seconds float64       `json:"seconds"`
	User    time.Duration `json:"user_ns"`   // processor time of the whole server process
	System  time.Duration `json:"system_ns"` // the same, in the kernel
	Load    time.Duration `json:"load_ns"`   // processor time of the load generator
	P50     time.Duration `json:"p50_ns"`
	P99     time.Duration `json:"p99_ns"`
	RSS     float64       `json:"rss"`                 // bytes, of the server when the run ended
	Each    float64       `json:"each,omitempty"`      // bytes of RSS for each idle connection
	Size    float64       `json:"size,omitempty"`      // bytes, of the program
	Idle    time.Duration `json:"idle_ns,omitempty"`   // p90 of a request while nothing else goes on
	Beside  time.Duration `json:"beside_ns,omitempty"` // p90 of a request beside other work
	Invalid string        `json:"invalid,omitempty"`   // why the run does not count
}

// meter measures a server while a load runs: nothing during the first part, in which caches and
// heaps grow to their size.
type meter struct {
	p         *process
	length    time.Duration
	least     int           // operations
	from, to  time.Duration // on the load's clock; at to it is asked whether the run is long enough
	measuring bool
	over      bool // the time is up: what is under way is waited for, and nothing new is begun
	cpu       usage
	load      time.Duration
	r         result
	took      histogram
}

// patience is how long the load waits for what is under way when the time is up. Tests shorten it.
var patience = 5 * time.Second

func newMeter(p *process, length time.Duration) *meter {
	t := now()
	return &meter{p: p, length: length, least: 100, from: t + length/5, to: t + length/5 + length}
}

// limit is when the measurement ends in any case.
func (m *meter) limit() time.Duration { return m.from + m.length + patience }

// at moves the meter on; it is called with the time after each wait.
func (m *meter) at(t time.Duration) error {
	switch {
	case !m.measuring && !m.over && t >= m.from:
		cpu, err := m.p.cpu()
		if err != nil {
			return err
		}
		m.measuring, m.from, m.cpu, m.load = true, now(), cpu, threadCPU()
	case m.measuring && t >= m.to:
		return m.end(t)
	}
	return nil
}

// end ends the measurement if it is long enough: the server has been at work for the tenth part of
// it, which on a machine where others are at work takes its time, and has done the least number of
// operations.
func (m *meter) end(t time.Duration) error {
	cpu, err := m.p.cpu()
	if err != nil {
		return err
	}
	used := cpu.minus(m.cpu)
	if (m.r.Ops < m.least || used.total() < m.length/10) && t < m.limit() {
		m.to = t + 10*time.Millisecond
		return nil
	}
	m.measuring, m.over, m.to = false, true, now()
	m.r.User, m.r.System, m.r.Load = used.user, used.system, threadCPU()-m.load
	m.r.Seconds = (m.to - m.from).Seconds()
	return nil
}

// op counts n operations that end now, of which one took d.
func (m *meter) op(n int, d time.Duration) {
	if m.measuring {
		m.r.Ops += n
		m.took.add(d)
	}
}

// expired reports that the time for what was under way is over too.
func (m *meter) expired() bool { return m.over && now() > m.to+patience }

// result returns what was measured; lost is how many messages have not come.
func (m *meter) result(lost int) (result, error) {
	rss, err := m.p.rss()
	if err != nil {
		return result{}, err
	}
	m.r.RSS = float64(rss)
	m.r.P50, m.r.P99 = m.took.quantile(0.5), m.took.quantile(0.99)
	switch {
	case lost > 0:
		m.r.Invalid = fmt.Sprintf("%d messages were lost", lost)
	case m.r.Ops == 0 || m.r.User+m.r.System == 0:
		m.r.Invalid = "the server has done nothing"
	}
	return m.r, nil
}
