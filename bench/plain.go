package main

import (
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// result is what one run of one server gave.
type result struct {
	ops          int
	rate         float64 // operations a second
	user, system time.Duration
}

// perOp returns the server's processor time for one operation.
func (r result) perOp() time.Duration { return (r.user + r.system) / time.Duration(max(r.ops, 1)) }

// wrk loads GET /plaintext over keep-alive connections from the other processor.
func wrk(p *process, conns int, d time.Duration) (result, error) {
	if _, err := exec.LookPath("wrk"); err != nil {
		return result{}, fmt.Errorf("wrk is missing: apt-get install wrk")
	}
	u0, s0, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	out, err := pinned(1, "wrk", "-t1", fmt.Sprintf("-c%d", conns), fmt.Sprintf("-d%ds", int(d.Seconds())),
		"http://"+p.addr+"/plaintext").CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	u1, s1, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	r := result{user: u1 - u0, system: s1 - s0}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		fmt.Sscanf(line, "%d requests in", &r.ops)
		fmt.Sscanf(line, "Requests/sec: %f", &r.rate)
		if strings.HasPrefix(line, "Non-2xx") || strings.HasPrefix(line, "Socket errors") {
			return r, fmt.Errorf("wrk: %s", line)
		}
	}
	if r.ops == 0 {
		return r, fmt.Errorf("wrk counted nothing:\n%s", out)
	}
	return r, nil
}
