// Package conntest tests handlers and protocol layers without a socket: a Dialogue is one
// connection whose peer, kernel, loop and clock are the test.
//
//	d := conntest.New(t, handler)
//	d.Send("ping\n")               // the peer sends, the loop turns
//	d.WantSent("pong\n")           // what the handler wrote has reached the peer
//	d.Sleep(time.Minute)           // the clock moves, timeouts come
//	d.WantClosed(conn.Idle)
//
// The words of a dialogue are Send, SendEOF and Fail for what the peer does; Room and FailWrite for
// what its kernel takes; Turn, Sleep and Shutdown for the loop; Sent, Events and the Want methods
// for what the test expects. A test that looks at single steps is the poller itself: Report and
// Settle take the place of Turn. Everything runs on the goroutine of the test. A layer is put on in
// Options.Setup: http.Attach, for example.
package conntest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
)

// T is what a Dialogue needs of a *testing.T, *testing.B or *testing.F.
type T interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Options changes what New makes. The zero value is good.
type Options struct {
	Limits conn.Limits
	// Setup is called before Open is fired, to put a protocol layer on the connection. nil does
	// nothing.
	Setup func(c *conn.Conn)
	// Remote is the peer's address; the default is 192.0.2.1:1234.
	Remote netip.AddrPort
	// Sealed puts this transport between the connection and its Wire: the double of TLS. Send,
	// SendEOF and Sent speak plaintext; the handshake is done when New returns, unless the Sealed
	// says otherwise.
	Sealed *Sealed
	// Waiting connections are outbound and have no descriptor yet, as while a name is resolved:
	// Attach gives them one. The value is how long that, and the attempt to connect, may take.
	Waiting time.Duration
	// Outbound connections get Connect instead of Accept.
	Outbound bool
	// Listener makes the object of a listener, which gets Open alone.
	Listener bool
	// Files is a kernel that sends files by itself, and is put between the connection and its Wire.
	// nil is one that does not: files are read and written.
	Files *Files
	// Loop carries the connection beside others. nil makes a loop for this one.
	Loop *Loop
	// Describe gives the text of an event for Events, and "" for one that is not to be noted. nil
	// is Describe.
	Describe func(ev conn.Event) string
}

// A Dialogue is one connection between the code under test and a peer that the test plays.
type Dialogue struct {
	Conn *conn.Conn
	Wire *Wire
	Loop *Loop

	t        T
	sealed   *Sealed
	describe func(conn.Event) string
	events   []string
	reason   conn.Reason
}

// panics is the T of a Dialogue without a test: an Example has none.
type panics struct{}

func (panics) Helper()                           {}
func (panics) Errorf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }
func (panics) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// New makes a connection with the handler h, which may be nil, and fires Open and Accept. With a
// nil t, what does not hold panics.
func New(t T, h conn.Handler, opts ...Options) *Dialogue {
	if t == nil {
		t = panics{}
	}
	t.Helper()
	var o Options
	if len(opts) > 0 {
		o = opts[0]
	}
	if !o.Remote.IsValid() {
		o.Remote = netip.MustParseAddrPort("192.0.2.1:1234")
	}
	d := &Dialogue{Wire: NewWire(), Loop: o.Loop, t: t, describe: o.Describe}
	if d.Loop == nil {
		d.Loop = NewLoop()
	}
	if d.describe == nil {
		d.describe = Describe
	}
	d.connect(&o, h)
	d.Conn.Driver().SetRemote(conn.PeerOf(o.Remote))
	if d.sealed = o.Sealed; d.sealed != nil {
		d.sealed.attach(d)
	}
	if o.Setup != nil {
		o.Setup(d.Conn)
	}
	if o.Waiting > 0 {
		d.Conn.Driver().BeginWaiting(o.Waiting)
	}
	d.Conn.Driver().Begin()
	switch {
	case o.Waiting > 0, o.Listener:
	case o.Outbound:
		d.Conn.Driver().Connected()
	default:
		d.Conn.Driver().Accepted()
	}
	if d.sealed != nil && !d.sealed.Silent {
		d.Wire.Arrive(Seal('h', nil), nil)
	}
	d.Turn()
	return d
}

// connect makes the connection.
func (d *Dialogue) connect(o *Options, h conn.Handler) {
	limits := o.Limits.WithDefaults()
	handler := func(c *conn.Conn, ev conn.Event) {
		if text := d.describe(ev); text != "" {
			d.Note(text)
		}
		if end, ok := ev.(*conn.Close); ok {
			d.reason = end.Reason
		}
		if h != nil {
			h(c, ev)
		}
	}
	var tr conn.Transport = d.Wire
	if o.Files != nil {
		o.Files.Wire = d.Wire
		tr = o.Files
	}
	fd := -1
	if o.Waiting <= 0 {
		fd = d.Loop.nextFD()
	}
	newConn := conn.New
	if o.Listener {
		newConn = conn.NewListener
	}
	d.Conn = d.Loop.carry(d.Wire, newConn(d.Loop.Shared, fd, d.Loop.nextID(), tr, &limits, handler))
}

// Describe is the text of an event as Events has it: the name, without the package for events of
// package conn, and what the event carries there: "Read 5", "Write 12", "Wakeup \"x\"", "Error
// reset by the peer", "Close idle for too long".
func Describe(ev conn.Event) string {
	name := strings.TrimPrefix(ev.EventName(), "conn.")
	switch ev := ev.(type) {
	case *conn.Read:
		return fmt.Sprintf("%s %d", name, ev.N)
	case *conn.Write:
		return fmt.Sprintf("%s %d", name, ev.N)
	case *conn.Wakeup:
		return fmt.Sprintf("%s %q", name, ev.Data)
	case *conn.Error:
		return fmt.Sprintf("%s %s", name, ev.Reason)
	case *conn.Close:
		return fmt.Sprintf("%s %s", name, ev.Reason)
	}
	return name
}

// Send has each piece arrive in a turn of its own. Bytes that the connection does not read stay in
// the kernel, and is read in a later turn.
func (d *Dialogue) Send(pieces ...string) {
	d.t.Helper()
	for _, p := range pieces {
		if d.sealed != nil {
			d.sealed.send(p)
			continue
		}
		d.Wire.Arrive([]byte(p), nil)
		d.Turn()
	}
}

// Attach gives a Waiting connection its descriptor. The attempt to connect has ended with outcome:
// nil when it stands.
func (d *Dialogue) Attach(outcome error) {
	d.t.Helper()
	d.Wire.Outcome = outcome
	d.Conn.Driver().Attach(d.Loop.nextFD())
	d.Turn()
}

// SendEOF ends the stream of the peer: its FIN arrives.
func (d *Dialogue) SendEOF() {
	d.t.Helper()
	d.Wire.Arrive(nil, nil)
	d.Turn()
}

// Fail has the next read fail with errno: unix.ECONNRESET is a peer that aborts.
func (d *Dialogue) Fail(errno unix.Errno) {
	d.t.Helper()
	d.Wire.Arrive(nil, errno)
	d.Turn()
}

// Shutdown is the manager's: the connection gets the event, and the loop turns.
func (d *Dialogue) Shutdown() {
	d.t.Helper()
	d.Conn.Driver().Fire(&conn.Shutdown{})
	d.Turn()
}

// Room has the kernel take n bytes more, and then answer EAGAIN; negative is any number. It turns
// the loop: the poller reports the room.
func (d *Dialogue) Room(n int) {
	d.t.Helper()
	d.Wire.Room = n
	d.Turn()
}

// Turn turns the loop until nothing is left to do without waiting, and returns what the poller
// watches then.
func (d *Dialogue) Turn() conn.Interest {
	d.t.Helper()
	if err := d.Loop.Turn(); err != nil {
		d.t.Fatalf("%v", err)
	}
	return d.Loop.Watched(d.Conn)
}

// Settle is the end of a turn: what is queued goes out, as far as there is room, and connections
// that are over are closed. The poller reports nothing, and no timeout comes. It returns what the
// poller is to watch.
func (d *Dialogue) Settle() conn.Interest {
	d.t.Helper()
	if err := d.Loop.Settle(); err != nil {
		d.t.Fatalf("%v", err)
	}
	return d.Loop.Watched(d.Conn)
}

// Report has the poller report that the descriptor is ready for what, and settles. It need not be
// watched for that: a report of a real poller may be older than a change of what is watched, and
// may promise room that is gone.
func (d *Dialogue) Report(what conn.Interest) conn.Interest {
	d.t.Helper()
	if what&conn.Out != 0 && !d.Closed() {
		d.Conn.Driver().Writable()
	}
	if what&conn.In != 0 && !d.Closed() {
		d.Conn.Driver().Readable()
	}
	return d.Settle()
}

// Sleep moves the clock by span, in steps of 50 ms, each with a turn that looks at the timeouts.
func (d *Dialogue) Sleep(span time.Duration) {
	d.t.Helper()
	const step = 50 * time.Millisecond
	for ; span > 0 && !d.Closed(); span -= step {
		d.Loop.Advance(min(span, step))
		d.Turn()
	}
}

// Closed reports whether the Close event has come.
func (d *Dialogue) Closed() bool { return d.Conn.Driver().Finished() }

// Sent returns what the peer got since Sent or WantSent was called last.
func (d *Dialogue) Sent() string {
	if d.sealed != nil {
		return d.sealed.sent()
	}
	s := string(d.Wire.Sent)
	d.Wire.Sent = d.Wire.Sent[:0]
	return s
}

// Note adds text to the events, for what a handler, a layer or a watcher of the test has to tell.
func (d *Dialogue) Note(text string) { d.events = append(d.events, text) }

// Events returns the texts of the events since Events or WantEvents was called last.
func (d *Dialogue) Events() []string {
	list := d.events
	d.events = nil
	return list
}

// WantSent wants the peer to have got exactly this since Sent or WantSent was called last.
func (d *Dialogue) WantSent(want string) {
	d.t.Helper()
	if got := d.Sent(); got != want {
		d.t.Errorf("sent:\n  got  %.500q\n  want %.500q", got, want)
	}
}

// WantEvents wants exactly these events since Events or WantEvents was called last.
func (d *Dialogue) WantEvents(want ...string) {
	d.t.Helper()
	if got := d.Events(); !slices.Equal(got, want) {
		d.t.Errorf("events:\n  got  %s\n  want %s", strings.Join(got, " | "), strings.Join(want, " | "))
	}
}

// WantClosed wants the connection closed for this reason. A connection that only has ended its own
// stream, as one that lingers has, gets the peer's end first.
func (d *Dialogue) WantClosed(reason conn.Reason) {
	d.t.Helper()
	if !d.Closed() && d.Wire.Shut {
		d.SendEOF()
	}
	switch {
	case !d.Closed():
		d.t.Errorf("the connection is open; want it closed: %s", reason)
	case d.reason != reason:
		d.t.Errorf("closed: %s; want: %s", d.reason, reason)
	case d.Wire.Closed != 1:
		d.t.Errorf("the descriptor was closed %d times", d.Wire.Closed)
	}
}

// WantOpen wants the connection neither draining nor closed.
func (d *Dialogue) WantOpen() {
	d.t.Helper()
	if d.Closed() || !d.Conn.IsOpen() || d.Wire.Shut {
		d.t.Errorf("the connection is closed, or closing: %s", d.Conn.Reason())
	}
}
