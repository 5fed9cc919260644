package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// restWorks are about the loop and the programs themselves.
func restWorks() []work {
	pollers := func() (ws []server) {
		for _, p := range []string{"epoll", "select"} {
			ws = append(ws, server{"mangusta " + p, "testee", append([]string{"-poller", p}, testee.args...)})
		}
		return ws
	}
	ws := []work{
		{name: "poller-plain", title: "epoll beside select: GET /plaintext, 500 connections", pick: usually, needs: []tool{wrkTool},
			servers: pollers(), run: under(wrk{conns: 500, path: "/plaintext"})},
		{name: "poller-ws", title: "epoll beside select: WebSocket echo of 64 bytes, 500 connections", pick: usually,
			servers: pollers(), run: under(echo{conns: 500, active: 500, size: 64})},
	}
	for _, cpus := range []int{1, 2} {
		w := waking{cpus: []int{serverCPU, loadCPU}[:cpus], procs: cpus, count: 20_000}
		pick := always
		if cpus == 2 {
			pick = usually
		}
		ws = append(ws, work{name: fmt.Sprintf("wake-%d", cpus), what: latency, pick: pick,
			title:   fmt.Sprintf("wake-up from a goroutine to a handler on the loop, processors: %d", cpus),
			servers: []server{{"floor", floorName, []string{"wake"}}, {"mangusta", "mangusta", []string{"-wake"}}},
			run:     func(b bench, s server, _ time.Duration) (result, error) { return w.run(b.bin, s) }})
	}
	return append(ws, work{name: "footprint", title: "size of the stripped static binary, start-up time, memory when started and idle",
		what: footprint, once: true, pick: usually, run: measureFootprint,
		servers: []server{
			{"mangusta HTTP only", "httponly", []string{"http://ADDR"}},
			{"mangusta hello", "hello", []string{"http://ADDR"}},
			peer("fasthttp", "fasthttp"), peer("net/http", "nethttp"), peer("gws", "gws"), peer("gorilla", "gorilla"),
			peer("coder", "coder"), peer("gobwas", "gobwas"), peer("gnet", "gnet"), peer("nbio", "nbio"),
		}})
}

// measureFootprint starts the server, lets it rest, and looks at it.
func measureFootprint(b bench, s server, _ time.Duration) (result, error) {
	info, err := os.Stat(filepath.Join(b.bin, s.program))
	if err != nil {
		return result{}, err
	}
	p, err := start(b.bin, s)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	rss, err := settled(p)
	return result{Ops: 1, Size: float64(info.Size()), P50: p.took, P99: p.took, RSS: float64(rss)}, err
}
