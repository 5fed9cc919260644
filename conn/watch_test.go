package conn

import "testing"

// spy is a Watcher that notes what it sees among the events of its rig.
type spy struct {
	r     *rig
	close bool // closes the connection at the next event
	panic bool // at Close
}

func (s *spy) Watch(c *Conn, ev Event) {
	switch ev.(type) {
	case *Read:
		s.r.events = append(s.r.events, "saw-Read")
	case *Close:
		s.r.events = append(s.r.events, "saw-Close")
		if s.panic {
			panic("on purpose")
		}
	}
	if s.close {
		c.Close()
	}
}

func TestWatcherSeesEventsBeforeTheHandler(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	w := &spy{r: r}
	r.SetWatcher(w)
	if r.Watcher() != Watcher(w) {
		t.Error("Watcher does not return what was set")
	}
	r.input("x")
	r.wantEvents("saw-Read Read1")
	r.Close()
	r.turn()
	r.wantEvents("saw-Close Close:closed locally")
}

func TestWatcherThatClosesLeavesTheHandlerOut(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetWatcher(&spy{r: r, close: true})
	r.input("x")
	r.wantEvents("saw-Read saw-Close Close:closed locally")
}

func TestSetWatcherNilEndsIt(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetWatcher(&spy{r: r})
	r.SetWatcher(nil)
	r.input("x")
	r.wantEvents("Read1")
	if r.Watcher() != nil {
		t.Error("there still is a watcher")
	}
}

func TestWatcherThatPanicsAtTheEndKeepsItFromNobody(t *testing.T) {
	r := newRig(t, Limits{}, nil)
	r.SetWatcher(&spy{r: r, panic: true})
	r.Close()
	func() {
		defer func() { recover() }()
		r.turn()
		t.Error("the panic got lost")
	}()
	r.wantEvents("saw-Close Close:closed locally")
}
