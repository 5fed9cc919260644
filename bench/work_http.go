package main

import "fmt"

// testee and peer are the two programs of mangusta; see their documentation for what each serves.
var testee = server{name: "mangusta", program: "testee", args: []string{"-listen", "ADDR", "-dir", "DIR"}}

// peer returns a server of bench/peer.
func peer(name, program string, args ...string) server {
	return server{name: name, program: program, args: append([]string{"-listen", "ADDR", "-dir", "DIR"}, args...)}
}

// httpWorks are the works over HTTP.
func httpWorks() []work {
	full := []server{testee, peer("fasthttp", "fasthttp"), peer("net/http", "nethttp"), peer("nbio", "nbio")}
	routed := append([]server{peer("mangusta", "mangusta")}, full[1:]...)
	canned := append([]server{floorServer("http"), ringServer("http"), testee, peer("gnet", "gnet")}, full[1:]...)
	closing := append([]server{floorServer("http-close")}, full...)
	over := func(name, title string, pick picked, servers []server, w wrk) work {
		return work{name: name, title: title, pick: pick, needs: []tool{wrkTool}, servers: servers, run: under(w)}
	}
	var ws []work
	for _, n := range []int{64, 1000} {
		pick := usually
		if n == 64 {
			pick = always
		}
		ws = append(ws, over(fmt.Sprintf("plain-%d", n), fmt.Sprintf("GET /plaintext, %d keep-alive connections", n), pick,
			canned, wrk{conns: n, path: "/plaintext"}))
	}
	return append(ws,
		over("pipelined-16", "GET /plaintext, 64 connections, 16 requests at a time", always, canned,
			wrk{conns: 64, path: "/plaintext", script: pipelined(16)}),
		over("routed", "GET /users/{user}/posts/{post}, 12 header fields, JSON reply, 64 connections", usually, routed,
			wrk{conns: 64, path: "/users/42/posts/7", headers: browser}),
		over("post-1k", "POST /echo of 1 KB, 64 connections", usually, full, wrk{conns: 64, path: "/echo", script: post(1 << 10)}),
		over("post-1m", "POST /echo of 1 MB, 16 connections", usually, full, wrk{conns: 16, path: "/echo", script: post(1 << 20)}),
		over("static-1k", "a file of 1 KB, 64 connections", usually, full, wrk{conns: 64, path: "/static/1k.txt"}),
		over("static-10m", "a file of 10 MB, 16 connections", usually, full, wrk{conns: 16, path: "/static/10m.txt"}),
		over("newconn", "GET /plaintext, a new connection for each request, which the server closes", usually, closing,
			wrk{conns: 64, path: "/plaintext", headers: []string{"Connection: close"}}),
		work{name: "accept", title: "connections accepted, with one request each, reset by the client", pick: usually,
			servers: canned, run: under(accepting{conns: 64})},
	)
}
