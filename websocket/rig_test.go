package websocket_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
)

var (
	masked   = websocket.Masked
	firstBad = websocket.FirstBad
)

// rig is a dialogue between a test and a WebSocket, in words of frames.
type rig struct {
	*conntest.Dialogue
	t       testing.TB
	c       *conn.Conn
	opts    *websocket.Options
	limits  conn.Limits // of the connection: a test may change them
	events  []string
	onEvent conn.Handler
	quiet   bool // nothing is noted
	client  bool // what is sent must be masked
	refusal *websocket.HandshakeError
}

// bareRig is a connection without a protocol, but for what setup does.
func bareRig(t testing.TB, setup func(c *conn.Conn)) *rig {
	return limitedRig(t, conn.Limits{}, setup)
}

func limitedRig(t testing.TB, limits conn.Limits, setup func(c *conn.Conn)) *rig {
	r := &rig{t: t, limits: limits.WithDefaults()}
	r.Dialogue = conntest.New(t, r.handle, conntest.Options{
		Setup: func(c *conn.Conn) {
			r.c = c
			c.SetLimits(&r.limits)
			if setup != nil {
				setup(c)
			}
		},
		Describe: func(conn.Event) string { return "" }, // handle does it
	})
	return r
}

// newRig is a server's WebSocket whose handshake is done. The request may have more lines. opts may
// be nil.
func newRig(t testing.TB, opts *websocket.Options, lines ...string) *rig {
	t.Helper()
	r, _ := upgradeRig(t, opts, lines...)
	return r
}

// upgradeRig is newRig that returns the reply, too, with its status line.
func upgradeRig(t testing.TB, opts *websocket.Options, lines ...string) (*rig, string) {
	t.Helper()
	return handshakeRig(t, conn.Limits{}, opts, lines...)
}

// handshakeRig is upgradeRig with limits of the connection.
func handshakeRig(t testing.TB, limits conn.Limits, opts *websocket.Options, lines ...string) (*rig, string) {
	t.Helper()
	r := limitedRig(t, limits, func(c *conn.Conn) { http.Attach(c, http.NewServer(http.Options{})) })
	r.opts = opts
	head := strings.Join(append([]string{strings.TrimSuffix(request, "\r\n")}, lines...), "\r\n")
	r.receive([]byte(head + "\r\n\r\n"))
	reply := r.Sent()
	r.events = nil
	return r, reply
}

// hush has nothing noted from now on.
func (r *rig) hush() { r.quiet, r.Wire.Forget = true, true }

// receive has p arrive in one piece, and turns the loop.
func (r *rig) receive(p []byte) {
	r.t.Helper()
	if len(p) > 0 {
		r.Wire.Arrive(p, nil)
	}
	r.Turn()
}

// pass moves the clock in one step, as for a loop that stood still.
func (r *rig) pass(d time.Duration) {
	r.t.Helper()
	r.Loop.Advance(d)
	r.Turn()
}

// hangUp ends the peer's stream.
func (r *rig) hangUp() { r.SendEOF() }

// hasPart reports whether the WebSocket has an assembly.
func (r *rig) hasPart() bool {
	_, any := websocket.Parts(r.c)()
	return any
}

func (r *rig) note(f string, args ...any) { r.events = append(r.events, fmt.Sprintf(f, args...)) }

// handle is the user's handler.
func (r *rig) handle(c *conn.Conn, ev conn.Event) {
	if m, ok := ev.(*http.Message); ok {
		websocket.Upgrade(c, m, r.opts)
		return
	}
	if !r.quiet {
		r.describe(ev)
	}
	if r.onEvent != nil {
		r.onEvent(c, ev)
	}
}

// describe notes the events that matter here.
func (r *rig) describe(ev conn.Event) {
	switch ev := ev.(type) {
	case *websocket.Message:
		r.note("%s %s", ev.Op, short(ev.Data))
	case *websocket.Control:
		if ev.Op == websocket.Close {
			r.note("end %d %q clean=%v", ev.Code, ev.Reason, ev.Clean)
		} else {
			r.note("%s %s", ev.Op, short(ev.Data))
		}
	case *websocket.Open:
		r.note("open %q", ev.Protocol)
	case *conn.Error:
		if e, ok := errors.AsType[*websocket.HandshakeError](ev.Err); ok {
			r.refusal = e
			r.note("error %s: %s", ev.Reason, e.Reason)
			break
		}
		r.note("error %s", ev.Reason)
	case *conn.Close:
		r.note("closed")
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

// frames decodes what the peer got, as text.
func (r *rig) frames() []string { return framesOf(r.Wire.Sent, r.client) }

// framesOf decodes the frames in b, those of a client or of a server, as text.
func framesOf(b []byte, client bool) []string {
	var list []string
	for len(b) > 0 {
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
		case b[1]&0x80 != 0 && !client:
			list = append(list, "masked!")
		case b[1]&0x80 == 0 && client:
			list = append(list, "bare!")
		case client:
			head += 4
		}
		if len(b) < head+n {
			return append(list, "half a frame")
		}
		if client {
			b = slices.Clone(b)
			for i := range n {
				b[head+i] ^= b[head-4+i%4]
			}
		}
		p, op := b[head:head+n], websocket.Op(b[0]&0x0f)
		name := op.String()
		if b[0]&0x80 == 0 {
			name += "-"
		}
		switch {
		case op == websocket.Close && n >= 2:
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
