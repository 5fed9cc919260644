package conn_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// group is some rigs on one loop.
type group []*rig

func newGroup(t *testing.T, n int) group {
	var g group
	loop := conntest.NewLoop()
	for range n {
		g = append(g, rigOf(t, conntest.Options{Loop: loop}, nil))
	}
	return g
}

func (g group) settle() {
	g[0].t.Helper()
	g[0].Settle()
}

func (g group) conns() (all []*conn.Conn) {
	for _, r := range g {
		all = append(all, r.Conn)
	}
	return all
}

func TestConnectionsWithEqualQueuesShareOne(t *testing.T) {
	g := newGroup(t, 3)
	one, two := []byte("one "), []byte("two ")
	for _, p := range [][]byte{one, two, one} {
		for _, r := range g {
			r.WriteShared(p)
		}
	}
	if !conn.SameQueue(g[0].Conn, g[1].Conn) || !conn.SameQueue(g[1].Conn, g[2].Conn) {
		t.Error("the queues are not shared")
	}
	if n := g[1].Pending(); n != 12 {
		t.Errorf("%d bytes are pending, want 12", n)
	}
	g[1].WriteString("and more")
	g[2].Wire.Room = 6
	g.settle()
	if conn.HasBundles(g[0].Loop.Shared) {
		t.Error("the bundles outlive their turn")
	}
	g[0].WantSent("one two one ")
	g[0].WantEvents("Write 12")
	g[1].WantSent("one two one and more")
	g[2].WantSent("one tw")
	g[2].WantEvents("Write 6")
	g[2].writable(-1)
	g[2].WantSent("o one ")
}

// To join the pieces of a longer bundle would copy them for nothing: they go out as they are.
func TestABundleIsBounded(t *testing.T) {
	g := newGroup(t, 2)
	p, last := make([]byte, conn.BundleMax), []byte("x")
	for _, r := range g {
		r.WriteShared(p)
	}
	if !conn.SameQueue(g[0].Conn, g[1].Conn) {
		t.Error("a queue that just fits is not shared")
	}
	for _, r := range g {
		r.WriteShared(last)
	}
	if conn.SameQueue(g[0].Conn, g[1].Conn) {
		t.Error("a queue that is too long is shared")
	}
	g.settle()
	for _, r := range g {
		r.WantSent(string(p) + "x")
	}
}

func TestBundleWaitsForRoom(t *testing.T) {
	g := newGroup(t, 2)
	for _, r := range g {
		r.Wire.Room = 0
		r.WriteShared([]byte("first "))
	}
	g.settle()
	for _, r := range g {
		r.WriteShared([]byte("second"))
	}
	g.settle()
	g[0].writable(-1)
	g[0].WantSent("first second")
	g[1].WantSent("")
	g[1].WriteShared([]byte("!"))
	g[1].writable(3)
	g[1].WantSent("fir")
	g[1].writable(-1)
	g[1].WantSent("st second!")
}

// TestBundlesSendWhatWasQueued does random things to connections that share queues, and compares
// with what each was given.
func TestBundlesSendWhatWasQueued(t *testing.T) {
	var frames [][]byte // of more kinds than there are roots
	for i, n := range []int{1, 10, 100, 1000, 5000, 20_000, conn.BundleMax + 1} {
		frames = append(frames, bytes.Repeat([]byte{'a' + byte(i)}, n))
	}
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		g := newGroup(t, 4)
		want := make([]strings.Builder, len(g))
		for range 40 {
			f := frames[rnd.IntN(len(frames))]
			for i, r := range g {
				switch rnd.IntN(12) {
				case 0:
					r.WriteString("own")
					want[i].WriteString("own")
				case 1:
					r.Wire.Room = rnd.IntN(100)
				case 2:
					r.writable(rnd.IntN(1000))
				default:
					r.WriteShared(f)
					want[i].Write(f)
				}
			}
			if rnd.IntN(3) == 0 {
				g.settle()
			}
		}
		for i, r := range g {
			for range 1000 {
				if r.Pending() == 0 {
					break
				}
				r.writable(-1)
			}
			if string(r.Wire.Sent) != want[i].String() {
				t.Fatalf("seed %d: connection %d sent other bytes than it was given", seed, i)
			}
		}
	}
}
