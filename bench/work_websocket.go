package main

import "fmt"

// websocketServers echo on /ws.
func websocketServers() []server {
	return []server{floorServer("ws"), testee, peer("gws", "gws"), peer("gorilla", "gorilla"), peer("coder", "coder"),
		peer("gobwas", "gobwas"), peer("nbio", "nbio")}
}

// without returns the servers that are not named.
func without(servers []server, names ...string) []server {
	var left []server
next:
	for _, s := range servers {
		for _, n := range names {
			if s.name == n {
				continue next
			}
		}
		left = append(left, s)
	}
	return left
}

// websocketWorks are echoes, and what idle connections cost.
func websocketWorks() []work {
	all := websocketServers()
	var ws []work
	for _, n := range []int{64, 1 << 10, 16 << 10} {
		pick := usually
		if n == 64 {
			pick = always
		}
		ws = append(ws, work{name: "ws-" + size(n), title: fmt.Sprintf("WebSocket echo of %d bytes, 64 connections", n), pick: pick,
			servers: all, run: under(echo{conns: 64, active: 64, size: n})})
	}
	ws = append(ws, work{name: "ws-1k-deflated", title: "WebSocket echo of 1024 bytes, permessage-deflate without takeover, 64 connections",
		pick: usually, servers: without(all, "floor", "gobwas"), run: under(echo{conns: 64, active: 64, size: 1 << 10, deflated: true})})
	for _, n := range []int{100, 1000, 10_000} {
		ws = append(ws, work{name: fmt.Sprintf("active-100-of-%d", n), pick: usually,
			title:   fmt.Sprintf("WebSocket echo of 64 bytes on 100 of %d connections", n),
			servers: all, run: under(echo{conns: n, active: 100, size: 64})})
	}
	return append(ws, work{name: "idle", title: "10,000 idle WebSockets", what: perIdle, pick: usually,
		servers: without(all, "floor"), run: under(idle{conns: 10_000})})
}
