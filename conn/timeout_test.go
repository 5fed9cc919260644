package conn

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"
)

// Timeouts: NextDeadline is a lower bound, or the loop would never look.

func TestStallIsNotedWhenTheQueueFills(t *testing.T) {
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.net.room = 0
	r.WriteString("abc")
	r.turn()
	if at := r.sh.NextDeadline; at > int64(time.Second) {
		t.Errorf("the loop will look at %v, want 1s at the latest", time.Duration(at))
	}
	r.sh.Now = int64(time.Second)
	r.Expire()
	r.turn()
	r.wantEvents("Error:write stalled Close:write stalled")
}

func TestStallCountsFromTheLastByteTaken(t *testing.T) {
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.net.room = 0
	r.WriteString("abc")
	r.turn()
	r.sh.Now = int64(900 * time.Millisecond)
	r.writable(1)
	r.sh.Now = int64(1800 * time.Millisecond)
	if at := r.Expire(); at != int64(1900*time.Millisecond) {
		t.Errorf("next look at %v, want 1.9s", time.Duration(at))
	}
	r.wantEvents("Write1")
}

// The program was stopped, or a handler slow, for longer than the write timeout: the peer has room since long ago.
func TestALateLoopDoesNotBlameThePeerForAStall(t *testing.T) {
	r := newRig(t, Limits{Stall: time.Second}, nil)
	r.SetDeadline(time.Hour)
	r.net.room = 0
	r.WriteString("abc")
	r.turn()
	r.sh.Now = int64(time.Minute)
	r.net.room = -1
	r.Writable() // the poller's word comes before the timeouts of the turn, the flush behind them
	if at := r.Expire(); at > int64(time.Minute) {
		t.Errorf("next look at %v: too late if the peer has taken nothing after all", time.Duration(at))
	}
	r.turn()
	r.wantEvents("Write3")
	r.net.room = 0
	r.WriteString("def")
	r.turn()
	r.sh.Now = int64(2 * time.Minute)
	r.Writable()
	r.turn() // there was no room in truth
	r.Expire()
	r.turn()
	r.wantEvents("Error:write stalled Close:write stalled")
}

func TestDeadlineFiresOnceAndCanBeCancelled(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetDeadline(time.Second)
	r.sh.Now = int64(time.Second)
	r.Expire()
	r.Expire()
	r.wantEvents("Deadline")
	r.SetDeadline(time.Second)
	r.SetDeadline(0)
	r.sh.Now = int64(time.Hour)
	r.Expire()
	r.wantEvents("")
}

func TestForeverIsNotThePast(t *testing.T) {
	r := newRig(t, Limits{Idle: math.MaxInt64, Stall: math.MaxInt64}, nil)
	r.sh.Now = int64(time.Hour)
	r.net.in = []step{{data: "a"}}
	r.Readable()
	r.net.room = 0
	r.WriteString("abc")
	r.SetDeadline(math.MaxInt64)
	r.turn()
	r.Expire()
	r.turn()
	r.wantEvents("Read1")
}

func TestHexdumpShowsEachByteOnce(t *testing.T) {
	var dump bytes.Buffer
	r := newRig(t, Limits{}, nil)
	r.SetHexdump(&dump)
	r.input("hello")
	r.WriteString("ans")
	r.WriteString("wer")
	r.turn()
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
	big := bytes.Repeat([]byte("A"), 2*scratchSize)
	r.net.room = scratchSize
	r.WriteShared(big)
	r.WriteShared(big)
	for r.turn(); r.Pending() > 0; {
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
		id := NewID(fd)
		if seen[id] || FDOfID(id) != fd {
			t.Fatalf("number %d for descriptor %d: seen before %v, leads to %d", id, fd, seen[id], FDOfID(id))
		}
		seen[id] = true
	}
}
