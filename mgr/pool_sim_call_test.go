package mgr_test

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/seed4930a636/mangusta/http"
)

// The requests of the simulation of the HTTP client's pool: what the program knows of each, and
// what it wants of the response, of the error, and of how often it was sent.

// poolCall is one request of the program.
type poolCall struct {
	s        *poolSim
	id       int
	method   string
	body     string
	r        http.ClientRequest
	call     http.Call
	begun    int64
	timeout  time.Duration
	src      *poolSource
	tries    []*poolTry
	good     []*poolTry // that got a response in order
	faults   int        // of servers
	over     bool
	calls    int // of done
	canceled bool
	panics   bool
	streams  bool
	heads    int
	streamed []byte
	last     bool
	dials    int // that had failed when it began

	overdue   int // turns
	overdueAt int64
}

// hop is how many redirects the request has followed.
func (c *poolCall) hop() int { return len(c.good) }

func (t *poolTry) idempotent() bool { return t.method != "POST" && t.method != "PATCH" }

// poolSource is a body that comes in pieces.
type poolSource struct {
	c      *poolCall
	rest   string
	wake   func() error
	asked  int
	closed int
	ends   bool
}

func (p *poolSource) Next(room int, wake func() error) ([]byte, error) {
	s := p.c.s
	if p.asked++; p.closed > 0 || p.ends {
		s.fail("request %d: the source is asked after its end", p.c.id)
	}
	s.mischief(p.c)
	if s.r.IntN(3) == 0 {
		p.wake = wake
		s.wakers = append(s.wakers, p)
		return nil, http.ErrWait
	}
	n := min(room, len(p.rest), 1+s.r.IntN(2000))
	b := []byte(p.rest[:n])
	p.rest = p.rest[n:]
	if len(p.rest) == 0 {
		p.ends = true
		return b, io.EOF
	}
	return b, nil
}

func (p *poolSource) Close() {
	p.closed++
	p.c.s.mischief(nil)
}

func (c *poolCall) done(r *http.Response, err error) {
	s := c.s
	s.note("request %d: done: %v", c.id, err)
	if c.calls++; c.calls > 1 || c.over {
		s.fail("request %d: done is called %d times, cancelled %v", c.id, c.calls, c.canceled)
	}
	c.over = true
	if (r == nil) == (err == nil) {
		s.fail("request %d: %v and %v", c.id, r, err)
	}
	if err == nil {
		s.succeeded++
		c.checkResponse(r)
	} else {
		s.failed++
		s.count(err)
		c.checkError(err)
	}
	s.mischief(c)
	if c.panics {
		s.panicked++
		panic(poolPanic{})
	}
}

func (c *poolCall) checkResponse(r *http.Response) {
	s := c.s
	if len(c.good) == 0 {
		s.fail("request %d: a response that no server has sent", c.id)
		return
	}
	hop := len(c.good) - 1
	if id := fmt.Sprintf("%d.%d", c.id, hop); r.Status != 0 && !c.last && string(r.Header("X-Id")) != id {
		s.fail("request %d: the response of %s, want %s", c.id, r.Header("X-Id"), id)
	}
	body := r.Body
	if c.streams && r.Status == 200 {
		body = c.streamed
		if !c.last {
			s.fail("request %d: no last Chunk", c.id)
		}
	}
	want := poolText(c.id, hop)
	switch {
	case c.method == "HEAD" || r.Status == 204:
		want = ""
	case r.Status == 302 || r.Status == 307:
		want = "old"
	}
	if string(body) != want {
		s.fail("request %d: the body is %q, want %q", c.id, body, want)
	}
}

// checkError wants a reason for a failure.
func (c *poolCall) checkError(err error) {
	s := c.s
	taken := 0
	for _, t := range c.tries {
		if t != nil {
			taken++
		}
	}
	if s.wrong != "" {
		return
	}
	if errors.Is(err, http.ErrUnsent) && taken > 0 {
		s.fail("request %d: %v, and ErrUnsent, but bytes of it were sent", c.id, err)
	}
	if !errors.Is(err, http.ErrUnsent) && taken == 0 && !errors.Is(err, http.ErrClientClosed) && !errors.Is(err, http.ErrRedirect) {
		s.fail("request %d: %v, and not ErrUnsent, but nothing of it was sent", c.id, err)
	}
	past := time.Duration(s.m.Now() - c.begun)
	for e, d := range map[error]time.Duration{http.ErrTimeout: c.timeout, http.ErrConnectTimeout: s.o.ConnectTimeout,
		http.ErrFirstByteTimeout: s.o.FirstByteTimeout, http.ErrStallTimeout: s.o.StallTimeout} {
		if errors.Is(err, e) && (d < 0 || past < d) {
			s.fail("request %d: %v after %v, before %v", c.id, err, past, d)
		}
	}
}

// checkTries wants no request to be sent twice, unless that does no harm.
func (c *poolCall) checkTries() {
	s := c.s
	sent := map[int]int{} // by the number of responses before
	before := 0
	for _, t := range c.tries {
		n := before
		sent[n]++
		if sent[n] == 1 {
			for _, g := range c.good {
				if g == t {
					before++
				}
			}
			continue
		}
		first := c.tries[0]
		for i, x := range c.tries {
			if x == t {
				first = c.tries[i-1]
			}
		}
		switch {
		case sent[n] > 2:
			s.fail("request %d is sent %d times", c.id, sent[n])
		case !t.idempotent():
			s.fail("request %d (%s) is sent twice", c.id, t.method)
		case first.first:
			s.fail("request %d is sent again after a connection that carried no other before it", c.id)
		case first.begun:
			s.fail("request %d is sent again after bytes of a response", c.id)
		}
		for _, g := range c.good {
			if g == t {
				before++
			}
		}
	}
}
