package conn_test

import (
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// rig is a dialogue whose test is the poller too: it calls Settle and Report in place of Turn.
type rig struct {
	*conn.Conn
	*conntest.Dialogue
	t *testing.T
}

// newRig makes a connection that was accepted, and forgets the events of that.
func newRig(t *testing.T, limits conn.Limits, h conn.Handler) *rig {
	t.Helper()
	return rigOf(t, conntest.Options{Limits: limits}, h)
}

// rigOf is newRig with more options. In the second run it puts a thinLayer on: see TestMain.
func rigOf(t *testing.T, o conntest.Options, h conn.Handler) *rig {
	t.Helper()
	if layeredRun {
		o.Setup = putThinLayer
	}
	d := conntest.New(t, h, o)
	d.Events()
	return &rig{Conn: d.Conn, Dialogue: d, t: t}
}

// input has data arrive, and the poller report it.
func (r *rig) input(data string) {
	r.t.Helper()
	r.Wire.Arrive([]byte(data), nil)
	r.Report(conn.In)
}

// writable makes room bytes of room at the peer, and the poller reports that.
func (r *rig) writable(room int) conn.Interest {
	r.t.Helper()
	r.Wire.Room = room
	return r.Report(conn.Out)
}
