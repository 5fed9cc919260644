package handoff

import (
	"testing"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// A mover is a layer whose connections can move.
type mover struct {
	kind string
	when conn.Movable
}

func (v mover) Move(*conn.Conn) (kind string, state []byte, when conn.Movable) {
	return v.kind, nil, v.when
}

// A connection that is not plain HTTP needs a Restore, and one that stays once stays for good.
func TestMayMove(t *testing.T) {
	for _, tt := range []struct {
		kind                    string
		when                    conn.Movable
		moving, restores, stays bool
		want                    bool
	}{
		{kind: plainHTTP, when: conn.MoveNow, moving: true, want: true},
		{kind: plainHTTP, when: conn.MoveLater, moving: true, want: true},
		{kind: plainHTTP, when: conn.MoveNever, moving: true},
		{kind: plainHTTP, when: conn.MoveNow},
		{kind: plainHTTP, when: conn.MoveNow, moving: true, restores: true, want: true},
		{kind: "websocket", when: conn.MoveNow, moving: true},
		{kind: "websocket", when: conn.MoveNow, moving: true, restores: true, want: true},
		{kind: "websocket", when: conn.MoveNow, moving: true, restores: true, stays: true},
		{kind: plainHTTP, when: conn.MoveNow, moving: true, stays: true},
	} {
		d := conntest.New(t, nil, conntest.Options{Setup: func(c *conn.Conn) { c.Layer().SetProtocolState(mover{tt.kind, tt.when}) }})
		g := &giving{p: &Process{}, stay: make([]map[uint64]bool, 2)}
		g.moving.Store(tt.moving)
		if tt.restores {
			g.p.opts.Restore = func(*conn.Conn, Record) error { return nil }
		}
		if tt.stays {
			g.keep(1, d.Conn)
			g.keep(1, d.Conn)
		}
		if got := g.mayMove(1, d.Conn); got != tt.want {
			t.Errorf("%+v: %v", tt, got)
		}
	}
}

// The successor's word on a connection counts once: the descriptor is closed, and its number may be
// another file's by then.
func TestAcknowledgedOnce(t *testing.T) {
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	defer unix.Close(p[1])
	g := &giving{p: &Process{}, limbo: map[uint64]arrival{7: {fd: p[0]}, 8: {fd: -1}}}
	g.onWay.Store(2)
	for i, tt := range []struct {
		payload []byte
		want    error
	}{{number(7), nil}, {number(7), errFrame}, {number(9), errFrame}, {nil, errFrame}, {[]byte{8, 0}, errFrame}, {[]byte{0x80}, errFrame}} {
		if err := g.acknowledged(frame{kind: kindTaken, payload: tt.payload}); err != tt.want || g.onWay.Load() != 1 || len(g.limbo) != 1 {
			t.Errorf("%d: %v, want %v; %d are on their way", i, err, tt.want, g.onWay.Load())
		}
	}
	if _, err := unix.Write(p[1], []byte("x")); err != unix.EPIPE {
		t.Errorf("the descriptor is open: %v", err)
	}
}
