package main

import "runtime"

// process asks the kernel about this program.
func (s *sampler) process(elapsed float64) (*Process, error) {
	was := s.ticks
	s.ticks = 0
	fs, err := s.fs()
	if err != nil {
		return nil, err
	}
	self, err := fs.Self()
	if err != nil {
		return nil, err
	}
	st, err := self.Stat()
	if err != nil {
		return nil, err
	}
	out := &Process{PID: st.PID, RSS: st.ResidentMemory(), Threads: st.NumThreads, Goroutines: runtime.NumGoroutine()}
	s.ticks = st.CPUTime()
	if elapsed > 0 && was > 0 && s.ticks >= was {
		out.CPU = round(100*(s.ticks-was)/elapsed, 1)
	}
	if n, err := self.FileDescriptorsLen(); err == nil {
		out.FDs = &n
	}
	return out, nil
}
