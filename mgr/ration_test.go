package mgr

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// holder is a manager whose connections hold as many bytes as their peer says.
type holder struct {
	*late
	resumed []uint64 // connections
}

func newHolder(t *testing.T, p Poller, o Options) *holder {
	h := &holder{}
	h.late = newLateWith(t, p, o, func(c *conn.Conn, ev conn.Event) {
		switch ev.(type) {
		case *conn.Resumed:
			h.resumed = append(h.resumed, c.ID())
		case *conn.Read:
			for {
				i := bytes.IndexByte(c.Recv.Bytes(), '\n')
				if i < 0 {
					return
				}
				n, _ := strconv.Atoi(string(c.Recv.Bytes()[:i]))
				c.Recv.Discard(i + 1)
				c.Layer().Charge(n)
			}
		}
	}, ListenOptions{})
	return h
}

// client is a peer and its connection.
type client struct {
	net.Conn
	h *holder
	c *conn.Conn
}

func (h *holder) join() *client {
	h.t.Helper()
	before := slices.Clone(h.conns)
	x := &client{Conn: h.dial(), h: h}
	h.until(func() bool {
		for fd, c := range h.conns {
			if c != nil && !c.IsListener() && (fd >= len(before) || before[fd] != c) {
				x.c = c
			}
		}
		return x.c != nil
	})
	return x
}

// say has the peer ask its connection to hold n bytes.
func (x *client) say(n int) { fmt.Fprintf(x.Conn, "%d\n", n) }

// hold is say, and waits until the bytes are held.
func (x *client) hold(n int) {
	x.h.t.Helper()
	x.say(n)
	x.h.until(func() bool { return x.c.Driver().Holds() == n })
}

func (x *client) wantRationed(want bool) {
	x.h.t.Helper()
	if got := x.c.Driver().Rationed(); got != want {
		x.h.t.Fatalf("rationed is %v, want %v; %d bytes are held", got, want, x.h.budget.Used())
	}
}

func TestWhenMemoryIsScarceTheLargestIsNotReadFrom(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		h := newHolder(t, p, Options{Memory: 100_000})
		a, b := h.join(), h.join()
		a.hold(50_000)
		b.hold(37_000)
		a.wantRationed(false)
		b.hold(38_000) // 7/8 are 87,500
		a.wantRationed(true)
		b.wantRationed(false)
		if st := h.Stats(); st.Rationed != 1 || st.Rations != 1 {
			t.Errorf("Stats: %d rationed, %d rations", st.Rationed, st.Rations)
		}
		a.say(45_000)
		h.ready(a.c.FD(), unix.POLLIN)
		b.hold(31_000)
		a.wantRationed(true) // until less than 3/4 are held
		if a.c.Driver().Holds() != 50_000 {
			t.Fatal("it was read from")
		}
		b.hold(10_000)
		a.wantRationed(false)
		h.until(func() bool { return a.c.Driver().Holds() == 45_000 })
		if !slices.Equal(h.resumed, []uint64{a.c.ID()}) {
			t.Errorf("Resumed came to %d", h.resumed)
		}
		if len(h.ends) > 0 {
			t.Errorf("ended: %v", h.ends)
		}
	})
}

// Connections that keep memory scarce are ended, the oldest first, and no more than necessary.
func TestWhenMemoryStaysScarceTheLargestEnd(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		h := newHolder(t, p, Options{Memory: 100_000})
		a, b, c := h.join(), h.join(), h.join()
		c.hold(20_000)
		a.hold(40_000)
		b.hold(30_000)
		h.turn(0)
		a.wantRationed(true)
		b.wantRationed(true)
		c.wantRationed(false)
		for range 19 {
			h.turn(time.Second / 2)
		}
		if len(h.ends) > 0 {
			t.Fatalf("ended after 9.5 s: %v", h.ends)
		}
		if h.sh.NextDeadline > h.now+int64(time.Second) && (len(h.timers) == 0 || h.timers[0].at > h.now+int64(time.Second)) {
			t.Error("nothing is going to wake the loop")
		}
		h.until(func() bool { h.now += int64(time.Second) / 2; return len(h.ends) > 0 })
		h.turn(0)
		b.wantRationed(false)
		if !slices.Equal(h.ends, []conn.Reason{conn.MemoryLimit}) || !a.c.IsClosed() {
			t.Errorf("ended: %v", h.ends)
		}
		if st := h.Stats(); st.Held != 50_000 || st.Closed[conn.MemoryLimit] != 1 || st.Rationed != 0 {
			t.Errorf("%d bytes held, %d ended, %d rationed", st.Held, st.Closed[conn.MemoryLimit], st.Rationed)
		}
		h.until(func() bool { h.now += int64(time.Second); return len(h.timers) == 0 })
	})
}

func TestWhenMemoryIsUsedUpTheLargestEndsAtOnce(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		h := newHolder(t, p, Options{Memory: 100_000})
		a, b := h.join(), h.join()
		a.hold(50_000)
		b.hold(30_000)
		b.say(51_000)
		h.until(func() bool { return len(h.ends) > 0 })
		if !b.c.IsClosed() || a.c.IsClosed() || h.ends[0] != conn.MemoryLimit {
			t.Errorf("ended: %v", h.ends)
		}
		h.budget.Charge(60_000) // a history
		h.until(func() bool { return len(h.ends) > 1 })
		if h.budget.Used() != 60_000 {
			t.Errorf("%d bytes are used", h.budget.Used())
		}
	})
}

// The log has a line a second at most, and the lines together name every connection.
func TestTheLogCountsAllThatEndForMemory(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		var out bytes.Buffer
		h := newHolder(t, p, Options{Memory: 100_000, Log: slog.New(slog.NewTextHandler(&out, nil))})
		a, b, c := h.join(), h.join(), h.join()
		a.hold(50_000)
		for i, x := range []*client{b, c} {
			x.hold(30_000)
			x.say(60_000)
			h.until(func() bool { return len(h.ends) > i })
		}
		const ended = "connections ended for memory"
		if n := strings.Count(out.String(), ended); n != 1 {
			t.Errorf("%d lines within a second:\n%s", n, &out)
		}
		h.turn(time.Second)
		total := 0
		for line := range strings.Lines(out.String()) {
			if _, rest, ok := strings.Cut(line, ended+`" connections=`); ok {
				n, _, _ := strings.Cut(rest, " ")
				i, _ := strconv.Atoi(n)
				total += i
			}
		}
		if total != 2 {
			t.Errorf("%d ended by the log, want 2:\n%s", total, &out)
		}
		h.turn(time.Second)
		if h.newsAt != nil {
			t.Error("a timer is set although there is nothing to log")
		}
	})
}

// Of managers that share a budget, the one whose connections hold more than the others' has to give
// something up. It is woken.
func TestManagersShareABudget(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		budget := conn.NewBudget(100_000)
		big, small := newHolder(t, p, Options{Budget: budget}), newHolder(t, p, Options{Budget: budget})
		if big.Budget() != budget {
			t.Fatal("another budget")
		}
		a, b := big.join(), small.join()
		a.hold(60_000)
		big.turn(0)
		b.hold(30_000)
		small.turn(0)
		b.wantRationed(false)
		big.ready(big.pair.FD(), unix.POLLIN)
		big.turn(0)
		a.wantRationed(true)
		b.hold(45_000)
		small.turn(0)
		if budget.Used() != 105_000 || len(small.ends) > 0 {
			t.Fatalf("%d are used, ended: %v", budget.Used(), small.ends)
		}
		small.now += int64(time.Second)
		small.turn(0)
		big.ready(big.pair.FD(), unix.POLLIN)
		big.turn(0)
		big.until(func() bool { return len(big.ends) > 0 })
		if big.ends[0] != conn.MemoryLimit {
			t.Errorf("ended: %v", big.ends)
		}
		b.say(120_000) // in one event: nobody waits for the other
		small.until(func() bool { return len(small.ends) > 0 })
		big.Close()
		small.turn(0)
		if budget.Used() != 0 {
			t.Errorf("%d bytes are used", budget.Used())
		}
	})
}

// A manager that has ended holds nothing of a budget that others use.
func TestAClosedManagerLeavesItsBudget(t *testing.T) {
	underEach(t, func(t *testing.T, p Poller) {
		budget := conn.NewBudget(0)
		h := newHolder(t, p, Options{Budget: budget})
		h.join().hold(50_000)
		h.turn(0)
		if budget.Used() != 50_000 {
			t.Errorf("%d bytes are used", budget.Used())
		}
		h.Close()
		if budget.Used() != 0 {
			t.Errorf("%d bytes are used after the end", budget.Used())
		}
	})
}
