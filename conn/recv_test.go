package conn

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestUnreadBytesAreKeptAndTheNextReadAppends(t *testing.T) {
	var seen []string
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok {
			seen = append(seen, string(c.Recv.Bytes()))
		}
	})
	r.input("abc")
	copy(r.sh.read, "XXXXXX") // another connection reads
	r.input("def")
	if !slices.Equal(seen, []string{"abc", "abcdef"}) {
		t.Errorf("handlers saw %q", seen)
	}
	r.wantEvents("Read3 Read3")
}

func TestDiscardPartly(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok {
			c.Recv.Discard(2)
		}
	})
	for i, want := range []string{"c", "ef", "gh"} {
		r.input([]string{"abc", "def", "gh"}[i])
		if got := string(r.Recv.Bytes()); got != want {
			t.Errorf("unread %q, want %q", got, want)
		}
	}
	r.Recv.Discard(100)
	if r.Recv.Len() != 0 {
		t.Errorf("%d bytes left after discarding more than there are", r.Recv.Len())
	}
}

func TestTruncateKeepsTheBeginning(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.input("abcdef")
	r.Recv.Discard(1)
	r.Recv.Truncate(3)
	if got := string(r.Recv.Bytes()); got != "bcd" {
		t.Errorf("unread %q, want %q", got, "bcd")
	}
	r.input("xyz")
	if got := string(r.Recv.Bytes()); got != "bcdxyz" {
		t.Errorf("unread %q, want %q", got, "bcdxyz")
	}
}

// Handlers that discard any amount see the stream without a gap or a repetition.
func TestTheStreamIsWholeUnderAnyDiscards(t *testing.T) {
	for seed := range uint64(60) {
		rnd := rand.New(rand.NewPCG(seed, 2))
		var got []byte
		r := newRig(t, Limits{}, func(c *Conn, ev Event) {
			if _, ok := ev.(*Read); ok {
				n := rnd.IntN(c.Recv.Len() + 1)
				got = append(got, c.Recv.Bytes()[:n]...)
				c.Recv.Discard(n)
			}
		})
		var want []byte
		for i := range 50 {
			p := bytes.Repeat([]byte{byte(i)}, 1+rnd.IntN([]int{5, 500, 20_000}[rnd.IntN(3)]))
			want = append(want, p...)
			r.input(string(p))
		}
		for len(r.net.in) > 0 {
			r.Readable()
			r.turn()
		}
		got = append(got, r.Recv.Bytes()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes came, %d were sent, or they differ", seed, len(got), len(want))
		}
	}
}

func TestAnIdleConnectionOwnsNoBuffer(t *testing.T) {
	r := newRig(t, Limits{}, func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok && c.Recv.Len() > 3 {
			c.WriteString("answer")
			c.Recv.Discard(c.Recv.Len())
		}
	})
	r.input("ab")
	r.input("cdef")
	if r.Recv.buf != nil || r.out != nil {
		t.Errorf("it keeps a receive buffer of %d bytes and the queue %v", cap(r.Recv.buf), r.out)
	}
}

func TestReceiveLimitEndsTheConnection(t *testing.T) {
	r := newRig(t, Limits{Recv: 4}, nil)
	r.input("abcd")
	r.wantEvents("Read4")
	r.input("e")
	r.wantEvents("Read1 Error:receive limit Close:receive limit")
}

func TestReceiveLimitCountsWhatTheHandlerLeft(t *testing.T) {
	r := newRig(t, Limits{Recv: 4}, func(c *Conn, ev Event) { c.Recv.Discard(c.Recv.Len()) })
	r.input("abcdefgh")
	r.wantEvents("Read8")
}

func TestInterruptedReadIsTriedAgain(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.net.in = []step{{err: unix.EINTR}, {err: unix.EINTR}, {data: "abc"}}
	r.Readable()
	r.turn()
	r.wantEvents("Read3")
}

func TestResumeDeliversUnreadBytesAgainWithN0(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.input("abc")
	r.Pause()
	if want := r.turn(); want != 0 {
		t.Errorf("a paused connection is to be watched for %d", want)
	}
	r.input("unseen")
	r.Resume()
	if want := r.turn(); want != In {
		t.Errorf("a resumed connection is to be watched for %d, want In", want)
	}
	r.wantEvents("Read3 Read0")
	r.Resume() // which was not paused
	r.turn()
	r.wantEvents("")
}

func TestPauseAndHoldDoNotUndoEachOther(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.Pause()
	r.Hold()
	r.turn()
	r.Resume()
	if want := r.turn(); want != 0 {
		t.Errorf("held and resumed: watched for %d", want)
	}
	r.Pause()
	r.Unhold()
	if want := r.turn(); want != 0 {
		t.Errorf("paused and unheld: watched for %d", want)
	}
	r.Resume()
	if want := r.turn(); want != In {
		t.Errorf("neither: watched for %d, want In", want)
	}
}

// A layer that waits for much has its buffer grow in few steps, but only with what has come.
func TestExpectedInputIsReadIntoFewBuffers(t *testing.T) {
	const total = 1 << 20
	var grown []int
	r := newRig(t, Limits{}, nil)
	r.SetHandler(func(c *Conn, ev Event) {
		if ev, ok := ev.(*Read); ok {
			k, came := cap(c.Recv.buf), c.Recv.Len()-ev.N
			if k > 5*max(came, readSize) {
				t.Fatalf("a buffer of %d bytes behind %d", k, came)
			}
			if len(grown) == 0 || grown[len(grown)-1] != k {
				grown = append(grown, k)
			}
			c.ExpectInput(total)
		}
	})
	for range total / 50_000 {
		r.net.in = append(r.net.in, step{data: strings.Repeat("x", 50_000)})
	}
	r.net.in = append(r.net.in, step{data: strings.Repeat("x", total%50_000)})
	for len(r.net.in) > 0 {
		r.Readable()
		r.turn()
	}
	if r.Recv.Len() != total || len(grown) > 4 || grown[len(grown)-1] != total {
		t.Errorf("%d bytes in buffers of %d", r.Recv.Len(), grown)
	}
}

func TestExpectedInputIsReadAsFarAsItIsThere(t *testing.T) {
	const total = 3 << 20
	for _, expected := range []bool{false, true} {
		r := newRig(t, Limits{Recv: total}, nil)
		r.SetHandler(func(c *Conn, ev Event) {
			if _, ok := ev.(*Read); ok && expected {
				c.ExpectInput(total)
			}
		})
		r.net.in = []step{{data: strings.Repeat("x", total)}}
		r.Readable()
		n := r.Recv.Len()
		switch {
		case !expected && n != readSize:
			t.Errorf("%d bytes were read at once", n)
		case expected && n != readMax:
			t.Errorf("%d bytes were read at once, of those that a layer waits for", n)
		}
	}
}

func TestExpectedInputThatCameIsNotExpectedAgain(t *testing.T) {
	const total = 100_000
	r := newRig(t, Limits{}, nil)
	r.SetHandler(func(c *Conn, ev Event) {
		if _, ok := ev.(*Read); ok && c.Recv.Len() >= total {
			c.Recv.Discard(total)
		} else if ok && c.Recv.Len() > 1000 {
			c.ExpectInput(total)
		}
	})
	r.input(strings.Repeat("x", 50_000))
	r.input(strings.Repeat("x", 50_000))
	r.input(strings.Repeat("x", 500))
	if k := cap(r.Recv.buf); r.Recv.Len() != 500 || k > 512 {
		t.Errorf("%d bytes in a buffer of %d", r.Recv.Len(), k)
	}
}

func TestLargeBuffersAreUsedAgain(t *testing.T) {
	s := NewShared(&fakeLoop{})
	b := s.getBuf(1 << 20)
	s.putBuf(b)
	if c := s.getBuf(900_000); cap(c) != cap(b) {
		t.Error("a new buffer was made")
	}
	for range 2 * poolLarge / 100_000 {
		s.putBuf(make([]byte, 0, 100_000))
	}
	s.putBuf(make([]byte, 0, 2*largeMax))
	if n := len(s.large); n != poolLarge/100_000 || s.inLarge != n*100_000 {
		t.Errorf("%d large buffers of %d bytes are kept", n, s.inLarge)
	}
	if c := s.getBuf(70_000); cap(c) != 100_000 {
		t.Error("a large buffer is not used again")
	}
	s.putBuf(make([]byte, 0, largeMax))
	if c := s.getBuf(largeMax); cap(c) != largeMax || s.inLarge > poolLarge-largeMax {
		t.Error("what has waited long is in the way of what is used now")
	}
}

// What has no bytes is no buffer to keep: a queue gives one back whenever it gets its first.
func TestThePoolKeepsNothingEmpty(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	for range 100 {
		r.WriteString("x")
		r.turn()
	}
	r.sh.putBuf(nil)
	kept := len(r.sh.large)
	for _, class := range r.sh.bufs {
		kept += len(class)
	}
	if kept != 1 {
		t.Errorf("%d buffers are kept, of one connection that sends a byte at a time", kept)
	}
	if b := r.sh.getBuf(0); cap(b) == 0 {
		t.Error("a buffer without room")
	}
}
