package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsutil"

	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
)

func TestThePageIsServedWithAStrictPolicy(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		types := map[string]string{"": "text/html", "style.css": "text/css", "main.js": "text/javascript", "favicon.svg": "image/svg+xml"}
		for _, path := range pageFiles(t) {
			if types[path] == "" && strings.HasSuffix(path, ".js") {
				types[path] = "text/javascript"
			}
		}
		for name, kind := range types {
			reply, body := p.get(name)
			if reply.StatusCode != 200 || !strings.HasPrefix(reply.Header.Get("Content-Type"), kind) || body == "" {
				t.Errorf("/%s: %s, %s, %d bytes", name, reply.Status, reply.Header.Get("Content-Type"), len(body))
			}
			if got := reply.Header.Get("Content-Security-Policy"); !strings.HasPrefix(got, "default-src 'none'; script-src 'self';") {
				t.Errorf("/%s: policy is %q", name, got)
			}
			if reply.Header.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("/%s: sniffing is allowed", name)
			}
		}
		if reply, _ := p.get("nothing"); reply.StatusCode != 404 {
			t.Errorf("/nothing: %s", reply.Status)
		}
		if reply, _ := p.get("ws"); reply.StatusCode != 426 {
			t.Errorf("/ws without an upgrade: %s", reply.Status)
		}
	})
}

// pageFiles returns the paths of all that the page consists of.
func pageFiles(t *testing.T) (paths []string) {
	t.Helper()
	for prefix, dir := range map[string]fs.ReadDirFS{"": embedded, "shared/": web.Files} {
		files, err := dir.ReadDir(cmp.Or(strings.TrimSuffix(prefix, "/"), "page"))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files {
			paths = append(paths, prefix+f.Name())
		}
	}
	return paths
}

func TestThePageKeepsItsOwnPolicy(t *testing.T) { webtest.WantStrict(t, embedded, "page") }

func TestSamplesArriveLive(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		pg := p.open()
		hello := pg.want("hello", nil)
		if hello["interval"] != 1000.0 || hello["boot"] == "" || fmt.Sprint(hello["limits"]) != "map[max:10000 min:200]" {
			t.Errorf("hello is %v", hello)
		}
		pg.send(`{"type": "interval", "ms": 200}`)
		last := 0.0
		for range 4 {
			s := pg.want("sample", nil)
			if s["time"].(float64) <= last {
				t.Errorf("time %v follows %v", s["time"], last)
			}
			last = s["time"].(float64)
			loop := s["loop"].(map[string]any)
			if loop["poller"] != poller || loop["pages"].(float64) > 1 {
				t.Errorf("loop is %v", loop)
			}
		}
		s := pg.want("sample", func(doc map[string]any) bool { return doc["loop"].(map[string]any)["pages"] == 1.0 })
		if out := s["loop"].(map[string]any)["out"].(float64); out < 1000 {
			t.Errorf("the loop counts %v bytes sent", out)
		}
		// A page that opens later starts with the past.
		late := p.open()
		if points := late.want("hello", nil)["history"].([]any); len(points) == 0 {
			t.Error("hello has no history")
		}
		late.want("sample", nil)
	})
}

func TestASettingReachesAllPagesAndTheDisk(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		file := filepath.Join(t.TempDir(), "state", "device.json")
		p := start(t, "-poller", poller, "-state", file)
		one, other := p.open(), p.open()
		one.want("hello", nil)
		other.want("hello", nil)
		one.send(`{"type": "interval", "ms": 300}`)
		for _, pg := range []*page{one, other} {
			if doc := pg.want("state", nil); doc["interval"] != 300.0 || doc["saved"] != true || doc["warning"] != nil {
				t.Errorf("state is %v", doc)
			}
		}
		if text, err := os.ReadFile(file); string(text) != "{\"interval_ms\":300}\n" {
			t.Errorf("file is %q, %v", text, err)
		}
		if s := other.want("sample", func(doc map[string]any) bool { return doc["interval"] == 300.0 }); s == nil {
			t.Error("no sample")
		}
		one.conn.Close()
		other.conn.Close()
		p.stop()
		again := start(t, "-poller", poller, "-state", file).open()
		if doc := again.want("hello", nil); doc["interval"] != 300.0 {
			t.Errorf("after a restart the interval is %v", doc["interval"])
		}
	})
}

func TestABadSettingIsRefusedWithAReason(t *testing.T) {
	p := start(t)
	pg, other := p.open(), p.open()
	tests := []struct{ text, want string }{
		{`{"type": "interval", "ms": 199}`, "the sample interval must be 200 to 10000 ms, not 199"},
		{`{"type": "interval", "ms": 10001}`, "the sample interval must be 200 to 10000 ms, not 10001"},
		{`{"type": "interval", "ms": -5}`, "the sample interval must be 200 to 10000 ms, not -5"},
		{`{"type": "interval", "ms": 250.5}`, "the sample interval must be a whole number of ms, not 250.5"},
		{`{"type": "interval", "ms": "300"}`, `the sample interval must be a whole number of ms, not "300"`},
		{`{"type": "interval", "ms": null}`, "the sample interval must be a whole number of ms, not null"},
		{`{"type": "interval", "ms": 1e30}`, "the sample interval must be a whole number of ms, not 1e30"},
		{`{"type": "interval"}`, `the sample interval, "ms", is missing`},
		{`{"type": "reboot"}`, `there is no setting "reboot", only "interval"`},
		{`{"type": "interval", "ms": 300, "x": 1}`, `the message is not understood: json: unknown field "x"`},
		{`{"type": "interval", "ms": 300} {}`, "the message is not understood: there is more behind its end"},
		{`300`, "the message is not understood: json: cannot unmarshal number into Go value"},
		{``, "the message is not understood: EOF"},
	}
	for _, tt := range tests {
		pg.send(tt.text)
		doc := pg.want("error", nil)
		if got := doc["error"].(string); !strings.HasPrefix(got, tt.want) || doc["about"] != "interval" {
			t.Errorf("%s: error is %q, want %q", tt.text, got, tt.want)
		}
	}
	// Nothing has changed, and nobody else was told.
	pg.send(`{"type": "interval", "ms": 400}`)
	pg.want("state", func(doc map[string]any) bool { return doc["interval"] == 400.0 })
	for doc := other.next(); doc["type"] != "state" || doc["interval"] != 400.0; doc = other.next() {
		if doc["type"] == "error" || doc["type"] == "state" {
			t.Errorf("the other page got %v", doc)
		}
	}
}

func TestASettingThatCannotBeSavedIsSetAndSaysSo(t *testing.T) {
	pg := start(t, "-state", "/dev/null/device.json").open()
	pg.want("hello", nil)
	pg.send(`{"type": "interval", "ms": 300}`)
	if doc := pg.want("state", nil); doc["interval"] != 300.0 || doc["saved"] != false || !strings.Contains(doc["warning"].(string), "could not be saved") {
		t.Errorf("state is %v", doc)
	}
}

func TestACorruptStateFileIsLoggedAndReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "device.json")
	if err := os.WriteFile(file, []byte("{oops"), 0o644); err != nil {
		t.Fatal(err)
	}
	pg := start(t, "-state", file).open()
	hello := pg.want("hello", nil)
	if hello["interval"] != 1000.0 || !strings.Contains(fmt.Sprint(hello["log"]), "settings are back to their defaults") {
		t.Errorf("hello is %v", hello)
	}
	pg.send(`{"type": "interval", "ms": 300}`)
	pg.want("state", nil)
	if text, _ := os.ReadFile(file); string(text) != "{\"interval_ms\":300}\n" {
		t.Errorf("file is %q", text)
	}
}

func TestLogLinesArriveLiveAndInOrder(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		pg := p.open()
		lines := pg.want("hello", nil)["log"].([]any)
		for range 3 {
			p.open().want("hello", nil)
		}
		opened := 0
		for opened < 4 {
			for _, l := range lines {
				if strings.HasPrefix(l.(map[string]any)["text"].(string), "page opened") {
					opened++
				}
			}
			if opened < 4 {
				// The first lines may come twice, in hello and live: the numbers tell.
				after := lines[len(lines)-1].(map[string]any)["seq"].(float64)
				lines = nil
				for len(lines) == 0 {
					for _, l := range pg.want("log", nil)["lines"].([]any) {
						if l.(map[string]any)["seq"].(float64) > after {
							lines = append(lines, l)
						}
					}
				}
				if got := lines[0].(map[string]any)["seq"].(float64); got != after+1 {
					t.Fatalf("line %v follows line %v", got, after)
				}
			}
		}
	})
}

func TestAForeignOriginIsRefused(t *testing.T) {
	p := start(t)
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Origin": {"http://evil.example"}})}
	_, _, _, err := dialer.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"ws")
	var status ws.StatusError
	if !errors.As(err, &status) || int(status) != 403 {
		t.Errorf("dial: %v, want status 403", err)
	}
}

// startUnknown is the program on a machine without /proc, /sys and netlink.
func startUnknown(t *testing.T) *program {
	t.Helper()
	d, err := newDevice(config{listen: "127.0.0.1:0", poller: "auto", state: filepath.Join(t.TempDir(), "s"), proc: "/nowhere", sys: "/nowhere"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d.sampler.source.nics = func() ([]nic, error) { return nil, errors.ErrUnsupported }
	d.sampler.source.statfs = func(string) (usage, error) { return usage{}, errors.ErrUnsupported }
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return &program{t: t, url: d.url}
}

func TestAMachineThatTellsNothingIsStillServed(t *testing.T) {
	s := startUnknown(t).open().want("sample", nil)
	for _, name := range []string{"uptime", "load", "cpu", "memory", "disks", "interfaces", "traffic", "sensors", "process"} {
		if value, ok := s[name]; !ok || value != nil {
			t.Errorf("%s is %v", name, value)
		}
	}
	if s["loop"] == nil {
		t.Error("the loop's own figures are missing")
	}
}

func TestTheEndSaysGoingAway(t *testing.T) {
	eachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		pg := p.open()
		pg.want("hello", nil)
		end := make(chan error, 1)
		go func() {
			for {
				if _, err := wsutil.ReadServerText(pg.in); err != nil {
					pg.conn.Close()
					end <- err
					return
				}
			}
		}()
		p.stop()
		var closed wsutil.ClosedError
		if err := <-end; !errors.As(err, &closed) || closed.Code != ws.StatusGoingAway {
			t.Errorf("the page's end is %v, want 1001", err)
		}
	})
}

// A page behind a pulled cable answers nothing; the program must end all the same.
func TestTheEndDoesNotWaitForADeadPage(t *testing.T) {
	p := start(t)
	p.open().want("hello", nil)
	p.stop()
}

func TestListenAddresses(t *testing.T) {
	for _, tt := range []struct{ listen, url string }{
		{"127.0.0.1:0", `^http://127\.0\.0\.1:[1-9]\d*/$`},
		{"tcp://127.0.0.1:0", `^http://127\.0\.0\.1:[1-9]\d*/$`},
		{"tcp://[::1]:0", `^http://\[::1\]:[1-9]\d*/$`},
		{"unix://@mangusta-device-test", `^unix://@mangusta-device-test$`},
	} {
		if p := start(t, "-listen", tt.listen); !regexp.MustCompile(tt.url).MatchString(p.url) {
			t.Errorf("-listen %s: %s", tt.listen, p.url)
		}
	}
}

func TestWrongCommandLines(t *testing.T) {
	taken := start(t)
	address := strings.TrimSuffix(strings.TrimPrefix(taken.url, "http://"), "/")
	for _, tt := range []struct {
		args []string
		want string
	}{
		{[]string{"-poller", "kqueue"}, `poller "kqueue"`},
		{[]string{"-listen", "nonsense"}, "nonsense"},
		{[]string{"-listen", address}, "address already in use"},
		{[]string{"-color"}, "flag provided but not defined"},
		{[]string{"extra"}, `unexpected argument "extra"`},
	} {
		var errOut strings.Builder
		err := run(context.Background(), tt.args, io.Discard, &errOut)
		if err == nil || !strings.Contains(err.Error()+errOut.String(), tt.want) {
			t.Errorf("%v: %v, %s", tt.args, err, errOut.String())
		}
	}
}
