package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"time"

	"github.com/prometheus/procfs"
)

// A sampler reads the machine. Each source stands alone: one that is missing, malformed or even
// makes its reader panic leaves its own figures null and the others whole. Not safe for concurrent
// use: one goroutine owns it.
type sampler struct {
	proc, sys string // mount points, or a made-up tree in tests
	nics      func() ([]nic, error)
	statfs    func(path string) (usage, error)
	log       *slog.Logger

	missing map[string]bool // the sources that failed last time, so that a failure is logged once
	last    time.Time       // of the sample before
	cpu     procfs.Stat     // counters of the sample before
	dev     procfs.NetDev
	ticks   float64 // this process's CPU time in s
}

func newSampler(proc, sys string, log *slog.Logger) *sampler {
	return &sampler{proc: proc, sys: sys, nics: systemNICs, statfs: statfs, log: log, missing: map[string]bool{}}
}

var errFirst = errors.New("the first of two readings")

// sample reads everything once. Rates are means since the call before, so the first call has none.
func (s *sampler) sample(now time.Time) *Sample {
	out := &Sample{Time: now.UnixMilli()}
	elapsed := 0.0
	if !s.last.IsZero() {
		elapsed = now.Sub(s.last).Seconds()
	}
	s.last = now

	s.try("uptime", func() (err error) { out.Uptime, err = s.uptime(); return })
	s.try("load", func() (err error) { out.Load, err = s.load(); return })
	s.try("cpu", func() (err error) { out.CPU, err = s.readCPU(); return })
	s.try("memory", func() (err error) { out.Memory, err = s.memory(); return })
	s.try("disks", func() (err error) { out.Disks, err = s.disks(); return })
	s.try("interfaces", func() (err error) { out.Interfaces, out.Traffic, err = s.interfaces(elapsed); return })
	s.try("temperature", func() (err error) { out.Sensors, err = s.sensors(); return })
	s.try("process", func() (err error) { out.Process, err = s.process(elapsed); return })
	return out
}

// try runs one source's reader and logs when the source goes and when it comes back.
func (s *sampler) try(name string, read func() error) {
	err := guard(read)
	if errors.Is(err, errFirst) {
		return
	}
	switch {
	case err != nil && !s.missing[name]:
		s.missing[name] = true
		s.log.Info(name+" is not available", "why", err)
	case err == nil && s.missing[name]:
		delete(s.missing, name)
		s.log.Info(name + " is available again")
	}
}

// guard makes a panic of a reader an error: vendor kernels put surprising text into /proc, and a
// dashboard that is there to show what is wrong must outlive it.
func guard(read func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("reader panicked: %v", p)
		}
	}()
	return read()
}

// fs opens the proc file system anew each time: it may be mounted after the program has started.
func (s *sampler) fs() (procfs.FS, error) { return procfs.NewFS(s.proc) }

// A nic is one network interface with its addresses.
type nic struct {
	net.Interface
	addrs []string
}

// rate is the growth of a counter per second; nil when there is no interval or the counter went
// back.
func rate(was, is uint64, elapsed float64) *float64 {
	if elapsed <= 0 || is < was {
		return nil
	}
	return round(float64(is-was)/elapsed, 1)
}

// round keeps so many decimals, which keeps the JSON short; nil for what JSON cannot hold.
func round(v float64, decimals int) *float64 {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return nil
	}
	p := math.Pow10(decimals)
	v = math.Round(v*p) / p
	return &v
}
