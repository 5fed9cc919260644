package sntp

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// Options are the settings of a Client.
type Options struct {
	Servers []string // udp://host:123; the first that gives a good answer is asked again next time
	// Interval is the time from one good answer to the next question, with a tenth of it added or
	// taken away by chance; default 1024 s, 64 s at least (RFC 4330 §10). A server that says RATE
	// has it doubled.
	Interval time.Duration
	// Spread puts the first question off by a random time up to this, for fleets of devices that
	// start together: RFC 4330 §10 asks for one to five minutes. Default none.
	Spread   time.Duration
	Query    QueryOptions
	OnSample func(Sample) // called on the loop
	OnError  func(error)  // called on the loop for each question that failed; nil ignores them
}

const (
	intervalDefault = 1024 * time.Second
	intervalLeast   = 64 * time.Second
	intervalMost    = 36 * time.Hour // RFC 4330 §10: a day or so
	retryFirst      = 15 * time.Second
)

// ErrNoServer is given to OnError when no server is left: each has said that it does not want to be
// asked (DENY, RSTR). The Client has stopped then.
var ErrNoServer = errors.New("sntp: no server is left")

// A Client asks for the time now and then. It belongs to its manager's goroutine.
type Client struct {
	m       *mgr.Manager
	o       Options
	servers []string // those that may be asked, the next one first
	failed  int      // servers in a row
	rest    time.Duration
	timer   *mgr.Timer
	cancel  func()
	last    Sample
	stopped bool
	in      func(time.Duration) // has ask called after that; the tests have their own
}

// New makes a Client, which asks for the first time in the next turn of the loop. The URLs are
// checked when they are used: OnError tells.
func New(m *mgr.Manager, o Options) (*Client, error) {
	if len(o.Servers) == 0 {
		return nil, errors.New("sntp: no server")
	}
	if o.Interval <= 0 {
		o.Interval = intervalDefault
	}
	o.Interval = min(max(o.Interval, intervalLeast), intervalMost)
	c := &Client{m: m, o: o, servers: slices.Clone(o.Servers), rest: retryFirst}
	c.in = func(d time.Duration) { c.timer = m.AfterFunc(d, c.ask) }
	first := time.Duration(0)
	if o.Spread > 0 {
		first = rand.N(o.Spread)
	}
	c.in(first)
	return c, nil
}

// Stop ends the asking. No function of the Options is called any more.
func (c *Client) Stop() {
	c.stopped = true
	c.timer.Stop()
	if c.cancel != nil {
		c.cancel()
		c.cancel = nil
	}
}

// Last returns the last good answer; its Server is "" before there is one.
func (c *Client) Last() Sample { return c.last }

func (c *Client) ask() {
	cancel, err := Query(c.m, c.servers[0], c.answered, c.o.Query)
	if c.cancel = cancel; err != nil {
		c.answered(Sample{}, err)
	}
}

// answered takes the outcome of a question, and sees to the next.
func (c *Client) answered(s Sample, err error) {
	c.cancel = nil
	if err == nil {
		c.failed, c.rest, c.last = 0, retryFirst, s
		c.in(c.o.Interval - c.o.Interval/10 + rand.N(c.o.Interval/5))
		if c.o.OnSample != nil {
			c.o.OnSample(s)
		}
		return
	}
	var kiss *KissError
	switch isKiss := errors.As(err, &kiss); {
	case isKiss && kiss.Final():
		c.servers = c.servers[1:]
		if len(c.servers) == 0 {
			c.stopped = true
			c.tell(err)
			c.tell(ErrNoServer)
			return
		}
	case isKiss && kiss.Code == "RATE":
		c.o.Interval = min(2*c.o.Interval, intervalMost)
		c.rest = max(c.rest, c.o.Interval)
		fallthrough
	default:
		c.servers = append(c.servers[1:], c.servers[0])
		c.failed++
	}
	// All servers are asked in a row, a moment apart; then there is a rest, the longer the more often
	// in a row (RFC 4330 §10).
	if c.failed < len(c.servers) {
		c.in(time.Second)
	} else {
		c.failed = 0
		c.in(c.rest)
		c.rest = min(2*c.rest, max(c.o.Interval, intervalDefault))
	}
	c.tell(err)
}

func (c *Client) tell(err error) {
	if c.o.OnError != nil && (!c.stopped || len(c.servers) == 0) {
		c.o.OnError(err)
	}
}
