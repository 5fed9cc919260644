package http

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/weburl"
	"github.com/seed4930a636/mangusta/internal/wire"
	"github.com/seed4930a636/mangusta/mgr"
)

// A clientConn is the client's layer on one connection. Its calls are a list in the order in which
// they were sent. Two machines move independently: tx, how far the last call that has begun is
// sent, in clientsend.go; and rx, how far the response to the first call is read, in clientread.go.
// This file has what concerns both: the events, the times and the end.
type clientConn struct {
	c    *conn.Conn
	side *clientSide
	base *weburl.URL // of Connect; nil in a pool
	host *clientHost // nil with Connect
	via  *clientProxy

	first, last *clientCall // not answered yet
	toSend      *clientCall // the first that has not begun
	flying      int         // have begun
	served      int         // responses that were read

	connected bool
	resolved  bool
	timers    [2]*mgr.Timer // until the connection stands: of the name, and of the call that is due first
	watched   int64         // when the second one fires; 0 is never
	closing   bool          // no further request: it closes after those that have begun
	more      bool          // the kernel may have more than the last Read: that was full, or old
	progress  int64         // when the last byte came or went
	err       error         // why the connection is going to end, in the words of this package

	sending
	reading

	// In a pool: where the connection is in the list of all, and in that of those that rest.
	at                 int
	idlePrev, idleNext *clientConn
	resting            bool
	lost               bool // it is no longer the pool's
}

// attachClient puts the client's layer on c.
func attachClient(c *conn.Conn, side *clientSide) *clientConn {
	k := &clientConn{c: c, side: side}
	c.SetProtocol(clientHandle, k)
	side.attach(c)
	return k
}

func clientOf(c *conn.Conn) *clientConn {
	k, _ := c.Layer().ProtocolState().(*clientConn)
	return k
}

// clientHandle is the protocol handler: it sees each event before the program does.
func clientHandle(c *conn.Conn, ev conn.Event) {
	k := clientOf(c)
	if k == nil {
		return
	}
	switch ev := ev.(type) {
	case *conn.Resolve:
		k.resolved = true
		k.stopTimer(0)
	case *conn.Connect:
		k.resolved, k.connected, k.progress = true, true, k.now()
		k.stopTimers()
		k.push()
		k.arm()
	case *conn.Read:
		k.more = ev.Full || ev.N == 0
		if ev.N > 0 {
			k.progress = k.now()
		}
		k.read()
	case *conn.Write:
		k.progress = k.now()
		k.wrote()
	case *conn.Resumed:
		k.progress += int64(ev.For)
		k.arm()
	case *conn.EOF:
		k.ended()
	case *conn.Deadline:
		k.deadline()
	case *conn.Shutdown:
		k.tell(ev)
		k.shutdown()
	case *conn.Error:
		k.inHead = false // if the handler of ResponseHead has panicked
		k.failed(ev)
	case *conn.Close:
		k.inHead = false
		k.gone(ev.Reason)
	}
}

func (k *clientConn) now() int64 { return k.c.Layer().Shared().Now }

// add puts a at the end of the list, and sends it if it is its turn.
func (k *clientConn) add(a *clientCall) {
	a.on, a.next = k, nil
	if k.last != nil {
		k.last.next = a
	} else {
		k.first = a
	}
	k.last = a
	if k.toSend == nil {
		k.toSend = a
	}
	if k.flying == 0 {
		k.progress = k.now()
	}
	k.push()
	k.arm()
	k.watch(a)
}

// watch bounds the time of a call while the connection is not made, and the deadline slot is not
// k's. In a pool Client.watch does.
func (k *clientConn) watch(a *clientCall) {
	if k.connected || k.host != nil || a.until == never || k.watched != 0 && k.watched <= a.until {
		return
	}
	m := mgr.Of(k.c)
	if m == nil {
		return
	}
	at := a.until
	k.watched = at
	k.stopTimer(1)
	k.timers[1] = m.AfterFunc(max(time.Duration(at-k.now()), 0), func() {
		if !k.connected && k.c.IsOpen() && k.first != nil {
			k.fail(conn.DeadlineOver, ErrTimeout)
		}
	})
}

// watchName bounds the time for the name.
func (k *clientConn) watchName(m *mgr.Manager, d time.Duration) {
	k.timers[0] = m.AfterFunc(d, func() {
		if !k.resolved && k.c.IsOpen() {
			k.fail(conn.DeadlineOver, ErrResolveTimeout)
		}
	})
}

// stopTimers forgets the timers: they would hold the connection in memory after its end.
func (k *clientConn) stopTimers() {
	k.stopTimer(0)
	k.stopTimer(1)
}

func (k *clientConn) stopTimer(i int) {
	if t := k.timers[i]; t != nil {
		t.Stop()
		k.timers[i] = nil
	}
}

// drop takes the first call off the list.
func (k *clientConn) drop() *clientCall {
	a := k.first
	if k.first = a.next; k.first == nil {
		k.last = nil
	}
	if k.toSend == a {
		k.toSend = a.next
	} else {
		k.flying--
	}
	a.on, a.next = nil, nil
	return a
}

// arm sets the connection's deadline to the earliest time at which something is due. Before the
// connection stands, the slot is that of the attempt to connect.
func (k *clientConn) arm() {
	if !k.connected || !k.c.IsOpen() {
		return
	}
	at := k.due()
	if at == never {
		k.c.Layer().SetDeadline(0)
		return
	}
	k.c.Layer().SetDeadline(max(time.Duration(at-k.now()), time.Millisecond))
}

// timeAfter returns the time d after t; negative is never.
func timeAfter(t int64, d time.Duration) int64 {
	if d < 0 || int64(d) > never-t {
		return never
	}
	return t + int64(d)
}

// due returns when something has to be done.
func (k *clientConn) due() int64 {
	o, a := &k.side.opts, k.first
	if a == nil {
		if k.host != nil {
			return timeAfter(k.progress, o.KeepAlive)
		}
		return never
	}
	at := a.until
	if a.tunnel && a.next != nil {
		at = min(at, a.next.until)
	}
	switch {
	case k.c.Layer().Stopped(): // Resumed sets it again
	case k.tx == txAsking:
		at = min(at, timeAfter(k.progress, o.ContinueTimeout))
	case k.tx == txDone && !a.answered:
		at = min(at, timeAfter(k.progress, o.FirstByteTimeout))
	default:
		at = min(at, timeAfter(k.progress, o.StallTimeout))
	}
	return at
}

// deadline acts on the times that have passed.
func (k *clientConn) deadline() {
	now, a := k.now(), k.first
	if !k.c.IsOpen() {
		return
	}
	if now < k.due() {
		k.arm()
		return
	}
	switch {
	case a == nil:
		k.c.Close() // idle in a pool
	case a.tunnel && now >= a.until:
		k.fail(conn.DeadlineOver, ErrConnectTimeout)
	case now >= a.until, a.tunnel && a.next != nil && now >= a.next.until:
		k.fail(conn.DeadlineOver, ErrTimeout)
	case k.tx == txAsking:
		k.progress = now
		k.tx.on(txGoesOn)
		k.push()
		k.arm()
	case k.tx == txDone && !a.answered:
		k.fail(conn.DeadlineOver, ErrFirstByteTimeout)
	default:
		k.fail(conn.DeadlineOver, ErrStallTimeout)
	}
}

// fail ends the connection because of why.
func (k *clientConn) fail(r conn.Reason, why error) {
	if k.err == nil {
		k.err = why
	}
	if a := k.first; a != nil {
		why = a.fail(why)
	}
	k.c.Layer().Fail(r, why)
}

// refuse ends the connection because of a response that breaks the rules.
func (k *clientConn) refuse(bad *wire.Refusal) result {
	e := &ResponseError{Err: ErrBadResponse, Text: bad.Text}
	if bad.IsLimit() {
		e.Err = ErrLongHead
	}
	if b := k.c.Recv.Bytes(); k.rx == rxHead {
		e.Head = bytes.Clone(b[:min(k.p.Looked(), len(b))])
	}
	k.fail(conn.Protocol, e)
	return wait
}

// failed is the Error event. The program is told in the words of this package.
func (k *clientConn) failed(ev *conn.Error) {
	if k.err == nil {
		k.err = k.explain(ev)
	}
	a := k.first
	if a != nil && a.tunnel {
		if a = a.next; !errors.Is(k.err, ErrProxy) {
			k.err = fmt.Errorf("%w: %w", ErrProxy, k.err)
		}
	}
	ev.Err = k.err
	if a != nil && a.req.Events == nil {
		ev.Err = a.fail(k.err)
	}
	k.tell(ev)
}

// tell passes an event of the connection to the calls that asked for the events of their requests.
func (k *clientConn) tell(ev conn.Event) {
	if k.host != nil {
		return
	}
	for a := k.first; a != nil; a = a.next {
		if a.req.Events != nil {
			a.req.Events(k.c, ev)
		}
	}
}

// explain puts the reason of a connection that has failed in the words of this package.
func (k *clientConn) explain(ev *conn.Error) error {
	switch {
	case k.connected && ev.Reason == conn.Stalled:
		return fmt.Errorf("%w: %w", ErrStallTimeout, ev.Err)
	case k.connected && k.first != nil && k.first.answered:
		return fmt.Errorf("%w: %w", ErrCut, ev.Err)
	case k.connected:
		return fmt.Errorf("%w: %w", ErrNoResponse, ev.Err)
	case ev.Reason == conn.TimedOut:
		return fmt.Errorf("%w: %w", ErrConnectTimeout, ev.Err)
	case ev.Reason == conn.DeadlineOver:
		return fmt.Errorf("%w: %w", ErrTLSTimeout, ev.Err)
	}
	return ev.Err
}

// shutdown finishes the call that has begun, and takes no further one.
func (k *clientConn) shutdown() {
	k.c.Layer().SetReason(conn.ShuttingDown)
	switch a := k.first; {
	case a == nil:
		k.c.Drain()
	case a.tunnel: // none of the program's has begun
		k.fail(conn.ShuttingDown, ErrNoResponse)
	default:
		k.closing = true
	}
}

// ended is the peer's end of the stream.
func (k *clientConn) ended() {
	switch a := k.first; {
	case a == nil: // it drains
	case k.rx != rxHead && k.f.End == wire.UntilClose:
		k.read()
	case a.answered:
		k.fail(conn.PeerClosed, ErrCut)
	default:
		k.fail(conn.PeerClosed, ErrNoResponse)
	}
}

// gone is the Close event: the calls that are left end too, or go on elsewhere.
func (k *clientConn) gone(r conn.Reason) {
	k.stopTimers()
	host := k.host
	if host != nil {
		host.lost(k)
		defer host.client.serve() // even if the program panics
	}
	byPeer := false
	switch r {
	case conn.PeerClosed, conn.Reset, conn.BrokenPipe, conn.Local, conn.ShuttingDown:
		byPeer = true
	}
	for k.first != nil {
		a := k.drop()
		why := k.err
		if why == nil {
			why = ErrNoResponse
			if a.answered {
				why = ErrCut
			}
		}
		switch {
		case host == nil, a.tunnel:
			k.side.put(a)
		case host.client.closed:
			host.client.fail(a, ErrClientClosed)
		case k.mayRepeat(a, byPeer):
			host.client.repeat(a)
		default:
			host.client.fail(a, a.fail(why))
		}
	}
}

// mayRepeat reports whether a call is sent once more on another connection: if nothing of it has
// been sent, or if the server had closed a connection that was kept, which it may have done before
// it saw the request (RFC 9110 9.2.2, RFC 9112 9.3.1).
func (k *clientConn) mayRepeat(a *clientCall, byPeer bool) bool {
	switch {
	case a.again, a.answered, !a.repeatable(), !k.connected, k.err != nil && !errors.Is(k.err, ErrNoResponse):
		return false
	case k.c.Layer().Shared().Now >= a.until:
		return false
	case !a.left:
		return true
	}
	return byPeer && k.served > 0 && a.idempotent()
}
