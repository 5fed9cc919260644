package main

import (
	"fmt"
	"slices"
)

// floorBuffer is what the floor has room for of one connection's frames.
const floorBuffer = 1 << 20

// websocketServers echo on /ws.
func websocketServers() []server {
	return []server{floorServer("ws"), ringServer("ws"), testee, peer("gws", "gws"), peer("gorilla", "gorilla"), peer("coder", "coder"),
		peer("gobwas", "gobwas"), peer("nbio", "nbio")}
}

// withBuffer returns the servers, the named ones with buffers that a large message fits into.
func withBuffer(servers []server, bytes int, names ...string) []server {
	left := slices.Clone(servers)
	for i, s := range left {
		if slices.Contains(names, s.name) {
			left[i].args = append(slices.Clone(s.args), "-buffer", fmt.Sprint(bytes))
		}
	}
	return left
}

// without returns the servers that are not named.
func without(servers []server, names ...string) []server {
	return slices.DeleteFunc(slices.Clone(servers), func(s server) bool { return slices.Contains(names, s.name) })
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
		servers := all
		if n > 4096 { // what most have as their buffer
			servers = withBuffer(all, n+64, "gws", "gorilla", "gobwas")
		}
		ws = append(ws, work{name: "ws-" + size(n), title: fmt.Sprintf("WebSocket echo of %d bytes, 64 connections", n), pick: pick,
			servers: servers, run: under(echo{conns: 64, active: 64, size: n})})
	}
	for _, n := range []int{1 << 20, 16 << 20} {
		for _, piece := range []int{0, 64 << 10} {
			w := work{name: "ws-" + size(n), title: "WebSocket echo of " + size(n) + " bytes, 4 connections", pick: usually,
				servers: all, run: under(echo{conns: 4, active: 4, size: n, piece: piece})}
			if n > floorBuffer {
				w.servers = without(all, "floor", "floor io_uring")
			}
			if piece > 0 {
				w.name += "-fragmented"
				w.title += ", sent in fragments of " + size(piece)
			}
			ws = append(ws, w)
		}
	}
	ws = append(ws, work{name: "ws-1k-deflated", title: "WebSocket echo of 1024 bytes, permessage-deflate without takeover, 64 connections",
		pick: usually, servers: without(all, "floor", "floor io_uring", "gobwas"), run: under(echo{conns: 64, active: 64, size: 1 << 10, deflated: true})})
	for _, n := range []int{100, 1000, 10_000} {
		ws = append(ws, work{name: fmt.Sprintf("active-100-of-%d", n), pick: usually,
			title:   fmt.Sprintf("WebSocket echo of 64 bytes on 100 of %d connections", n),
			servers: all, run: under(echo{conns: n, active: 100, size: 64})})
	}
	return append(ws, work{name: "idle", title: "10,000 idle WebSockets", what: perIdle, once: true, pick: usually,
		servers: without(all, "floor", "floor io_uring"), run: under(idle{conns: 10_000})})
}
