package mgr

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// Each figure must be in the sum.
func TestTheSumOfStatsHasEachField(t *testing.T) {
	var one, sum Stats
	var fill func(v reflect.Value, n *int64, check bool)
	fill = func(v reflect.Value, n *int64, check bool) {
		for i := range v.NumField() {
			list := []reflect.Value{v.Field(i)}
			if v.Field(i).Kind() == reflect.Array {
				list = nil
				for k := range v.Field(i).Len() {
					list = append(list, v.Field(i).Index(k))
				}
			}
			for _, f := range list {
				*n++
				switch {
				case f.Kind() == reflect.Struct:
					fill(f, n, check)
				case check && f.CanInt() && f.Int() != 2**n, check && f.CanUint() && f.Uint() != uint64(2**n):
					t.Errorf("%s is %v, want %d", v.Type().Field(i).Name, f, 2**n)
				case check:
				case f.CanInt():
					f.SetInt(*n)
				default:
					f.SetUint(uint64(*n))
				}
			}
		}
	}
	fill(reflect.ValueOf(&one).Elem(), new(int64), false)
	sum.add(one)
	sum.add(one)
	fill(reflect.ValueOf(&sum).Elem(), new(int64), true)
}

func newLoopsFor(t *testing.T, n int, o Options) *Loops {
	t.Helper()
	l, err := NewLoops(n, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// fewSockets fails in the nth call of dup.
type fewSockets struct {
	kernel
	dups int
}

func (s *fewSockets) dup(fd int) (int, error) {
	if s.dups--; s.dups < 0 {
		return -1, unix.EMFILE
	}
	return s.kernel.dup(fd)
}

// lowPoller takes no descriptor.
type lowPoller struct{ poller }

func (lowPoller) maxFD() int { return -1 }

func TestAListenOnLoopsThatFailsLeavesNothing(t *testing.T) {
	path := t.TempDir() + "/s"
	free := func() int {
		fd, err := unix.Dup(0)
		if err != nil {
			t.Fatal(err)
		}
		unix.Close(fd)
		return fd
	}
	for _, url := range []string{"unix://" + path, "unixgram://" + path, "tcp://127.0.0.1:0", "udp://127.0.0.1:0"} {
		for what, spoil := range map[string]func(l *Loops){
			"a descriptor too few":      func(l *Loops) { l.all[0].sockets = &fewSockets{dups: 1} },
			"one over a poller's limit": func(l *Loops) { l.all[1].poller = lowPoller{l.all[1].poller} },
		} {
			if what == "a descriptor too few" && url[:4] != "unix" {
				continue // each loop gets a socket of its own
			}
			l := newLoopsFor(t, 3, Options{})
			spoil(l)
			before := free()
			if _, err := l.Listen(url, nil); err == nil {
				t.Errorf("%s, %s: no error", url, what)
			}
			if after := free(); after != before {
				t.Errorf("%s, %s: a descriptor is left: the lowest free one was %d and is %d", url, what, before, after)
			}
			if err := unix.Access(path, unix.F_OK); err != unix.ENOENT {
				t.Errorf("%s, %s: the file is left: %v", url, what, err)
			}
			if s := l.Stats(); s.Listeners != 0 {
				t.Errorf("%s, %s: %d listeners", url, what, s.Listeners)
			}
		}
	}
}

// brokenListener makes accept fail with EINVAL, which ends a listener.
type brokenListener struct{ kernel }

func (brokenListener) accept(int) (int, conn.Peer, error) { return -1, conn.Peer{}, unix.EINVAL }

// If the listener of one loop fails, those of the others go on, and Run ends after the last one.
func TestLoopsLiveUntilTheLastListenerHasFailed(t *testing.T) {
	for _, mode := range []Accept{AcceptExclusive, AcceptHandOver} {
		t.Run(mode.String(), func(t *testing.T) {
			log := make(chan string, 10)
			l := newLoopsFor(t, 2, Options{NeedListener: true, Log: logTo(log)})
			l.all[0].sockets = brokenListener{}
			l.all[1].sockets = brokenListener{}
			c, err := l.Listen("tcp://127.0.0.1:0", nil, ListenOptions{Accept: mode})
			if err != nil {
				t.Fatal(err)
			}
			sa := &unix.SockaddrInet4{Port: int(c.LocalAddr().Port()), Addr: [4]byte{127, 0, 0, 1}}
			ran := make(chan error, 1)
			go func() { ran <- l.Run(context.Background()) }()
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
			if err != nil {
				t.Fatal(err)
			}
			defer unix.Close(fd)
			if err := unix.Connect(fd, sa); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-ran:
				if !errors.Is(err, ErrNoListener) {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatalf("Run goes on: %+v", l.StatsEach())
			}
			if len(log) != 2 {
				t.Errorf("%d listeners have ended", len(log))
			}
		})
	}
}

type logTo chan string

func (l logTo) Warn(text string, _ ...any)  {}
func (l logTo) Error(text string, _ ...any) { l <- text }

// dyingPoller fails for good as soon as it is told to.
type dyingPoller struct {
	poller
	dies *atomic.Bool
}

func (p dyingPoller) wait(list []ready, timeout time.Duration) (int, error) {
	if p.dies.Load() {
		return 0, unix.EBADF
	}
	return p.poller.wait(list, timeout)
}

// If the poller of one loop fails, Run ends with its error; Close then ends the connections of all
// loops.
func TestAPollerThatFailsOnOneLoopEndsRun(t *testing.T) {
	for _, p := range []Poller{Epoll, Select} {
		t.Run(p.String(), func(t *testing.T) {
			l := newLoopsFor(t, 2, Options{Poller: p, Log: logTo(make(chan string, 10))})
			var dies atomic.Bool
			l.all[1].poller = dyingPoller{l.all[1].poller, &dies}
			var closed atomic.Int32
			for _, m := range l.all {
				fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
				if err != nil {
					t.Fatal(err)
				}
				defer unix.Close(fds[1])
				_, err = m.Wrap(fds[0], func(_ *conn.Conn, ev conn.Event) {
					if _, ok := ev.(*conn.Close); ok {
						closed.Add(1)
					}
				})
				if err != nil {
					t.Fatal(err)
				}
			}
			ran := make(chan error, 1)
			go func() { ran <- l.Run(context.Background()) }()
			dies.Store(true)
			l.all[1].Do(func() {}) // wakes it
			select {
			case err := <-ran:
				if !errors.Is(err, unix.EBADF) || !strings.Contains(err.Error(), "loop 1") {
					t.Errorf("Run: %v", err)
				}
			case <-time.After(time.Minute):
				t.Fatal("Run goes on")
			}
			if err := l.Close(); err != nil || closed.Load() != 2 {
				t.Errorf("Close: %v, and %d of 2 connections were closed", err, closed.Load())
			}
		})
	}
}
