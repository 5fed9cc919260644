package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// waking has a program measure its own wake-ups: from a goroutine, or a thread, into the loop. No
// load is on it. With COUNT, PAUSE and MICROS, which is the pause as a number of microseconds, a
// server's arguments ask for it.
type waking struct {
	cpus    []int // that the program may use
	procs   int   // GOMAXPROCS
	count   int
	pause   time.Duration // between wake-ups
	running bool          // does the one who wakes run meanwhile, or sleep?
}

func (w waking) run(bin string, s server) (result, error) {
	args, _, err := s.fill(bin)
	if err != nil {
		return result{}, err
	}
	fill := strings.NewReplacer("COUNT", fmt.Sprint(w.count), "PAUSE", w.pause.String(), "MICROS", fmt.Sprint(w.pause.Microseconds()))
	for i, a := range args {
		args[i] = fill.Replace(a)
	}
	cmd := pinned(w.cpus, filepath.Join(bin, s.program), args...)
	cmd.Env = append(os.Environ(), fmt.Sprintf("GOMAXPROCS=%d", w.procs))
	cmd.Stderr = os.Stderr
	begin := now()
	out, err := cmd.Output()
	if err != nil {
		return result{}, err
	}
	var said struct {
		N        int
		P50, P99 time.Duration
	}
	out = bytes.TrimSpace(out)
	out = out[bytes.LastIndexByte(out, '\n')+1:] // gnet logs before
	if err := json.Unmarshal(out, &said); err != nil {
		return result{}, fmt.Errorf("said %q: %w", out, err)
	}
	r := result{Ops: said.N, P50: said.P50, P99: said.P99, Seconds: (now() - begin).Seconds(),
		User: cmd.ProcessState.UserTime(), System: cmd.ProcessState.SystemTime()}
	if said.N != w.count {
		r.Invalid = fmt.Sprintf("%d wake-ups of %d", said.N, w.count)
	}
	return r, nil
}
