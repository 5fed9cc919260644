package conn_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// lag gives a stalled connection n broadcasts of 10 bytes, "0000000000", "0000000001" and so on,
// and returns the errors.
func (r *rig) lag(n int) (skipped int) {
	for i := range n {
		if err := r.WriteBroadcast(fmt.Appendf(nil, "%010d", i)); errors.Is(err, conn.ErrBacklog) {
			skipped++
		} else if err != nil {
			r.t.Fatal(err)
		}
	}
	return skipped
}

func numbers(from, to int) string {
	var b strings.Builder
	for i := from; i < to; i++ {
		fmt.Fprintf(&b, "%010d", i)
	}
	return b.String()
}

func TestABroadcastLeavesOnlySoMuchForAPeerThatLags(t *testing.T) {
	for _, tt := range []struct {
		name    string
		backlog conn.Backlog
		skipped int
		want    string
	}{
		{"drop the oldest by bytes", conn.Backlog{Bytes: 50}, 0, "begun" + numbers(95, 100)},
		{"drop the oldest by number", conn.Backlog{Messages: 4}, 0, "begun" + numbers(97, 100)},
		{"skip by bytes", conn.Backlog{Bytes: 50, Policy: conn.SkipNew}, 95, "begun" + numbers(0, 5)},
		{"skip by number", conn.Backlog{Messages: 4, Policy: conn.SkipNew}, 97, "begun" + numbers(0, 3)},
		{"no bound", conn.Backlog{Bytes: -1, Messages: -1}, 0, "begun" + numbers(0, 100)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t, conn.Limits{Backlog: tt.backlog}, nil)
			r.Wire.Room = 2
			r.WriteString("begun")
			r.Settle() // "be" is out, and the peer is blocked
			if got := r.lag(100); got != tt.skipped {
				t.Errorf("%d were skipped, want %d", got, tt.skipped)
			}
			if got, want := r.Loop.Shared.Stats.Skipped, uint64(100-(len(tt.want)-5)/10); got != want {
				t.Errorf("Stats.Skipped %d, want %d", got, want)
			}
			if n := r.Pending(); n != len(tt.want)-2 {
				t.Errorf("Pending %d, want %d", n, len(tt.want)-2)
			}
			r.writable(-1)
			r.WantSent(tt.want)
			if conn.HasQueue(r.Conn) {
				t.Error("all is sent, and a queue is left")
			}
		})
	}
}

// A write that is not a broadcast is never dropped and keeps its place; a message that has begun is
// completed.
func TestOnlyWholeBroadcastsAreDropped(t *testing.T) {
	r := newRig(t, conn.Limits{Backlog: conn.Backlog{Messages: 8}}, nil)
	r.Wire.Room = 3
	r.WriteBroadcast([]byte("begun "))
	r.Settle()
	r.WriteString("own1 ")
	r.WriteBroadcast([]byte("old1 "))
	r.WriteString("own2 ")
	r.WriteBroadcast([]byte("old2 "))
	r.WriteShared([]byte("shared "))
	r.WriteString("own3 ")
	for i := range 20 {
		r.WriteBroadcast(fmt.Appendf(nil, "new%d ", i))
	}
	r.WriteString("own4")
	r.writable(-1)
	r.WantSent("begun own1 own2 shared own3 new16 new17 new18 new19 own4")
}

// Random writes of all kinds to a peer that takes now and then: what arrives is what a plain list
// would have.
func TestDroppingFromAQueueKeepsItsOrder(t *testing.T) {
	for seed := range uint64(200) {
		rnd := seed*0x9E3779B97F4A7C15 + 1
		n := func(m uint64) int { rnd ^= rnd << 13; rnd ^= rnd >> 7; rnd ^= rnd << 17; return int(rnd % m) }
		r := newRig(t, conn.Limits{Backlog: conn.Backlog{Bytes: 60 + n(60), Messages: 3 + n(10)}}, nil)
		r.Wire.Room = 0
		kept := map[string]bool{}
		for i := range 300 {
			m := fmt.Sprintf("<%c%d>", "wsbbb"[n(5)], i)
			switch m[1] {
			case 'w':
				r.WriteString(m)
				kept[m] = true
			case 's':
				r.WriteShared([]byte(m))
				kept[m] = true
			case 'b':
				r.WriteBroadcast([]byte(m))
			}
			if n(6) == 0 {
				r.writable(n(80))
			}
			if sum, size := conn.QueueSize(r.Conn); sum != size {
				t.Fatalf("seed %d, step %d: %d bytes in pieces, size %d", seed, i, sum, size)
			}
		}
		r.writable(-1)
		r.Settle()
		last := -1
		for _, m := range bytes.SplitAfter(r.Wire.Sent, []byte(">")) {
			if len(m) == 0 {
				continue
			}
			var kind byte
			var i int
			if _, err := fmt.Sscanf(string(m), "<%c%d>", &kind, &i); err != nil || i <= last {
				t.Fatalf("seed %d: %q came after %d", seed, m, last)
			}
			last = i
			delete(kept, string(m))
		}
		if len(kept) > 0 {
			t.Fatalf("seed %d: lost %v", seed, kept)
		}
	}
}

// A peer that takes what it is given does not lag, however much one turn has for it.
func TestABurstToAPeerThatReadsIsNotSkipped(t *testing.T) {
	for _, policy := range []conn.BacklogPolicy{conn.DropOldest, conn.SkipNew, conn.Disconnect} {
		r := newRig(t, conn.Limits{Backlog: conn.Backlog{Bytes: 100, Messages: 5, Policy: policy}}, nil)
		if skipped := r.lag(1000); skipped > 0 || r.Loop.Shared.Stats.Skipped > 0 {
			t.Errorf("policy %d: %d of 1000 were skipped", policy, r.Loop.Shared.Stats.Skipped)
		}
		r.Settle()
		r.WantSent(numbers(0, 1000))
	}
}

// One message goes past the limit, whatever its size.
func TestOneBroadcastMayGoPastTheBacklog(t *testing.T) {
	r := newRig(t, conn.Limits{Backlog: conn.Backlog{Bytes: 100, Policy: conn.SkipNew}}, nil)
	r.Wire.Room = 0
	r.WriteString("x")
	r.Settle()
	if err := r.WriteBroadcast(make([]byte, 10_000)); err != nil {
		t.Error(err)
	}
	if err := r.WriteBroadcast([]byte("y")); err != conn.ErrBacklog {
		t.Errorf("%v, want ErrBacklog", err)
	}
}

func TestDisconnectEndsAConnectionThatLags(t *testing.T) {
	r := newRig(t, conn.Limits{Backlog: conn.Backlog{Messages: 3, Policy: conn.Disconnect}}, nil)
	r.Wire.Room = 0
	r.WriteString("x")
	r.Settle()
	r.WriteBroadcast([]byte("a"))
	r.WriteBroadcast([]byte("b"))
	if err := r.WriteBroadcast([]byte("c")); err != conn.ErrBacklog {
		t.Errorf("%v, want ErrBacklog", err)
	}
	r.Settle()
	r.WantEvents("Error send limit", "Close send limit")
}
