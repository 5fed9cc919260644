package mgr

import (
	"context"
	"encoding/binary"
	"math"
	"slices"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// act does one thing that a program may do to p, which may be over, or nil.
func (s *sim) act(p *simConn, inHandler bool) {
	if s.inner >= 3 || s.failure != "" || s.calm {
		return
	}
	s.inner++
	defer func() { s.inner-- }()
	switch k := s.d.n(100); {
	case k < 3:
		s.open()
	case k < 8:
		s.do(func() { s.act(s.some(), true) })
	case k < 11:
		s.setTimer()
	case k == 11 && len(s.timers) > 0:
		s.stop(s.timers[s.d.n(len(s.timers))])
	case k == 12 && s.polling:
		s.broadcast()
	case k == 13:
		seq, seen := s.sent, make(map[*conn.Conn]int)
		first := true
		err := queued(s.m.pair.Send(message{order{each: func(c *conn.Conn) {
			if first {
				first = false
				s.delivered(seq, true)
			}
			s.visit(c, seen)
		}}}))
		s.accepted(err, nil)
		if err == nil {
			s.queue[len(s.queue)-1].may = true
		}
	case k == 14:
		s.do(s.refuse)
	case k == 15 && s.d.one(12) && s.polling:
		s.note("Shutdown from the loop")
		if err := s.m.Shutdown(context.Background()); err != nil {
			s.fail("Shutdown: %v", err)
		}
	case k == 16 && s.d.one(16) && s.polling:
		s.note("Close from the loop")
		if err := s.m.Close(); err != nil {
			s.fail("Close: %v", err)
		}
	case k > 16 && p != nil:
		s.actOn(p, s.d.n(64))
	}
}

// actOn does one thing to a connection.
func (s *sim) actOn(p *simConn, k int) {
	c, d := p.c, &s.d
	if c == nil {
		return // its Open handler is running
	}
	if k == 63 && d.one(8) { // more pieces than one writev takes
		for i := range 60 + d.n(100) {
			p.write(i&1<<1, d.n(600))
		}
		return
	}
	if k >= 24 {
		p.write(d.n(7), d.size())
		return
	}
	if c.IsClosed() { // what is set now changes nothing, and must not change the model
		model := *p
		defer func() {
			p.deadline, p.lim = model.deadline, model.lim
		}()
	}
	s.note("%v: action %d", p, k)
	if k >= 9 && k <= 18 {
		p.turned = s.m.stats.Turns
	}
	switch k {
	case 0:
		p.draining = p.draining || c.IsOpen()
		c.Drain()
	case 1:
		p.drainLinger(time.Duration(d.n(300)-10) * time.Millisecond)
	case 2:
		if d.one(2) {
			p.cut = p.cut || !c.IsClosed()
			c.Close()
		}
	case 3:
		p.shutAsked = p.shutAsked || c.IsOpen()
		c.CloseWrite()
	case 4:
		if d.one(2) {
			r := []conn.Reason{conn.Protocol, conn.DeadlineOver, conn.IOError}[d.n(3)]
			p.causes = append(p.causes, r)
			c.Layer().Fail(r, conn.ErrClosed)
		}
	case 5, 6:
		t := time.Duration(d.n(300)-50) * time.Millisecond
		if !p.linger {
			p.deadline = 0
			if t > 0 {
				p.deadline = s.m.Now() + int64(t)
			}
		}
		c.Layer().SetDeadline(t)
	case 7:
		p.lim.Idle = time.Duration(d.n(2) * d.n(int(time.Second)))
		c.SetIdleTimeout(p.lim.Idle)
	case 8:
		p.lim.Stall = time.Duration(1 + d.n(int(time.Second)))
		c.SetWriteTimeout(p.lim.Stall)
	case 9, 10:
		p.paused, p.mayResume = true, true
		c.Pause()
	case 11, 12, 13:
		if p.paused {
			p.redeliver()
		}
		p.paused = false
		c.Resume()
	case 14:
		p.held, p.mayResume = true, true
		c.Layer().Hold()
	case 15, 16:
		if p.held {
			p.redeliver()
		}
		p.held = false
		c.Layer().Unhold()
	case 17, 18:
		p.redeliver()
		c.Layer().Redeliver()
	case 19:
		p.setPoll(d.one(2))
		if d.one(8) {
			p.causes = append(p.causes, conn.Refused)
			c.Layer().SetReason(conn.Refused) // as a layer may, which answers with 503
		}
	case 20:
		p.halfOpen = d.one(2)
		c.SetHalfOpen(p.halfOpen)
	case 21:
		p.wakeup()
	case 22:
		p.toggleLayer()
	case 23:
		p.discard(d.n(2))
		if d.one(3) {
			c.AvailableBuffer()
		}
		if c.Layer().HasProtocol() && p.levels[simUser].opened && !c.Driver().Finished() {
			c.Layer().Emit(&simSaid{})
		}
	}
}

func (p *simConn) redeliver() {
	p.again = true
	if p.c.Recv.Len() > 0 {
		p.againBy = p.s.m.stats.Turns + 1
	}
}

func (p *simConn) drainLinger(d time.Duration) {
	if p.c.IsOpen() {
		p.draining = true
		if d > 0 {
			p.linger = true
			p.lingerFor, p.deadline = int64(d), 0
		}
	}
	p.c.Layer().DrainLinger(d)
}

func (p *simConn) setPoll(on bool) {
	if on && !p.polls {
		p.pollSince = p.s.m.stats.Turns
	}
	p.polls = on
	p.c.SetPoll(on)
}

func (p *simConn) wakeup() {
	b := binary.LittleEndian.AppendUint64(nil, uint64(p.s.sent))
	b = binary.LittleEndian.AppendUint64(b, p.c.ID())
	err := p.s.m.Wakeup(p.c.ID(), b)
	clear(b) // Wakeup has copied it
	p.s.accepted(err, p)
}

func (p *simConn) toggleLayer() {
	if p.c.Layer().HasProtocol() {
		p.c.SetProtocol(nil, nil)
		return
	}
	p.levels[simLayer].opened = true
	p.c.SetProtocol(p.layer, nil)
}

// checkWait checks how long the loop is going to sleep.
func (s *sim) checkWait(timeout time.Duration) {
	m := s.m
	s.checkTouched()
	if len(m.touched) > 0 && timeout != 0 {
		s.fail("the loop sleeps for %v with %d connections to settle", timeout, len(m.touched))
	}
	if m.pair.Len() == 0 || m.handled != s.handled {
		s.unheard, s.handled = 0, m.handled
	} else if s.unheard++; s.unheard > 3 || timeout != 0 {
		s.fail("the loop sleeps for %v with %d messages, which have waited for %d turns", timeout, m.pair.Len(), s.unheard)
	}
	if s.asked >= 0 && (timeout < 0 || timeout > s.asked) && s.polling {
		s.fail("the loop sleeps for %v, asked for %v", timeout, s.asked)
	}
	at := int64(math.MaxInt64)
	for _, x := range s.timers {
		if !x.dead {
			at = min(at, x.at)
		}
	}
	for _, p := range s.live {
		if t := p.due(); t != math.MaxInt64 {
			at = min(at, max(t, m.Now())+simLate)
		}
	}
	if at != math.MaxInt64 && (timeout < 0 || int64(timeout) > max(at-s.now, 0)) {
		s.fail("the loop sleeps for %v, and something is due in %v", timeout, time.Duration(at-s.now))
	}
	if s.cancel != nil {
		if s.patience--; s.patience == 0 {
			s.cutting = true
			s.cancel()
		}
	}
}

func (s *sim) checkTouched() {
	for i, c := range s.m.touched {
		if slices.Contains(s.m.touched[:i], c) {
			s.fail("conn %d is to be settled twice", c.ID())
		}
	}
	for _, c := range s.m.settling {
		if c != nil {
			s.fail("conn %d was left out of the batch", c.ID())
		}
	}
}

// checkTurn checks everything between two turns.
func (s *sim) checkTurn() {
	if s.failure != "" {
		return
	}
	m := s.m
	s.checkTouched()
	for _, p := range s.conns {
		if !p.done {
			p.checkTurn(slices.Contains(m.touched, p.c))
			p.done = p.finished
		}
	}
	for _, x := range s.timers {
		if !x.dead && x.at <= m.Now() && x.created < m.stats.Turns {
			s.fail("the timer of %d has not fired at %d", x.at, m.Now())
		}
	}
	s.timers = slices.DeleteFunc(s.timers, func(x *simTimer) bool { return x.dead && s.d.one(2) })
	s.checkStats()
	s.checkHeld()
}

// checkHeld compares what the loop has counted with what its connections hold.
func (s *sim) checkHeld() {
	sum := 0
	for _, p := range s.conns {
		if !p.done {
			sum += p.c.Driver().Holds()
		}
	}
	// The parts of shared buffers are rounded down.
	if held := s.m.Stats().Held; (held < sum || held > sum+len(s.conns)) && !s.refused {
		s.fail("Stats: %d bytes are held, but the connections have %d", held, sum)
	}
}

func (s *sim) checkStats() {
	st := s.m.Stats()
	if int(st.BytesIn) != s.bytesIn || int(st.BytesOut) != s.bytesOut {
		s.fail("Stats: %d bytes in, %d out; should be %d and %d", st.BytesIn, st.BytesOut, s.bytesIn, s.bytesOut)
	}
	if int(st.Panics) != s.panics || int(st.Rejected) != s.rejected || int(st.Wakeups) != s.woken {
		s.fail("Stats: %d panics, %d rejected, %d wakeups; should be %d, %d and %d", st.Panics, st.Rejected, st.Wakeups,
			s.panics, s.rejected, s.woken)
	}
	if int(st.BellMisses) != s.misses {
		s.fail("Stats: %d misses of the doorbell, should be %d", st.BellMisses, s.misses)
	}
	closed := 0
	for r, n := range s.closedBy {
		closed += n
		if st.Closed[r] != uint64(n) && !s.refused {
			s.fail("Stats: %d closed because %v, should be %d", st.Closed[r], conn.Reason(r), n)
		}
	}
	if s.opened != closed+st.Conns || st.Conns != len(s.live) {
		s.fail("Stats: %d open, but %d were opened and %d closed, %d live", st.Conns, s.opened, closed, len(s.live))
	}
	if int(st.Events) != s.events && !s.refused {
		s.fail("Stats: %d events, should be %d", st.Events, s.events)
	}
}

// settleDown lets the peers take and send no more than they have, and the handlers do nothing but
// read: everything that can be sent and read has to be.
func (s *sim) settleDown() {
	s.note("== settling down")
	s.calm = true
	for _, p := range s.live {
		p.paused, p.held = false, false
		p.redeliver()
		p.c.Resume()
		p.c.Layer().Unhold()
		p.c.Layer().Redeliver()
		p.room = math.MaxInt32
		if p.sealed != nil && !p.computing {
			p.c.Layer().Computed() // its peer will say no more, and the handshake wants no more of it
		}
	}
	for range 300 {
		if s.failure != "" || s.over {
			return
		}
		s.asked = 0
		s.poll()
		s.checkTurn()
	}
	for _, p := range s.live {
		switch {
		case p.pending() > 0:
			s.fail("%v: %d of %d bytes are unsent although the peer would take them", p, p.pending(), p.accepted)
		case p.c.IsOpen() && (p.read != p.sent || p.fin && !p.eof):
			s.fail("%v: read %d of the %d bytes that the peer sent, end %v", p, p.read, p.sent, p.fin)
		case p.c.IsOpen() && p.c.Recv.Len() > 0:
			s.fail("%v: %d bytes are unread", p, p.c.Recv.Len())
		}
	}
}

// end closes the manager in one of the ways there are and checks that everything is given back.
func (s *sim) end() {
	if s.failure != "" {
		return
	}
	if s.calm = false; !s.over {
		s.close()
	}
	m := s.m
	if !m.isDone() || m.Poll(0) != ErrClosed || m.Close() != ErrClosed || m.Do(nil) != ErrClosed {
		s.fail("closed, and does not say so")
	}
	for _, f := range s.all {
		if !f.closed {
			s.fail("%v was not closed", f)
		}
	}
	for _, p := range s.conns {
		if !p.levels[simUser].closed {
			s.fail("%v has not seen Close", p)
		}
		if p.watching != (p.parted == 1) {
			s.fail("%v: the watcher has seen %d Close events", p, p.parted)
		}
	}
	for _, x := range s.queue {
		if s.lost++; x.to == nil && !x.may {
			s.fail("message %d was never delivered", x.seq)
		} else if x.may {
			s.lost--
		}
	}
	if int(m.stats.LostWakeups) != s.lost {
		s.fail("Stats: %d lost wakeups, should be %d", m.stats.LostWakeups, s.lost)
	}
	isSet := func(c *conn.Conn) bool { return c != nil }
	switch {
	case slices.ContainsFunc(m.conns, isSet), slices.ContainsFunc(m.polls, isSet), slices.ContainsFunc(m.settling, isSet),
		m.open != 0, len(m.refusing) != 0, len(m.listeners) != 0:
		s.fail("not all is released: %d open, %d refusing, %d listeners", m.open, len(m.refusing), len(m.listeners))
	case !s.polledOut:
		s.fail("the poller was not closed")
	case s.lOpened && !s.lClosed:
		s.fail("the listener has not seen Close")
	}
	s.checkStats()
}

func (s *sim) close() {
	switch s.d.n(3) {
	case 0:
		s.note("== Close")
		s.cutting = true
		if err := s.m.Close(); err != nil {
			s.fail("Close: %v", err)
		}
	case 1:
		s.note("== Shutdown")
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		s.cancel, s.patience = cancel, 1+s.d.n(30)
		if err := s.m.Shutdown(ctx); err != nil && err != ctx.Err() {
			s.fail("Shutdown: %v", err)
		}
	case 2:
		s.note("== Close on the loop")
		s.cutting = true
		s.polling = true
		s.m.AfterFunc(0, func() { s.m.Close() })
		for range 100 {
			if s.m.isDone() {
				return
			}
			s.asked = -1
			s.poll()
		}
		s.fail("Close on the loop did not close")
	}
}
