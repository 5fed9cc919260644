package conn_test

import (
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// spy is a Watcher that notes what it sees among the events of its rig.
type spy struct {
	r     *rig
	close bool // closes the connection at the next event
	panic bool // at Close
}

func (s *spy) Watch(c *conn.Conn, ev conn.Event) {
	switch ev.(type) {
	case *conn.Read:
		s.r.Note("saw Read")
	case *conn.Close:
		s.r.Note("saw Close")
		if s.panic {
			panic("on purpose")
		}
	}
	if s.close {
		c.Close()
	}
}

func TestWatcherSeesEventsBeforeTheHandler(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	w := &spy{r: r}
	r.SetWatcher(w)
	if r.Watcher() != conn.Watcher(w) {
		t.Error("Watcher does not return what was set")
	}
	r.input("x")
	r.WantEvents("saw Read", "Read 1")
	r.Close()
	r.Settle()
	r.WantEvents("saw Close", "Close closed locally")
}

func TestWatcherThatClosesLeavesTheHandlerOut(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.SetWatcher(&spy{r: r, close: true})
	r.input("x")
	r.WantEvents("saw Read", "saw Close", "Close closed locally")
}

func TestSetWatcherNilEndsIt(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.SetWatcher(&spy{r: r})
	r.SetWatcher(nil)
	r.input("x")
	r.WantEvents("Read 1")
	if r.Watcher() != nil {
		t.Error("there still is a watcher")
	}
}

func TestWatcherThatPanicsAtTheEndKeepsItFromNobody(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.SetWatcher(&spy{r: r, panic: true})
	r.Close()
	func() {
		defer func() { recover() }()
		r.Settle()
		t.Error("the panic got lost")
	}()
	r.Driver().Finish() // as a loop does until Finished is true
	r.WantEvents("saw Close", "Close closed locally")
}
