package mgr

import (
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// poller tells which descriptors are ready. This is the contract that each back end (epoll.go,
// select.go, and the fake one of the simulation test) meets:
//
//   - set changes what is watched for fd from was to want. was is what the last successful set left, 0 for nothing. With want
//     0 the descriptor is not watched at all and nothing of it is kept, so that it can be closed. A descriptor that the
//     back end cannot watch is an error; was stays in force then.
//   - wait fills ready with descriptors and returns how many, blocking for timeout at most: 0 not at all, negative for
//     ever. A signal is not an error: wait returns 0 then. A descriptor stands in ready once.
//   - Errors and hang-ups of a descriptor are reported as both In and Out, whichever was asked for: the read or the write
//     that follows finds out what it is.
//   - Pri is reported where it was asked for, and neither errors nor hang-ups are Pri.
//   - Readiness is level-triggered: what was not handled is reported again by the next wait. The loop reads once per
//     descriptor and turn and may leave the rest in the kernel; with edges it would have to keep its own list of the
//     descriptors that are not exhausted.
//   - A watched descriptor that other code has closed is reported as closed, or not at all. It is no error of wait.
//   - wait is called by one goroutine; set only by that goroutine, never during wait.
type poller interface {
	set(fd int, was, want conn.Interest) error
	wait(ready []ready, timeout time.Duration) (int, error)
	// maxFD is the largest descriptor that set takes.
	maxFD() int
	close() error
	String() string
}

type ready struct {
	fd     int32
	got    conn.Interest
	closed bool
}

// Poller chooses the system call that waits for the connections.
type Poller uint8

const (
	Auto   Poller = iota // epoll where there is one, else select
	Epoll                // epoll(7): Linux; costs nothing for idle connections
	Select               // select(2): everywhere; descriptors below FD_SETSIZE (1024) only
)

var pollerNames = [...]string{Auto: "auto", Epoll: "epoll", Select: "select"}

func (p Poller) String() string {
	if int(p) < len(pollerNames) {
		return pollerNames[p]
	}
	return "unknown"
}

// ParsePoller is the inverse of String, for flags.
func ParsePoller(s string) (Poller, error) {
	for i, name := range pollerNames {
		if s == name {
			return Poller(i), nil
		}
	}
	return 0, fmt.Errorf("mgr: poller %q: want auto, epoll or select", s)
}

func newPoller(p Poller) (poller, error) {
	switch p {
	case Auto:
		if haveEpoll {
			return newEpoll()
		}
		return newSelect()
	case Epoll:
		return newEpoll()
	case Select:
		return newSelect()
	}
	return nil, fmt.Errorf("mgr: poller %d is not known", p)
}

// millis converts a wait to milliseconds, rounded up: a timer must have passed when the wait is
// over.
func millis(d time.Duration) int {
	switch {
	case d < 0:
		return -1
	case d > time.Hour:
		return int(time.Hour / time.Millisecond)
	}
	return int((d + time.Millisecond - 1) / time.Millisecond)
}
