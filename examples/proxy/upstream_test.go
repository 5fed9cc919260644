package main

import (
	"slices"
	"testing"
	"time"
)

// A request that others overtake between two attempts still goes to each server once.
func TestNextServer(t *testing.T) {
	u, err := newUpstreams([]string{"http://a", "http://b", "http://c"}, 1, time.Second)
	if err != nil {
		t.Fatal(err)
	}
	for _, down := range [][]int{nil, {0}, {1, 2}, {0, 1, 2}} {
		for i, s := range u.all {
			if s.works(); slices.Contains(down, i) {
				s.fails(int64(i), &u)
			}
		}
		var tried []*upstream
		for range u.all {
			s := u.next(0, tried)
			if slices.Contains(tried, s) {
				t.Errorf("with %v down %s gets it twice", down, s.url)
			}
			if len(tried) == 0 && len(down) < 3 && s.until > 0 {
				t.Errorf("%s gets it first, and is left out", s.url)
			}
			tried = append(tried, s)
			u.next(0, nil) // another request
			u.next(0, nil)
		}
	}
	if s := u.next(int64(2*time.Second), nil); s.until > int64(2*time.Second) {
		t.Error("a server is left out for longer than the time for it")
	}
}
