package websocket

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// rig is a WebSocket connection over a fake transport and a fake loop, with the handshake already done.
type rig struct {
	t       testing.TB
	sh      *conn.Shared
	c       *conn.Conn
	limits  conn.Limits
	touched []*conn.Conn

	in      []byte // what the next Read returns
	eof     bool
	room    int // bytes that the kernel takes; negative is any number
	sent    []byte
	shut    bool // CloseWrite was called
	over    bool // Finish was called
	events  []string
	onEvent func(c *conn.Conn, ev conn.Event)
	quiet   bool // no events are noted
	client  bool // what is sent must be masked
	refusal *HandshakeError
}

func newRig(t testing.TB, opts *Options) *rig {
	r := bareRig(t)
	if opts == nil {
		opts = &defaults
	}
	begin(r.c, opts)
	return r
}

// bareRig is a connection without a protocol.
func bareRig(t testing.TB) *rig {
	r := &rig{t: t, room: -1, limits: conn.Limits{}.WithDefaults()}
	r.sh = conn.NewShared(r)
	r.sh.Now = int64(time.Hour)
	r.c = conn.New(r.sh, 5, conn.NewID(5), r, &r.limits, r.handle)
	return r
}

// The loop.
func (r *rig) Touch(c *conn.Conn)         { r.touched = append(r.touched, c) }
func (r *rig) SetPoll(*conn.Conn, bool)   {}
func (r *rig) Close(int) error            { return nil }
func (r *rig) CloseWrite(int) error       { r.shut = true; return nil }
func (r *rig) session() *session          { return of(r.c) }
func (r *rig) pass(d time.Duration)       { r.sh.Now += int64(d); r.c.Expire(); r.settle() }
func (r *rig) note(f string, args ...any) { r.events = append(r.events, fmt.Sprintf(f, args...)) }

// The transport.
func (r *rig) Read(_ int, p []byte) (int, error) {
	if len(r.in) == 0 {
		if r.eof {
			return 0, nil
		}
		return -1, unix.EAGAIN
	}
	n := copy(p, r.in)
	r.in = r.in[n:]
	return n, nil
}

func (r *rig) Write(_ int, p []byte) (int, error) {
	n := len(p)
	if r.room >= 0 {
		if n = min(n, r.room); n == 0 {
			return -1, unix.EAGAIN
		}
		r.room -= n
	}
	if !r.quiet {
		r.sent = append(r.sent, p[:n]...)
	}
	return n, nil
}

func (r *rig) Writev(_ int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		k, err := r.Write(0, p)
		n += max(k, 0)
		if k < len(p) && n == 0 {
			return k, err
		}
		if k < len(p) {
			break
		}
	}
	return n, nil
}

// handle is the user's handler.
func (r *rig) handle(c *conn.Conn, ev conn.Event) {
	if !r.quiet {
		switch ev := ev.(type) {
		case *Message:
			r.note("%s %s", ev.Op, short(ev.Data))
		case *Control:
			if ev.Op == Close {
				r.note("end %d %q clean=%v", ev.Code, ev.Reason, ev.Clean)
			} else {
				r.note("%s %s", ev.Op, short(ev.Data))
			}
		case *Open:
			r.note("open %q", ev.Protocol)
		case *conn.Error:
			if e, ok := errors.AsType[*HandshakeError](ev.Err); ok {
				r.refusal = e
				r.note("error %s: %s", ev.Reason, e.Reason)
				break
			}
			r.note("error %s", ev.Reason)
		case *conn.Close:
			r.note("closed")
		}
	}
	if r.onEvent != nil {
		r.onEvent(c, ev)
	}
}

// short keeps what is compared readable.
func short(p []byte) string {
	if len(p) <= 40 {
		return fmt.Sprintf("%q", p)
	}
	sum := uint64(14695981039346656037)
	for _, b := range p {
		sum = (sum ^ uint64(b)) * 1099511628211
	}
	return fmt.Sprintf("%q… %d bytes, sum %x", p[:8], len(p), sum)
}

// receive hands p to the connection in one piece, as far as one read takes it, and runs the loop until all is quiet.
func (r *rig) receive(p []byte) {
	r.in = p
	for len(r.in) > 0 && !r.over {
		before := len(r.in)
		r.c.Readable()
		r.settle()
		if len(r.in) == before {
			break // it does not read
		}
	}
}

func (r *rig) hangUp() {
	r.eof = true
	r.c.Readable()
	r.settle()
}

func (r *rig) settle() {
	for i := 0; len(r.touched) > 0; i++ {
		if i > 1000 {
			r.t.Fatal("the loop spins")
		}
		batch := r.touched
		r.touched = nil
		for _, c := range batch {
			next := c.Settle()
			if next.Done && !r.over {
				r.over = true
				c.Finish()
			}
			if next.Want&conn.Out != 0 && r.room != 0 {
				c.Writable()
			}
		}
		if r.touched == nil {
			r.touched = batch[:0]
		}
	}
}

// frames decodes what has been sent, as text.
func (r *rig) frames() []string {
	var list []string
	for b := r.sent; len(b) > 0; {
		if len(b) < 2 {
			return append(list, "half a header")
		}
		n, head := int(b[1]&0x7f), 2
		switch n {
		case 126:
			n, head = int(binary.BigEndian.Uint16(b[2:])), 4
		case 127:
			n, head = int(binary.BigEndian.Uint64(b[2:])), 10
		}
		switch {
		case b[1]&0x80 != 0 && !r.client:
			list = append(list, "masked!")
		case b[1]&0x80 == 0 && r.client:
			list = append(list, "bare!")
		case r.client:
			head += 4
		}
		if len(b) < head+n {
			return append(list, "half a frame")
		}
		if r.client {
			b = slices.Clone(b)
			for i := range n {
				b[head+i] ^= b[head-4+i%4]
			}
		}
		p, op := b[head:head+n], Op(b[0]&0x0f)
		name := op.String()
		if b[0]&0x80 == 0 {
			name += "-"
		}
		switch {
		case op == Close && n >= 2:
			list = append(list, fmt.Sprintf("%s %d %q", name, binary.BigEndian.Uint16(p), p[2:]))
		default:
			list = append(list, fmt.Sprintf("%s %s", name, short(p)))
		}
		b = b[head+n:]
	}
	return list
}

// want compares lists of events or frames.
func (r *rig) want(what string, got []string, want ...string) {
	r.t.Helper()
	if !slices.Equal(got, want) {
		r.t.Errorf("%s:\n  got  %s\n  want %s", what, strings.Join(got, " | "), strings.Join(want, " | "))
	}
}
