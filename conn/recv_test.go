package conn_test

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

func TestUnreadBytesAreKeptAndTheNextReadAppends(t *testing.T) {
	var seen []string
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			seen = append(seen, string(c.Recv.Bytes()))
		}
	})
	r.input("abc")
	another := rigOf(t, conntest.Options{Loop: r.Loop}, nil)
	another.input("XXXXXX") // into the same buffer of the loop
	r.input("def")
	if !slices.Equal(seen, []string{"abc", "abcdef"}) {
		t.Errorf("handlers saw %q", seen)
	}
	r.WantEvents("Read 3", "Read 3")
}

func TestDiscardPartly(t *testing.T) {
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
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
	r := newRig(t, conn.Limits{}, nil)
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
		r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok {
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
		for r.Wire.Unread() > 0 {
			r.Report(conn.In)
		}
		got = append(got, r.Recv.Bytes()...)
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: %d bytes came, %d were sent, or they differ", seed, len(got), len(want))
		}
	}
}

func TestAnIdleConnectionOwnsNoBuffer(t *testing.T) {
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok && c.Recv.Len() > 3 {
			c.WriteString("answer")
			c.Recv.Discard(c.Recv.Len())
		}
	})
	r.input("ab")
	r.input("cdef")
	if n := r.Recv.Cap(); n > 0 || conn.HasQueue(r.Conn) {
		t.Errorf("it keeps a receive buffer of %d bytes, or a queue: %v", n, conn.HasQueue(r.Conn))
	}
}

func TestReceiveLimitEndsTheConnection(t *testing.T) {
	r := newRig(t, conn.Limits{Recv: 4}, nil)
	r.input("abcd")
	r.WantEvents("Read 4")
	r.input("e")
	r.WantEvents("Read 1", "Error receive limit", "Close receive limit")
}

func TestReceiveLimitCountsWhatTheHandlerLeft(t *testing.T) {
	r := newRig(t, conn.Limits{Recv: 4}, func(c *conn.Conn, ev conn.Event) { c.Recv.Discard(c.Recv.Len()) })
	r.input("abcdefgh")
	r.WantEvents("Read 8")
}

func TestInterruptedReadIsTriedAgain(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Wire.Arrive(nil, unix.EINTR)
	r.Wire.Arrive(nil, unix.EINTR)
	r.input("abc")
	r.WantEvents("Read 3")
}

func TestResumeDeliversUnreadBytesAgainWithN0(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.input("abc")
	r.Pause()
	if want := r.Settle(); want != 0 {
		t.Errorf("a paused connection is to be watched for %d", want)
	}
	r.input("unseen")
	r.Resume()
	if want := r.Settle(); want != conn.In {
		t.Errorf("a resumed connection is to be watched for %d, want In", want)
	}
	r.WantEvents("Read 3", "Resumed", "Read 0")
	r.Resume() // which was not paused
	r.Settle()
	r.WantEvents()
}

func TestPauseAndHoldDoNotUndoEachOther(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Pause()
	r.Layer().Hold()
	r.Settle()
	r.Resume()
	if want := r.Settle(); want != 0 {
		t.Errorf("held and resumed: watched for %d", want)
	}
	r.Pause()
	r.Layer().Unhold()
	if want := r.Settle(); want != 0 {
		t.Errorf("paused and unheld: watched for %d", want)
	}
	r.Resume()
	if want := r.Settle(); want != conn.In {
		t.Errorf("neither: watched for %d, want In", want)
	}
}

// A layer that waits for much has its buffer grow in few steps, but only with what has come.
func TestExpectedInputIsReadIntoFewBuffers(t *testing.T) {
	const total = 1 << 20
	var grown []int
	r := newRig(t, conn.Limits{}, nil)
	r.SetHandler(func(c *conn.Conn, ev conn.Event) {
		if ev, ok := ev.(*conn.Read); ok {
			k, came := c.Recv.Cap(), c.Recv.Len()-ev.N
			if k > 5*max(came, conn.ReadSize) {
				t.Fatalf("a buffer of %d bytes behind %d", k, came)
			}
			if len(grown) == 0 || grown[len(grown)-1] != k {
				grown = append(grown, k)
			}
			c.Layer().ExpectInput(total)
		}
	})
	for range total / 50_000 {
		r.Wire.Arrive(bytes.Repeat([]byte("x"), 50_000), nil)
	}
	r.Wire.Arrive(bytes.Repeat([]byte("x"), total%50_000), nil)
	for r.Wire.Unread() > 0 {
		r.Report(conn.In)
	}
	if r.Recv.Len() != total || len(grown) > 4 || grown[len(grown)-1] != total {
		t.Errorf("%d bytes in buffers of %d", r.Recv.Len(), grown)
	}
}

func TestExpectedInputIsReadAsFarAsItIsThere(t *testing.T) {
	const total = 3 << 20
	for _, expected := range []bool{false, true} {
		r := newRig(t, conn.Limits{Recv: total}, nil)
		r.SetHandler(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Read); ok && expected {
				c.Layer().ExpectInput(total)
			}
		})
		r.Wire.Arrive(bytes.Repeat([]byte("x"), total), nil)
		r.Driver().Readable()
		n := r.Recv.Len()
		switch {
		case !expected && n != conn.ReadSize:
			t.Errorf("%d bytes were read at once", n)
		case expected && n != conn.ReadMax:
			t.Errorf("%d bytes were read at once, of those that a layer waits for", n)
		}
	}
}

func TestExpectedInputThatCameIsNotExpectedAgain(t *testing.T) {
	const total = 100_000
	r := newRig(t, conn.Limits{}, nil)
	r.SetHandler(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok && c.Recv.Len() >= total {
			c.Recv.Discard(total)
		} else if ok && c.Recv.Len() > 1000 {
			c.Layer().ExpectInput(total)
		}
	})
	r.input(strings.Repeat("x", 50_000))
	r.input(strings.Repeat("x", 50_000))
	r.input(strings.Repeat("x", 500))
	if k := r.Recv.Cap(); r.Recv.Len() != 500 || k > 512 {
		t.Errorf("%d bytes in a buffer of %d", r.Recv.Len(), k)
	}
}

// A slice without bytes is no buffer to keep. The buffer of the queue stays with that.
func TestThePoolKeepsNothingEmpty(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	for range 100 {
		r.WriteString("x")
		r.Settle()
	}
	conn.PutBuf(r.Loop.Shared, nil)
	if kept := conn.Pooled(r.Loop.Shared); kept != 0 {
		t.Errorf("%d buffers are kept, of one connection that sends a byte at a time", kept)
	}
	if b := conn.GetBuf(r.Loop.Shared, 0); cap(b) == 0 {
		t.Error("a buffer without room")
	}
}

// A buffer that has to grow gets room for more than the next few bytes. Otherwise a peer that sends
// slowly would have much copied for each read, where little is left of a step.
func TestExpectedInputThatComesSlowly(t *testing.T) {
	const total = 1 << 20
	r := newRig(t, conn.Limits{Recv: total}, nil)
	moves, last := 0, 0
	var at *byte
	r.SetHandler(func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); !ok {
			return
		}
		if first := &c.Recv.Bytes()[0]; first != at {
			if k := c.Recv.Len(); k > 10_000 && k < last+last/5 {
				t.Errorf("moved with %d bytes, and before that with %d", k, last)
			}
			at, last = first, c.Recv.Len()
			moves++
		}
		c.Layer().ExpectInput(total)
	})
	for sent := 0; sent < total; {
		n := min(100, total-sent)
		r.input(strings.Repeat("x", n))
		sent += n
	}
	if r.Recv.Len() != total || moves > 20 {
		t.Errorf("%d bytes were moved %d times", r.Recv.Len(), moves)
	}
}
