package serial

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// pty opens a pseudo-terminal: the far side, and the path of the line that the tests open.
func pty(t testing.TB) (far *os.File, path string) {
	t.Helper()
	fd, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Skip("no pseudo-terminals: ", err)
	}
	far = os.NewFile(uintptr(fd), "far side")
	t.Cleanup(func() { far.Close() })
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := getInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	return far, fmt.Sprintf("/dev/pts/%d", n)
}

// rig is a manager that the test turns, and what the handler of its line was told.
type rig struct {
	*mgr.Manager
	t     *testing.T
	c     *conn.Conn
	got   []byte
	notes []string
	err   error
	why   conn.Reason
	over  bool
}

func newRig(t *testing.T, p mgr.Poller) *rig {
	t.Helper()
	m, err := mgr.New(mgr.Options{Poller: p})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if m.Close(); m.Stats().Panics != 0 {
			t.Errorf("%d handlers have panicked", m.Stats().Panics)
		}
	})
	return &rig{Manager: m, t: t}
}

func (r *rig) handle(c *conn.Conn, ev conn.Event) {
	r.notes = append(r.notes, ev.EventName())
	switch ev := ev.(type) {
	case *conn.Read:
		r.got = append(r.got, c.Recv.Bytes()...)
		c.Recv.Discard(c.Recv.Len())
	case *conn.Error:
		r.err = ev.Err
	case *conn.Close:
		r.over, r.why = true, ev.Reason
	}
}

func (r *rig) open(path string, o ...Options) {
	r.t.Helper()
	c, err := Open(r.Manager, path, r.handle, o...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.c = c
}

// until turns the loop until f holds.
func (r *rig) until(what string, f func() bool) {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); !f(); {
		if time.Now().After(end) {
			r.t.Fatalf("not after 20 s: %s; events %v, %d bytes, error %v", what, r.notes, len(r.got), r.err)
		}
		if err := r.Poll(20 * time.Millisecond); err != nil {
			r.t.Fatal(err)
		}
	}
}

// swap replaces the system calls until the end of the test.
func swap(t *testing.T, f func(k *kernel)) {
	old := sys
	t.Cleanup(func() { sys = old })
	f(&sys)
}

// drain reads all that comes from the far side.
type drain struct {
	mu  sync.Mutex
	got []byte
}

func (d *drain) from(far *os.File, pause time.Duration) {
	b := make([]byte, 3000)
	for {
		n, err := far.Read(b)
		d.mu.Lock()
		d.got = append(d.got, b[:n]...)
		d.mu.Unlock()
		if err != nil {
			return
		}
		time.Sleep(pause) // a slow reader fills the kernel's queue
	}
}

func (d *drain) bytes() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.got
}

func (d *drain) len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.got)
}
