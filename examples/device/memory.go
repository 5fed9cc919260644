package main

import "errors"

func (s *sampler) memory() (*Memory, error) {
	fs, err := s.fs()
	if err != nil {
		return nil, err
	}
	m, err := fs.Meminfo()
	if err != nil {
		return nil, err
	}
	if m.MemTotalBytes == nil || *m.MemTotalBytes == 0 {
		return nil, errors.New("/proc/meminfo has no MemTotal")
	}
	out := &Memory{Total: *m.MemTotalBytes}
	switch {
	case m.MemAvailableBytes != nil:
		out.Used = less(out.Total, *m.MemAvailableBytes)
	case m.MemFreeBytes != nil: // before Linux 3.14: what is free, and what the caches would give back
		out.Used = less(out.Total, *m.MemFreeBytes+value(m.BuffersBytes)+value(m.CachedBytes))
	default:
		return nil, errors.New("/proc/meminfo has neither MemAvailable nor MemFree")
	}
	if m.CachedBytes != nil {
		cache := *m.CachedBytes + value(m.BuffersBytes) + value(m.SReclaimableBytes)
		out.Cache = &cache
	}
	if m.SwapTotalBytes != nil && m.SwapFreeBytes != nil {
		swap := less(*m.SwapTotalBytes, *m.SwapFreeBytes)
		out.SwapTotal, out.SwapUsed = m.SwapTotalBytes, &swap
	}
	return out, nil
}

func value(p *uint64) uint64 {
	if p == nil {
		return 0
	}
	return *p
}

// less is a-b, or 0 where the kernel's figures do not agree with each other.
func less(a, b uint64) uint64 {
	if b > a {
		return 0
	}
	return a - b
}
