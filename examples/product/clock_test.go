package main

import (
	"fmt"
	"math"
	"net"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/examples/internal/programtest"
	"github.com/seed4930a636/mangusta/sntp"
)

// serveTime is a time server whose clock is ahead.
func serveTime(t *testing.T, ahead time.Duration) (addr string, asked func() int) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	questions := make(chan int, 1)
	questions <- 0
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b := make([]byte, 100)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			q, err := sntp.Parse(b[:n])
			if err != nil {
				continue
			}
			now := sntp.TimestampOf(time.Now().Add(ahead))
			a := sntp.Packet{Version: 4, Mode: 4, Stratum: 2, Originate: q.Transmit, Reference: now, Receive: now, Transmit: now}
			questions <- 1 + <-questions
			c.WriteTo(a.Append(nil), from)
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
	return c.LocalAddr().String(), func() int { n := <-questions; questions <- n; return n }
}

// slowTime is a time server that replies to the first question when answer is called, with a clock
// that is far off.
func slowTime(t *testing.T) (addr string, question chan struct{}, answer func()) {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	question = make(chan struct{})
	var reply []byte
	var to net.Addr
	go func() {
		defer close(question)
		b := make([]byte, 100)
		n, from, err := c.ReadFrom(b)
		if err != nil {
			return
		}
		q, err := sntp.Parse(b[:n])
		if err != nil {
			t.Error(err)
			return
		}
		now := sntp.TimestampOf(time.Now().Add(time.Hour))
		reply, to = (&sntp.Packet{Version: 4, Mode: 4, Stratum: 2, Originate: q.Transmit, Reference: now, Receive: now, Transmit: now}).Append(nil), from
	}()
	return c.LocalAddr().String(), question, func() { c.WriteTo(reply, to) }
}

var offsetIn = regexp.MustCompile(`"clock":\{"state":"answered at [^"]+","offset":(-?[0-9.]+)`)

// The settings drive the questions to a time server, and the readings show the answers.
func TestClock(t *testing.T) {
	programtest.EachPoller(t, func(t *testing.T, poller string) {
		p := start(t, t.TempDir(), poller)
		ann := setUp(t, "http://"+p.Addr, p.Said)
		until := func(what string, is func(text string) bool) {
			t.Helper()
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				if _, text := ann.ask("GET", "/api/settings", ""); is(text) {
					return
				} else if time.Now().After(end) {
					t.Fatalf("%s, want %s", text, what)
				}
			}
		}
		off := func() {
			t.Helper()
			const want = `"clock":{"state":"off","offset":null,"drift":null}`
			until(want, func(text string) bool { return strings.Contains(text, want) })
		}
		// offset waits until the clock is said to be off by ahead, give or take how long an answer may be
		// on its way here.
		offset := func(ahead time.Duration) {
			t.Helper()
			until(ahead.String(), func(text string) bool {
				m := offsetIn.FindStringSubmatch(text)
				if m == nil {
					return false
				}
				ms, err := strconv.ParseFloat(m[1], 64)
				return err == nil && math.Abs(ms-ahead.Seconds()*1e3) < 20e3
			})
		}
		off() // nobody is asked before the owner says so
		first, asked := serveTime(t, 100*time.Second)
		second, askedToo := serveTime(t, -100*time.Second)
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"on": true, "server": "`+first+`"}}`)
		offset(100 * time.Second)
		if n := asked(); n != 1 {
			t.Errorf("%d questions", n)
		}
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"server": "`+second+`"}}`)
		offset(-100 * time.Second)
		if n, m := asked(), askedToo(); n != 1 || m != 1 {
			t.Errorf("%d and %d questions", n, m)
		}
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"every": 30}}`) // it begins anew
		until("a second question", func(string) bool { return askedToo() == 2 })

		// An answer of a server that is no longer asked counts for nothing.
		slow, question, answer := slowTime(t)
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"server": "`+slow+`"}}`)
		<-question
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"server": "`+first+`"}}`)
		offset(100 * time.Second)
		answer()
		for range 3 {
			offset(100 * time.Second)
		}
		ann.want(200, "", "PATCH", "/api/settings", `{"ntp": {"on": false}}`)
		off()
	})
}

func TestClockRefusesWhatIsNoServer(t *testing.T) {
	p := start(t, t.TempDir(), "auto")
	ann := setUp(t, "http://"+p.Addr, p.Said)
	for _, bad := range []string{"a b", "http://a", "a:0", "a:x", "a:70000", "300.1.1.1"} {
		ann.want(422, "ntp.server", "PATCH", "/api/settings", fmt.Sprintf(`{"ntp": {"server": %q}}`, bad))
	}
	ann.want(422, "ntp.server", "PATCH", "/api/settings", `{"ntp": {"on": true, "server": ""}}`)
	for text, want := range map[string]string{
		"pool.ntp.org": "udp://pool.ntp.org:123", "192.0.2.1": "udp://192.0.2.1:123", "192.0.2.1:1123": "udp://192.0.2.1:1123",
		"2001:db8::1": "udp://[2001:db8::1]:123", "[2001:db8::1]:5": "udp://[2001:db8::1]:5", "gate:1123": "udp://gate:1123",
	} {
		if got, ok := timeServer(text); got != want || !ok {
			t.Errorf("%s: %s %v, want %s", text, got, ok, want)
		}
	}
}
