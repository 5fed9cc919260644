package server

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/examples/internal/web/webtest"
)

func TestWithoutATokenEverybodyMayPublishAndTheProgramSaysSo(t *testing.T) {
	const notice = "everybody who reaches this address may publish"
	p := start(t, "-token", "")
	if !strings.Contains(p.Said, notice) {
		t.Errorf("it said %q", p.Said)
	}
	if resp, text := p.ask("POST", "/publish/a", "x"); resp.StatusCode != 200 {
		t.Errorf("%s %s", resp.Status, text)
	}
	if p := start(t); strings.Contains(p.Said, notice) {
		t.Errorf("with a token it said %q", p.Said)
	}
}

func TestTheEndIsGraceful(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller)
		s := p.dial("topic=%23")
		resp, err := http.Get(p.url("/events?topic=%23&access_token=secret"))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		ended := make(chan error, 2)
		go func() {
			_, _, err := s.ReadMessage() // answers the Close frame
			ended <- err
		}()
		go func() {
			_, err := io.Copy(io.Discard, resp.Body)
			ended <- err
		}()
		if err := p.Terminate(5 * time.Second); err != nil {
			t.Errorf("ended with %v", err)
		}
		for range 2 {
			if err := <-ended; err != nil && !websocket.IsCloseError(err, websocket.CloseGoingAway) {
				t.Errorf("a subscriber's end is %v", err)
			}
		}
	})
}

func TestOnlyTheNamesOfTheServerAreServed(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, "-poller", poller, "-token", "")
		programtest.WantOwnHostsOnly(t, p.Addr, "/", "/ws?topic=a", "/live", "/events?topic=a", "/stats")
	})
}

func TestWrongSettings(t *testing.T) {
	good := config{history: 0, limit: 1, policy: "skip", rate: 0.5}
	if err := good.check(); err != nil {
		t.Error(err)
	}
	for want, change := range map[string]func(*config){
		`policy "drop" is none of`: func(c *config) { c.policy = "drop" },
		"a history of -1 messages": func(c *config) { c.history = -1 },
		"a limit of 0 bytes":       func(c *config) { c.limit = 0 },
		"a rate of 0 messages":     func(c *config) { c.rate = 0 },
	} {
		bad := good
		change(&bad)
		if err := bad.check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func TestThePageKeepsItsOwnPolicy(t *testing.T) { webtest.WantStrict(t, embedded, "page") }

func TestTheTokenComesFromAFlagAFileOrTheEnvironment(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	good, empty, bad := file("good", " from-file==\n"), file("empty", "\n"), file("bad", "two words")
	for _, tc := range []struct{ flag, file, variable, want, err string }{
		{"", "", "", "", ""},
		{"a", "", "c", "a", ""},
		{"", good, "c", "from-file==", ""},
		{"", "", "c", "c", ""},
		{"a", good, "", "", "a -token and a -token-file"},
		{"", empty, "c", "", "no token in"},
		{"", bad, "", "", "may have letters"},
		{"", filepath.Join(dir, "none"), "", "", "no such file"},
		{"ü", "", "", "", "the token of -token may have"},
		{"==", "", "", "", "may have letters"},
		{"", "", "a=b", "", tokenVariable},
	} {
		t.Setenv(tokenVariable, tc.variable)
		got, err := readToken(tc.flag, tc.file)
		if got != tc.want || (err == nil) != (tc.err == "") || err != nil && !strings.Contains(err.Error(), tc.err) {
			t.Errorf("%+v: %q, %v", tc, got, err)
		}
	}
	p := start(t, "-token", "", "-token-file", good)
	p.token = "from-file=="
	p.publish("a", "x")
}
