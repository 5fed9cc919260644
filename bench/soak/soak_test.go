package main

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// Two seconds of the whole load, under each poller: every operation succeeds and all descriptors
// are closed afterwards.
func TestShortSoak(t *testing.T) {
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			var out bytes.Buffer
			ok, err := run(t.Context(), config{length: 2 * time.Second, poller: poller, scale: 2, each: true}, &out)
			if err != nil || !ok || !strings.Contains(out.String(), "ok, but slopes are judged from 2m0s on") {
				t.Errorf("%v, %v\n%s", ok, err, &out)
			}
			for _, name := range []string{"keep-alive", "echo", "broadcast", "churn", "slow reader"} {
				if strings.Contains(out.String(), name+strings.Repeat(" ", 21-len(name))+"0 operations") {
					t.Errorf("%s did nothing\n%s", name, &out)
				}
			}
		})
	}
}

// Two seconds over TLS, with each kind of key: the mixed load, and handshakes beside WebSockets
// that rest.
func TestShortSoakTLS(t *testing.T) {
	for name, c := range map[string]config{
		"mixed":      {tls: "rsa", scale: 1},
		"handshakes": {tls: "ecdsa", idle: 100, handshakes: 100},
	} {
		t.Run(name, func(t *testing.T) {
			c.length, c.poller = 2*time.Second, "epoll"
			var out bytes.Buffer
			ok, err := run(t.Context(), c, &out)
			if err != nil || !ok {
				t.Errorf("%v, %v\n%s", ok, err, &out)
			}
		})
	}
}

// made returns 15 minutes of samples in which a field grows, beside noise.
func made(perMinute func(s *sample, minute float64)) report {
	r := report{before: sample{rss: 4 << 20, files: 8, threads: 6}, ops: map[string]int64{"echo": 1}}
	for i := range 180 {
		s := sample{at: time.Duration(i) * 5 * time.Second, rss: 20<<20 + i*7919%300_000, files: 50 + i*31%11, threads: 7,
			cpu: time.Duration(i) * 200 * time.Millisecond, ops: int64(i) * 10_000}
		if perMinute != nil {
			perMinute(&s, s.at.Minutes())
		}
		r.samples = append(r.samples, s)
	}
	r.after = r.before
	return r
}

func TestJudge(t *testing.T) {
	for _, tc := range []struct {
		name, want string
		r          report
	}{
		{"steady", "ok: nothing grows", made(nil)},
		{"one peak", "ok: nothing grows", made(func(s *sample, m float64) {
			if m > 9 && m < 10 {
				s.rss += 50 << 20
			}
		})},
		{"memory", "FAIL: RSS grows", made(func(s *sample, m float64) { s.rss += int(m * 300_000) })},
		{"live heap", "FAIL: live heap grows", made(func(s *sample, m float64) { s.live = 70 + int(m/2) })},
		{"descriptors", "FAIL: descriptors grows", made(func(s *sample, m float64) { s.files += int(m * 2) })},
		{"threads", "FAIL: threads grows", made(func(s *sample, m float64) { s.threads += int(m) })},
		{"cost", "FAIL: CPU grows", made(func(s *sample, m float64) { s.cpu += time.Duration(m * m * float64(2*time.Second)) })},
		{"left open", "FAIL: 9 descriptors are open after the load, 8 were before", func() report {
			r := made(nil)
			r.after.files = 9
			return r
		}()},
		{"an operation failed", "FAIL: echo: lost", func() report {
			r := made(nil)
			r.errs = []error{errors.New("echo: lost")}
			return r
		}()},
		{"a client did nothing", "FAIL: churn did nothing", func() report {
			r := made(nil)
			r.ops["churn"] = 0
			return r
		}()},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var out bytes.Buffer
			if ok := judge(&out, tc.r); ok != strings.HasPrefix(tc.want, "ok") || !strings.Contains(out.String(), tc.want) {
				t.Errorf("%v\n%s", ok, &out)
			}
		})
	}
}

// The live heap is the third size of a line of gctrace, however the lines are cut.
func TestCollections(t *testing.T) {
	const text = "gc 1 @0.009s 1%: 0.01+0.3+0.02 ms clock, 0.02+0/0.1/0+0.04 ms cpu, 3->4->1 MB, 4 MB goal, 0 MB stacks, 0 MB globals, 2 P\n" +
		"gc 12 @120.4s 0%: 0.01+0.3+0.02 ms clock, 0.02+0/0.1/0+0.04 ms cpu, 141->142->71 MB, 143 MB goal, 0 MB stacks, 0 MB globals, 2 P (forced)\n"
	for n := 1; n < len(text); n += 7 {
		var x collections
		for p := []byte(text); len(p) > 0; p = p[min(n, len(p)):] {
			x.Write(p[:min(n, len(p))])
		}
		if got := x.live.Load(); got != 71 {
			t.Errorf("in pieces of %d bytes: %d MiB", n, got)
		}
	}
}

func TestBoundsOfTheFlags(t *testing.T) {
	for _, c := range []config{{length: 0, scale: 1}, {length: time.Second}, {length: time.Second, scale: 1, idle: 1},
		{length: 25 * time.Hour, scale: 1}, {length: time.Second, scale: 101}} {
		if ok, err := run(t.Context(), c, new(bytes.Buffer)); ok || err == nil {
			t.Errorf("%+v: %v, %v", c, ok, err)
		}
	}
}
