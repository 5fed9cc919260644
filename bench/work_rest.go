package main

import (
	"os"
	"path/filepath"
	"time"
)

// restWorks are about the loop and the programs themselves.
func restWorks() []work {
	pollers := func() (ws []server) {
		for _, p := range []string{"epoll", "select"} {
			ws = append(ws, server{name: "mangusta " + p, program: "testee", args: append([]string{"-poller", p}, testee.args...)})
		}
		return ws
	}
	ws := []work{
		{name: "poller-plain", title: "epoll beside select: GET /plaintext, 500 connections", pick: usually, needs: []tool{wrkTool},
			servers: pollers(), run: under(wrk{conns: 500, path: "/plaintext"})},
		{name: "poller-ws", title: "epoll beside select: WebSocket echo of 64 bytes, 500 connections", pick: usually,
			servers: pollers(), run: under(echo{conns: 500, active: 500, size: 64})},
	}
	return append(append(ws, wakeWorks()...), footprintWork())
}

// wakeWorks are wake-ups of a loop that sleeps, and of one that has just handled the wake-up
// before.
func wakeWorks() []work {
	wake := func(name, title string, pick picked, w waking) work {
		running, floorRunning := "-running=false", "asleep"
		if w.running {
			running, floorRunning = "-running", "running"
		}
		return work{name: name, title: "wake-up from a goroutine to a handler on the loop, " + title, what: latency, pick: pick,
			servers: []server{
				{name: "floor", program: floorName, args: []string{"wake", "COUNT", "MICROS", floorRunning}},
				{name: "mangusta", program: "mangusta", args: []string{"-wake", "COUNT", "-pause", "PAUSE", running}},
				{name: "gnet", program: "gnet", args: []string{"-listen", "ADDR", "-wake", "COUNT", "-pause", "PAUSE", running}},
			},
			run: func(b bench, s server, _ time.Duration) (result, error) { return w.run(b.bin, s) }}
	}
	const pause = 200 * time.Microsecond
	one, two := []int{serverCPU}, []int{serverCPU, loadCPU}
	return []work{
		wake("wake-1", "one processor", always, waking{one, 1, 2000, pause, false}),
		wake("wake-2", "two processors", usually, waking{two, 2, 2000, pause, false}),
		wake("wake-2-running", "two processors, the goroutine has been running", usually, waking{two, 2, 2000, pause, true}),
		wake("wake-busy-1", "one after the other, one processor", usually, waking{one, 1, 20_000, 0, false}),
		wake("wake-busy-2", "one after the other, two processors", usually, waking{two, 2, 20_000, 0, false}),
	}
}

// footprintWork is about programs that do nothing yet.
func footprintWork() work {
	return work{name: "footprint", title: "size of the stripped static binary, start-up time, memory when started and idle",
		what: footprint, once: true, pick: usually, run: measureFootprint,
		servers: []server{
			{name: "mangusta HTTP only", program: "httponly", args: []string{"http://ADDR"}},
			{name: "mangusta hello", program: "hello", args: []string{"http://ADDR"}},
			peer("fasthttp", "fasthttp"), peer("net/http", "nethttp"), peer("gws", "gws"), peer("gorilla", "gorilla"),
			peer("coder", "coder"), peer("gobwas", "gobwas"), peer("gnet", "gnet"), peer("nbio", "nbio"),
		}}
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
