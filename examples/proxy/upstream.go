package main

import (
	"fmt"
	"net/url"
	"slices"
	"time"
)

// An upstream is a server.
type upstream struct {
	url    string
	failed int   // times in a row
	until  int64 // when it gets requests again after it has failed, on the loop's clock

	requests, failures int
}

// upstreams are the servers, which get requests by turns.
type upstreams struct {
	all      []*upstream
	at       int // whose turn it is
	maxFails int
	failTime time.Duration
}

func newUpstreams(urls []string, maxFails int, failTime time.Duration) (upstreams, error) {
	u := upstreams{maxFails: maxFails, failTime: failTime}
	for _, s := range urls {
		at, err := url.Parse(s)
		switch {
		case err != nil:
			return u, fmt.Errorf("proxy: -to %w", err)
		case at.Scheme != "http" && at.Scheme != "https", at.Host == "", at.User != nil, at.Path != "" && at.Path != "/", at.RawQuery != "", at.Fragment != "":
			return u, fmt.Errorf("proxy: -to %q is not http://HOST:PORT or https://HOST:PORT", s)
		}
		u.all = append(u.all, &upstream{url: s})
	}
	return u, nil
}

// next returns the server whose turn it is, of those that the request has not been sent to; there
// is one. Those that are left out get a request only if all are.
func (u *upstreams) next(now int64, tried []*upstream) *upstream {
	var spare *upstream
	for range u.all {
		s := u.all[u.at]
		u.at = (u.at + 1) % len(u.all)
		switch {
		case slices.Contains(tried, s):
		case s.until <= now:
			return s
		case spare == nil || s.until < spare.until:
			spare = s
		}
	}
	return spare
}

// works notes that the server has responded.
func (s *upstream) works() { s.failed, s.until = 0, 0 }

// fails notes that it has not.
func (s *upstream) fails(now int64, u *upstreams) {
	s.failures++
	if s.failed++; s.failed >= u.maxFails {
		s.until = now + int64(u.failTime)
	}
}
