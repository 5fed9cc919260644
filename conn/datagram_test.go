package conn_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

var boxPeer = conn.PeerOf(netip.MustParseAddrPort("192.0.2.1:53"))

// boxed is a datagram socket over a Box, with what its handler saw.
type boxed struct {
	*conntest.Box
	*conn.Conn
	t    *testing.T
	loop *conntest.Loop
	got  []string
	bad  []conn.Undelivered
	ends []string
	on   func(ev conn.Event)
}

func newBoxed(t *testing.T, limits conn.Limits) *boxed {
	b := &boxed{Box: conntest.NewBox(), t: t, loop: conntest.NewLoop()}
	b.Conn = b.loop.AddBox(b.Box, conn.DatagramSetup{Family: unix.AF_INET, Errors: true, Size: 100}, limits, func(c *conn.Conn, ev conn.Event) {
		switch ev := ev.(type) {
		case *conn.Datagram:
			b.got = append(b.got, string(ev.Data))
		case *conn.Undelivered:
			b.bad = append(b.bad, *ev)
		case *conn.Error:
			b.ends = append(b.ends, "Error "+ev.Reason.String())
		case *conn.Close:
			b.ends = append(b.ends, "Close")
		case *conn.Drained:
			b.ends = append(b.ends, "Drained")
		}
		if b.on != nil {
			b.on(ev)
		}
	})
	b.turn()
	return b
}

func (b *boxed) turn() {
	b.t.Helper()
	if err := b.loop.Turn(); err != nil {
		b.t.Fatal(err)
	}
}

func (b *boxed) arrive(list ...string) {
	for _, s := range list {
		b.Arrive(conn.Datagram{Data: []byte(s), From: boxPeer})
	}
}

// errnos are all that Linux has up to EHWPOISON.
func errnos(f func(e unix.Errno)) {
	for e := unix.Errno(1); e <= 133; e++ {
		if e != unix.EINTR && e != unix.EAGAIN && e != unix.EBADF {
			f(e)
		}
	}
}

// A receive that fails once, for whatever reason, is told and costs no datagram.
func TestReceiveFailsOnceWithEachErrno(t *testing.T) {
	errnos(func(e unix.Errno) {
		b := newBoxed(t, conn.Limits{})
		b.arrive("a", "b")
		b.FailReceive(e)
		b.turn()
		b.arrive("c")
		b.turn()
		if !slices.Equal(b.got, []string{"a", "b", "c"}) || len(b.bad) != 1 || b.bad[0].Err != e || len(b.ends) > 0 {
			t.Errorf("%v: got %q, %+v, %v", e, b.got, b.bad, b.ends)
		}
	})
	b := newBoxed(t, conn.Limits{})
	b.arrive("a")
	b.FailReceive(unix.EINTR, unix.EINTR, nil)
	b.turn()
	b.FailReceive(unix.EBADF)
	b.turn()
	if len(b.got) != 1 || !slices.Equal(b.ends, []string{"Error i/o error", "Close"}) || b.Closed != 0 {
		t.Errorf("EBADF: %q, %v, closed %d times", b.got, b.ends, b.Closed)
	}
}

// A receive that never works ends the socket, unless the errors are those of the network: then each
// is told.
func TestReceiveFailsForEver(t *testing.T) {
	b := newBoxed(t, conn.Limits{})
	for range 100 {
		b.FailReceive(unix.ENOMEM)
	}
	b.turn()
	if !slices.Equal(b.ends, []string{"Error i/o error", "Close"}) || len(b.bad) != 1 {
		t.Errorf("ENOMEM: %v, %d told", b.ends, len(b.bad))
	}
	b = newBoxed(t, conn.Limits{})
	for range 100 {
		b.FailReceive(unix.ECONNREFUSED)
	}
	b.turn()
	if len(b.ends) != 0 || len(b.bad) != 100 {
		t.Errorf("ECONNREFUSED: %v, %d told", b.ends, len(b.bad))
	}
}

// A send may fail because of an earlier datagram: it is tried again. If it fails again the datagram
// is dropped, counted and told, and the next one goes.
func TestSendFailsWithEachErrno(t *testing.T) {
	errnos(func(e unix.Errno) {
		b := newBoxed(t, conn.Limits{})
		for _, s := range []string{"a", "b"} {
			if err := b.SendTo([]byte(s), boxPeer); err != nil {
				t.Fatal(err)
			}
		}
		b.FailSend(e)
		b.turn()
		if len(b.Sent) != 2 || len(b.bad) != 0 {
			t.Errorf("%v once: %v sent, %+v", e, b.Sent, b.bad)
		}
		b.SendTo([]byte("c"), boxPeer)
		b.SendTo([]byte("d"), boxPeer)
		b.FailSend(e, e)
		b.turn()
		if len(b.Sent) != 3 || b.Sent[2].Data != "d" || len(b.bad) != 1 || b.bad[0].Err != e || b.bad[0].Dropped != 1 || b.bad[0].To != boxPeer {
			t.Errorf("%v twice: %v sent, %+v", e, b.Sent, b.bad)
		}
		if n := b.loop.Shared.Stats.DatagramsDropped; n != 1 || len(b.ends) > 0 || b.Pending() != 0 {
			t.Errorf("%v: %d dropped, %v", e, n, b.ends)
		}
	})
	b := newBoxed(t, conn.Limits{})
	b.SendTo(nil, boxPeer)
	b.FailSend(unix.EINTR, unix.EBADF)
	b.turn()
	if !slices.Equal(b.ends, []string{"Error i/o error", "Close"}) || b.loop.Shared.Stats.DatagramsDropped != 1 {
		t.Errorf("EBADF: %v", b.ends)
	}
}

// The errors that the network tells of are events, and come even while nothing is read.
func TestErrorsOfTheNetwork(t *testing.T) {
	b := newBoxed(t, conn.Limits{})
	b.Tell(conn.Undelivered{To: boxPeer, Err: unix.EHOSTUNREACH, Data: []byte("x")})
	b.FailReceive(unix.EHOSTUNREACH)
	b.turn()
	if len(b.bad) != 1 || b.bad[0].Err != unix.EHOSTUNREACH || b.bad[0].To != boxPeer || string(b.bad[0].Data) != "x" {
		t.Errorf("told %+v", b.bad)
	}
	b.Pause()
	b.Room = 0
	b.SendTo([]byte("waits"), boxPeer)
	b.turn()
	b.Tell(conn.Undelivered{To: boxPeer, Err: unix.EHOSTUNREACH})
	b.Driver().Ready(conn.In | conn.Out)
	b.turn()
	if len(b.bad) != 2 {
		t.Errorf("while paused: told %+v", b.bad)
	}
}

// A queue that is full refuses, whatever OnFull says; one that was full reads again when it has
// emptied.
func TestQueueOfDatagramsIsBounded(t *testing.T) {
	b := newBoxed(t, conn.Limits{Send: 2000, HighWater: 1000})
	b.Room = 0
	for i := 0; ; i++ {
		if err := b.SendTo(make([]byte, 50), boxPeer); err != nil {
			if err != conn.ErrSendLimit || i < 10 || i > 30 {
				t.Errorf("datagram %d: %v", i, err)
			}
			break
		}
	}
	b.turn()
	b.arrive("later")
	b.turn()
	if len(b.got) != 0 || b.loop.Watched(b.Conn) != conn.Out || b.loop.Shared.Held() == 0 {
		t.Errorf("got %q while congested; %d held", b.got, b.loop.Shared.Held())
	}
	b.Room = -1
	b.turn()
	if !slices.Equal(b.got, []string{"later"}) || !slices.Equal(b.ends, []string{"Drained"}) || b.loop.Shared.Held() != 0 {
		t.Errorf("got %q, %v, %d held", b.got, b.ends, b.loop.Shared.Held())
	}
}

// Drain sends what is queued first; Close drops and counts it.
func TestEndOfADatagramSocket(t *testing.T) {
	for _, drain := range []bool{true, false} {
		b := newBoxed(t, conn.Limits{})
		b.Room = 1
		for range 3 {
			b.SendTo([]byte("x"), boxPeer)
		}
		if drain {
			b.Drain()
		}
		b.turn()
		if len(b.Sent) != 1 || len(b.ends) > 0 {
			t.Errorf("%d sent, %v", len(b.Sent), b.ends)
		}
		if drain {
			b.Room = -1
		} else {
			b.Conn.Close()
		}
		b.turn()
		want := uint64(2)
		if drain {
			want = 0
		}
		if n := b.loop.Shared.Stats.DatagramsDropped; n != want || !slices.Equal(b.ends, []string{"Close"}) || b.loop.Shared.Held() != 0 || b.Closed != 1 {
			t.Errorf("drain %v: %d dropped, %v, %d held", drain, n, b.ends, b.loop.Shared.Held())
		}
	}
}

// Idle ends a datagram socket that neither sends nor receives.
func TestIdleDatagramSocket(t *testing.T) {
	b := newBoxed(t, conn.Limits{Idle: time.Minute})
	b.loop.Advance(50 * time.Second)
	b.arrive("x")
	b.turn()
	b.loop.Advance(50 * time.Second)
	b.turn()
	if len(b.ends) > 0 {
		t.Error(b.ends)
	}
	b.loop.Advance(10 * time.Second)
	b.turn()
	if !slices.Equal(b.ends, []string{"Error idle for too long", "Close"}) {
		t.Error(b.ends)
	}
}

// A simulation: the program and the network do what chance says. Each datagram that has arrived is
// delivered whole, once and in order; each that was taken to be sent leaves whole, once and in
// order, or is counted as dropped; nothing is held at the end.
func TestDatagramSimulation(t *testing.T) {
	for seed := range uint64(100) {
		simulateDatagrams(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
}

func simulateDatagrams(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 1))
	b := newBoxed(t, conn.Limits{Send: 3000, HighWater: 1500})
	var arrived, taken []string
	refused, number := uint64(0), 0
	next := func() string {
		number++
		return fmt.Sprintf("%d:%0*d", number, 1+r.IntN(80), 0)
	}
	send := func() {
		s := next()
		switch err := b.SendTo([]byte(s), boxPeer); {
		case err == nil:
			taken = append(taken, s)
		case errors.Is(err, conn.ErrSendLimit):
			refused++
		case errors.Is(err, conn.ErrClosed) && !b.IsOpen():
		default:
			t.Errorf("SendTo: %v", err)
		}
	}
	inHandler := 0
	b.on = func(ev conn.Event) {
		if _, ok := ev.(*conn.Datagram); ok && b.Paused() {
			t.Error("a datagram while paused")
		}
		switch r.IntN(12) {
		case 0:
			b.Pause()
		case 1:
			b.Resume()
		case 2, 3:
			if inHandler++; inHandler < 1000 {
				send()
			}
		case 4:
			b.Driver().Ration(r.IntN(2) == 0)
		}
	}
	for range 200 {
		switch r.IntN(10) {
		case 0, 1, 2:
			for range r.IntN(100) {
				s := next()
				arrived = append(arrived, s)
				b.arrive(s)
			}
		case 3, 4:
			for range r.IntN(40) {
				send()
			}
		case 5:
			b.Room = r.IntN(50) - 1
		case 6:
			b.Batch = r.IntN(70)
		case 7:
			if r.IntN(2) == 0 {
				b.Pause()
			} else {
				b.Resume()
			}
		case 8:
			e := []error{unix.ENOBUFS, unix.EPERM, unix.ECONNREFUSED, unix.EINTR, unix.EMSGSIZE}[r.IntN(5)]
			if r.IntN(2) == 0 {
				b.FailReceive(e)
			} else {
				b.FailSend(e)
			}
		case 9:
			b.loop.Advance(time.Second)
		}
		b.turn()
	}
	b.on = nil
	b.Room = -1
	b.Driver().Ration(false)
	b.Resume()
	b.turn()
	stats := b.loop.Shared.Stats
	if !slices.Equal(b.got, arrived) {
		t.Errorf("%d have arrived, %d came", len(arrived), len(b.got))
	}
	dropped := 0
	for _, e := range b.bad {
		dropped += e.Dropped
	}
	i := 0
	for _, s := range b.Sent {
		for i < len(taken) && taken[i] != s.Data {
			i++
			dropped--
		}
		i++
	}
	dropped -= len(taken) - min(i, len(taken))
	if dropped != 0 || i > len(taken) || stats.DatagramsDropped != uint64(len(taken)-len(b.Sent))+refused {
		t.Errorf("%d taken, %d sent, %d counted, %d refused, %d not told", len(taken), len(b.Sent), stats.DatagramsDropped, refused, dropped)
	}
	if stats.DatagramsIn != uint64(len(arrived)) || stats.DatagramsOut != uint64(len(b.Sent)) || b.loop.Shared.Held() != 0 || b.Pending() != 0 {
		t.Errorf("%+v, %d held", stats, b.loop.Shared.Held())
	}
	b.Conn.Close()
	b.turn()
	if b.Box.Closed != 1 || !slices.Equal(b.ends[len(b.ends)-1:], []string{"Close"}) {
		t.Errorf("%v, closed %d times", b.ends, b.Box.Closed)
	}
}
