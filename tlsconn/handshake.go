package tlsconn

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	"github.com/seed4930a636/mangusta/conn"
)

// A Handshake says that TLS is up. It comes right before Accept or Connect. State is as crypto/tls
// has it: the version, the certificates of the peer, the protocol of ALPN, whether the session was
// resumed.
type Handshake struct {
	State tls.ConnectionState
}

// EventName implements conn.Event.
func (*Handshake) EventName() string { return "tlsconn.Handshake" }

var (
	// ErrBusy is in the error of a connection that came while Limits.MaxHandshakes were going on,
	// or as more than Limits.Rate came in a second, or than RatePerAddr of its address. The peer
	// gets the alert internal_error. It is wrapped by the error of a handshake that has made room
	// for another.
	ErrBusy = errors.New("tlsconn: too many handshakes")
	// ErrPanicked is wrapped by the error of a connection for which a callback of Config, such as
	// GetCertificate, has panicked.
	ErrPanicked = errors.New("tlsconn: a callback panicked")
)

// phase is how far a handshake is. A server begins with listening, a client with ready.
type phase uint8

const (
	listening phase = iota // no record is whole; nothing has been allocated for the handshake
	ready                  // the worker can begin
	computing              // the worker owns out, in and tls
	hungry                 // the worker waits for input
	over                   // the worker has ended
	abandoned              // the worker ends without anybody waiting for it
)

// A handshake is what a connection has until TLS is up. The worker, a goroutine, runs crypto/tls's
// handshake. It and the loop take turns: the loop gives it input by resume and sets the phase
// computing; it reports, and then owns nothing until it is resumed.
type handshake struct {
	l     *layer
	phase phase // the loop's
	name  string
	// preface reads what comes before the first record; nil when there is nothing to come.
	preface func(b []byte) (n int, err error)

	in   []byte // whole records, perhaps in small
	left int    // of the first of them, once a part of it was read
	eof  bool   // no more will come
	out  []byte // what crypto/tls has written
	last []byte // of out, perhaps an alert, when it has ended
	done bool   // the worker has ended, with err
	err  error
	at   []byte // the stack, after a panic

	place         place // with sooner and later, the neighbours: see flights
	sooner, later *handshake
	dismissed     bool // it has lost its place

	small         *[mostCopied]byte
	given         int // bytes given to the worker
	local, remote net.Addr

	resume   chan struct{} // the worker goes on
	quit     chan struct{} // closed by Close
	reported chan struct{} // in the synchronous mode
	holds    bool          // a slot of computers; the worker's
}

var computers struct {
	once sync.Once
	c    chan struct{}
}

// slots returns what bounds how many workers compute at once: one place is left for the loop.
func slots() chan struct{} {
	computers.once.Do(func() { computers.c = make(chan struct{}, max(1, runtime.GOMAXPROCS(0)-1)) })
	return computers.c
}

// Handshake implements conn.Layered.
func (l *layer) Handshake(fd int) (conn.Event, error) {
	h := l.hs
	for {
		if h == nil || l.failed != nil {
			return nil, l.failed
		}
		switch h.phase {
		case listening:
			if err := l.listen(fd); err != nil {
				return nil, err
			}
			h.phase = ready
		case ready:
			if err := l.begin(); err != nil {
				return nil, err
			}
		case computing:
			if !l.side.synchronous {
				return nil, conn.ErrComputing
			}
			<-h.reported
			l.takeStep()
		case hungry:
			if err := l.feedWorker(fd); err != nil {
				return nil, err
			}
		case over:
			return l.finish()
		}
	}
}

// feedWorker gives the worker the records that are there, or returns EAGAIN.
func (l *layer) feedWorker(fd int) error {
	h := l.hs
	if h.dismissed {
		return l.madeRoom()
	}
	for {
		switch found, err := l.give(); {
		case err != nil:
			return err
		case found:
			return l.step()
		}
		n, err := l.feed.fill(func(p []byte) (int, error) { return l.below.Read(fd, p) })
		switch {
		case err == syscall.EAGAIN:
			l.feed.rest()
			return err
		case err != nil:
			return err // EINTR too: conn calls again
		case n == 0:
			l.side.stats.truncated.Add(1)
			h.eof = true
			return l.step()
		}
	}
}

// give hands the worker the records that are there, if there are any.
func (l *layer) give() (found bool, err error) {
	h := l.hs
	if h.small == nil {
		h.small = smalls.Get().(*[mostCopied]byte)
	}
	run, err := l.feed.take(h.small)
	if len(run) == 0 {
		h.dropSmall()
	}
	if err != nil {
		l.side.stats.records.Add(1)
		return false, l.breakOff(err)
	}
	// Only bytes that the worker has read count: it is hungry, so these are all that it was given
	// before. The records here may be data that the peer sent along with the end of its handshake.
	if h.given > l.side.handshakeBytes {
		l.side.stats.floods.Add(1)
		return false, l.breakOff(errHandshake)
	}
	h.in, h.given = run, h.given+len(run)
	return len(run) > 0, nil
}

// begin starts the worker, if there may be one more.
func (l *layer) begin() error {
	h := l.hs
	if _, err := l.give(); err != nil {
		return err
	}
	lost, err := l.side.admit(h, l.c.RemoteAddr().Addr())
	if err != nil {
		l.side.stats.busy.Add(1)
		if err == errCrowded {
			l.side.stats.crowded.Add(1)
		}
		return l.alertOff(alertInternalError, err)
	}
	if lost != nil {
		lost.dismiss()
	}
	l.side.inFlight.Add(1)
	h.local, h.remote = net.TCPAddrFromAddrPort(l.c.LocalAddr()), net.TCPAddrFromAddrPort(l.c.RemoteAddr())
	h.resume, h.quit = make(chan struct{}, 1), make(chan struct{})
	if l.side.synchronous {
		h.reported = make(chan struct{}, 1)
	}
	l.tls = l.side.newConn((*under)(l), h.name)
	h.phase = computing
	go h.work()
	return nil
}

// dropSmall gives small back. The worker does not compute.
func (h *handshake) dropSmall() {
	if h.small != nil {
		smalls.Put(h.small)
		h.small, h.in = nil, nil
	}
}

// step lets the worker go on, unless the handshake has lost its place.
func (l *layer) step() error {
	if !l.side.flights.feed(l.hs) {
		return l.madeRoom()
	}
	l.hs.phase = computing
	l.hs.resume <- struct{}{}
	return nil
}

// madeRoom ends a handshake that has lost its place.
func (l *layer) madeRoom() error {
	l.side.stats.madeRoom.Add(1)
	return l.breakOff(errMadeRoom)
}

// takeStep takes over what the worker has done.
func (l *layer) takeStep() {
	h := l.hs
	if len(l.unsent) == 0 {
		l.unsent = h.out
	} else {
		l.unsent = append(l.unsent, h.out...)
	}
	if h.done {
		h.phase, h.last = over, bytes.Clone(h.out[max(0, len(h.out)-alertLen):])
	} else {
		h.phase = hungry
		h.dropSmall()
		l.side.flights.starve(h)
	}
	h.out = nil
}

// finish ends the handshake after its worker.
func (l *layer) finish() (conn.Event, error) {
	h := l.hs
	l.hs = nil
	l.feed.putBack(h.in)
	h.dropSmall()
	if h.err != nil {
		version := l.tls.ConnectionState().Version
		l.side.stats.fail(version, h.alert(version))
		if h.at != nil {
			sh := l.c.Layer().Shared()
			sh.Stats.Panics++
			if sh.Log != nil {
				sh.Log.Error("panic in a handshake", "peer", l.c.Peer(), "err", h.err, "stack", string(h.at))
			}
		}
		if h.eof && (errors.Is(h.err, io.ErrUnexpectedEOF) || errors.Is(h.err, io.EOF)) {
			h.err = ErrTruncated
		}
		return nil, l.fail(h.err)
	}
	if !l.feed.whole() {
		l.feed.rest()
		l.compact()
	}
	ev := &Handshake{State: l.tls.ConnectionState()}
	l.side.stats.count(&ev.State)
	return ev, nil
}

// breakOff ends a handshake for a reason that crypto/tls does not know.
func (l *layer) breakOff(err error) error {
	l.hs.abandon()
	l.side.stats.fail(0, alert{})
	return l.fail(err)
}

// alertOff is breakOff with an alert to the peer, who has got nothing so far.
func (l *layer) alertOff(description uint8, err error) error {
	l.hs.abandon()
	l.unsent = append(l.unsent, alertRecord(description)...)
	l.side.stats.fail(0, alert{description: description})
	return l.fail(err)
}

// abandon has the worker, if there is one, end on its own. Its layer keeps h: the worker still asks
// for that.
func (h *handshake) abandon() {
	if h.phase != computing { // else the worker may be reading it
		h.dropSmall()
	}
	if h.phase == computing || h.phase == hungry {
		close(h.quit)
	}
	h.phase = abandoned
}

// work is the worker.
func (h *handshake) work() {
	t := h.l.tls
	defer h.l.side.inFlight.Add(-1)
	defer h.l.side.flights.leave(h)
	h.err = errors.New("tlsconn: a callback ended the goroutine") // runtime.Goexit
	defer func() {
		if v := recover(); v != nil {
			h.err, h.at = fmt.Errorf("%w: %v", ErrPanicked, v), debug.Stack()
		}
		h.release()
		h.done = true
		h.report()
	}()
	h.l.side.prepare() // it may read files
	if !h.acquire() {
		h.err = net.ErrClosed
		return
	}
	h.err = t.Handshake()
}

// report tells the loop that a step is over. From then on the loop owns the handshake.
func (h *handshake) report() {
	if h.reported != nil {
		h.reported <- struct{}{}
		return
	}
	l := h.l
	l.c.Layer().Complete(func() { // an error says that the loop has ended: nobody waits
		if h.phase == computing {
			l.takeStep()
			l.c.Layer().Computed()
		}
	})
}

// read is under.Read for the worker: at most the rest of one record.
func (h *handshake) read(p []byte) (int, error) {
	for len(h.in) == 0 {
		if h.eof {
			return 0, io.EOF
		}
		h.release()
		h.report()
		select {
		case <-h.resume:
		case <-h.quit:
			return 0, net.ErrClosed
		}
		if !h.acquire() {
			return 0, net.ErrClosed
		}
	}
	n := h.left
	if n == 0 {
		n, _ = recordLen(h.in)
	}
	k := copy(p, h.in[:n])
	h.in, h.left = h.in[k:], n-k
	return k, nil
}

// acquire waits for a place to compute. It returns false if the connection is closed before that.
func (h *handshake) acquire() bool {
	select {
	case slots() <- struct{}{}:
		h.holds = true
		return true
	case <-h.quit:
		return false
	}
}

// release gives the place up.
func (h *handshake) release() {
	if h.holds {
		h.holds = false
		<-slots()
	}
}

// outside runs f, a callback of the program, without the place to compute that the calling worker
// has: f may wait for something.
func outside(f func()) {
	<-slots()
	defer func() { slots() <- struct{}{} }()
	f()
}
