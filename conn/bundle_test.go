package conn

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"
)

// group is some rigs on one loop.
type group []*rig

func newGroup(t *testing.T, n int) group {
	var g group
	sh := NewShared(&fakeLoop{})
	for range n {
		r := newRig(t, Limits{}, nil)
		r.sh = sh
		r.loop = sh.Loop.(*fakeLoop)
		g = append(g, r)
	}
	return g
}

func (g group) turn() {
	g[0].turn()
	g[0].sh.Settled()
}

func TestConnectionsWithEqualQueuesShareOne(t *testing.T) {
	g := newGroup(t, 3)
	one, two := []byte("one "), []byte("two ")
	for _, p := range [][]byte{one, two, one} {
		for _, r := range g {
			r.WriteShared(p)
		}
	}
	if g[0].out != g[1].out || g[1].out != g[2].out {
		t.Error("the queues are not shared")
	}
	if n := g[1].Pending(); n != 12 {
		t.Errorf("%d bytes are pending, want 12", n)
	}
	g[1].WriteString("and more")
	g[2].net.room = 6
	g.turn()
	if g[0].sh.bundles != [bundleRoots]*queue{} {
		t.Error("the bundles outlive their turn")
	}
	g[0].wantSent("one two one ")
	g[0].wantEvents("Write12")
	g[1].wantSent("one two one and more")
	g[2].wantSent("one tw")
	g[2].wantEvents("Write6")
	g[2].writable(-1)
	g[2].wantSent("one two one ")
}

func TestBundleWaitsForRoom(t *testing.T) {
	g := newGroup(t, 2)
	for _, r := range g {
		r.net.room = 0
		r.WriteShared([]byte("first "))
	}
	g.turn()
	for _, r := range g {
		r.WriteShared([]byte("second"))
	}
	g.turn()
	g[0].writable(-1)
	g[0].wantSent("first second")
	g[1].wantSent("")
	g[1].WriteShared([]byte("!"))
	g[1].writable(3)
	g[1].wantSent("fir")
	g[1].writable(-1)
	g[1].wantSent("first second!")
}

// TestBundlesSendWhatWasQueued does random things to connections that share queues, and compares with what each was given.
func TestBundlesSendWhatWasQueued(t *testing.T) {
	var frames [][]byte // of more kinds than there are roots
	for i, n := range []int{1, 10, 100, 1000, 5000, 20_000, bundleMax + 1} {
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
					r.net.room = rnd.IntN(100)
				case 2:
					r.writable(rnd.IntN(1000))
				default:
					r.WriteShared(f)
					want[i].Write(f)
				}
			}
			if rnd.IntN(3) == 0 {
				g.turn()
			}
		}
		for i, r := range g {
			for range 1000 {
				if r.Pending() == 0 {
					break
				}
				r.writable(-1)
			}
			if string(r.net.sent) != want[i].String() {
				t.Fatalf("seed %d: connection %d sent other bytes than it was given", seed, i)
			}
		}
	}
}
