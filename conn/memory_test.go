package conn_test

import (
	"math/rand/v2"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

func (g group) wantHeld(want int) {
	g[0].t.Helper()
	if got := g[0].Loop.Shared.Held(); got != want {
		g[0].t.Errorf("%d bytes are held, want %d", got, want)
	}
}

// own returns how much of what a connection holds is no shared buffer.
func (r *rig) own() int { return conn.CountedOwn(r.Conn) }

// Bytes that are read, answered and sent within a turn are not counted. Bytes that stay are, with
// the size of their buffer.
func TestWhatStaysIsCounted(t *testing.T) {
	g := newGroup(t, 1)
	r := g[0]
	r.SetHandler(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok && c.Recv.Bytes()[c.Recv.Len()-1] == '\n' {
			c.Recv.Discard(c.Recv.Len())
		}
	})
	r.input("a line\n")
	r.WriteString("a reply")
	g.settle()
	g.wantHeld(0)
	r.input("half a ")
	g.wantHeld(512)
	r.input("line\n")
	g.wantHeld(0)
	r.Wire.Room = 0
	r.WriteString("a reply")
	g.wantHeld(0) // as yet
	g.settle()
	g.wantHeld(512)
	r.Write(make([]byte, 100_000))
	g.wantHeld(100_007) // at once
	r.Layer().Charge(1000)
	r.Layer().Charge(10)
	g.wantHeld(100_017)
	if n := r.Driver().Holds(); n != 100_017 {
		t.Errorf("the connection holds %d bytes", n)
	}
	r.Close()
	g.settle()
	g.wantHeld(0)
}

// A shared buffer is counted once, however many queues it waits in, and as long as it waits in one.
func TestASharedBufferIsCountedOnce(t *testing.T) {
	g := newGroup(t, 4)
	p := make([]byte, 1000)
	for i, r := range g {
		r.Wire.Room = 100 * i
		r.WriteShared(p)
	}
	g.wantHeld(0)
	g.settle()
	own := 0
	for _, r := range g {
		own += r.own()
	}
	g.wantHeld(own + 1000)
	for i, r := range g {
		if n := r.Driver().Holds() - r.own(); n != 250 {
			t.Errorf("the part of connection %d is %d bytes, want 250", i, n)
		}
	}
	for _, r := range g[1:] {
		r.writable(-1)
	}
	g.settle()
	g.wantHeld(g[0].own() + 1000)
	g[0].Close()
	g.settle()
	g.wantHeld(0)
}

// After each turn what is counted is what the queues hold, whatever was written, sent, dropped and
// closed.
func TestHeldIsWhatTheQueuesHold(t *testing.T) {
	for seed := range uint64(200) {
		d := rand.New(rand.NewPCG(seed, 0))
		g := newGroup(t, 4)
		limits := conn.Limits{Backlog: conn.Backlog{Messages: 3, Policy: conn.BacklogPolicy(d.IntN(2))}}.WithDefaults()
		for _, r := range g {
			r.SetLimits(&limits)
			r.Wire.Room = 0
		}
		var bufs [6][]byte
		for i := range bufs {
			bufs[i] = make([]byte, 1+d.IntN(3000))
		}
		for range 60 {
			for range d.IntN(6) {
				r, p := g[d.IntN(len(g))], bufs[d.IntN(len(bufs))]
				switch d.IntN(7) {
				case 0:
					r.Write(p)
				case 1, 2:
					r.WriteShared(p)
				case 3, 4:
					r.WriteBroadcast(p)
				case 5:
					r.Wire.Room = d.IntN(5000)
					r.Driver().Writable()
				case 6:
					if d.IntN(20) == 0 {
						r.Close()
					}
				}
			}
			g.settle()
			if err := conn.CheckHeld(g.conns()); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
		}
		for _, r := range g {
			r.Close()
		}
		g.settle()
		if n, bufs := g[0].Loop.Shared.Held(), conn.SharedBuffers(g[0].Loop.Shared); n != 0 || bufs != 0 {
			t.Fatalf("seed %d: %d bytes are held at the end, %d buffers", seed, n, bufs)
		}
	}
}

// Two loops in the same turn, neither of which has told the budget yet: each looks at it again before
// both of them can have taken all that was left.
func TestALoopDoesNotTakeWhatAnotherMayHaveTaken(t *testing.T) {
	budget := conn.NewBudget(64_000)
	var loops []group
	for range 2 {
		g := newGroup(t, 1)
		g[0].Loop.Shared.JoinBudget(budget, func() {})
		loops = append(loops, g)
	}
	grown := 0
	for ; grown < 64; grown++ {
		for _, g := range loops {
			g[0].Layer().Charge((grown + 1) * 1000)
		}
		if loops[0][0].Loop.Shared.Overfull() || loops[1][0].Loop.Shared.Overfull() {
			break
		}
	}
	if grown > 33 {
		t.Errorf("the loops held %d bytes each before one of them saw that the budget was overdrawn", grown*1000)
	}
}
