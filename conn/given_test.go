package conn_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// ring is the double of a loop over completions, with one connection: it reads into a buffer of its
// own, and its writes complete when the test says so.
type ring struct {
	t       *testing.T
	c       *conn.Conn
	sh      *conn.Shared
	touched []*conn.Conn
	want    conn.Interest
	events  []string
	sent    []byte

	refs, copies [][]byte // the write under way: what the connection gave, and what it was then
	writes       int
	done         bool // Settle has said so
	buf          []byte
}

func newRing(t *testing.T, h conn.Handler, limits conn.Limits) *ring {
	r := &ring{t: t, buf: make([]byte, 64<<10)}
	r.sh = conn.NewShared(r)
	r.sh.Now = int64(time.Hour)
	limits = limits.WithDefaults()
	r.c = conn.New(r.sh, 5, conn.NewID(0), r, &limits, func(c *conn.Conn, ev conn.Event) {
		r.events = append(r.events, conntest.Describe(ev))
		if h != nil {
			h(c, ev)
		}
	})
	r.c.Driver().Submits()
	r.c.Driver().Begin()
	r.c.Driver().Accepted()
	r.turn()
	return r
}

func (r *ring) Touch(c *conn.Conn)                  { r.touched = append(r.touched, c) }
func (r *ring) SetPoll(*conn.Conn, bool)            {}
func (r *ring) Read(int, []byte) (int, error)       { return 0, unix.EAGAIN }
func (r *ring) Write(fd int, p []byte) (int, error) { return r.Writev(fd, [][]byte{p}) }
func (r *ring) CloseWrite(int) error                { r.events = append(r.events, "shutdown"); return nil }
func (r *ring) Close(int) error                     { r.events = append(r.events, "close"); return nil }

func (r *ring) Writev(_ int, pieces [][]byte) (int, error) {
	if r.refs != nil {
		r.t.Error("a write while another is under way")
	}
	r.writes++
	r.refs = slices.Clone(pieces)
	for _, p := range pieces {
		r.copies = append(r.copies, bytes.Clone(p))
	}
	return 0, conn.ErrSubmitted
}

func (r *ring) turn() {
	for len(r.touched) > 0 {
		batch := r.touched
		r.touched = nil
		for _, c := range batch {
			next := c.Driver().Settle()
			if r.want = next.Want; next.Done && r.refs == nil {
				for !c.Driver().Finished() {
					c.Driver().Finish()
				}
				c.Driver().CloseFD()
			}
			r.done = next.Done
		}
	}
}

// given hands in s from a buffer that is then used for something else.
func (r *ring) given(s string) {
	n := copy(r.buf, s)
	r.c.Driver().Given(r.buf[:n])
	r.c.Driver().Unlend()
	for i := range r.buf[:n] {
		r.buf[i] = '?'
	}
	r.turn()
}

// complete ends the write under way after n bytes at most.
func (r *ring) complete(n int, err error) {
	r.t.Helper()
	if r.refs == nil {
		r.t.Fatal("no write is under way")
	}
	var all []byte
	for i, p := range r.refs {
		if !bytes.Equal(p, r.copies[i]) {
			r.t.Errorf("bytes changed while they were sent: %.40q, were %.40q", p, r.copies[i])
		}
		all = append(all, p...)
	}
	n = min(n, len(all))
	r.sent = append(r.sent, all[:n]...)
	r.refs, r.copies = nil, nil
	r.c.Driver().Sent(n, err)
	if r.done {
		r.touched = append(r.touched, r.c)
	}
	r.turn()
}

func (r *ring) wantEvents(want ...string) {
	r.t.Helper()
	if !slices.Equal(r.events, want) {
		r.t.Errorf("events %q, want %q", r.events, want)
	}
	r.events = nil
}

// leave is a handler that takes all but the last n bytes.
func leave(n int) conn.Handler {
	return func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			c.Recv.Discard(max(c.Recv.Len()-n, 0))
		}
	}
}

func TestGiven(t *testing.T) {
	r := newRing(t, leave(2), conn.Limits{})
	r.wantEvents("Open", "Accept")
	r.given("hello")
	if got := string(r.c.Recv.Bytes()); got != "lo" {
		t.Errorf("unread %q: it was not copied", got)
	}
	r.given("world")
	r.wantEvents("Read 5", "Read 5")
	if got := string(r.c.Recv.Bytes()); got != "ld" {
		t.Errorf("unread %q", got)
	}
	r.c.Driver().GivenEnd(nil)
	r.turn()
	r.wantEvents("EOF", "Close closed by the peer", "close")
	r.given("too late")
	r.c.Driver().GivenEnd(nil)
	r.wantEvents()
	if n := r.sh.Stats.BytesIn; n != 10 {
		t.Errorf("%d bytes in", n)
	}
}

// Bytes and the end of the stream that come while the connection does not read are kept, in order,
// and told when it does.
func TestGivenWhilePaused(t *testing.T) {
	for _, late := range []bool{false, true} {
		r := newRing(t, leave(0), conn.Limits{})
		r.c.Pause()
		if late {
			r.turn()
			if r.want != 0 {
				t.Errorf("wants %d while paused", r.want)
			}
		}
		r.given("one ")
		r.given(strings.Repeat("x", 5000))
		r.c.Driver().GivenEnd(nil)
		r.turn()
		r.wantEvents("Open", "Accept")
		r.c.Resume()
		r.turn()
		want := []string{"Read 5004", "EOF", "Close closed by the peer", "close"}
		if r.events[0] == "Resumed" {
			want = append([]string{"Resumed"}, want...)
		}
		r.wantEvents(want...)
	}
}

// The handler that gets what was kept stops again: the end waits for the next time.
func TestGivenEndWaits(t *testing.T) {
	r := newRing(t, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Read); ok {
			c.Recv.Discard(1)
			c.Pause()
		}
	}, conn.Limits{})
	r.given("abc")
	r.c.Driver().GivenEnd(nil)
	for range 2 {
		r.c.Resume()
		r.turn()
	}
	r.wantEvents("Open", "Accept", "Read 3", "Resumed", "Read 0", "Resumed", "Read 0")
	r.c.Resume()
	r.turn()
	r.wantEvents("Resumed", "EOF", "Close closed by the peer", "close")
}

// The gate is shut and opened within one turn, and nothing but the end comes between.
func TestGivenEndAlone(t *testing.T) {
	r := newRing(t, nil, conn.Limits{})
	r.c.Pause()
	r.c.Driver().GivenEnd(nil)
	r.c.Resume()
	r.turn()
	r.wantEvents("Open", "Accept", "EOF", "Close closed by the peer", "close")
}

func TestGivenError(t *testing.T) {
	r := newRing(t, nil, conn.Limits{})
	r.c.Driver().GivenEnd(unix.ECONNRESET)
	r.turn()
	r.wantEvents("Open", "Accept", "Error reset by the peer", "Close reset by the peer", "close")
}

func TestGivenWhileLingering(t *testing.T) {
	r := newRing(t, nil, conn.Limits{})
	r.c.Write([]byte("x"))
	r.c.Layer().DrainLinger(time.Second)
	r.turn()
	r.complete(1, nil)
	r.given("thrown away")
	r.wantEvents("Open", "Accept", "Write 1", "shutdown")
	r.c.Driver().GivenEnd(nil)
	r.turn()
	r.wantEvents("Close closed locally", "close")
}

// Each way to write, in writes that complete later and take a few bytes each, while more is
// written.
func TestSubmits(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, []byte("<file>"), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	long := strings.Repeat("0123456789", 200)
	for step := 1; step < 9; step += 3 {
		r := newRing(t, nil, conn.Limits{HighWater: 1 << 20})
		want := ""
		next := 0
		more := func() {
			s := long[:1+next*37%600]
			switch next++; next % 6 {
			case 0:
				r.c.Write([]byte(s))
			case 1, 2:
				r.c.WriteShared([]byte(s))
			case 3:
				s = strings.Repeat(s, 20)
				r.c.WriteThrough([]byte(s))
			case 4:
				r.c.Write(append(r.c.AvailableBuffer(), s...))
			case 5:
				s = "file"
				r.c.SendFile(f, 1, 4, nil)
			}
			want += s
		}
		for range 40 {
			more()
			r.turn()
			if r.want != conn.In {
				t.Fatalf("wants %d while a write is under way", r.want)
			}
			more()
			if got := r.c.Pending() + int(r.c.FilePending()); got != len(want)-len(r.sent) {
				t.Fatalf("%d bytes pending, want %d", got, len(want)-len(r.sent))
			}
			r.complete(step*100, nil)
		}
		r.c.Drain()
		for r.refs != nil {
			r.complete(step*1000, nil)
		}
		if string(r.sent) != want {
			t.Errorf("step %d: %d bytes sent, want %d", step, len(r.sent), len(want))
		}
		if last := r.events[len(r.events)-1]; last != "close" {
			t.Errorf("step %d: the last event is %q", step, last)
		}
	}
}

func TestSubmitsEvents(t *testing.T) {
	r := newRing(t, nil, conn.Limits{HighWater: 8})
	r.c.Write([]byte("0123456789"))
	r.turn()
	r.wantEvents("Open", "Accept")
	if !r.c.Layer().Congested() || r.want != 0 {
		t.Errorf("congested %v, wants %d", r.c.Layer().Congested(), r.want)
	}
	r.complete(7, nil)
	r.complete(7, nil)
	r.wantEvents("Write 7", "Resumed", "Write 3", "Drained")
	r.c.WriteShared([]byte("shared"))
	r.turn()
	r.complete(6, nil)
	r.wantEvents("Write 6")
	r.c.Write([]byte("x"))
	r.turn()
	r.complete(0, unix.EPIPE)
	r.wantEvents("Error broken pipe", "Close broken pipe", "close")
}

// The bytes of a write that is under way stay where they are, even when the connection closes:
// Finish comes after it.
func TestSubmitsClose(t *testing.T) {
	r := newRing(t, nil, conn.Limits{})
	r.c.Write([]byte("under way"))
	r.turn()
	r.c.Close()
	r.turn()
	r.wantEvents("Open", "Accept")
	r.complete(3, unix.ECANCELED)
	r.wantEvents("Close closed locally", "close")
}

// A message of a broadcast that has been submitted is not dropped for a newer one.
func TestSubmitsBroadcast(t *testing.T) {
	r := newRing(t, nil, conn.Limits{Backlog: conn.Backlog{Bytes: 20}})
	want := ""
	for i := range 8 {
		m := fmt.Sprintf("message %d.", i)
		if i == 0 {
			r.c.Write([]byte("own."))
			want = "own." + m
		}
		err := r.c.WriteBroadcast([]byte(m))
		if i == 0 {
			r.turn()
		}
		if err != nil {
			t.Fatal(err)
		}
		if i == 7 {
			want += m
		}
	}
	for r.refs != nil {
		r.complete(5, nil)
	}
	r.turn()
	for r.refs != nil {
		r.complete(5, nil)
	}
	if string(r.sent) != want {
		t.Errorf("sent %q, want %q", r.sent, want)
	}
}

func TestSubmitsStall(t *testing.T) {
	r := newRing(t, nil, conn.Limits{Stall: time.Second})
	r.c.Write([]byte("x"))
	r.turn()
	r.sh.Now += int64(999 * time.Millisecond)
	r.c.Driver().Expire()
	r.turn()
	r.wantEvents("Open", "Accept")
	r.sh.Now += int64(2 * time.Millisecond)
	r.c.Driver().Expire()
	r.turn()
	r.complete(0, unix.ECANCELED)
	r.wantEvents("Error write stalled", "Close write stalled", "close")
	if r.writes != 1 {
		t.Errorf("%d writes", r.writes)
	}
}

// Datagrams and control messages reach a handler as events; a connection that does not read takes
// none.
func TestReceived(t *testing.T) {
	var from []string
	r := newRing(t, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Datagram:
			from = append(from, fmt.Sprintf("%s %s %s %d", ev.Data, ev.From, ev.To, ev.Interface))
		case *conn.Ancillary:
			from = append(from, fmt.Sprintf("%d control bytes", len(ev.Control)))
		case *conn.Read:
			from = append(from, string(c.Recv.Bytes()))
			c.Recv.Discard(c.Recv.Len())
		}
	}, conn.Limits{})
	d := r.c.Driver()
	datagram := &conn.Datagram{Data: []byte("ping"), From: conn.PeerOf(netip.MustParseAddrPort("192.0.2.1:53")),
		To: netip.MustParseAddr("192.0.2.9"), Interface: 2}
	if !d.Received(datagram, 4) {
		t.Error("a datagram was not taken")
	}
	if !d.Received(&conn.Ancillary{Control: make([]byte, 20)}, 0) {
		t.Error("control messages were not taken")
	}
	r.given("with them")
	r.c.Pause()
	if d.Received(datagram, 4) {
		t.Error("a datagram was taken while paused")
	}
	if want := []string{"ping 192.0.2.1:53 192.0.2.9 2", "20 control bytes", "with them"}; !slices.Equal(from, want) {
		t.Errorf("got %q, want %q", from, want)
	}
	r.wantEvents("Open", "Accept", "Datagram", "Ancillary", "Read 9")
	if n := r.sh.Stats.BytesIn; n != 13 {
		t.Errorf("%d bytes in", n)
	}
}

// Readiness without a read: the loop calls Ready, and the transport never.
func TestReadyWithoutARead(t *testing.T) {
	l := conntest.NewLoop()
	limits := conn.Limits{}.WithDefaults()
	var events []string
	c := conn.NewReady(l.Shared, 7, conn.NewID(1), conn.In|conn.Out, &limits, func(c *conn.Conn, ev conn.Event) {
		if ready, ok := ev.(*conn.Ready); ok {
			events = append(events, fmt.Sprintf("Ready %v %v", ready.In, ready.Out))
		}
	})
	c.Driver().Begin()
	if next := c.Driver().Settle(); next.Want != conn.In|conn.Out {
		t.Errorf("wants %d", next.Want)
	}
	c.Driver().Ready(conn.In)
	c.Pause()
	c.Driver().Ready(conn.Out)
	if next := c.Driver().Settle(); next.Want != 0 {
		t.Errorf("wants %d while paused", next.Want)
	}
	c.Resume()
	c.Driver().Settle()
	c.Driver().Ready(conn.Out)
	if want := []string{"Ready true false", "Ready false true"}; !slices.Equal(events, want) {
		t.Errorf("got %q, want %q", events, want)
	}
}

// The bytes of a write that is under way stay as they are, whatever is written, read or sent by
// others meanwhile.
func TestSubmitsKeepsItsBytes(t *testing.T) {
	x, y := strings.Repeat("x", 600), strings.Repeat("y", 900)
	for name, disturb := range map[string]func(r *ring){
		"a queue that grows": func(r *ring) {
			r.c.Write([]byte(x))
			r.turn()
			r.c.Write([]byte(x))
			r.c.Pause()
			r.given(y) // takes a buffer of the size that the queue has outgrown
		},
		"a queue that forgets what is sent": func(r *ring) {
			r.c.Write([]byte(y + x[:100]))
			r.turn()
			r.complete(900, nil)
			r.c.Write([]byte(y))
		},
		"a message that was to go through": func(r *ring) {
			p := []byte(strings.Repeat(y, 12))
			r.c.WriteThrough(p)
			r.turn()
			clear(p)
		},
		"small pieces": func(r *ring) {
			limits := conn.Limits{}.WithDefaults()
			for i, tr := range []conn.Transport{r, conntest.NewWire()} {
				c := r.c
				if i > 0 {
					c = conn.New(r.sh, 6, conn.NewID(1), tr, &limits, nil)
				}
				for j := range 4 {
					c.Write([]byte{byte('a' + 8*i + j)})
					c.WriteShared([]byte{byte('A' + 8*i + j)})
				}
				r.turn()
			}
		},
		"a file": func(r *ring) {
			name := filepath.Join(r.t.TempDir(), "file")
			os.WriteFile(name, []byte(x), 0o600)
			f, err := os.Open(name)
			if err != nil {
				r.t.Fatal(err)
			}
			r.c.SendFile(f, 0, 600, f)
			r.turn()
			r.c.Pause()
			r.given(strings.Repeat(y, 70)) // takes a buffer of the size that files are read into
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRing(t, nil, conn.Limits{})
			disturb(r)
			for r.refs != nil {
				r.complete(1<<20, nil) // it compares
			}
		})
	}
}
