package systemd_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/handoff/systemd"
	"github.com/seed4930a636/mangusta/mgr"
)

// The beats come from the loop: they stop when it hangs.
func TestWatchdogOfALoopThatHangs(t *testing.T) {
	underBoth(t, func(t *testing.T, poller string) {
		s := newSupervisor(t)
		path := filepath.Join(t.TempDir(), "sock")
		s.start(nil, "SYSTEMD_TEST=unix://"+path, "WATCHDOG_USEC=20000", "SYSTEMD_POLLER="+poller)
		b := make([]byte, 100)
		for beats := 0; beats < 3; {
			n, err := s.note.Read(b)
			if err != nil {
				t.Fatal(err)
			}
			if string(b[:n]) == "WATCHDOG=1" {
				beats++
			}
		}
		says(t, "unix", path, "hang")
		for deadline := time.Now().Add(time.Minute); ; { // until a second without a beat
			s.note.SetReadDeadline(time.Now().Add(time.Second / 2))
			if _, err := s.note.Read(b); errors.Is(err, os.ErrDeadlineExceeded) {
				break
			}
			if time.Now().After(deadline) {
				t.Fatal("beats of a loop that hangs")
			}
		}
	})
}

func TestWatchdogWantsEachOfSeveralLoops(t *testing.T) {
	s := newSupervisor(t)
	t.Setenv("NOTIFY_SOCKET", s.path)
	t.Setenv("WATCHDOG_USEC", "10000")
	t.Setenv("WATCHDOG_PID", fmt.Sprint(os.Getpid()))
	n, err := systemd.NewNotifier()
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	if got := n.Environ(); !slices.Equal(got, []string{"NOTIFY_SOCKET=" + s.path, "WATCHDOG_USEC=10000"}) {
		t.Errorf("Environ %q", got)
	}
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n.Watchdog(l)
	ended := make(chan error)
	go func() { ended <- l.Run(context.Background()) }()
	b := make([]byte, 100)
	for range 3 {
		if k, err := s.note.Read(b); err != nil || string(b[:k]) != "WATCHDOG=1" {
			t.Fatalf("%q, %v", b[:k], err)
		}
	}
	hang, hangs, enough := make(chan bool), make(chan bool), make(chan bool)
	l.Managers()[1].Do(func() { close(hangs); <-hang })
	<-hangs
	beats := make(chan int)
	go func() {
		n := 0
		for {
			if k, err := s.note.Read(b); err != nil || string(b[:k]) == "STATUS=enough" {
				beats <- n
				return
			}
			n++
		}
	}()
	l.Managers()[0].Do(func() {
		ticks := 0
		l.Managers()[0].Every(5*time.Millisecond, func() { // as often as the beats come
			if ticks++; ticks == 20 {
				close(enough)
			}
		})
	})
	<-enough
	n.Status("enough")
	if n := <-beats; n > 5 { // some waited to be read, and one was due when the loop began to hang
		t.Errorf("%d beats although a loop hangs", n)
	}
	close(hang)
	l.Close()
	<-ended
}

// A loop that has ended, as in a shutdown that waits for another one, does not hang.
func TestWatchdogDoesNotWaitForALoopThatHasEnded(t *testing.T) {
	for ends := range 2 {
		s := newSupervisor(t)
		t.Setenv("NOTIFY_SOCKET", s.path)
		t.Setenv("WATCHDOG_USEC", "10000")
		n, err := systemd.NewNotifier()
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		l, err := mgr.NewLoops(2, mgr.Options{})
		if err != nil {
			t.Fatal(err)
		}
		stop := n.Watchdog(l)
		ended := make(chan error)
		go func() { ended <- l.Run(context.Background()) }()
		l.Managers()[ends].Close()
		n.Status("closed")
		s.note.SetReadDeadline(time.Now().Add(time.Minute))
		b := make([]byte, 100)
		for beats, closed := 0, false; beats < 5; {
			k, err := s.note.Read(b)
			if err != nil {
				t.Errorf("loop %d has ended: %d beats: %v", ends, beats, err)
				break
			}
			if closed {
				beats++
			}
			closed = closed || string(b[:k]) == "STATUS=closed"
		}
		stop() // from any goroutine
		l.Close()
		<-ended
	}
}
