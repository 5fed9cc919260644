package main

import (
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/internal/clockskew"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// clockVariable is set in the environment of a node whose wall clock is off by so much. SIGUSR1
// sets it to be off by as much in the other direction.
const clockVariable = "MANGUSTA_TEST_CLOCK"

// setClock moves the clock of this process, if it is such a node.
func setClock() {
	by, err := time.ParseDuration(os.Getenv(clockVariable))
	if err != nil {
		return
	}
	clockskew.Set(by)
	step := make(chan os.Signal, 1)
	signal.Notify(step, syscall.SIGUSR1)
	go func() {
		for range step {
			by = -by
			clockskew.Set(by)
		}
	}()
}

// startOff starts a node whose clock is off.
func startOff(t *testing.T, by string, args ...string) *process {
	t.Helper()
	if !clockskew.Supported {
		t.Skip("SKIPPED, NOT TESTED: the clock of a process can be moved on linux/amd64 alone")
	}
	return startNodeIn(t, []string{"env", clockVariable + "=" + by}, args...)
}

// TestClocksDiffer: of a host and two nodes no two have the same time. Their clocks are set amid a
// flood, back and forth, while nodes and the engine die. The subscribers see nothing of it.
func TestClocksDiffer(t *testing.T) {
	t.Parallel()
	host := startOff(t, "-1h", "-node", "host", "-nats-listen", freeAddress(t), "-dir", filepath.Join(t.TempDir(), "nats"))
	url := natsAt.FindStringSubmatch(host.Said)[1]
	b := startOff(t, "2h", "-nats", url, "-files")
	c := startOff(t, "-480000h", "-nats", url, "-files") // as a device without a clock, in 1970
	f := startFlood(t, host, b, c)
	f.more(100)
	for _, s := range []*process{host, b} {
		s.Signal(syscall.SIGUSR1)
	}
	f.more(100)
	b.kill()
	f.more(50)
	b.start()
	host.kill()
	f.refuse(10)
	host.start()
	f.more(50)
	for _, s := range []*process{host, b, c} {
		s.Signal(syscall.SIGUSR1)
	}
	f.more(50)
	f.check()
}

// TestClocksOfThreeDiffer is the same of three nodes with all messages on each: the one that leads
// dates them.
func TestClocksOfThreeDiffer(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("it takes half a minute: MANGUSTA_EXHAUSTIVE=1")
	}
	t.Parallel()
	nodes := startThreeBy(t, func(i int) []string {
		return []string{"env", clockVariable + "=" + []string{"3h", "-2h", "0s"}[i]}
	}, func(int) string { return freeAddress(t) })
	f := startFlood(t, nodes...)
	for _, s := range nodes {
		f.more(100)
		s.Signal(syscall.SIGUSR1)
		f.more(50)
		s.kill()
		f.more(50)
		s.start()
		f.everywhere()
	}
	f.check()
}

// TestClocksDifferFromRedis: nodes are ahead of the store, which dates the messages, or behind.
func TestClocksDifferFromRedis(t *testing.T) {
	t.Parallel()
	dir := shortDir(t)
	redisServer(t, dir)
	url := "unix://" + filepath.Join(dir, "s")
	a, b := startOff(t, "24h", "-redis", url), startOff(t, "-480000h", "-redis", url)
	f := startFlood(t, a, b)
	f.more(50)
	for _, s := range []*process{a, b} {
		s.kill()
		f.more(50)
		s.start()
		s.Signal(syscall.SIGUSR1)
	}
	f.more(50)
	f.check()
}

// TestTokensByTheClockOfTheNode: a node judges a token by its own clock. One that is ahead refuses
// good tokens, one that is behind takes those that have expired, and a subscription ends when the
// clock of its node says so, also when that is set meanwhile.
func TestTokensByTheClockOfTheNode(t *testing.T) {
	t.Parallel()
	key := []byte(strings.Repeat("k", 32))
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, key, 0o600); err != nil {
		t.Fatal(err)
	}
	token := func(expires time.Duration) string {
		c := claims{Subscribe: []string{"#"}}
		c.ExpiresAt = jwt.NewNumericDate(time.Now().Add(expires))
		s, err := jwt.NewWithClaims(jwt.SigningMethodHS256, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	tokens := []string{token(time.Hour), token(-time.Hour), token(3 * time.Hour), token(-3 * time.Hour)}
	for by, want := range map[string][]int{"0s": {200, 401, 200, 401}, "2h": {401, 401, 200, 401}, "-2h": {200, 200, 200, 401}} {
		n := startOff(t, by, "-token", "all", "-jwt-key-file", file)
		for i, token := range tokens {
			resp, err := http.Get("http://" + n.Addr + "/events?topic=t&access_token=" + token)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want[i] {
				t.Errorf("the clock is off by %s: token %d has the status %d instead of %d", by, i, resp.StatusCode, want[i])
			}
		}
		if by != "-2h" || !exhaustive.On() { // the next takes a minute
			continue
		}
		// It takes this one for good, until its clock is set.
		c, _, err := websocket.DefaultDialer.Dial("ws://"+n.Addr+"/ws?topic=t&access_token="+tokens[1], nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		n.Signal(syscall.SIGUSR1)
		c.SetReadDeadline(time.Now().Add(patience + time.Minute)) // which is how often a node looks at its clock
		for err == nil {
			_, _, err = c.ReadMessage()
		}
		if !websocket.IsCloseError(err, 4401) {
			t.Errorf("the subscription ends with %v", err)
		}
	}
}
