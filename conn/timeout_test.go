package conn_test

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// Timeouts: NextDeadline is a lower bound, or the loop would never look.

// dueIn returns how long it is until at, a time of the loop's clock.
func (r *rig) dueIn(at int64) time.Duration { return time.Duration(at - r.Loop.Shared.Now) }

func TestStallIsNotedWhenTheQueueFills(t *testing.T) {
	r := newRig(t, conn.Limits{Stall: time.Second}, nil)
	r.Wire.Room = 0
	r.WriteString("abc")
	r.Settle()
	if at := r.dueIn(r.Loop.Shared.NextDeadline); at > time.Second {
		t.Errorf("the loop will look in %v, want 1s at the latest", at)
	}
	r.Loop.Advance(time.Second)
	r.Driver().Expire()
	r.Settle()
	r.WantEvents("Error write stalled", "Close write stalled")
}

func TestStallCountsFromTheLastByteTaken(t *testing.T) {
	r := newRig(t, conn.Limits{Stall: time.Second}, nil)
	r.Wire.Room = 0
	r.WriteString("abc")
	r.Settle()
	r.Loop.Advance(900 * time.Millisecond)
	r.writable(1)
	r.Loop.Advance(900 * time.Millisecond)
	if at := r.dueIn(r.Driver().Expire()); at != 100*time.Millisecond {
		t.Errorf("next look in %v, want 0.1s", at)
	}
	r.WantEvents("Write 1")
}

// The program was stopped, or a handler slow, for longer than the write timeout: the peer has room
// since long ago.
func TestALateLoopDoesNotBlameThePeerForAStall(t *testing.T) {
	r := newRig(t, conn.Limits{Stall: time.Second}, nil)
	r.Layer().SetDeadline(time.Hour)
	r.Wire.Room = 0
	r.WriteString("abc")
	r.Settle()
	r.Loop.Advance(time.Minute)
	r.Wire.Room = -1
	r.Driver().Writable() // the poller's word comes before the timeouts of the turn, the flush after them
	if at := r.dueIn(r.Driver().Expire()); at > 0 {
		t.Errorf("next look in %v: too late if the peer has taken nothing after all", at)
	}
	r.Settle()
	r.WantEvents("Write 3")
	r.Wire.Room = 0
	r.WriteString("def")
	r.Settle()
	r.Loop.Advance(time.Minute)
	r.Driver().Writable()
	r.Settle() // there was no room in truth
	r.Driver().Expire()
	r.Settle()
	r.WantEvents("Error write stalled", "Close write stalled")
}

func TestDeadlineFiresOnceAndCanBeCancelled(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Layer().SetDeadline(time.Second)
	r.Loop.Advance(time.Second)
	r.Driver().Expire()
	r.Driver().Expire()
	r.WantEvents("Deadline")
	r.Layer().SetDeadline(time.Second)
	r.Layer().SetDeadline(0)
	r.Loop.Advance(time.Hour)
	r.Driver().Expire()
	r.WantEvents()
}

func TestForeverIsNotThePast(t *testing.T) {
	r := newRig(t, conn.Limits{Idle: math.MaxInt64, Stall: math.MaxInt64}, nil)
	r.Loop.Advance(time.Hour)
	r.Wire.Arrive([]byte("a"), nil)
	r.Driver().Readable()
	r.Wire.Room = 0
	r.WriteString("abc")
	r.Layer().SetDeadline(math.MaxInt64)
	r.Settle()
	r.Driver().Expire()
	r.Settle()
	r.WantEvents("Read 1")
}

func TestHexdumpShowsEachByteOnce(t *testing.T) {
	var dump bytes.Buffer
	r := newRig(t, conn.Limits{}, nil)
	r.SetHexdump(&dump)
	r.input("hello")
	r.WriteString("ans")
	r.WriteString("wer")
	r.Settle()
	id := r.ID()
	want := fmt.Sprintf(`%d recv 5
00000000  68 65 6c 6c 6f                                    |hello|
%d send 6
00000000  61 6e 73 77 65 72                                 |answer|
`, id, id)
	if dump.String() != want {
		t.Errorf("got:\n%s\nwant:\n%s", dump.String(), want)
	}
	dump.Reset()
	big := bytes.Repeat([]byte("A"), 2*conn.ScratchSize)
	r.Wire.Room = conn.ScratchSize
	r.WriteShared(big)
	r.WriteShared(big)
	for r.Settle(); r.Pending() > 0; {
		r.writable(-1)
	}
	if n := strings.Count(dump.String(), "|AAAAAAAAAAAAAAAA|") * 16; n != 2*len(big) {
		t.Errorf("%d bytes in the dump of %d sent", n, 2*len(big))
	}
	dump.Reset()
	r.SetHexdump(nil)
	r.input("quiet")
	if dump.Len() > 0 {
		t.Errorf("after SetHexdump(nil): %s", &dump)
	}
}

func TestNumbersAreNeverUsedAgainAndLeadToTheirDescriptor(t *testing.T) {
	seen := map[uint64]bool{}
	for i := range 1000 {
		fd := i % 3
		id := conn.NewID(fd)
		if seen[id] || conn.SlotOfID(id) != fd {
			t.Fatalf("number %d for slot %d: seen before %v, leads to %d", id, fd, seen[id], conn.SlotOfID(id))
		}
		seen[id] = true
	}
}
