package mgr_test

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// The simulation of the HTTP client's pool runs a real Client on a real Manager over a kernel, a
// clock and servers that are made up (pool_sim_kernel_test.go, pool_sim_server_test.go). The
// program sends requests of all kinds (pool_sim_call_test.go), gives some up, and has functions
// that panic; the servers and the kernel do what they like. Here are the program and the limits
// after each turn. All chance comes from one seed:
//
//	go test ./mgr -run PoolSim -pool.seed=N

var (
	poolSeed  = flag.Int64("pool.seed", -1, "the one simulation of the HTTP client's pool to run, with a trace")
	poolFirst = flag.Int64("pool.first", 1, "the seed of the first one")
)

const poolHosts = 3

// poolSim is one simulation.
type poolSim struct {
	r      *rand.Rand
	now    int64
	m      *mgr.Manager
	c      *http.Client
	o      http.ClientOptions
	faults bool

	open      map[int]*poolFile
	watched   map[int]conn.Interest
	acts      []poolAct
	dialFails int

	calls    []*poolCall
	wakers   []*poolSource
	paused   []*conn.Conn
	closed   bool
	shut     bool
	inDone   int
	panicked int

	succeeded, failed int
	kinds             map[string]int
	wrong             string
	tracing           bool
	trace             []string
}

type poolPanic struct{}

func (s *poolSim) fail(format string, args ...any) {
	if s.wrong == "" {
		s.wrong = fmt.Sprintf(format, args...)
	}
	s.note("WRONG: "+format, args...)
}

func (s *poolSim) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf("%v: ", time.Duration(s.now))+fmt.Sprintf(format, args...))
	}
}

// Error implements conn.Logger: only panics that were made on purpose may be logged.
func (s *poolSim) Error(msg string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "panic" {
			if _, ok := args[i+1].(poolPanic); !ok {
				s.fail("%s: %v", msg, args)
			}
		}
	}
}
func (s *poolSim) Warn(string, ...any) {}

func newPoolSim(seed uint64) *poolSim {
	s := &poolSim{r: poolRand(seed), now: int64(time.Hour), open: map[int]*poolFile{}, watched: map[int]conn.Interest{}, kinds: map[string]int{}}
	s.faults = s.r.IntN(4) == 0
	pick := func(of ...int) int { return of[s.r.IntN(len(of))] }
	s.o = http.ClientOptions{
		ConnectTimeout:   time.Duration(pick(100, 1000, 5000)) * time.Millisecond,
		ContinueTimeout:  time.Duration(pick(10, 500)) * time.Millisecond,
		FirstByteTimeout: time.Duration(pick(-1, 300, 3000)) * time.Millisecond,
		StallTimeout:     time.Duration(pick(-1, 300, 3000)) * time.Millisecond,
		Timeout:          time.Duration(pick(400, 4000, 20000)) * time.Millisecond,
		KeepAlive:        time.Duration(pick(-1, 50, 3000)) * time.Millisecond,
		MaxConns:         pick(1, 2, 4, 50),
		MaxConnsPerHost:  pick(1, 2, 3, 20),
		MaxQueue:         pick(1, 5, 100),
		MaxRedirects:     pick(0, 1, 2),
	}
	return s
}

// callOn returns the request that is on the connection with that descriptor.
func (s *poolSim) callOn(fd int) *poolCall {
	for _, c := range s.calls {
		if !c.over && c.call.Conn() != nil && c.call.Conn().FD() == fd {
			return c
		}
	}
	return nil
}

// begin sends a request.
func (s *poolSim) begin() {
	r := s.r
	c := &poolCall{s: s, id: len(s.calls), begun: s.m.Now(), timeout: s.o.Timeout, dials: s.dialFails}
	c.method = []string{"GET", "GET", "HEAD", "PUT", "DELETE", "POST", "POST", "PATCH"}[r.IntN(8)]
	c.r = http.ClientRequest{Method: c.method, URL: fmt.Sprintf("http://127.0.0.1:%d/%d/0", 1+r.IntN(poolHosts), c.id)}
	if r.IntN(8) == 0 {
		c.timeout = time.Duration(1+r.IntN(2000)) * time.Millisecond
		c.r.Timeout = c.timeout
	}
	if c.method == "PUT" || c.method == "POST" || c.method == "PATCH" {
		c.body = strings.Repeat(fmt.Sprintf("[%d]", c.id), 1+r.IntN([]int{3, 500}[r.IntN(2)]))
		c.r.Expect = r.IntN(4) == 0
		switch r.IntN(3) {
		case 0:
			c.r.Body = []byte(c.body)
		case 1:
			c.src = &poolSource{c: c, rest: c.body}
			c.r.Source = c.src
		case 2:
			c.src = &poolSource{c: c, rest: c.body}
			c.r.Source, c.r.Length = c.src, int64(len(c.body))
		}
	}
	c.panics = r.IntN(20) == 0
	if r.IntN(3) == 0 {
		c.streams = r.IntN(2) == 0
		c.r.Events = c.event
	}
	s.calls = append(s.calls, c)
	s.note("request %d: %s %s, %d bytes, timeout %v", c.id, c.method, c.r.URL, len(c.body), c.timeout)
	var err error
	c.call, err = s.c.Do(&c.r, c.done)
	if err != nil {
		s.note("request %d: refused: %v", c.id, err)
		c.over = true
		switch {
		case errors.Is(err, http.ErrClientClosed) && s.closed, errors.Is(err, http.ErrQueueFull), errors.Is(err, mgr.ErrClosed) && s.shut:
		case s.dialFails > c.dials:
		default:
			s.fail("request %d is refused: %v", c.id, err)
		}
		s.count(err)
	}
}

func (s *poolSim) count(err error) {
	for _, e := range []error{http.ErrTimeout, http.ErrConnectTimeout, http.ErrFirstByteTimeout, http.ErrStallTimeout, http.ErrNoResponse, http.ErrCut,
		http.ErrBadResponse, http.ErrQueueFull, http.ErrClientClosed, http.ErrUnsent, http.ErrRedirect} {
		if errors.Is(err, e) {
			s.kinds[e.Error()]++
		}
	}
}

func (c *poolCall) event(k *conn.Conn, ev conn.Event) {
	s := c.s
	if c.over {
		s.fail("request %d: %s after its end", c.id, ev.EventName())
	}
	switch ev := ev.(type) {
	case *http.ResponseHead:
		if c.heads++; c.heads > 1+len(c.good) {
			s.fail("request %d: %d heads", c.id, c.heads)
		}
		if c.streams && ev.Status == 200 {
			if err := http.StreamResponse(k); err != nil {
				s.fail("request %d: StreamResponse: %v", c.id, err)
			}
		}
	case *http.Chunk:
		if c.last {
			s.fail("request %d: a Chunk after the last", c.id)
		}
		c.streamed = append(c.streamed, ev.Data...)
		c.last = ev.Last
		if !ev.Last && s.r.IntN(3) == 0 {
			k.Pause()
			s.paused = append(s.paused, k)
			s.note("request %d: pauses", c.id)
		}
	}
	s.mischief(c)
}

// mischief is what a program may do in any function of its own.
func (s *poolSim) mischief(c *poolCall) {
	switch s.r.IntN(30) {
	case 0:
		if s.inDone < 2 && len(s.calls) < 60 && (!s.closed || s.r.IntN(20) == 0) {
			s.inDone++
			s.begin()
			s.inDone--
		}
	case 1:
		s.cancel(s.calls[s.r.IntN(len(s.calls))])
	case 2:
		s.c.CloseIdle()
	case 3:
		if c != nil {
			c.call.Wake()
		}
	case 4:
		if c != nil && s.inDone < 2 && len(s.calls) < 60 && !s.closed { // another call may become what it was
			s.inDone++
			s.cancel(c)
			s.begin()
			s.inDone--
		}
	}
}

func (s *poolSim) cancel(c *poolCall) {
	if c.call == (http.Call{}) {
		return // Do has not returned yet
	}
	over := c.over
	c.over = true
	is := c.call.Cancel()
	s.note("request %d: cancelled: %v", c.id, is)
	if is == over {
		s.fail("request %d: over is %v, and Cancel returned %v", c.id, over, is)
	}
	c.canceled = c.canceled || is
}

// check looks at the limits after a turn.
func (s *poolSim) check() {
	st := s.c.Stats()
	if st.Conns > s.o.MaxConns || st.Idle > st.Conns || st.Waiting > s.o.MaxQueue+s.o.MaxConns {
		s.fail("%+v, with %+v", st, s.o)
	}
	if mgr.Unsettled(s.m) {
		return
	}
	perHost := map[int]int{}
	for _, f := range s.open {
		perHost[f.host]++
	}
	for host, n := range perHost {
		if n > s.o.MaxConnsPerHost {
			s.fail("%d connections to host %d", n, host)
		}
	}
	if len(s.open) > s.o.MaxConns {
		s.fail("%d connections", len(s.open))
	}
	if st.Conns != len(s.open) {
		s.fail("%d connections are counted, and %d are open", st.Conns, len(s.open))
	}
	if st.Waiting > 0 && !s.closed && !s.shut {
		s.checkWaiting(st, perHost)
	}
	for _, c := range s.calls {
		if !c.over && s.m.Now() > c.begun+int64(c.timeout+50*time.Millisecond) {
			if c.overdue++; c.overdue == 1 {
				c.overdueAt = s.now
			}
			if c.overdue > 4 && s.now > c.overdueAt+int64(50*time.Millisecond) {
				s.fail("request %d goes on after its timeout", c.id)
			}
		}
	}
}

// checkWaiting wants a request to wait only while there is no room for it.
func (s *poolSim) checkWaiting(st http.ClientStats, perHost map[int]int) {
	for _, c := range s.calls {
		if c.over || c.call.Conn() != nil || len(c.good) > 0 {
			continue
		}
		var host int
		fmt.Sscanf(c.r.URL, "http://127.0.0.1:%d/", &host)
		if n := perHost[host-1]; n < s.o.MaxConnsPerHost && (st.Conns < s.o.MaxConns || st.Idle > 0) {
			s.fail("request %d waits, and there is room: %+v, %d to its host", c.id, st, n)
		}
	}
}

func (s *poolSim) turn(timeout time.Duration) {
	if err := mgr.Once(s.m, timeout); err != nil && !errors.Is(err, mgr.ErrClosed) {
		s.fail("Poll: %v", err)
	}
	s.run()
	s.check()
}

func (s *poolSim) simulate() string {
	m, err := mgr.NewOver(mgr.Options{Log: s}, s)
	if err != nil {
		return err.Error()
	}
	s.m = m
	if s.c, err = http.NewClient(m, s.o); err != nil {
		return err.Error()
	}
	for turns := 10 + s.r.IntN(80); turns > 0 && s.wrong == ""; turns-- {
		s.act()
		s.turn(time.Duration(s.r.IntN(50)) * time.Millisecond)
	}
	if s.wrong == "" && s.r.IntN(10) == 0 {
		s.note("the manager is closed")
		s.shut = true
		s.m.Close()
		if s.closed { // then the program knows
			return s.wrong
		}
	}
	s.settleDown()
	return s.wrong
}

// act is what the program does between two turns.
func (s *poolSim) act() {
	for fd := poolFD; fd < poolFD+5 && s.r.IntN(4) == 0; fd++ {
		if f := s.open[fd]; f != nil && f.stands && f.served > 0 && f.now == nil && !f.sick {
			f.smuggle(&poolTry{call: s.calls[0]})
			break
		}
	}
	for s.r.IntN(3) == 0 && len(s.calls) < 60 && !s.closed {
		s.begin()
	}
	if len(s.calls) > 0 {
		s.mischief(nil)
	}
	s.wakeAll(3)
	switch {
	case s.r.IntN(400) == 0:
		s.note("the client is closed")
		s.closed = true
		s.c.Close()
	case s.r.IntN(10) == 0 && len(s.open) > 0: // a server closes any connection
		for _, fd := range []int{poolFD, poolFD + 1, poolFD + 2} {
			if f := s.open[fd]; f != nil && f.stands && s.r.IntN(3) == 0 {
				s.note("%v: the server goes away", f)
				if f.now != nil {
					f.now.call.faults++
				}
				f.sick = true
				if s.r.IntN(2) == 0 {
					f.end()
				} else {
					f.breaks()
				}
			}
		}
	}
}

// wakeAll has some of what waits for the program go on.
func (s *poolSim) wakeAll(of int) {
	wakers, paused := s.wakers, s.paused
	s.wakers, s.paused = nil, nil
	for _, p := range wakers {
		switch {
		case s.r.IntN(of) > 0:
			s.wakers = append(s.wakers, p)
		case s.r.IntN(2) == 0:
			p.c.call.Wake()
		default:
			p.wake()
		}
	}
	for _, k := range paused {
		if s.r.IntN(of) > 0 {
			s.paused = append(s.paused, k)
		} else {
			k.Resume()
		}
	}
}

// settleDown has all requests end, by their timeouts at the latest.
func (s *poolSim) settleDown() {
	under := func() (n int) {
		for _, c := range s.calls {
			if !c.over {
				n++
			}
		}
		return n
	}
	for turns := 0; s.wrong == "" && under() > 0 && !s.shut; turns++ {
		s.wakeAll(1)
		s.turn(100 * time.Millisecond)
		if turns == 5000 {
			s.fail("%d requests never end", under())
		}
	}
	for end := s.now + int64(30*time.Second); s.wrong == "" && s.now < end && !s.shut; {
		s.wakeAll(1)
		s.turn(5 * time.Second)
	}
	if st := s.c.Stats(); s.wrong == "" && st != (http.ClientStats{}) {
		s.fail("in the end: %+v", st)
	}
	if timers, doomed := mgr.Left(s.m); s.wrong == "" && timers+doomed > 0 && !s.shut {
		s.fail("in the end: %d timers, %d descriptors to close", timers, doomed)
	}
	s.shut = true
	s.m.Close()
	if len(s.open) > 0 && s.wrong == "" {
		s.fail("%d descriptors are left", len(s.open))
	}
	for _, c := range s.calls {
		if s.wrong != "" {
			break
		}
		c.checkTries()
		if c.src != nil && c.src.closed != 1 {
			s.fail("request %d: its source was closed %d times", c.id, c.src.closed)
		}
		if !c.over && s.wrong == "" {
			s.fail("request %d has no end", c.id)
		}
	}
}

func TestPoolSim(t *testing.T) {
	if *poolSeed >= 0 {
		s := newPoolSim(uint64(*poolSeed))
		s.tracing = true
		wrong := s.simulate()
		t.Log(strings.Join(s.trace, "\n"))
		if wrong != "" {
			t.Fatal(wrong)
		}
		return
	}
	runs := 3000
	switch {
	case exhaustive.On():
		runs = 50_000
	case mgr.RaceEnabled || testing.Short():
		runs = 300
	}
	succeeded, failed, kinds := 0, 0, map[string]int{}
	for i := range runs {
		seed := uint64(*poolFirst) + uint64(i)
		hung := time.AfterFunc(time.Minute, func() { panic(fmt.Sprintf("the simulation hangs: -pool.seed=%d", seed)) })
		s := newPoolSim(seed)
		wrong := s.simulate()
		hung.Stop()
		if wrong != "" {
			s = newPoolSim(seed)
			s.tracing = true
			wrong = s.simulate()
			t.Fatalf("%s\n%s\nreplay: go test ./mgr -run PoolSim -pool.seed=%d", strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"), wrong, seed)
		}
		succeeded += s.succeeded
		failed += s.failed
		for k, n := range s.kinds {
			kinds[k] += n
		}
	}
	t.Logf("%d responses, %d failures: %v", succeeded, failed, kinds)
	if len(kinds) < 11 && runs >= 3000 || succeeded < runs { // some ends are rare
		t.Error("the simulation no longer reaches all ends")
	}
}
