package conn_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// Three reasons not to read are put up and taken away in every order: nothing is delivered while
// one stands, and with the last one goes up Resumed and what is unread, once.
func TestTheGateOpensWithTheLastReason(t *testing.T) {
	type reason struct {
		name       string
		shut, open func(r *rig)
	}
	reasons := []reason{
		{"user", func(r *rig) { r.Pause() }, func(r *rig) { r.Resume() }},
		{"layer", func(r *rig) { r.Layer().Hold() }, func(r *rig) { r.Layer().Unhold() }},
		{"queue", func(r *rig) { r.Wire.Room = 0; r.Write(make([]byte, 100)) }, func(r *rig) { r.writable(-1) }},
	}
	for _, order := range [][]int{{0, 1, 2}, {0, 2, 1}, {1, 0, 2}, {1, 2, 0}, {2, 0, 1}, {2, 1, 0}} {
		t.Run(fmt.Sprint(order), func(t *testing.T) {
			r := newRig(t, conn.Limits{HighWater: 100}, nil)
			r.input("abc")
			r.WantEvents("Read 3")
			for _, x := range reasons {
				x.shut(r)
			}
			r.Layer().Redeliver()
			if want := r.Settle() & conn.In; want != 0 {
				t.Error("watched for input though the gate is shut")
			}
			r.input("unseen")
			for _, i := range order[:2] {
				reasons[i].open(r)
				r.Settle()
				if got := strings.Join(r.Events(), " "); strings.Contains(got, "Read") || strings.Contains(got, "Resumed") {
					t.Fatalf("the reason %s went, others stand: %s", reasons[i].name, got)
				}
			}
			reasons[order[2]].open(r)
			if want := r.Settle(); want != conn.In {
				t.Errorf("watched for %d, want In", want)
			}
			got := strings.Join(r.Events(), " ")
			if !strings.HasSuffix(got, "Resumed Read 0") || strings.Count(got, "Read 0") != 1 {
				t.Errorf("the gate opened: events %q, want Resumed and Read 0 at the end, once", got)
			}
		})
	}
}

// A gate that shuts and opens within a turn brings no event, but unread input comes again.
func TestAGateThatWasShutForAMomentDeliversWithoutResumed(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.Pause()
	r.Resume()
	r.Settle()
	r.WantEvents()
	r.input("abc")
	r.Layer().Hold()
	r.Layer().Unhold()
	r.Settle()
	r.WantEvents("Read 3", "Read 0")
}

// A handler that pauses again in Resumed gets nothing delivered, and all of it later.
func TestPauseInResumedKeepsWhatIsUnread(t *testing.T) {
	again := true
	r := newRig(t, conn.Limits{}, func(c *conn.Conn, ev conn.Event) {
		if _, ok := ev.(*conn.Resumed); ok && again {
			again = false
			c.Pause()
		}
	})
	r.input("abc")
	r.Pause()
	r.Settle()
	r.Resume()
	r.Settle()
	r.WantEvents("Read 3", "Resumed")
	r.Resume()
	r.Settle()
	r.WantEvents("Resumed", "Read 0")
}

// The end of the connection comes although it is paused; nothing is delivered after it has begun.
func TestNothingIsDeliveredThroughTheGateOfAConnectionThatEnds(t *testing.T) {
	r := newRig(t, conn.Limits{}, nil)
	r.input("abc")
	r.Pause()
	r.Settle()
	r.Resume()
	r.Close()
	r.Settle()
	r.WantEvents("Read 3", "Close closed locally")
}

func TestAListenerHasNoResumed(t *testing.T) {
	r := rigOf(t, conntest.Options{Listener: true}, nil)
	r.Layer().Hold()
	r.Settle()
	r.Layer().Unhold()
	if want := r.Settle(); want != conn.In {
		t.Errorf("watched for %d, want In", want)
	}
	r.WantEvents()
}
