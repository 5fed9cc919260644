package mgr_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

func TestWritesOfOneTurnAreOneWriteEvent(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		writes := make(chan int, 100)
		h, conns := accepted(func(_ *conn.Conn, ev conn.Event) {
			if ev, ok := ev.(*conn.Write); ok {
				writes <- ev.N
			}
		})
		l := start(t, o, h)
		peer := l.dial()
		c := take(t, conns)
		l.on(func() {
			for i := range 100 {
				fmt.Fprintf(c, "%02d", i)
			}
			c.WriteShared([]byte(" shared "))
			c.WriteString("end")
			if n := c.Pending(); n != 211 {
				t.Errorf("Pending %d, want 211", n)
			}
		})
		if n := take(t, writes); n != 211 {
			t.Errorf("the first Write event says %d, want 211", n)
		}
		wantRead(t, peer, "0001")
		l.on(func() {
			if len(writes) != 0 || c.Pending() != 0 || l.Stats().BytesOut != 211 {
				t.Errorf("%d more Write events, Pending %d, BytesOut %d", len(writes), c.Pending(), l.Stats().BytesOut)
			}
		})
	})
}

// fill writes to c until the kernel takes no more, over as many turns as that takes.
func (l *loop) fill(c *conn.Conn) {
	l.t.Helper()
	last := -1
	l.until("the kernel's buffers are full", func() bool {
		if n := c.Pending(); n > 0 && n == last {
			return true
		} else if n == 0 {
			c.Write(make([]byte, 64<<10))
		} else {
			last = n
		}
		return false
	})
}

func TestWriteToAPeerThatDoesNotReadNeverBlocks(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		o.Limits.Send = 1 << 30
		h, conns := accepted(echo)
		l := start(t, o, h, mgr.ListenOptions{Socket: smallBuffers.Socket, Limits: conn.Limits{Send: 1 << 30}})
		l.dialSlow()
		slow := take(t, conns)
		l.on(func() {
			piece := make([]byte, 1<<20)
			for range 50 {
				if n, err := slow.Write(piece); n != len(piece) || err != nil {
					t.Fatalf("Write: %d, %v", n, err)
				}
			}
		})
		other := l.dial()
		fmt.Fprint(other, "still alive")
		wantRead(t, other, "still alive")
		l.on(func() {
			if n := slow.Pending(); n < 40<<20 {
				t.Errorf("%d bytes are pending, want most of 50 MiB", n)
			}
		})
		l.wantQuiet()
	})
}

func TestSendLimitEndsAConnectionWhosePeerDoesNotRead(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h, mgr.ListenOptions{Socket: smallBuffers.Socket, Limits: conn.Limits{Send: 100_000}})
		l.dialSlow()
		c := take(t, conns)
		l.fill(c)
		l.on(func() {
			c.Write(make([]byte, 100_000)) // may go past the limit
			n, err := c.Write([]byte("x"))
			if n != 0 || err != conn.ErrSendLimit || err.Error() != "conn: the send queue is full" {
				t.Errorf("Write: %d, %v", n, err)
			}
		})
		if why := take(t, r.ended); why != conn.SendLimit {
			t.Errorf("ended because %v", why)
		}
		if n := l.stats().Closed[conn.SendLimit]; n != 1 {
			t.Errorf("Stats.Closed[SendLimit] %d, want 1", n)
		}
	})
}

func TestSendLimitRefusesTheWriteAndTheConnectionLivesOn(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		h, conns := accepted(nil)
		l := start(t, o, h, mgr.ListenOptions{Socket: smallBuffers.Socket,
			Limits: conn.Limits{Send: 100_000, OnFull: conn.RefuseOnFull}})
		peer := l.dialSlow()
		c := take(t, conns)
		l.fill(c)
		l.on(func() {
			c.Write(make([]byte, 99_999-c.Pending()))
			c.WriteString("the end") // goes past the limit
			if n, err := c.Write([]byte("x")); n != 0 || err != conn.ErrSendLimit {
				t.Errorf("Write: %d, %v", n, err)
			}
			if n := l.Stats().Rejected; n != 1 {
				t.Errorf("Stats.Rejected %d, want 1", n)
			}
			c.Drain()
		})
		b, err := io.ReadAll(peer)
		if err != nil || !bytes.HasSuffix(b, []byte("the end")) {
			t.Errorf("read %d bytes, %v, without the end", len(b), err)
		}
	})
}

func TestDrainedComesOnceWhenAFullQueueIsEmptyAgain(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		drained := make(chan int, 10)
		h, conns := accepted(func(c *conn.Conn, ev conn.Event) {
			if _, ok := ev.(*conn.Drained); ok {
				drained <- c.Pending()
			}
		})
		l := start(t, o, h, smallBuffers)
		peer := l.dialSlow()
		c := take(t, conns)
		l.on(func() { c.WriteString("little") })
		wantRead(t, peer, "little")
		l.on(func() { c.Write(make([]byte, 1<<20)) })
		l.on(func() {
			if len(drained) > 0 || c.Pending() == 0 {
				t.Errorf("Drained fired %d times with %d bytes pending", len(drained), c.Pending())
			}
		})
		if _, err := io.ReadFull(peer, make([]byte, 1<<20)); err != nil {
			t.Fatal(err)
		}
		if n := take(t, drained); n != 0 {
			t.Errorf("Drained with %d bytes pending", n)
		}
		l.on(func() {})
		if len(drained) != 0 {
			t.Error("Drained came twice")
		}
	})
}

func TestOrderIsKeptBetweenWriteAndWriteShared(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		var want bytes.Buffer
		var sent bool
		h, conns := accepted(nil)
		l := start(t, o, h, smallBuffers)
		peer := l.dialSlow()
		c := take(t, conns)
		shared := []byte(strings.Repeat("shared frame ", 500))
		i := 0
		var more func()
		more = func() { // a few pieces each turn, so that they meet queues of all states
			for range 5 {
				i++
				own := fmt.Appendf(nil, "%d%s;", i, strings.Repeat("o", i%3000))
				want.Write(own)
				switch i % 3 {
				case 0:
					c.Write(own)
				case 1:
					c.WriteString(string(own))
				case 2:
					c.Write(append(c.AvailableBuffer(), own...))
				}
				if i%2 == 0 {
					want.Write(shared)
					c.WriteShared(shared)
				}
			}
			if i < 1000 {
				l.Do(more)
				return
			}
			sent = true
			c.Drain()
		}
		l.on(more)
		got, err := io.ReadAll(peer)
		if err != nil {
			t.Fatal(err)
		}
		l.on(func() {
			if !sent || sha256.Sum256(got) != sha256.Sum256(want.Bytes()) {
				t.Errorf("read %d bytes, which are not the %d written", len(got), want.Len())
			}
		})
	})
}

// An echo of more than the send limit, to a peer that reads only when it has sent all, works
// because nothing is read from a connection whose own queue is long; the peer's kernel makes it
// wait.
func TestCongestionStopsReadingAndResumes(t *testing.T) {
	underBothAtOnce(t, func(t *testing.T, o mgr.Options) {
		const total = 20 << 20
		r := record(echo)
		l := start(t, o, r.handle, mgr.ListenOptions{
			Socket: conn.SocketOptions{SendBuf: 64 << 10}, Limits: conn.Limits{Send: 1 << 20}})
		peer := l.dial()
		sent := make(chan error, 1)
		go func() {
			piece := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
			for n := 0; n < total; n += len(piece) {
				if _, err := peer.Write(piece); err != nil {
					sent <- err
					return
				}
			}
			sent <- nil
		}()
		congested := false
		l.until("the server is congested", func() bool {
			l.Broadcast(func(c *conn.Conn) { congested = c.Layer().Congested() })
			return congested
		})
		l.wantQuiet()
		if n, err := io.CopyN(io.Discard, peer, total); err != nil {
			t.Fatalf("read %d of %d bytes: %v", n, total, err)
		}
		if err := take(t, sent); err != nil {
			t.Error(err)
		}
		peer.Close()
		if why := take(t, r.ended); why != conn.PeerClosed {
			t.Errorf("ended because %v", why)
		}
	})
}

func TestWriteToAPeerThatResetIsAnError(t *testing.T) {
	underBoth(t, func(t *testing.T, o mgr.Options) {
		r := record(nil)
		h, conns := accepted(r.handle)
		l := start(t, o, h)
		peer := l.dial()
		c := take(t, conns)
		l.on(c.Pause) // or the read would find it out first
		reset(peer)
		l.until("the write fails", func() bool { c.WriteString("x"); return c.IsClosed() })
		if why := take(t, r.ended); why != conn.Reset && why != conn.BrokenPipe {
			t.Errorf("ended because %v", why)
		}
	})
}
