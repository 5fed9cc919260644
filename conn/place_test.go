package conn_test

import (
	"bytes"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
)

// placer is the state of a layer that puts input together in place.
type placer struct{ place []byte }

func (p *placer) InputPlace() []byte { return p.place }

// Input is read to the place of the layer if it is much, and if nothing is unread.
func TestInputPlace(t *testing.T) {
	for _, tc := range []struct {
		name         string
		expect, room int
		unread       bool
		want         bool
	}{
		{"much", 1 << 20, 200_000, false, true},
		{"all that is expected", 200_000, 200_000, false, true},
		{"little is expected", conn.ReadSize, 200_000, false, false},
		{"little room", 1 << 20, conn.ReadSize - 1, false, false},
		{"no room", 1 << 20, 0, false, false},
		{"something is unread", 1 << 20, 200_000, true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, conn.Limits{}, nil)
			state := &placer{}
			var seen *byte
			reads := 0
			r.SetProtocol(func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Read); !ok {
					return
				}
				if reads++; reads == 1 {
					c.Layer().ExpectInput(tc.expect)
					state.place = make([]byte, tc.room)
				} else {
					seen = &c.Recv.Bytes()[0]
					if reads == 2 && tc.want && c.Recv.Len() != tc.room {
						t.Errorf("%d bytes were read to a place of %d", c.Recv.Len(), tc.room)
					}
				}
				left := 0
				if tc.unread {
					left = 1
				}
				c.Recv.Discard(c.Recv.Len() - left)
			}, state)
			in := bytes.Repeat([]byte("x"), 150_000)
			r.Wire.Arrive(in[:1000], nil)
			r.Report(conn.In)
			r.Wire.Arrive(append(in, in[:50_000]...), nil)
			r.Report(conn.In)
			if reads < 2 {
				t.Fatal("nothing was read")
			}
			if got := tc.room > 0 && bytes.Contains(state.place, []byte("x")); got != tc.want || got && seen != &state.place[0] {
				t.Errorf("read to the place: %v, want %v", got, tc.want)
			}
			if n := r.Loop.Shared.Held(); !tc.unread && n != 0 {
				t.Errorf("%d bytes are held", n)
			}
		})
	}
}
