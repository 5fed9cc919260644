package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// waking has a program measure its own wake-ups: from a goroutine, or a thread, into the loop. No load is on it.
type waking struct {
	cpus  []int // that the program may use
	procs int   // GOMAXPROCS
	count int
}

func (w waking) run(bin string, s server) (result, error) {
	cmd := pinned(w.cpus, filepath.Join(bin, s.program), append(s.args, fmt.Sprint(w.count))...)
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
