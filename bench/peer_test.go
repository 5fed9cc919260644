package main

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tiny is the length of a load in these tests: a few hundred operations.
const tiny = 20 * time.Millisecond

var programDir string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "mangusta-bench-test")
	if err != nil {
		panic(err)
	}
	programDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

var built = sync.OnceValue(func() error { return build(programDir, "", programs(possible(works())), false) })

// startServer starts s for a test.
func startServer(t *testing.T, s server) *process {
	t.Helper()
	if isFloor(s.program) && !have(gcc.name) {
		t.Skip("gcc is missing: apt-get install gcc libc6-dev")
	}
	if s.program == ringName && !haveRing() {
		t.Skip("no io_uring of Linux 6.1 here")
	}
	if _, found := nginxPath(); s.program == nginxName && !found {
		t.Skip("nginx is missing: apt-get install nginx-light")
	}
	if err := built(); err != nil {
		t.Fatal(err)
	}
	p, err := start(programDir, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.stop)
	return p
}

// each runs f for each server.
func each(t *testing.T, servers []server, f func(t *testing.T, p *process)) {
	for _, s := range servers {
		t.Run(strings.ReplaceAll(s.name, "/", "-"), func(t *testing.T) { f(t, startServer(t, s)) })
	}
}

// serversOf returns those of a work.
func serversOf(t *testing.T, name string) []server {
	t.Helper()
	i := slices.IndexFunc(works(), func(w work) bool { return w.name == name })
	if i < 0 {
		t.Fatalf("there is no work %s", name)
	}
	return works()[i].servers
}

// valid fails the test when a run has failed.
func valid(t *testing.T, r result, err error) {
	t.Helper()
	if err != nil || r.Invalid != "" || r.Ops == 0 || r.User+r.System < 0 || r.P50 == 0 {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestEchoServers(t *testing.T) {
	each(t, serversOf(t, "ws-64"), func(t *testing.T, p *process) {
		for _, size := range []int{64, 1 << 10, 16 << 10} {
			r, err := echo{conns: 8, active: 4, size: size}.run(p, tiny)
			valid(t, r, err)
		}
		r, err := p.rss()
		if err != nil || r == 0 {
			t.Errorf("RSS %d, %v", r, err)
		}
	})
}

func TestTLSServers(t *testing.T) {
	each(t, serversOf(t, "tls-beside-handshakes"), func(t *testing.T, p *process) {
		r, err := beside{every: time.Millisecond, burst: 2, bursts: 50 * time.Millisecond, busy: p}.run(p, tiny)
		r.Invalid = "" // a busy machine gives fewer handshakes
		valid(t, r, err)
		if r.Idle == 0 || r.Beside == 0 {
			t.Errorf("%+v", r)
		}
	})
}

// Those that are measured beside each other speak the same version with the same suite.
func TestServersOverTLS(t *testing.T) {
	each(t, serversOf(t, "tls-plain-64")[1:], func(t *testing.T, p *process) {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: anybody}}
		defer client.CloseIdleConnections()
		r, err := client.Get("https://" + p.addr + "/plaintext")
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, err := io.ReadAll(r.Body)
		if err != nil || string(b) != "Hello, World!" || r.TLS.Version != tls.VersionTLS13 || r.TLS.CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
			t.Errorf("%q, %v, %s, %s", b, err, tls.VersionName(r.TLS.Version), tls.CipherSuiteName(r.TLS.CipherSuite))
		}
	})
}

func TestEchoServersWithLargeBuffers(t *testing.T) {
	each(t, serversOf(t, "ws-16k"), func(t *testing.T, p *process) {
		r, err := echo{conns: 2, active: 2, size: 16 << 10}.run(p, tiny)
		valid(t, r, err)
	})
}

func TestEchoServersThatCompress(t *testing.T) {
	each(t, serversOf(t, "ws-1k-deflated"), func(t *testing.T, p *process) {
		r, err := echo{conns: 4, active: 4, size: 1 << 10, deflated: true}.run(p, tiny)
		valid(t, r, err)
	})
}

func TestBroadcastServers(t *testing.T) {
	for _, name := range []string{"broadcast-64-2000x4", "broadcast-64-2000x4-goroutine"} {
		t.Run(name, func(t *testing.T) {
			each(t, serversOf(t, name), func(t *testing.T, p *process) {
				for _, b := range []broadcast{{subs: 5, size: 64, inFlight: 1}, {subs: 5, size: 1 << 10, inFlight: 4}} {
					r, err := b.run(p, tiny)
					valid(t, r, err)
				}
			})
		})
	}
}

func TestBroadcastServersThatCompress(t *testing.T) {
	each(t, serversOf(t, "broadcast-1k-2000x4-deflated"), func(t *testing.T, p *process) {
		r, err := broadcast{subs: 5, size: 1 << 10, inFlight: 2, deflated: true}.run(p, tiny)
		valid(t, r, err)
	})
}

func TestAcceptingServers(t *testing.T) {
	each(t, serversOf(t, "accept"), func(t *testing.T, p *process) {
		r, err := accepting{conns: 4}.run(p, tiny)
		valid(t, r, err)
	})
}

func TestPollers(t *testing.T) {
	each(t, serversOf(t, "poller-ws"), func(t *testing.T, p *process) {
		r, err := echo{conns: 4, active: 4, size: 64}.run(p, tiny)
		valid(t, r, err)
	})
}

// Every server answers what the works over HTTP ask it for, with the same body.
func TestHTTPServers(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	tests := map[string]struct{ method, path, body, want string }{
		"plain-64":   {"GET", "/plaintext", "", "Hello, World!"},
		"routed":     {"GET", "/users/42/posts/7", "", `{"user":42,"post":7,"title":"A title","tags":["one","two","three"],"likes":12}`},
		"post-1m":    {"POST", "/echo", big, big},
		"static-1k":  {"GET", "/static/1k.txt", "", string(payload(1 << 10))},
		"static-10m": {"GET", "/static/10m.txt", "", string(payload(10 << 20))},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			each(t, serversOf(t, name), func(t *testing.T, p *process) {
				req, err := http.NewRequest(tc.method, "http://"+p.addr+tc.path, strings.NewReader(tc.body))
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil || resp.StatusCode != 200 || string(b) != tc.want {
					t.Errorf("%s, %v: %.100q", resp.Status, err, b)
				}
				if resp.ContentLength != int64(len(tc.want)) {
					t.Errorf("Content-Length %d: a chunked reply costs more", resp.ContentLength)
				}
			})
		})
	}
}

func TestWrk(t *testing.T) {
	if !have(wrkTool.name) {
		t.Skip("wrk is missing: apt-get install wrk")
	}
	each(t, []server{testee}, func(t *testing.T, p *process) {
		for _, w := range []wrk{
			{conns: 2, path: "/plaintext", script: pipelined(16)}, {conns: 2, path: "/echo", script: post(1 << 10)},
		} {
			r, err := w.run(p, tiny)
			valid(t, r, err)
		}
		r, err := wrk{conns: 2, path: "/nothing"}.run(p, tiny)
		if err != nil || !strings.HasPrefix(r.Invalid, "Non-2xx") {
			t.Errorf("404s: %q, %v", r.Invalid, err)
		}
	})
}

func TestWakers(t *testing.T) {
	if err := built(); err != nil {
		t.Fatal(err)
	}
	for _, s := range serversOf(t, "wake-1") {
		if s.program == floorName && !have(gcc.name) {
			continue
		}
		r, err := waking{cpus: []int{serverCPU}, procs: 1, count: 100, pause: time.Microsecond}.run(programDir, s)
		valid(t, r, err)
	}
}

// The rows are clients; the figures are theirs, and the load is the testee.
func TestClients(t *testing.T) {
	if err := built(); err != nil {
		t.Fatal(err)
	}
	for _, s := range serversOf(t, "client-64") {
		r, err := measureClient(bench{bin: programDir}, s, tiny)
		if err != nil || r.Invalid != "" || r.Ops == 0 || r.User+r.System == 0 || r.Load == 0 || r.Seconds < tiny.Seconds() || r.RSS == 0 {
			t.Errorf("%s: %+v, %v", s.name, r, err)
		}
	}
}

// The rows are proxies, and what they pass on is whole.
func TestProxies(t *testing.T) {
	if err := built(); err != nil {
		t.Fatal(err)
	}
	if !have(wrkTool.name) {
		t.Skip("SKIPPED, NOT TESTED: there is no wrk here")
	}
	for _, name := range []string{"proxy-64", "proxy-post-1m"} {
		for _, w := range possible(works()) {
			if w.name != name {
				continue
			}
			for _, s := range w.servers {
				r, err := w.run(bench{bin: programDir}, s, tiny)
				valid(t, r, err)
			}
		}
	}
}

func TestIdle(t *testing.T) {
	each(t, []server{testee}, func(t *testing.T, p *process) {
		r, err := idle{conns: 20}.run(p, 0)
		if err != nil || r.Ops != 20 || r.RSS == 0 {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

// A whole run: tables, chart and JSON.
func TestRun(t *testing.T) {
	dir := t.TempDir()
	only, _ := pattern("^(accept|wake-1)$")
	peers, _ := pattern("^(floor|mangusta|gnet)$")
	c := config{set: always, only: only, peers: peers, rounds: 2, length: tiny,
		json: filepath.Join(dir, "bench.json"), chart: filepath.Join(dir, "bench.html")}
	var out bytes.Buffer
	if err := run(c, &out); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"accept: ", "wake-1: ", "CPU µs/op", "/mangusta"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is missing in:\n%s", want, &out)
		}
	}
	if strings.Contains(out.String(), "INVALID") {
		t.Errorf("a run has failed:\n%s", &out)
	}
	b, err := os.ReadFile(c.json)
	if err != nil {
		t.Fatal(err)
	}
	var rep report
	if err := json.Unmarshal(b, &rep); err != nil || len(rep.Works) != 2 || len(rep.Works[0].Rows[0].Runs) != 2 {
		t.Errorf("JSON: %v\n%s", err, b)
	}
	html, err := os.ReadFile(c.chart)
	if err != nil || bytes.Count(html, []byte("<svg")) != 2 {
		t.Errorf("chart: %v\n%s", err, html)
	}
}

// The loads over TLS check each reply and each delivery themselves.
func TestSecureLoads(t *testing.T) {
	for _, w := range possible(works()) {
		if w.name != "tls-handshakes" && w.name != "tls-broadcast-64" {
			continue
		}
		for _, s := range w.servers {
			t.Run(w.name+"/"+strings.ReplaceAll(s.name, "/", "-"), func(t *testing.T) {
				if err := built(); err != nil {
					t.Fatal(err)
				}
				r, err := w.run(bench{bin: programDir}, s, tiny)
				if err != nil || r.Invalid != "" || r.Ops < 100 {
					t.Errorf("%+v, %v", r, err)
				}
			})
		}
	}
}
