package conn

import (
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// fakeNet is a Transport whose peer is the test: in is what it reads, sent what was written.
type fakeNet struct {
	in     []step
	sent   []byte
	room   int   // bytes the peer takes before EAGAIN; negative is no bound
	fail   error // of the next Write or Writev
	calls  int   // of Write and Writev
	shut   bool
	closed int
}

// step is what one Read gives.
type step struct {
	data string
	err  error
}

func (f *fakeNet) Read(_ int, p []byte) (int, error) {
	if len(f.in) == 0 {
		return 0, unix.EAGAIN
	}
	s := &f.in[0]
	if s.err != nil || s.data == "" {
		err := s.err
		f.in = f.in[1:]
		return 0, err
	}
	n := copy(p, s.data)
	if s.data = s.data[n:]; s.data == "" {
		f.in = f.in[1:]
	}
	return n, nil
}

func (f *fakeNet) Write(_ int, p []byte) (int, error) { return f.Writev(0, [][]byte{p}) }

func (f *fakeNet) Writev(_ int, pieces [][]byte) (int, error) {
	f.calls++
	if err := f.fail; err != nil {
		f.fail = nil
		return 0, err
	}
	n := 0
	for _, p := range pieces {
		k := len(p)
		if f.room >= 0 {
			k = min(k, f.room)
			f.room -= k
		}
		f.sent = append(f.sent, p[:k]...)
		n += k
	}
	if n == 0 {
		return 0, unix.EAGAIN
	}
	return n, nil
}

func (f *fakeNet) CloseWrite(int) error { f.shut = true; return nil }
func (f *fakeNet) Close(int) error      { f.closed++; return nil }

// fakeLoop notes who was touched.
type fakeLoop struct{ touched []*Conn }

func (l *fakeLoop) Touch(c *Conn)       { l.touched = append(l.touched, c) }
func (l *fakeLoop) SetPoll(*Conn, bool) {}

// rig is one connection over a fakeNet, and the events it has fired.
type rig struct {
	t *testing.T
	*Conn
	net    *fakeNet
	loop   *fakeLoop
	events []string
}

func newRig(t *testing.T, limits Limits, h Handler) *rig {
	r := &rig{t: t, net: &fakeNet{room: -1}, loop: &fakeLoop{}}
	l := limits.WithDefaults()
	r.Conn = New(NewShared(r.loop), 5, NewID(5), r.net, &l, func(c *Conn, ev Event) {
		switch ev := ev.(type) {
		case *Read:
			r.events = append(r.events, fmt.Sprintf("Read%d", ev.N))
		case *Write:
			r.events = append(r.events, fmt.Sprintf("Write%d", ev.N))
		case *Error:
			r.events = append(r.events, "Error:"+ev.Reason.String())
		case *Close:
			r.events = append(r.events, "Close:"+ev.Reason.String())
		default:
			r.events = append(r.events, strings.TrimPrefix(fmt.Sprintf("%T", ev), "conn."))
		}
		if h != nil {
			h(c, ev)
		}
	})
	return r
}

// turn settles the connection until it is at rest, as the loop does, and returns what the poller should watch. A
// connection that never comes to rest fails the test.
func (r *rig) turn() Interest {
	r.t.Helper()
	var next Next
	next.Want = r.want
	for n := 0; len(r.loop.touched) > 0; n++ {
		if n > 100 {
			r.t.Fatal("the connection keeps touching itself")
		}
		batch := r.loop.touched
		r.loop.touched = nil
		for _, c := range batch {
			if next = c.Settle(); next.Done {
				for !c.Finished() {
					c.Finish()
				}
				c.CloseFD()
			}
		}
	}
	return next.Want
}

// input gives the connection one Read of data.
func (r *rig) input(data string) {
	r.net.in = append(r.net.in, step{data: data})
	r.Readable()
	r.turn()
}

// writable makes room bytes of room at the peer.
func (r *rig) writable(room int) Interest {
	r.net.room = room
	r.Writable()
	return r.turn()
}

func (r *rig) wantEvents(want string) {
	r.t.Helper()
	if got := strings.Join(r.events, " "); got != want {
		r.t.Errorf("events %q, want %q", got, want)
	}
	r.events = nil
}

func (r *rig) wantSent(want string) {
	r.t.Helper()
	if string(r.net.sent) != want {
		r.t.Errorf("sent %.200q, want %.200q", r.net.sent, want)
	}
}
