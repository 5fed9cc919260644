package tlsconn

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A testClock is that of a Server's tickets.
type testClock struct {
	unix int64
	up   time.Duration
}

func (c *testClock) pass(d time.Duration) {
	c.unix += int64(d / time.Second)
	c.up += d
}

func ticketClock(s *Server) *testClock { return clockOf(s.tickets.(*tickets)) }

func clockOf(t *tickets) *testClock {
	c := &testClock{}
	c.unix, c.up = t.now()
	t.now = func() (int64, time.Duration) { return c.unix, c.up }
	return c
}

// keysOf returns the keys in a file, by the times they were made.
func keysOf(t *testing.T, file string) (made []int64) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	keys, err := readTickets(f)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range keys {
		made = append(made, k.made)
	}
	return made
}

// The keys of a device whose clock is set late, or never.
func TestTicketsWithoutAClock(t *testing.T) {
	const today = clockSet + 40*lifeSeconds
	file := filepath.Join(t.TempDir(), "tickets")
	var k *tickets
	var clock *testClock
	boot := func(unix int64) {
		k = newTickets(file)
		clock = clockOf(k)
		clock.unix, clock.up = unix, 0
		if err := k.renew(&tls.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	pass := func(d time.Duration) {
		clock.pass(d)
		if err := k.renew(&tls.Config{}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(what string, made ...int64) {
		t.Helper()
		if got := keysOf(t, file); !slices.Equal(got, made) {
			t.Errorf("%s: keys of %v, want %v", what, got, made)
		}
	}
	for range 10 {
		boot(10)
		pass(time.Hour)
		want("boots without a clock", 10)
	}
	pass(ticketLife)
	want("a day without a clock", 10+3600+lifeSeconds, 10)
	boot(10)
	want("a boot after that", 10+3600+lifeSeconds, 10)
	pass(ticketLife - time.Second)
	want("nearly a day more", 10+3600+lifeSeconds, 10)
	pass(time.Second)
	want("a day more", 10+lifeSeconds, 10+3600+lifeSeconds, 10)
	clock.unix = today // NTP
	pass(0)
	want("the clock is set", today, 10+lifeSeconds, 10+3600+lifeSeconds, 10)
	for range 10 {
		boot(10)
		want("a boot, before the clock is set", today, 10+lifeSeconds, 10+3600+lifeSeconds, 10)
		clock.unix = today + 100
		pass(0)
		want("a boot, after the clock is set", today, 10+lifeSeconds, 10+3600+lifeSeconds, 10)
	}
	boot(today - 3600)
	want("a clock that goes back a little", today, 10+lifeSeconds, 10+3600+lifeSeconds, 10)
	boot(today - 2*lifeSeconds)
	want("a key from the far future", today-2*lifeSeconds, today, 10+lifeSeconds, 10+3600+lifeSeconds, 10)
}

// Processes that share a file take over each other's keys, and none is lost, though all of them
// look for a new one at the same moment.
func TestTicketsAreShared(t *testing.T) {
	const n = 8
	file := filepath.Join(t.TempDir(), "tickets")
	var all [n]*Server
	var clocks [n]*testClock
	for i := range all {
		all[i] = newServer(t, func(c *Config) { c.Tickets = TicketFile(file) })
		clocks[i] = ticketClock(all[i])
	}
	for day := range 3 {
		if got := keysOf(t, file); len(got) != day+1 {
			t.Fatalf("day %d: %d keys: %v", day, len(got), got)
		}
		if !resumes(t, all[0], all[n-1], tls.VersionTLS13) {
			t.Fatalf("day %d: not resumed by another process", day)
		}
		var wg sync.WaitGroup
		for i, s := range all {
			clocks[i].pass(ticketLife)
			wg.Go(func() {
				if err := s.tickets.renew(s.base); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	// A key that this process could not write is not lost either.
	b, _ := os.ReadFile(file)
	os.WriteFile(file, b[bytes.IndexByte(b, '\n')+1:], 0o600)
	clocks[0].pass(ticketLife)
	if err := all[0].tickets.renew(all[0].base); err != nil {
		t.Fatal(err)
	}
	if now, _ := os.ReadFile(file); !strings.Contains(string(now), strings.SplitN(string(b), "\n", 2)[0]) {
		t.Errorf("a key is lost:\n%s\n%s", b, now)
	}
}

// A file that is locked for long, or cannot be used any more, costs neither keys nor time.
func TestTicketsWithoutTheFile(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "tickets")
	k := newTickets(file)
	clock := clockOf(k)
	if err := k.renew(&tls.Config{}); err != nil {
		t.Fatal(err)
	}
	f, err := openLocked(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	clock.pass(ticketLife)
	if err := k.renew(&tls.Config{}); err != nil || len(keysOf(t, file)) != 2 {
		t.Errorf("a locked file: %v, %d keys", err, len(keysOf(t, file)))
	}
	for i, spoil := range []func(){
		func() { os.Chmod(file, 0o644) },
		func() { os.WriteFile(file, []byte("nonsense"), 0o600) },
		func() { os.RemoveAll(dir) },
	} {
		spoil()
		clock.pass(ticketLife)
		err := k.renew(&tls.Config{})
		if err == nil || len(k.keys) != 3+i || k.keys[0].made != clock.unix {
			t.Errorf("%d: %v, %d keys", i, err, len(k.keys))
		}
		if again := k.renew(&tls.Config{}); again != nil {
			t.Errorf("%d: tried again at once: %v", i, again)
		}
	}
	if err := newTickets(filepath.Join(dir, "no", "file")).renew(&tls.Config{}); err == nil || !strings.HasPrefix(err.Error(), "tlsconn: session ticket keys: ") {
		t.Error(fmt.Sprint(err))
	}
}
