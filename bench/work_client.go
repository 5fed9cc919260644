package main

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"time"
)

// clientWorks are about HTTP clients: the rows are clients, and the server is the same for all.
func clientWorks() []work {
	client := func(name, arg string) server {
		return server{name: name, program: "clients", args: []string{"-json", arg}}
	}
	return []work{{name: "client-64", title: "HTTP clients: GET /plaintext, 64 keep-alive connections; the figures are those of the client", pick: usually,
		with: []string{testee.program}, run: measureClient,
		servers: []server{client("mangusta", "mangusta"), client("fasthttp", "fasthttp"), client("net/http", "nethttp")}}}
}

// measureClient runs the client on the load's processor, against a testee on that of the servers.
// In the result the load is the server.
func measureClient(b bench, s server, length time.Duration) (result, error) {
	p, err := start(b.bin, testee)
	if err != nil {
		return result{}, err
	}
	defer p.stop()
	cmd := pinned([]int{loadCPU}, filepath.Join(b.bin, s.program), append(s.args, "http://"+p.addr+"/plaintext", length.String())...)
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	out, err := cmd.Output()
	if err != nil {
		return result{}, fmt.Errorf("%s: %w", s.name, err)
	}
	var r result
	if err := json.Unmarshal(out, &r); err != nil {
		return result{}, fmt.Errorf("%s said %.200q: %w", s.name, out, err)
	}
	after, err := p.cpu()
	r.Load = after.minus(before).total()
	return r, err
}
