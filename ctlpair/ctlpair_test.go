package ctlpair

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func newPair[T any](t *testing.T, limit int) *Pair[T] {
	t.Helper()
	p, err := New[T](limit)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.Close(func(T) {}) })
	return p
}

// readable waits up to timeout for a byte in the socketpair, as a poller would.
func readable(t *testing.T, fd int, timeout time.Duration) bool {
	t.Helper()
	deadline := time.Now().Add(timeout)
	for {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		n, err := unix.Poll(fds, int(max(time.Until(deadline), 0)/time.Millisecond))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		return n > 0
	}
}

// bytesWaiting counts the bytes in the socketpair without taking them.
func bytesWaiting(t *testing.T, fd int) int {
	t.Helper()
	b := make([]byte, 4096)
	n, _, err := unix.Recvfrom(fd, b, unix.MSG_PEEK)
	if err == unix.EAGAIN {
		return 0
	}
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func drained[T any](p *Pair[T]) (got []T) {
	p.Drain(func(msg T) { got = append(got, msg) })
	return got
}

func TestMessagesComeInTheOrderSent(t *testing.T) {
	p := newPair[int](t, 0)
	var want []int
	for i := range 1000 {
		want = append(want, i)
		if err := p.Send(i); err != nil {
			t.Fatal(err)
		}
	}
	if got := drained(p); !slices.Equal(got, want) {
		t.Errorf("got %v", got)
	}
}

func TestOneDoorbellByteForManyMessages(t *testing.T) {
	p := newPair[int](t, 0)
	for i := range 1000 {
		p.Send(i)
		p.Ring()
	}
	if n := bytesWaiting(t, p.FD()); n != 1 {
		t.Errorf("%d bytes wait after 1000 messages, want 1", n)
	}
	drained(p)
	if n := bytesWaiting(t, p.FD()); n != 0 {
		t.Errorf("%d bytes wait after Drain", n)
	}
	p.Send(1)
	if n := bytesWaiting(t, p.FD()); n != 1 {
		t.Errorf("%d bytes wait after the next message, want 1", n)
	}
}

func TestRingWakesWithoutAMessage(t *testing.T) {
	p := newPair[int](t, 0)
	p.Ring()
	if !readable(t, p.FD(), 10*time.Second) {
		t.Fatal("not readable after Ring")
	}
	if got := drained(p); len(got) != 0 {
		t.Errorf("got %v", got)
	}
	if readable(t, p.FD(), 0) {
		t.Error("still readable after Drain")
	}
}

func TestAFullQueueRefusesAndLosesNothing(t *testing.T) {
	p := newPair[int](t, 3)
	for i, want := range []error{nil, nil, nil, ErrFull, ErrFull} {
		if err := p.Send(i); err != want {
			t.Errorf("Send %d: %v, want %v", i, err, want)
		}
	}
	if err := p.Call(9); err != ErrFull {
		t.Errorf("Call: %v, want ErrFull", err)
	}
	if n := p.Len(); n != 3 {
		t.Errorf("Len %d, want 3", n)
	}
	if got := drained(p); !slices.Equal(got, []int{0, 1, 2}) {
		t.Errorf("got %v", got)
	}
	if err := p.Send(5); err != nil {
		t.Errorf("Send after Drain: %v", err)
	}
}

func TestWhatIsSentWhileDrainingComesWithTheNextDrainAndRingsAgain(t *testing.T) {
	p := newPair[int](t, 0)
	p.Send(1)
	var got []int
	p.Drain(func(i int) {
		got = append(got, i)
		p.Send(i + 1)
	})
	if !slices.Equal(got, []int{1}) {
		t.Errorf("the first Drain got %v", got)
	}
	if !readable(t, p.FD(), 10*time.Second) {
		t.Fatal("the bell is silent though a message waits")
	}
	if got := drained(p); !slices.Equal(got, []int{2}) {
		t.Errorf("the second Drain got %v", got)
	}
}

func TestDrainSomeLeavesTheRestForTheNextCall(t *testing.T) {
	p := newPair[int](t, 0)
	for i := range 5 {
		p.Send(i)
	}
	var got []int
	note := func(i int) { got = append(got, i) }
	if left := p.DrainSome(2, note); !left || p.Left() != 3 || p.Len() != 0 {
		t.Errorf("left %v, Left %d, Len %d", left, p.Left(), p.Len())
	}
	p.Send(5) // after those that are left
	if left := p.DrainSome(3, note); left || p.Left() != 0 || p.Len() != 1 {
		t.Errorf("left %v, Left %d, Len %d", left, p.Left(), p.Len())
	}
	if left := p.DrainSome(1, note); left {
		t.Error("left although that was the last")
	}
	if want := []int{0, 1, 2, 3, 4, 5}; !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDrainGoesOnBehindAPanic(t *testing.T) {
	p := newPair[int](t, 0)
	for i := range 4 {
		p.Send(i)
	}
	var got []int
	drain := func() (panicked any) {
		defer func() { panicked = recover() }()
		p.Drain(func(i int) {
			if i == 1 {
				panic("one")
			}
			got = append(got, i)
		})
		return nil
	}
	if v := drain(); v != "one" {
		t.Errorf("the panic did not go up: %v", v)
	}
	if v := drain(); v != nil {
		t.Errorf("a second panic: %v", v)
	}
	if !slices.Equal(got, []int{0, 2, 3}) {
		t.Errorf("got %v", got)
	}
}

// loopOf drains p in a goroutine until the test ends.
func loopOf[T any](t *testing.T, p *Pair[T], f func(T)) {
	quit, gone := make(chan struct{}), make(chan struct{})
	once := func() {
		defer func() { recover() }()
		p.Drain(f)
	}
	go func() {
		defer close(gone)
		for {
			select {
			case <-quit:
				return
			default:
				if readable(t, p.FD(), 100*time.Millisecond) {
					once()
				}
			}
		}
	}()
	t.Cleanup(func() { close(quit); <-gone })
}

func TestCallReturnsWhenItsMessageIsHandled(t *testing.T) {
	p := newPair[int](t, 0)
	sum := 0 // written by the loop, read by the caller: Call orders the two
	loopOf(t, p, func(i int) { sum += i })
	for i := range 100 {
		if err := p.Call(1); err != nil || sum != i+1 {
			t.Fatalf("Call %d: %v, sum %d", i, err, sum)
		}
	}
}

func TestCallIsAcknowledgedWhenTheFunctionPanics(t *testing.T) {
	p := newPair[int](t, 0)
	loopOf(t, p, func(i int) {
		if i == 1 {
			panic("one")
		}
	})
	for i, want := range []error{nil, ErrPanicked, nil} {
		if err := p.Call(i); err != want {
			t.Errorf("Call %d: %v, want %v", i, err, want)
		}
	}
}

func TestCloseHandlesWhatIsQueuedThenRefuses(t *testing.T) {
	p := newPair[int](t, 0)
	p.Send(1)
	called := make(chan error)
	go func() { called <- p.Call(2) }()
	for p.Len() < 2 {
		time.Sleep(time.Millisecond) // Call blocks, so only the length tells that it is in the queue
	}
	var got []int
	if err := p.Close(func(i int) { got = append(got, i) }); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, []int{1, 2}) {
		t.Errorf("Close handled %v, want [1 2]", got)
	}
	if err := <-called; err != nil {
		t.Errorf("the Call that waited: %v", err)
	}
	p.Ring()
	for name, err := range map[string]error{"Send": p.Send(3), "Call": p.Call(3), "Close": p.Close(nil)} {
		if err != ErrClosed {
			t.Errorf("%s after Close: %v, want ErrClosed", name, err)
		}
	}
}

func TestCloseGivesTheDescriptorsBack(t *testing.T) {
	fds, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	NewOver[int](0, bellOf(fds)).Close(nil)
	for _, fd := range fds {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err != unix.EBADF {
			t.Errorf("descriptor %d is still open (%v)", fd, err)
		}
	}
}

func TestDescriptorsDoNotBlockAndAreNotInherited(t *testing.T) {
	fds, err := socketpair()
	if err != nil {
		t.Fatal(err)
	}
	defer closeBoth(fds)
	for _, fd := range fds {
		if fl, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0); fl&unix.O_NONBLOCK == 0 {
			t.Errorf("descriptor %d blocks", fd)
		}
		if fl, _ := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); fl&unix.FD_CLOEXEC == 0 {
			t.Errorf("descriptor %d is inherited", fd)
		}
	}
}

// A small limit makes ErrFull happen too: what was accepted comes exactly once and in order, what
// was refused never.
func TestManySendersEachInOrderExactlyOnceOrRefused(t *testing.T) {
	const senders, each = 8, 10_000
	p := newPair[[2]int](t, 64)
	var got, accepted [senders][]int
	var wg sync.WaitGroup
	finished := make(chan struct{})
	for s := range senders {
		wg.Go(func() {
			for i := range each {
				switch err := p.Send([2]int{s, i}); {
				case err == nil:
					accepted[s] = append(accepted[s], i)
				case !errors.Is(err, ErrFull):
					t.Errorf("Send: %v", err)
				}
			}
		})
	}
	go func() { wg.Wait(); close(finished); p.Ring() }()
	for over := false; !over; {
		if !readable(t, p.FD(), 10*time.Second) {
			t.Fatal("the bell was not rung")
		}
		take := func(msg [2]int) { got[msg[0]] = append(got[msg[0]], msg[1]) }
		p.Drain(take)
		select { // after Drain, which may have taken the last ring
		case <-finished:
			over = true
			p.Drain(take)
		default:
		}
	}
	refused := senders * each
	for s := range senders {
		refused -= len(accepted[s])
		if !slices.Equal(got[s], accepted[s]) {
			t.Errorf("sender %d: %d accepted, %d delivered, or out of order", s, len(accepted[s]), len(got[s]))
		}
	}
	if refused == 0 {
		t.Error("nothing was refused: the test did not reach the limit")
	}
}

func TestALongQueueIsNotKeptForEver(t *testing.T) {
	p := newPair[int](t, 0)
	for i := range 10 * keepEntries {
		p.Send(i)
	}
	for range 3 {
		drained(p)
		p.Send(1)
	}
	if n := max(cap(p.queue), cap(p.taken)); n > keepEntries {
		t.Errorf("room for %d messages is kept, want %d at most", n, keepEntries)
	}
}

func TestErrorsSayWhoRefuses(t *testing.T) {
	for err, want := range map[error]string{
		ErrClosed: "ctlpair: closed", ErrFull: "ctlpair: the queue is full", ErrDeaf: "ctlpair: the doorbell fails",
		ErrPanicked: "ctlpair: the function panicked",
	} {
		if got := fmt.Sprint(err); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestPostIsNeverRefusedAndComesFirst(t *testing.T) {
	p, err := New[int](2)
	if err != nil {
		t.Fatal(err)
	}
	p.Send(1)
	p.Send(2)
	if err := p.Send(3); err != ErrFull {
		t.Fatalf("Send: %v, want ErrFull", err)
	}
	for i := range 3 {
		if err := p.Post(10 + i); err != nil {
			t.Fatalf("Post: %v", err)
		}
	}
	if n := p.Len(); n != 2 || !p.Waiting() {
		t.Errorf("Len %d, want 2; waiting %v", n, p.Waiting())
	}
	var got []int
	take := func(n int) { got = append(got, n) }
	if left := p.DrainSome(1, take); !left || fmt.Sprint(got) != "[10 11 12 1]" {
		t.Errorf("left %v, got %v", left, got)
	}
	p.Post(13) // while some are left
	p.DrainSome(5, take)
	if fmt.Sprint(got) != "[10 11 12 1 13 2]" || p.Len() != 0 {
		t.Errorf("got %v, %d left", got, p.Len())
	}
	p.Post(14)
	p.Close(take)
	if fmt.Sprint(got) != "[10 11 12 1 13 2 14]" {
		t.Errorf("got %v", got)
	}
	if err := p.Post(15); err != ErrClosed {
		t.Errorf("Post after Close: %v", err)
	}
}

// A panic is the end of one message, and of none after it.
func TestAPostedMessageThatPanics(t *testing.T) {
	p, err := New[int](0)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close(nil)
	p.Post(1)
	p.Post(2)
	p.Send(3)
	var got []int
	take := func(n int) {
		got = append(got, n)
		if n == 1 {
			panic(n)
		}
	}
	func() {
		defer func() { recover() }()
		p.Drain(take)
	}()
	p.Drain(take)
	if fmt.Sprint(got) != "[1 2 3]" {
		t.Errorf("got %v", got)
	}
}
