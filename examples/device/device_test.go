package main

import (
	"bufio"
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

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/examples/internal/web"
	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
)

func TestThePageIsServedWithAStrictPolicy(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
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
		if reply, body := p.get("metrics"); reply.StatusCode != 200 || !strings.Contains(string(body), "\nmangusta_hub_published_total ") {
			t.Error(reply.Status, string(body))
		}
		if reply, body := p.get("healthz"); reply.StatusCode != 200 || string(body) != "ok\n" {
			t.Error(reply.Status, string(body))
		}
		if reply, _ := p.get("nothing"); reply.StatusCode != 404 {
			t.Errorf("/nothing: %s", reply.Status)
		}
		if reply, body := p.get("mangusta.js"); reply.StatusCode != 200 || !strings.HasPrefix(reply.Header.Get("Content-Type"), "text/javascript") || body == "" {
			t.Errorf("/mangusta.js: %s, %d bytes", reply.Status, len(body))
		}
		if reply, _ := p.get("hub"); reply.StatusCode != 400 {
			t.Errorf("/hub without a topic: %s", reply.Status)
		}
		if reply, _ := p.get("interval"); reply.StatusCode != 405 || reply.Header.Get("Allow") != "POST" {
			t.Errorf("GET /interval: %s", reply.Status)
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
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		pg := p.open()
		hello := pg.want("hello", nil)
		if hello["interval"] != 1000.0 || hello["boot"] == "" || fmt.Sprint(hello["limits"]) != "map[max:10000 min:200]" {
			t.Errorf("hello is %v", hello)
		}
		p.mustSet(`{"ms": 200}`)
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
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		file := filepath.Join(t.TempDir(), "state", "device.json")
		p := start(t, "-poller", poller, "-state", file)
		one, other := p.open(), p.open()
		one.want("hello", nil)
		other.want("hello", nil)
		p.mustSet(`{"ms": 300}`)
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
	other := p.open()
	other.want("hello", nil)
	tests := []struct{ text, want string }{
		{`{"ms": 199}`, "the sample interval must be 200 to 10000 ms, not 199"},
		{`{"ms": 10001}`, "the sample interval must be 200 to 10000 ms, not 10001"},
		{`{"ms": -5}`, "the sample interval must be 200 to 10000 ms, not -5"},
		{`{"ms": 250.5}`, "the sample interval must be a whole number of ms, not 250.5"},
		{`{"ms": "300"}`, `the sample interval must be a whole number of ms, not "300"`},
		{`{"ms": null}`, "the sample interval must be a whole number of ms, not null"},
		{`{"ms": 1e30}`, "the sample interval must be a whole number of ms, not 1e30"},
		{`{}`, `the sample interval, "ms", is missing`},
		{`{"type": "reboot"}`, `the message is not understood: json: unknown field "type"`},
		{`{"ms": 300, "x": 1}`, `the message is not understood: json: unknown field "x"`},
		{`{"ms": 300} {}`, "the message is not understood: there is more behind its end"},
		{`300`, "the message is not understood: json: cannot unmarshal number into Go value"},
		{``, "the message is not understood: EOF"},
	}
	for _, tt := range tests {
		if status, got := p.set(tt.text); status != 400 || !strings.HasPrefix(got, tt.want) {
			t.Errorf("%s: %d, error is %q, want %q", tt.text, status, got, tt.want)
		}
	}
	// Nothing has changed, and the pages were told nothing but the log.
	p.mustSet(`{"ms": 400}`)
	for {
		topic, doc := other.next()
		if topic == "state" {
			if doc["interval"] != 400.0 {
				t.Errorf("a page got %v", doc)
			}
			break
		}
	}
}

func TestASettingThatCannotBeSavedIsSetAndSaysSo(t *testing.T) {
	p := start(t, "-state", "/dev/null/device.json")
	pg := p.open()
	pg.want("hello", nil)
	p.mustSet(`{"ms": 300}`)
	if doc := pg.want("state", nil); doc["interval"] != 300.0 || doc["saved"] != false || !strings.Contains(doc["warning"].(string), "could not be saved") {
		t.Errorf("state is %v", doc)
	}
}

func TestACorruptStateFileIsLoggedAndReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "device.json")
	if err := os.WriteFile(file, []byte("{oops"), 0o644); err != nil {
		t.Fatal(err)
	}
	p := start(t, "-state", file)
	pg := p.open()
	hello := pg.want("hello", nil)
	if hello["interval"] != 1000.0 || !strings.Contains(fmt.Sprint(hello["log"]), "settings are back to their defaults") {
		t.Errorf("hello is %v", hello)
	}
	p.mustSet(`{"ms": 300}`)
	pg.want("state", nil)
	if text, _ := os.ReadFile(file); string(text) != "{\"interval_ms\":300}\n" {
		t.Errorf("file is %q", text)
	}
}

func TestLogLinesArriveLiveAndInOrder(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
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

// While lines are logged all the time, hello has all that came before it on the link, and what
// comes after it goes on where hello ends.
func TestHelloAndTheLiveLogHaveNoHoleBetween(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-loops", "2")
		order := fmt.Sprintf(`{%q: 1}`, strings.Repeat("x", 900)) // the log says that it is refused, at length
		stop, stopped := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(stopped)
			for {
				select {
				case <-stop:
					return
				default:
					p.set(order)
				}
			}
		}()
		defer func() { close(stop); <-stopped }()
		for range 60 {
			pg := p.open()
			before, at := 0.0, 0.0 // the last line that came before hello, and the last one of hello
			for at == 0 {
				switch topic, doc := pg.next(); topic {
				case "log":
					_, before = ends(doc["lines"])
				case "hello":
					_, at = ends(doc["log"])
				}
			}
			first, _ := ends(pg.want("log", nil)["lines"])
			if before > at || first > at+1 {
				t.Fatalf("line %v came before hello, which ends with %v, and then came %v", before, at, first)
			}
			pg.conn.Close()
		}
	})
}

// ends returns the numbers of the first and the last of lines.
func ends(lines any) (first, last float64) {
	list := lines.([]any)
	return list[0].(map[string]any)["seq"].(float64), list[len(list)-1].(map[string]any)["seq"].(float64)
}

// A page that does not read for a while then gets the latest sample, not all of them.
func TestASlowPageGetsTheLatestSample(t *testing.T) {
	d := newUnknown(t)
	d.sampler.state.IntervalMS = maxInterval.Milliseconds()
	p := runUnknown(t, d)
	slow, other := p.open(), p.open()
	slow.want("sample", nil)
	other.want("sample", nil)
	const count = 250
	pad := strings.Repeat("x", 64<<10) // 16 MB: more than the kernel keeps
	for i := range count {
		d.say(samples, fmt.Appendf(nil, `{"n": %d, "pad": %q}`, i, pad))
	}
	isLast := func(doc map[string]any) bool { return doc["n"] == count-1.0 }
	other.want("sample", isLast) // so the hub has given it to the other one, too
	before := -1.0
	slow.want("sample", func(doc map[string]any) bool {
		if isLast(doc) {
			return true
		}
		if n, ok := doc["n"].(float64); ok {
			before = n
		}
		return false
	})
	if before > count-10 {
		t.Errorf("sample %v came before the last one, %d", before, count-1)
	}
}

// Where WebSockets are blocked the page has server-sent events.
func TestAPageOfEventsIsGreeted(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		p.open().want("sample", nil)
		k := http.Client{Timeout: patience}
		reply, err := k.Get(p.url + "hub?topic=hello&topic=sample&topic=state&topic=net&topic=log&since=")
		if err != nil {
			t.Fatal(err)
		}
		defer reply.Body.Close()
		in := bufio.NewReader(reply.Body)
		for _, want := range []string{`data: {"topic":"hello","offset":0,"data":{"boot":`, `data: {"topic":"sample","offset":0,`} {
			for line := ""; !strings.HasPrefix(line, want); {
				if line, err = in.ReadString('\n'); err != nil {
					t.Fatalf("waiting for %s: %v", want, err)
				}
			}
		}
	})
}

func TestAForeignOriginIsRefused(t *testing.T) {
	p := start(t)
	dialer := ws.Dialer{Header: ws.HandshakeHeaderHTTP(http.Header{"Origin": {"http://evil.example"}})}
	_, _, _, err := dialer.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"hub")
	var status ws.StatusError
	if !errors.As(err, &status) || int(status) != 403 {
		t.Errorf("dial: %v, want status 403", err)
	}
}

// A page of another site can have the user's browser send a POST.
func TestAForeignPageSetsNothing(t *testing.T) {
	p := start(t, "-origin", "https://app.example")
	for origin, want := range map[string]int{"http://evil.example": 403, "https://app.example": 202, strings.TrimSuffix(p.url, "/"): 202, "": 202} {
		r, err := http.NewRequest("POST", p.url+"interval", strings.NewReader(`{"ms": 300}`))
		if err != nil {
			t.Fatal(err)
		}
		if origin != "" {
			r.Header.Set("Origin", origin)
		}
		reply, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		reply.Body.Close()
		if reply.StatusCode != want {
			t.Errorf("POST from %q: %s, want %d", origin, reply.Status, want)
		}
	}
}

func TestOnlyTheNamesOfTheDeviceAreServed(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		programtest.WantOwnHostsOnly(t, strings.Trim(p.url, "htp:/"), "/", "/hub")
	})
}

func TestFlagsLetInNamesOriginsAndProxies(t *testing.T) {
	p := start(t, "-host", "device.example", "-origin", "https://app.example", "-trusted-proxy", "127.0.0.0/8")
	dialer := ws.Dialer{Host: "device.example", Header: ws.HandshakeHeaderHTTP(http.Header{
		"Origin": {"https://app.example"}, "X-Forwarded-For": {"203.0.113.9"}})}
	c, _, _, err := dialer.Dial(context.Background(), strings.Replace(p.url, "http", "ws", 1)+"hub")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	log := fmt.Sprint(p.open().want("hello", nil)["log"])
	if !strings.Contains(log, "203.0.113.9") {
		t.Errorf("the log does not name the client behind the proxy: %s", log)
	}
}

// startUnknown is the program on a machine without /proc, /sys and netlink.
func startUnknown(t *testing.T) *program { t.Helper(); return runUnknown(t, newUnknown(t)) }

func newUnknown(t *testing.T) *device {
	t.Helper()
	d, err := newDevice(config{loops: 1, listen: "127.0.0.1:0", poller: "auto", state: filepath.Join(t.TempDir(), "s"), proc: "/nowhere", sys: "/nowhere"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	d.sampler.source.nics = func() ([]nic, error) { return nil, errors.ErrUnsupported }
	d.sampler.source.statfs = func(string) (usage, error) { return usage{}, errors.ErrUnsupported }
	return d
}

func runUnknown(t *testing.T, d *device) *program {
	t.Helper()
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
	programtest.EachPoller(t, func(t *testing.T, poller string) {
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

// A page behind a pulled cable sends nothing; the program must end all the same.
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
