package mgr

import (
	"bytes"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// The simulation runs a real Manager with real connections over a poller, a clock and sockets that
// are made up (sim_kernel_test.go), does at random what programs, peers and kernels do, and
// compares everything with a model of how it should be (sim_model_test.go). All chance comes from
// one seed:
//
//	go test ./mgr -run Sim -sim.seed=N -sim.steps=M

var (
	simSeed  = flag.Int64("sim.seed", -1, "the one simulation to run, with a trace")
	simSteps = flag.Int("sim.steps", 60, "loop turns of a simulation")
	simRuns  = flag.Int("sim.runs", 2500, "simulations to run")
	simFirst = flag.Int64("sim.first", 1, "the seed of the first simulation")
)

func TestSim(t *testing.T) {
	if *simSeed >= 0 {
		s := newSim(simDice{src: rand.NewPCG(uint64(*simSeed), 0)}, *simSteps)
		s.tracing = true
		if err := s.run(); err != "" {
			t.Fatalf("%s\n%s", strings.Join(s.trace, "\n"), err)
		}
		t.Log(strings.Join(s.trace, "\n"))
		return
	}
	runs := *simRuns
	if raceEnabled || testing.Short() {
		runs /= 10
	}
	for i := range runs {
		seed := *simFirst + int64(i)
		simWatch(t, func() simDice { return simDice{src: rand.NewPCG(uint64(seed), 0)} }, *simSteps,
			fmt.Sprintf("go test ./mgr -run Sim -sim.seed=%d -sim.steps=%d", seed, *simSteps))
	}
	if !bytes.Equal(simTable, simTableCopy) {
		t.Error("a buffer given to WriteShared was changed")
	}
}

func FuzzLoop(f *testing.F) {
	for seed := range uint64(20) {
		b := make([]byte, 600)
		r := rand.NewPCG(seed, 1)
		for i := range b {
			b[i] = byte(r.Uint64())
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		simWatch(t, func() simDice { return simDice{fuzzing: true, data: data} }, 1000, "the fuzzer's input")
	})
}

// simWatch runs one simulation, and once more with a trace when it fails. A simulation that hangs
// ends the program.
func simWatch(t *testing.T, dice func() simDice, steps int, again string) {
	t.Helper()
	hung := time.AfterFunc(time.Minute, func() { panic("the simulation hangs: " + again) })
	defer hung.Stop()
	if newSim(dice(), steps).run() == "" {
		return
	}
	s := newSim(dice(), steps)
	s.tracing = true
	err := s.run()
	t.Fatalf("%s\n%s\nreplay: %s", strings.Join(s.trace[max(0, len(s.trace)-60):], "\n"), err, again)
}

// sim is one simulation.
type sim struct {
	d     simDice
	m     *Manager
	g     uint64 // our goroutine
	now   int64
	steps int
	ops   int

	files     []*simFile // by descriptor
	all       []*simFile
	watched   []conn.Interest // by descriptor
	list      []ready
	inWait    bool
	polledOut bool
	rings     bool     // the doorbell
	misses    int      // its strokes that failed
	tries     []func() // what is to ring it again
	computing []func() // what workers will complete
	unheard   int      // turns for which messages have waited, and none was handled
	handled   uint64   // messages

	conns   []*simConn // all there ever were
	live    []*simConn // without those that have seen Close
	running []*simConn // whose handlers are on the stack
	timers  []*simTimer
	queue   []simMessage
	sent    int
	inner   int // actions inside actions
	l       *listener
	lOpened bool
	lClosed bool

	panicky, calm, cutting, over, refused, polling bool
	cancel                                         func()
	patience                                       int // turns until cancel

	asked                                       time.Duration
	bytesIn, bytesOut, panics, rejected, events int
	woken, lost, opened                         int
	closedBy                                    [conn.NumReasons]int

	failure string
	tracing bool
	trace   []string
}

type simTimer struct {
	t       *Timer
	at      int64
	every   int64
	created uint64 // the turn
	dead    bool
}

// simMessage is what was accepted by Do, Wakeup or an asynchronous Broadcast.
type simMessage struct {
	seq int
	to  *simConn // of a Wakeup
	may bool     // a Broadcast, which has no effect without a connection
}

func newSim(d simDice, steps int) *sim {
	s := &sim{d: d, steps: steps, now: int64(time.Hour)}
	o := Options{Log: simLog{s}}
	if s.d.one(3) {
		o.Queue = 1 + s.d.n(6)
	}
	s.panicky = s.d.one(3)
	m, err := newManager(o, simPoller{s}, func() int64 { return s.now })
	if err != nil {
		panic(err)
	}
	m.pair.Close(nil)
	m.pair = ctlpair.NewOver[message](o.Queue, s.newBell())
	s.m, m.sock = m, simSock{s}
	s.g = goroutine()
	return s
}

// fail records the first thing that is wrong. The simulation ends with the turn.
func (s *sim) fail(format string, args ...any) {
	if s.failure == "" {
		s.failure = fmt.Sprintf("turn %d: "+format, append([]any{s.m.stats.Turns}, args...)...)
		s.note("FAILED: %s", s.failure)
	}
}

func (s *sim) note(format string, args ...any) {
	if s.tracing {
		s.trace = append(s.trace, fmt.Sprintf(format, args...))
	}
}

// busy stops a loop that never ends.
func (s *sim) busy() {
	if s.ops++; s.ops > 1<<20 {
		panic("the simulation does not end: " + s.failure)
	}
}

// simLog fails on panics that were not made on purpose.
type simLog struct{ s *sim }

func (l simLog) Warn(string, ...any) {}
func (l simLog) Error(msg string, args ...any) {
	for i := 0; i+1 < len(args); i += 2 {
		if args[i] == "panic" {
			if _, ok := args[i+1].(simPanic); !ok {
				l.s.fail("%s: %v", msg, args)
			}
		}
	}
}

func (s *sim) run() string {
	if s.d.one(3) {
		s.listen()
	}
	for range s.steps {
		if s.failure != "" || s.over || s.d.fuzzing && len(s.d.data) == 0 {
			break
		}
		for i := s.d.n(3); i > 0; i-- {
			s.act(s.some(), false)
		}
		if len(s.live) == 0 {
			s.open()
		}
		s.poll()
		s.checkTurn()
	}
	if s.failure == "" && !s.over && s.d.one(2) {
		s.settleDown()
	}
	s.end()
	return s.failure
}

func (s *sim) poll() {
	if s.asked = time.Duration(s.d.n(3) - 1); s.asked > 0 {
		s.asked = time.Duration(s.d.n(500)) * time.Millisecond
	}
	if s.calm {
		s.asked = 0
	}
	s.polling = true
	s.m.own(s.g) // what Poll does, which would ask for the goroutine's number each time
	err := s.m.once(s.asked)
	s.m.own(0)
	s.polling = false
	switch err {
	case nil:
		if s.m.isDone() {
			s.over = true
		}
	default:
		s.fail("Poll: %v", err)
	}
}

// open makes a connection, as Wrap and accept do.
func (s *sim) open() *simConn {
	if s.m.isDone() || s.m.shutting || s.m.closing || s.cutting || len(s.live) >= 12 {
		return nil
	}
	lim := conn.Limits{Stall: -1}
	if s.d.one(2) {
		lim.Send = 1 + s.d.n(300<<10)>>s.d.n(20)
	}
	if s.d.one(3) {
		lim.HighWater = 1 + s.d.n(4096)
	}
	if s.d.one(2) {
		lim.OnFull = conn.RefuseOnFull
	}
	if s.d.one(4) {
		lim.Recv = 1 + s.d.n(8192)
	}
	if s.d.one(4) {
		lim.Idle = time.Duration(1 + s.d.n(int(time.Second)))
	}
	if s.d.one(3) {
		lim.Stall = time.Duration(1 + s.d.n(int(time.Second)))
	}
	s.opened++
	p := &simConn{simFile: s.socket(fmt.Sprintf("conn %d", s.opened)), lim: lim.WithDefaults(), active: s.m.Now()}
	p.simFile.conn = p
	s.conns = append(s.conns, p)
	s.live = append(s.live, p)
	s.note("%v: opened with %+v", p, p.lim)
	own := p.lim
	p.c = s.m.adopt(p.fd, conn.Peer{}, simWire{p.simFile}, &own, p.user)
	if s.d.one(2) {
		p.c.SetProtocol(p.layer, nil)
	}
	if s.d.one(3) {
		p.sealed = &simSealed{simWire: simWire{p.simFile}, p: p, record: 1 + s.d.n(5000)}
		p.securing, p.secureBy = true, s.m.Now()+int64(simSecure)
		p.c.Layer().SetTransport(p.sealed, simSecure)
		s.note("%v: is sealed", p)
	}
	if p.watching = s.d.one(2); p.watching {
		p.c.SetWatcher(p)
	}
	s.m.begin(p.c, nil)
	return p
}

func (s *sim) listen() {
	f := s.socket("listener")
	o := ListenOptions{}
	if s.d.one(2) {
		o.Refusal = simBytes(f.outStart, 0, 1+s.d.n(1000))
	}
	c, err := s.m.addListener(f.fd, conn.Addr{}, s.listenerEvent, o)
	if err != nil {
		s.fail("addListener: %v", err)
		return
	}
	s.l = s.m.listeners[c.FD()]
}

func (s *sim) listenerEvent(c *conn.Conn, ev conn.Event) {
	s.events++
	switch ev.(type) {
	case *conn.Open:
		s.lOpened = true
	case *conn.Close:
		if s.lClosed {
			s.fail("the listener was closed twice")
		}
		s.lClosed = true
	case *conn.Error:
		if s.lClosed {
			s.fail("the listener had an Error after Close")
		}
		if s.d.one(3) {
			c.Pause() // touches it
			c.Resume()
		}
	default:
		s.fail("the listener saw %s", simName(ev))
	}
}

// refuse has a peer turned away, as one over MaxConns is.
func (s *sim) refuse() {
	if s.l == nil || s.l.c.IsClosed() || s.cutting {
		return
	}
	s.refused = true
	f := s.socket("refused")
	f.outStart = s.files[s.l.c.FD()].outStart
	s.l.ill = s.d.one(2)
	s.m.refuse(s.l, f.fd, conn.Peer{}, errTooManyConns)
}

// some returns a connection: mostly a living one, at times one that is long gone.
func (s *sim) some() *simConn {
	if n := len(s.live); n > 0 && !s.d.one(16) {
		return s.live[s.d.n(n)]
	}
	if n := len(s.conns); n > 0 {
		return s.conns[s.d.n(n)]
	}
	return nil
}

// peers has the other end of some connection do something.
func (s *sim) peers() {
	if len(s.all) == 0 {
		return
	}
	f := s.all[s.d.n(len(s.all))]
	if n := len(s.live); n > 0 && !s.d.one(8) {
		f = s.live[s.d.n(n)].simFile
	}
	if !f.closed && f.name != "listener" {
		f.peer()
	}
}

// handle is what a handler of p does with any event.
func (s *sim) handle(p *simConn, ev conn.Event, mayPanic bool) {
	if s.failure != "" || s.calm {
		return
	}
	for i := s.d.n(5) - 2; i > 0; i-- {
		q := p
		if s.d.one(4) {
			q = s.some()
		}
		s.act(q, true)
	}
	if mayPanic && s.d.one(30) {
		s.boom(p)
	}
}

// boom panics in the name of p, which ends for it; nil is for what belongs to no connection.
func (s *sim) boom(p *simConn) {
	s.panics++
	if p != nil && !p.finished {
		p.causes = append(p.causes, conn.Panicked)
	}
	s.note("%v: PANIC", p)
	panic(simPanic{})
}

// do gives f to the loop.
func (s *sim) do(f func()) {
	seq := s.sent
	err := s.m.Do(func() {
		s.delivered(seq, true)
		if f != nil {
			f()
		}
		if s.panicky && s.d.one(20) {
			s.boom(nil)
		}
	})
	s.accepted(err, nil)
}

func (s *sim) accepted(err error, to *simConn) {
	full := s.m.pair.Len() >= s.limit()
	switch {
	case err == nil:
		s.queue = append(s.queue, simMessage{seq: s.sent, to: to})
	case err == ErrFull && full, err == ErrClosed && s.cutting || err == ErrClosed && s.m.closing:
	default:
		s.fail("a message was answered with %v, with %d queued", err, len(s.queue))
	}
	s.sent++
}

func (s *sim) limit() int {
	if s.m.opts.Queue == 0 {
		return math.MaxInt
	}
	return s.m.opts.Queue
}

// delivered notes that a message has come. All before it must have come too, or be Wakeups of the
// dead.
func (s *sim) delivered(seq int, right bool) {
	if !right {
		s.fail("message %d came to the wrong connection", seq)
	}
	for len(s.queue) > 0 && s.queue[0].seq < seq {
		x := s.queue[0]
		if !x.may {
			s.lost++
			if x.to == nil || !x.to.c.IsClosed() {
				s.fail("message %d was lost", x.seq)
			}
		}
		s.queue = s.queue[1:]
	}
	if len(s.queue) == 0 || s.queue[0].seq != seq {
		s.fail("message %d came twice, or was refused", seq)
		return
	}
	s.queue = s.queue[1:]
}

// broadcast calls Broadcast from the loop, where it runs in place.
func (s *sim) broadcast() {
	var open []*simConn
	for _, p := range s.live {
		if p.c.IsOpen() {
			open = append(open, p)
		}
	}
	seen := make(map[*conn.Conn]int)
	s.note("Broadcast in place")
	err := s.m.Broadcast(func(c *conn.Conn) { s.visit(c, seen) })
	if err != nil {
		s.fail("Broadcast: %v", err)
	}
	for _, p := range open {
		if seen[p.c] != 1 && p.c.IsOpen() {
			s.fail("%v: Broadcast called %d times", p, seen[p.c])
		}
	}
}

func (s *sim) visit(c *conn.Conn, seen map[*conn.Conn]int) {
	seen[c]++
	p := s.conn(c)
	if p == nil || seen[c] > 1 || !c.IsOpen() {
		s.fail("Broadcast called for conn %d: %v", c.ID(), p)
		return
	}
	if !s.d.one(3) {
		s.act(p, true)
	}
	if s.panicky && s.d.one(16) {
		s.boom(p)
	}
}

func (s *sim) conn(c *conn.Conn) *simConn {
	for _, p := range s.live {
		if p.c == c {
			return p
		}
	}
	return nil
}

func (s *sim) setTimer() {
	d := time.Duration(s.d.n(200)) * time.Millisecond
	if s.d.one(4) {
		d = 0
	}
	x := &simTimer{created: s.m.stats.Turns}
	f := func() { s.fire(x) }
	if s.d.one(3) {
		d += time.Millisecond
		x.every = int64(d)
		x.t = s.m.Every(d, f)
	} else {
		x.t = s.m.AfterFunc(d, f)
	}
	if x.at = x.t.at; x.at < s.now+int64(d) || x.at > s.now+int64(d)+1 {
		s.fail("a timer of %v is set to %d at %d", d, x.at, s.now)
	}
	s.timers = append(s.timers, x)
}

func (s *sim) fire(x *simTimer) {
	s.busy()
	now := s.m.Now()
	s.note("timer of %v", time.Duration(x.at))
	if x.dead || now < x.at || x.created == s.m.stats.Turns {
		s.fail("a timer fired at %d: set to %d in turn %d, stopped or done %v", now, x.at, x.created, x.dead)
	}
	for _, y := range s.timers {
		if !y.dead && y.at < x.at {
			s.fail("the timer of %d fired before that of %d", x.at, y.at)
		}
	}
	if x.every == 0 {
		x.dead = true
	}
	if x.every > 0 {
		x.at += x.every * (1 + (now-x.at)/x.every)
	}
	if s.d.one(3) {
		s.stop(x)
	}
	s.handle(s.some(), nil, false)
	if s.panicky && s.d.one(20) {
		s.boom(nil)
	}
}

func (s *sim) stop(x *simTimer) {
	if got := x.t.Stop(); got == x.dead {
		s.fail("Stop returned %v", got)
	}
	x.dead = true
}
