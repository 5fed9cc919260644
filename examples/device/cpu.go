package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strconv"
	"strings"

	"github.com/prometheus/procfs"
)

// readCPU compares /proc/stat with the reading before.
func (s *sampler) readCPU() (*CPU, error) {
	fs, err := s.fs()
	if err != nil {
		return nil, err
	}
	now, err := fs.Stat()
	if err != nil {
		return nil, err
	}
	if len(now.CPU) == 0 {
		return nil, errors.New("/proc/stat names no processor")
	}
	was := s.cpu
	s.cpu = now
	if was.CPU == nil {
		return nil, errFirst
	}
	out := &CPU{Total: used(was.CPUTotal, now.CPUTotal)}
	for id, c := range now.CPU {
		core := Core{ID: id}
		if before, ok := was.CPU[id]; ok {
			core.Used = used(before, c)
		}
		out.Cores = append(out.Cores, core)
	}
	sort.Slice(out.Cores, func(i, j int) bool { return out.Cores[i].ID < out.Cores[j].ID })
	return out, nil
}

// used is the percentage of time not idle between two readings; nil when the processor's clock
// stood still. Single counters do run backwards now and then, iowait above all (proc(5) says so):
// they count as unchanged. Guest time is part of User.
func used(was, is procfs.CPUStat) *float64 {
	grown := func(was, is float64) float64 { return max(0, is-was) }
	idle := grown(was.Idle, is.Idle) + grown(was.Iowait, is.Iowait)
	busy := grown(was.User, is.User) + grown(was.Nice, is.Nice) + grown(was.System, is.System) +
		grown(was.IRQ, is.IRQ) + grown(was.SoftIRQ, is.SoftIRQ) + grown(was.Steal, is.Steal)
	if idle+busy <= 0 {
		return nil
	}
	return round(100*busy/(idle+busy), 1)
}

func (s *sampler) load() (*[3]float64, error) {
	fs, err := s.fs()
	if err != nil {
		return nil, err
	}
	l, err := fs.LoadAvg()
	if err != nil {
		return nil, err
	}
	out := [3]float64{l.Load1, l.Load5, l.Load15}
	for _, v := range out {
		if round(v, 2) == nil {
			return nil, fmt.Errorf("/proc/loadavg holds %v", out)
		}
	}
	return &out, nil
}

func (s *sampler) uptime() (*float64, error) {
	text, err := os.ReadFile(filepath.Join(s.proc, "uptime"))
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	v, err := strconv.ParseFloat(first, 64)
	if err != nil || round(v, 1) == nil {
		return nil, fmt.Errorf("/proc/uptime starts with %q", first)
	}
	return round(v, 1), nil
}
