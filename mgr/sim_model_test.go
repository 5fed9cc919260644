package mgr

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// simConn is what a connection should be, told from the outside: from the calls made, the events
// seen and what the simulated kernel was asked for.
type simConn struct {
	*simFile
	c   *conn.Conn
	lim conn.Limits

	levels   [2]simLevel
	passed   conn.Event // the layer has seen this event and the user is to see it next
	watching bool       // a watcher is set
	noted    conn.Event // it has seen this event, and a handler is to see it next
	parted   int        // Close events that it has seen
	finished bool
	done     bool // all its checks are made

	consumed   int // discarded by handlers
	unreported int // read, and no Read event yet
	eof        bool

	accepted int // taken by Write
	unsaid   int // written, and no Write event yet
	above    bool
	tried    bool // a write of what is pending

	sealed              *simSealed // its transport, nil if it is plain
	securing, computing bool       // the phases of the handshake
	secureBy            int64

	paused, held, halfOpen, shutAsked bool
	polls                             bool
	pollSince, polled                 uint64 // turns: SetPoll, the last Poll
	mustDrain                         bool   // EOF was left to the default
	turned                            uint64 // the turn in which a handler last stopped or started reading
	mayResume                         bool   // a Resumed event may come
	again                             bool   // a Read event with N 0 may come
	againBy                           uint64 // by the end of this turn it must have, 0 when not

	draining, linger bool
	cut              bool // Close was called: what is unsent may be lost
	causes           []conn.Reason
	deadline         int64
	lingerFor        int64 // of DrainLinger; counted from when all is sent
	active, moved    int64
	overdue, dueWas  int64 // when a timeout was first seen to be over, and which
	ended            conn.Reason
}

type simLevel struct{ opened, failed, closed bool }

const (
	simLayer = iota
	simUser
)

// simSaid is the event that a layer emits.
type simSaid struct{}

func (*simSaid) EventName() string { return "simSaid" }

// simPanic is what handlers panic with on purpose.
type simPanic struct{}

// sealedOut returns how many bytes the transport holds: the send limit does not count them.
func (p *simConn) sealedOut() int {
	if p.sealed == nil {
		return 0
	}
	return p.sealed.out
}

func (p *simConn) pending() int { return p.accepted - p.got }

func (p *simConn) arrived(n int) {
	if p.lingers() {
		p.consumed += n // thrown away
		return
	}
	p.unreported += n
	p.active = p.s.m.Now()
}

func (p *simConn) left(n int) {
	p.unsaid += n
	p.active, p.moved = p.s.m.Now(), p.s.m.Now()
}

// lingers reports whether the connection only waits for the peer to close.
func (p *simConn) lingers() bool { return p.linger && p.shut && p.pending() == 0 }

func (p *simConn) layer(_ *conn.Conn, ev conn.Event) { p.event(ev, simLayer) }
func (p *simConn) user(_ *conn.Conn, ev conn.Event)  { p.event(ev, simUser) }

func simName(ev conn.Event) string {
	return strings.TrimPrefix(strings.TrimPrefix(fmt.Sprintf("%T%+v", ev, ev), "*"), "conn.")
}

// event checks an event and then does as handlers do.
func (p *simConn) event(ev conn.Event, level int) {
	s := p.s
	s.busy()
	if s.failure != "" {
		return
	}
	if s.tracing {
		s.note("%v: %s sees %s", p, []string{"the layer", "the user"}[level], simName(ev))
	}
	_, said := ev.(*simSaid)
	_, opens := ev.(*conn.Open)
	if len(s.running) > 0 && !said && !opens {
		s.fail("%v: %s inside a handler of %v", p, simName(ev), s.running[len(s.running)-1])
	}
	s.running = append(s.running, p)
	defer func() { s.running = s.running[:len(s.running)-1] }()

	if said {
		s.events++
		s.handle(p, ev, false)
		return
	}
	p.order(ev, level)
	if first := p.passed == nil; first {
		s.events++
		if p.watching && p.noted != ev {
			s.fail("%v: the watcher saw %v, then a handler %s", p, p.noted, simName(ev))
		}
		p.noted = nil
		p.check(ev)
	} else if simName(p.passed) != simName(ev) {
		s.fail("%v: the layer saw %s, then the user %s", p, simName(p.passed), simName(ev))
	}
	p.passed = nil
	p.checkRecv()
	switch ev.(type) {
	case *conn.Read:
		if s.calm {
			p.discard(3)
		} else {
			p.discard(s.d.n(3))
		}
	case *conn.EOF:
		if level == simUser {
			defer func() { p.mustDrain = p.mustDrain || !p.halfOpen && p.c.IsOpen() }()
		}
	case *conn.Close:
		if level == simUser {
			s.live = slices.DeleteFunc(s.live, func(x *simConn) bool { return x == p })
		}
	}
	_, last1 := ev.(*conn.Close)
	_, last2 := ev.(*conn.Error)
	always := opens || last1 || last2 // to layer and user, come what may, except a panic
	if level == simLayer && always {
		p.passed = ev // even when the layer panics
	}
	s.handle(p, ev, s.panicky && !(level == simLayer && opens))
	if level == simLayer && !p.c.IsClosed() {
		p.passed = ev
	}
}

// Watch is the watcher's.
func (p *simConn) Watch(c *conn.Conn, ev conn.Event) {
	if p.noted != nil {
		p.s.fail("%v: the watcher saw %s, and nobody else", p, simName(p.noted))
	}
	p.noted = ev
	if _, ok := ev.(*conn.Close); ok {
		p.parted++
	}
}

// order checks that Open comes first, Error only before Close, and Close once and last.
func (p *simConn) order(ev conn.Event, level int) {
	l := &p.levels[level]
	_, opens := ev.(*conn.Open)
	_, fails := ev.(*conn.Error)
	_, closes := ev.(*conn.Close)
	switch {
	case l.closed:
		p.s.fail("%v: %s after Close", p, simName(ev))
	case l.failed && !closes:
		p.s.fail("%v: %s between Error and Close", p, simName(ev))
	case opens == l.opened:
		p.s.fail("%v: %s, and opened is %v", p, simName(ev), l.opened)
	case !opens && !fails && !closes && p.c.IsClosed() && p.passed == nil:
		p.s.fail("%v: %s while closing", p, simName(ev))
	}
	l.opened = true
	l.failed = l.failed || fails
	l.closed = closes
}

// check compares an event with the model.
func (p *simConn) check(ev conn.Event) {
	s, now := p.s, p.s.m.Now()
	switch ev := ev.(type) {
	case *conn.Read:
		switch {
		case ev.N != p.unreported:
			s.fail("%v: Read{%d} where %d have arrived", p, ev.N, p.unreported)
		case ev.N == 0 && !p.again:
			s.fail("%v: Read{0} that nobody asked for", p)
		case p.c.Recv.Len() == 0:
			s.fail("%v: Read of nothing", p)
		case p.paused || p.held || p.c.Layer().Congested() || p.draining || p.mustDrain:
			s.fail("%v: Read{%d} while paused %v, held %v, congested %v, draining %v", p, ev.N, p.paused, p.held,
				p.c.Layer().Congested(), p.draining)
		}
		p.unreported = 0
		if ev.N == 0 {
			p.again, p.againBy = false, 0
		}
	case *conn.Write:
		if ev.N != p.unsaid || ev.N == 0 {
			s.fail("%v: Write{%d} where %d have gone", p, ev.N, p.unsaid)
		}
		p.unsaid = 0
		p.again = p.again || p.above && !p.c.Layer().Congested()
	case *conn.Resumed:
		if !p.mayResume || p.c.Layer().Stopped() || p.draining || ev.For < 0 {
			s.fail("%v: Resumed after %v; may %v, stopped %v", p, ev.For, p.mayResume, p.c.Layer().Stopped())
		}
		p.mayResume, p.again = false, true
	case *conn.Drained:
		if !p.above || p.pending() > 0 {
			s.fail("%v: Drained; above %v, pending %d", p, p.above, p.pending())
		}
		p.above = false
	case *conn.EOF:
		if p.eof || !p.finRead {
			s.fail("%v: EOF; before %v, read %v", p, p.eof, p.finRead)
		}
		p.eof = true
	case *conn.Deadline:
		if p.deadline == 0 || p.deadline > now {
			s.fail("%v: Deadline at %d, which was set to %d", p, now, p.deadline)
		}
		p.deadline = 0
		p.checkHeard(ev)
	case *conn.Poll:
		if !p.polls || p.polled == s.m.stats.Turns {
			s.fail("%v: Poll; asked %v, the last was in turn %d", p, p.polls, p.polled)
		}
		p.polled = s.m.stats.Turns
	case *conn.Shutdown:
		if !s.m.shutting {
			s.fail("%v: Shutdown", p)
		}
	case *conn.Wakeup:
		s.woken++
		s.delivered(int(binary.LittleEndian.Uint64(ev.Data)), s.m.find(p.c.ID()) == p.c && binary.LittleEndian.Uint64(ev.Data[8:]) == p.c.ID())
	case *conn.Error:
		if !p.mayFail(ev.Reason) {
			s.fail("%v: Error{%v, %v} without a cause", p, ev.Reason, ev.Err)
		}
		if ev.Err == nil {
			s.fail("%v: Error without an error", p)
		}
		if ev.Reason == conn.Idle && !p.c.Paused() {
			p.checkHeard(ev)
		}
		p.ended = ev.Reason
	case *conn.Close:
		p.checkClose(ev)
	}
}

// checkHeard checks that what the peer has sent was read in this turn, before ev judged it.
func (p *simConn) checkHeard(ev conn.Event) {
	turn := p.s.m.stats.Turns
	deaf := p.computing || p.paused || p.held || p.c.Layer().Congested() || p.drains() || p.eof || p.again
	if !deaf && p.turned != turn && p.heard != turn {
		p.s.fail("%v: %s before it was heard", p, simName(ev))
	}
}

// drains reports whether the connection was told to flush and close, or did so by itself.
func (p *simConn) drains() bool { return p.draining || p.mustDrain || p.s.m.shutting }

// mayFail reports whether there was a cause for an Error event with r.
func (p *simConn) mayFail(r conn.Reason) bool {
	now, s := p.s.m.Now(), p.s
	if slices.Contains(p.causes, r) || slices.Contains(p.failed, r) {
		return true
	}
	switch r {
	case conn.Idle:
		return p.lim.Idle > 0 && now >= p.active+int64(p.lim.Idle)
	case conn.Stalled:
		return p.lim.Stall > 0 && p.pending() > 0 && now >= p.moved+int64(p.lim.Stall)
	case conn.DeadlineOver:
		return p.deadline != 0 && now >= p.deadline && p.drains() || p.securing && now >= p.secureBy
	case conn.RecvLimit:
		return p.read-p.consumed > p.lim.Recv
	case conn.ShuttingDown:
		return s.m.shutting || s.m.closing || s.cutting
	}
	return false
}

func (p *simConn) checkClose(ev *conn.Close) {
	s := p.s
	failed := p.levels[simUser].failed || p.levels[simLayer].failed
	switch {
	case failed && ev.Reason != p.ended:
		s.fail("%v: Error said %v, Close %v", p, p.ended, ev.Reason)
	case !failed && !p.cut && !s.cutting && !s.m.closing && (!p.drains() || p.pending() > 0):
		s.fail("%v: %v, and %d of %d bytes unsent", p, simName(ev), p.pending(), p.accepted)
	case !failed && ev.Reason == conn.PeerClosed && !p.eof:
		s.fail("%v: %v without EOF", p, simName(ev))
	case slices.Contains(p.causes, conn.Panicked) && ev.Reason == conn.Local && !p.cut:
		s.fail("%v: a panic went unnoticed", p)
	}
	p.ended = ev.Reason
	p.finished = true
	s.closedBy[ev.Reason]++
}

// checkRecv compares what is unread with what the peer has sent.
func (p *simConn) checkRecv() {
	if p.finished || p.levels[simUser].failed || p.levels[simLayer].failed {
		return
	}
	b := p.c.Recv.Bytes()
	if len(b)+p.consumed+p.unreported != p.read && !p.lingers() && !p.c.IsClosed() {
		p.s.fail("%v: %d bytes consumed and %d unread, of %d that arrived (%d unreported)", p, p.consumed, len(b), p.read, p.unreported)
	}
	if !simSame(b, p.inStart, p.consumed) {
		p.s.fail("%v: wrong bytes in Recv behind %d consumed", p, p.consumed)
	}
}

func (p *simConn) discard(how int) {
	n := p.c.Recv.Len()
	switch how {
	case 0:
		n = p.s.d.n(n + 1)
	case 1:
		n = min(n, p.s.d.n(32))
	}
	if p.c.Driver().Finished() || n == 0 {
		return
	}
	if p.c.IsClosed() && p.read-p.consumed > p.lim.Recv { // it is too late
		p.causes = append(p.causes, conn.RecvLimit)
	}
	p.c.Recv.Discard(n)
	if p.c.Recv.Len() == 0 {
		p.againBy = 0
	}
	p.consumed += n
	p.s.note("%v: discards %d, leaves %d", p, n, p.c.Recv.Len())
}

// write queues n bytes in one of the ways there are.
func (p *simConn) write(how, n int) {
	s, c := p.s, p.c
	var err error
	open := c.IsOpen() && !p.shutAsked
	b := simBytes(p.outStart, p.accepted, n)
	k, before := 0, p.pending()
	if before == 0 {
		p.tried = false
	}
	switch how {
	case 0, 1:
		k, err = c.Write(b)
	case 2, 3:
		if err = c.WriteShared(b); err == nil {
			k = n
		}
	case 4:
		k, err = c.WriteString(string(b))
	case 5:
		k, err = c.Write(append(c.AvailableBuffer(), b...))
	case 6:
		k, err = c.WriteThrough(b)
	}
	s.note("%v: writes %d in way %d: %d, %v", p, n, how, k, err)
	over := n > 0 && before-p.sealedOut() >= p.lim.Send
	switch {
	case !open && (k != 0 || !errors.Is(err, conn.ErrClosed)):
		s.fail("%v: a write to what is closed: %d, %v", p, k, err)
	case open && over && (k != 0 || !errors.Is(err, conn.ErrSendLimit)):
		s.fail("%v: a write of %d over the limit, %d pending: %d, %v", p, n, before, k, err)
	case open && !over && (k != n || err != nil):
		s.fail("%v: a write of %d: %d, %v", p, n, k, err)
	case open && over && p.lim.OnFull == conn.RefuseOnFull:
		s.rejected++
		if !c.IsOpen() {
			s.fail("%v: RefuseOnFull closed it", p)
		}
	case open && over:
		p.causes = append(p.causes, conn.SendLimit)
	}
	if k > 0 {
		if before == 0 {
			p.moved = s.m.Now()
		}
		p.accepted += k
		p.mayResume = p.mayResume || before+k >= p.lim.HighWater
		p.above = p.above || before+k >= p.lim.HighWater // though it may have gone through already
	}
}

// due returns when the first timeout of the connection is over.
func (p *simConn) due() int64 {
	t := int64(math.MaxInt64)
	switch {
	case p.securing:
		t = p.secureBy
	case p.deadline != 0:
		t = p.deadline
	}
	if p.lim.Idle > 0 {
		t = min(t, p.active+int64(p.lim.Idle))
	}
	if p.lim.Stall > 0 && p.pending() > 0 && !p.securing {
		t = min(t, p.moved+int64(p.lim.Stall))
	}
	return t
}

// simLate is how late a timeout may be noticed, by the documentation of SetDeadline.
const simLate = int64(100 * time.Millisecond)

// checkTurn is called between turns.
func (p *simConn) checkTurn(touched bool) {
	s, c := p.s, p.c
	switch {
	case c.Driver().Finished() != p.finished || p.finished != p.closed:
		s.fail("%v: finished %v, saw Close %v, descriptor closed %v", p, c.Driver().Finished(), p.finished, p.closed)
		return
	case p.finished:
		return
	case c.IsClosed() && !touched:
		s.fail("%v: closing, and nobody will close it", p)
	case slices.Contains(p.causes, conn.Panicked) && !c.IsClosed():
		s.fail("%v: it lives on after a panic", p)
	case p.mustDrain && c.IsOpen():
		s.fail("%v: EOF did not drain it", p)
	case p.polls && p.pollSince < s.m.stats.Turns && p.polled != s.m.stats.Turns && !c.IsClosed():
		s.fail("%v: no Poll in turn %d", p, s.m.stats.Turns)
	}
	if c.IsClosed() {
		return
	}
	if p.lingers() && !touched && p.deadline == 0 {
		p.deadline = s.m.Now() + p.lingerFor
	}
	p.checkRecv()
	if c.Recv.Len() == 0 || !c.IsOpen() {
		p.againBy = 0
	}
	if c.IsOpen() && c.Recv.Len() > p.lim.Recv {
		s.fail("%v: %d bytes are unread, over the limit of %d", p, c.Recv.Len(), p.lim.Recv)
	}
	if p.unsaid != 0 && !touched || p.unreported != 0 { // what went through in settle is told in the next one
		s.fail("%v: no event for %d bytes read, %d written", p, p.unreported, p.unsaid)
	}
	if c.Pending() != p.pending() {
		s.fail("%v: Pending is %d, should be %d", p, c.Pending(), p.pending())
	}
	if n, mark := p.pending(), p.lim.HighWater; n >= mark != c.Layer().Congested() && (n >= mark || n <= mark/2 && !touched) {
		s.fail("%v: Congested is %v with %d, the mark is %d", p, c.Layer().Congested(), n, mark)
	}
	if t := p.due(); t > s.m.Now() {
		p.overdue = 0
	} else if p.overdue == 0 || p.dueWas != t { // where two are over, one is noticed after the other
		p.overdue, p.dueWas = s.m.Now(), t
	} else if s.m.Now() > p.overdue+simLate {
		s.fail("%v: a timeout that was over at %d is unnoticed at %d", p, t, s.m.Now())
	}
	if !touched {
		p.checkRest()
	}
}

// checkRest is for a connection that the loop will not look at before the poller or someone else
// says so.
func (p *simConn) checkRest() {
	s, c := p.s, p.c
	want := conn.Interest(0)
	if p.securing {
		if !p.computing {
			want = conn.In
		}
		if got := s.watched[p.fd]; got != want {
			s.fail("%v: watched for %d in the handshake, should be %d; computing %v", p, got, want, p.computing)
		}
		return
	}
	notify := p.sealed != nil && p.sealed.notify
	if notify {
		want |= conn.Out
	}
	if p.lingers() || c.IsOpen() && !p.paused && !p.held && !c.Layer().Congested() && !p.eof {
		want |= conn.In
	}
	if p.pending() > 0 {
		want |= conn.Out
		if !p.tried {
			s.fail("%v: %d bytes wait, and no write was tried", p, p.pending())
		}
	}
	switch got := s.watched[p.fd]; {
	case got != want:
		s.fail("%v: watched for %d, should be %d; paused %v, held %v, congested %v, eof %v, pending %d", p, got, want,
			p.paused, p.held, c.Layer().Congested(), p.eof, p.pending())
	case p.above && p.pending() == 0:
		s.fail("%v: no Drained", p)
	case notify:
	case p.sealed != nil && c.IsOpen() && !p.eof && !c.Layer().Stopped() && p.sealed.Buffered():
		s.fail("%v: the transport holds input, and nobody will read it", p)
	case (p.draining || p.mustDrain) && p.pending() == 0 && !p.lingers():
		s.fail("%v: drained, and not closed", p)
	case p.shutAsked && p.pending() == 0 && !p.shut:
		s.fail("%v: flushed, and not shut down", p)
	case p.againBy != 0 && s.m.stats.Turns > p.againBy && c.IsOpen() && !c.Layer().Stopped() && c.Recv.Len() > 0:
		s.fail("%v: what is unread was not delivered again", p)
	}
}
