package mgr

import (
	"fmt"
	"math"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// These tests are the contract of poller.go, for each back end.
func eachPoller(t *testing.T, f func(t *testing.T, p poller)) {
	for _, kind := range []Poller{Epoll, Select} {
		t.Run(kind.String(), func(t *testing.T) {
			p, err := newPoller(kind)
			if err != nil {
				t.Fatal(err)
			}
			defer p.close()
			f(t, p)
		})
	}
}

func pair(t *testing.T) (a, b int) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fds[0]); unix.Close(fds[1]) })
	return fds[0], fds[1]
}

func set(t *testing.T, p poller, fd int, was, want conn.Interest) {
	t.Helper()
	if err := p.set(fd, was, want); err != nil {
		t.Fatal(err)
	}
}

// poll returns what one wait reports, by descriptor.
func poll(t *testing.T, p poller, timeout time.Duration) map[int]conn.Interest {
	t.Helper()
	var list [16]ready
	n, err := p.wait(list[:], timeout)
	if err != nil {
		t.Fatal(err)
	}
	got := map[int]conn.Interest{}
	for _, r := range list[:n] {
		if _, twice := got[int(r.fd)]; twice {
			t.Errorf("descriptor %d stands in the list twice", r.fd)
		}
		got[int(r.fd)] = r.got
	}
	return got
}

func wantReady(t *testing.T, got, want map[int]conn.Interest) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("ready %v, want %v", got, want)
	}
}

type ints = map[int]conn.Interest

func TestPollerReportsWhatIsWatchedAndNothingElse(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		a, b := pair(t)
		unix.Write(b, []byte("x"))
		wantReady(t, poll(t, p, 0), ints{})
		set(t, p, a, 0, conn.In)
		wantReady(t, poll(t, p, -1), ints{a: conn.In})
		set(t, p, a, conn.In, conn.Out)
		wantReady(t, poll(t, p, -1), ints{a: conn.Out})
		set(t, p, a, conn.Out, conn.In|conn.Out)
		wantReady(t, poll(t, p, -1), ints{a: conn.In | conn.Out})
		set(t, p, a, conn.In|conn.Out, 0)
		wantReady(t, poll(t, p, 0), ints{})
		set(t, p, a, 0, 0)
	})
}

func TestPollerIsLevelTriggered(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		a, b := pair(t)
		set(t, p, a, 0, conn.In)
		unix.Write(b, []byte("xy"))
		for range 3 {
			wantReady(t, poll(t, p, -1), ints{a: conn.In})
		}
		unix.Read(a, make([]byte, 1))
		wantReady(t, poll(t, p, -1), ints{a: conn.In})
		unix.Read(a, make([]byte, 1))
		wantReady(t, poll(t, p, 0), ints{})
	})
}

func TestPollerReportsTheEndOfTheStream(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		a, b := pair(t)
		set(t, p, a, 0, conn.In)
		unix.Shutdown(b, unix.SHUT_WR)
		if got := poll(t, p, -1)[a]; got&conn.In == 0 {
			t.Errorf("ready for %d, want In", got)
		}
	})
}

// A writer must learn of a hang-up too: the write finds out what it is.
func TestPollerReportsErrorsToAWriter(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		var fds [2]int
		if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fds[1])
		for {
			if _, err := unix.Write(fds[1], make([]byte, 4096)); err != nil {
				break
			}
		}
		set(t, p, fds[1], 0, conn.Out)
		wantReady(t, poll(t, p, 0), ints{})
		unix.Close(fds[0])
		if got := poll(t, p, -1)[fds[1]]; got&conn.Out == 0 {
			t.Errorf("ready for %d, want Out", got)
		}
	})
}

func TestPollerKeepsNothingOfADescriptorThatIsNoLongerWatched(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		a, b := pair(t)
		set(t, p, a, 0, conn.In)
		unix.Write(b, []byte("x"))
		set(t, p, a, conn.In, 0)
		c, _ := pair(t)
		unix.Dup3(c, a, unix.O_CLOEXEC) // the number is another's now
		set(t, p, a, 0, conn.In)
		wantReady(t, poll(t, p, 0), ints{})
	})
}

func TestPollerWaitsForItsTimeoutAndNoLonger(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		a, _ := pair(t)
		set(t, p, a, 0, conn.In)
		begin := time.Now()
		wantReady(t, poll(t, p, 30*time.Millisecond), ints{})
		if took := time.Since(begin); took < 30*time.Millisecond || took > 10*time.Second {
			t.Errorf("waited %v, want 30ms", took)
		}
	})
}

func TestPollerWithAShortListGetsRoundToAll(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		missing := map[int32]bool{}
		for range 10 {
			a, b := pair(t)
			set(t, p, a, 0, conn.In)
			unix.Write(b, []byte("x"))
			missing[int32(a)] = true
		}
		for range 20 {
			var list [3]ready
			n, err := p.wait(list[:], -1)
			if err != nil || n == 0 {
				t.Fatal(n, err)
			}
			for _, r := range list[:n] {
				delete(missing, r.fd)
			}
		}
		if len(missing) > 0 {
			t.Errorf("%d of 10 ready descriptors were never reported", len(missing))
		}
	})
}

func TestPollerSetOfWhatItCannotWatchIsAnError(t *testing.T) {
	eachPoller(t, func(t *testing.T, p poller) {
		fd := 1 << 20 // no process has that many
		if err := p.set(fd, 0, conn.In); err == nil {
			t.Errorf("descriptor %d was taken", fd)
		}
		wantReady(t, poll(t, p, 0), ints{})
	})
}

func TestSelectSaysWhichDescriptorIsTooLarge(t *testing.T) {
	p, _ := newSelect()
	err := p.set(fdSetSize, 0, conn.In)
	if want := "select: descriptor 1024 is not below FD_SETSIZE (1024)"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestParsePollerIsTheInverseOfString(t *testing.T) {
	for _, p := range []Poller{Auto, Epoll, Select} {
		if got, err := ParsePoller(p.String()); got != p || err != nil {
			t.Errorf("ParsePoller(%q) = %v, %v", p, got, err)
		}
	}
	_, err := ParsePoller("kqueue")
	if want := `mgr: poller "kqueue": want auto, epoll or select`; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
}

func TestAnUnknownPollerIsAnError(t *testing.T) {
	_, err := New(Options{Poller: 77})
	if want := "mgr: poller 77 is not known"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	if s := Poller(77).String(); s != "unknown" {
		t.Errorf("String %q", s)
	}
}

func TestAutoIsEpollWhereThereIsOne(t *testing.T) {
	m, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if m.Poller() != "epoll" {
		t.Errorf("poller %q", m.Poller())
	}
}

func TestWaitsAreRoundedUpToMilliseconds(t *testing.T) {
	for d, want := range map[time.Duration]int{
		-1: -1, 0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000, math.MaxInt64: 3600_000,
	} {
		if got := millis(d); got != want {
			t.Errorf("millis(%d) = %d, want %d", d, got, want)
		}
	}
}
