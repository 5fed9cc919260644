package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// wrk is a load of HTTP requests, from the program of that name.
type wrk struct {
	conns   int
	path    string
	headers []string
	script  string // in Lua
	secure  bool   // over TLS
}

// pipelined is a script that sends n requests at a time.
func pipelined(n int) string {
	return fmt.Sprintf(`
init = function()
	local r = {}
	for i = 1, %d do r[i] = wrk.format() end
	all = table.concat(r)
end
request = function() return all end
`, n)
}

// post is a script that sends n bytes.
func post(n int) string {
	return fmt.Sprintf(`
wrk.method = "POST"
wrk.body = string.rep("x", %d)
`, n)
}

// browser is what a browser sends, with Host twelve fields.
var browser = []string{
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.5", "Accept-Encoding: gzip, deflate, br, zstd", "DNT: 1", "Upgrade-Insecure-Requests: 1",
	"Referer: http://127.0.0.1/start", "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
	"Sec-Fetch-Dest: document", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: same-origin",
}

func (w wrk) run(p *process, length time.Duration) (result, error) {
	seconds := int(math.Ceil(length.Seconds())) // wrk takes whole ones
	args := []string{"-t1", fmt.Sprintf("-c%d", w.conns), fmt.Sprintf("-d%ds", seconds), "--latency", "--timeout", "10s"}
	for _, h := range w.headers {
		args = append(args, "-H", h)
	}
	if w.script != "" {
		dir, err := os.MkdirTemp("", "mangusta-wrk")
		if err != nil {
			return result{}, err
		}
		defer os.RemoveAll(dir)
		file := filepath.Join(dir, "load.lua")
		if err := os.WriteFile(file, []byte(w.script), 0o644); err != nil {
			return result{}, err
		}
		args = append(args, "-s", file)
	}
	scheme := "http://"
	if w.secure {
		scheme = "https://"
	}
	cmd := pinned([]int{loadCPU}, "wrk", append(args, scheme+p.addr+w.path)...)
	return w.measure(cmd, p)
}

func (w wrk) measure(cmd *exec.Cmd, p *process) (result, error) {
	before, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		return result{}, fmt.Errorf("wrk: %w\n%s", err, out)
	}
	after, err := p.cpu()
	if err != nil {
		return result{}, err
	}
	rss, err := p.rss()
	if err != nil {
		return result{}, err
	}
	used := after.minus(before)
	r := parseWrk(string(out))
	r.User, r.System, r.RSS = used.user, used.system, float64(rss)
	r.Load = cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()
	return r, nil
}

// parseWrk reads wrk's report. Its figure for the slowest pipelined requests is at times 0, and is
// then no figure.
func parseWrk(out string) (r result) {
	for line := range strings.Lines(out) {
		line = strings.TrimSpace(line)
		var took string
		switch n, _ := fmt.Sscanf(line, "%d requests in %s", &r.Ops, &took); {
		case n == 2:
			d, _ := time.ParseDuration(strings.TrimSuffix(took, ",")) // 1.10s, 1.00m
			r.Seconds = d.Seconds()
		case strings.HasPrefix(line, "50%"):
			r.P50, _ = time.ParseDuration(strings.TrimSpace(line[3:]))
		case strings.HasPrefix(line, "99%"):
			r.P99, _ = time.ParseDuration(strings.TrimSpace(line[3:]))
		case strings.HasPrefix(line, "Non-2xx"), strings.HasPrefix(line, "Socket errors"):
			r.Invalid = line
		}
	}
	if r.Ops == 0 && r.Invalid == "" {
		r.Invalid = "wrk counted nothing"
	}
	return r
}
