package main

import (
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// The probes over two loops, without their byte-by-byte form, which TestProbe has.
func TestProbeOverTwoLoops(t *testing.T) {
	dir := probeFiles(t)
	for _, poller := range []string{"epoll", "select"} {
		t.Run(poller, func(t *testing.T) {
			p := start(t, "-poller", poller, "-loops", "2", "-dir", dir, "-max-body", "2000000")
			for topic, table := range probes {
				for _, x := range table() {
					if err := x.run(p.Addr, false); err != nil {
						t.Errorf("%s: %s: %v", topic, x.name, err)
					}
				}
			}
		})
	}
}

// Every tenth case of the suite over two loops; the long form runs all.
func TestSuiteOverTwoLoops(t *testing.T) {
	step := 10
	if exhaustive.On() {
		step = 1
	}
	p := start(t, "-loops", "2")
	play := func(name, offer string, run func(s *side, answer string) error) {
		s, answer, err := dialSide(p.Addr, offer)
		if err == nil {
			err = run(s, answer)
			s.Close()
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for i, tc := range suiteCases() {
		if i%step == 0 {
			play(tc.name, "", func(s *side, _ string) error { return s.run(tc) })
		}
	}
	for i, tc := range deflateCases() {
		if i%step != 0 || t.Failed() {
			continue
		}
		play(tc.String(), tc.offer, func(s *side, answer string) error {
			if !strings.HasPrefix(answer, "permessage-deflate") {
				t.Fatalf("answered %q", answer)
			}
			return s.deflated(tc, newCodec(answer, false))
		})
	}
}

// A message that begins with B reaches the WebSockets of all loops.
func TestABroadcastReachesAllLoops(t *testing.T) {
	p := start(t, "-loops", "3")
	var sides []*side
	for range 12 {
		s, _, err := dialSide(p.Addr, "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		sides = append(sides, s)
	}
	sides[0].Write(sides[0].wire(nil, frame{text, "Broadcast"}))
	for i, s := range sides {
		if got, err := s.read(); err != nil || got.payload != "Broadcast" {
			t.Errorf("WebSocket %d: %+v, %v", i, got, err)
		}
	}
}
