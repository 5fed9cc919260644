package handoff

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// link is the socket between the two processes, on the loop of the host.
type link struct {
	c     *conn.Conn
	buf   []byte
	files []int // that have come, and belong to no frame yet

	frame   func(f frame, file int) error // gives the descriptor, -1 for none, to its receiver
	flushed func()                        // all that was sent is in the kernel, or nil
	gone    func(err error)               // the other process has ended the link, or err has
	bad     error
}

// linkLimits have no timeout: the processes have their own. What is queued is bounded by the moves
// that are under way.
var linkLimits = conn.Limits{Send: 64 << 20, Stall: -1}.WithDefaults()

// handle is the handler of the link.
func (l *link) handle(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *conn.Ancillary:
		l.files = append(l.files, ev.Take()...)
		if ev.Truncated {
			l.fail(fmt.Errorf("no room for the descriptors of the other process"))
		}
	case *conn.Read:
		l.take(c.Recv.Bytes())
		c.Recv.Discard(c.Recv.Len())
	case *conn.Write:
		if l.flushed != nil && c.Pending() == 0 {
			l.flushed()
		}
	case *conn.Close:
		l.rest(c.FD())
		for _, fd := range l.files {
			unix.Close(fd)
		}
		l.files = nil
		l.gone(l.bad)
	}
}

// take parses what has come.
func (l *link) take(b []byte) {
	l.buf = append(l.buf, b...)
	for l.bad == nil {
		f, n, err := parseFrame(l.buf)
		if err == nil && n > 0 && f.files > len(l.files) {
			err = errFrame
		}
		if err != nil {
			l.fail(err)
			return
		}
		if n == 0 {
			break
		}
		file := -1
		if f.files > 0 {
			file, l.files = l.files[0], l.files[1:]
		}
		if err := l.frame(f, file); err != nil {
			l.fail(err)
		}
		l.buf = l.buf[n:]
	}
	if len(l.buf) == 0 {
		l.buf = nil
	}
}

// rest reads what the other process sent before it ended: a write that failed has closed the link
// before all was read.
func (l *link) rest(fd int) {
	for l.bad == nil {
		var p [64 << 10]byte
		var oob [2048]byte
		n, k, _, _, err := unix.Recvmsg(fd, p[:], oob[:], cmsgCloexec|unix.MSG_DONTWAIT)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n <= 0 {
			return
		}
		for _, fd := range rights(oob[:k]) {
			unix.CloseOnExec(fd)
			l.files = append(l.files, fd)
		}
		l.take(p[:n])
	}
}

// fail ends the link because of what the other process has sent.
func (l *link) fail(err error) {
	if l.bad == nil {
		l.bad = err
	}
	l.c.Close()
}

// send queues a frame.
func (l *link) send(k kind, payload []byte, files ...int) error {
	step("send " + string(k))
	b := appendFrame(nil, k, len(files), payload)
	if len(files) > 0 {
		return l.c.SendMsg(b, files...)
	}
	_, err := l.c.Write(b)
	return err
}
