package mgr

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/ctlpair"
)

// A faultKernel is a kernel without chance: descriptors, stream sockets on which only this program
// talks to itself, and a clock that moves when the loop sleeps. One call in a run fails: the nth of
// one kind, with one errno.
type faultKernel struct {
	now   int64
	files map[int]*faultFile // by descriptor
	next  []*faultFile       // made in all

	op    string // what fails, "" for nothing
	nth   int    // which call of it
	times int    // how many in a row
	errno unix.Errno
	calls map[string]int
	hit   bool // it has failed

	watched map[int]conn.Interest
	stuck   map[int]bool // still watched, since the poller has failed to stop that
	waits   int          // calls of wait
	wrong   []string
	rings   bool // the doorbell
	tries   []faultTry
	during  []func() // what others do while the loop sleeps
	ports   uint16   // the last of those that the kernel chooses
}

// faultTry is what the doorbell asked to be called later.
type faultTry struct {
	at int64
	f  func()
}

// faultBell is the descriptor of the doorbell, below those of the connections.
const faultBell = 599

func (k *faultKernel) newBell() ctlpair.Bell {
	return ctlpair.Bell{
		FD: faultBell,
		Strike: func() error {
			err := k.fault("bell write")
			k.rings = k.rings || err == nil
			return err
		},
		Silence: func() { k.rings = k.fault("bell read") != nil },
		After:   func(d time.Duration, f func()) { k.tries = append(k.tries, faultTry{k.now + int64(d), f}) },
		Close:   func() error { return k.fault("bell close") },
	}
}

type faultFile struct {
	fd      int
	kind    string // "listener", "stream", "event", "reserve"
	in      []byte // what read will return
	peer    *faultFile
	fin     bool // the peer has finished
	reset   bool // the peer has closed with unread input
	shut    bool
	ready   bool // of an event
	backlog []*faultFile
	closed  bool

	racing bool // an attempt of a race
	silent bool // the peer never answers

	// Of datagrams.
	at, to netip.AddrPort
	grams  []faultGram
	errors []faultGram // the error queue
	sent   int         // since the poller has looked
}

// faultGram is a datagram.
type faultGram struct {
	from, to netip.AddrPort
	data     []byte
}

// faultGrams is how many datagrams a socket takes at a time.
const faultGrams = 4

// faultRoom is what a stream holds until its reader takes it: little, so that writes are short and
// have to wait.
const faultRoom = 3000

func newFaultKernel() *faultKernel {
	return &faultKernel{now: int64(time.Hour), files: map[int]*faultFile{}, calls: map[string]int{}, ports: 30_000, watched: map[int]conn.Interest{},
		stuck: map[int]bool{}}
}

func (k *faultKernel) fail(format string, args ...any) {
	k.wrong = append(k.wrong, fmt.Sprintf(format, args...))
}

// fault counts a call of op and returns the errno it has to fail with, if any.
func (k *faultKernel) fault(op string) error {
	k.calls[op]++
	if n := k.calls[op]; op == k.op && n >= k.nth && n < k.nth+k.times {
		k.hit = true
		return k.errno
	}
	return nil
}

// open makes a file on the lowest free descriptor.
func (k *faultKernel) open(kind string) *faultFile {
	fd := faultBell + 1
	for k.files[fd] != nil {
		fd++
	}
	f := &faultFile{fd: fd, kind: kind}
	k.files[fd] = f
	k.next = append(k.next, f)
	return f
}

func (k *faultKernel) file(op string, fd int) *faultFile {
	f := k.files[fd]
	if f == nil {
		k.fail("%s on descriptor %d, which is closed", op, fd)
		return &faultFile{fd: fd, closed: true}
	}
	return f
}

func (k *faultKernel) listen(conn.Addr, conn.SocketOptions) (int, error) {
	if err := k.fault("listen"); err != nil {
		return -1, err
	}
	return k.open("listener").fd, nil
}

func (k *faultKernel) listenDatagrams(a conn.Addr, _ conn.SocketOptions) (int, error) {
	if err := k.fault("listen"); err != nil {
		return -1, err
	}
	f := k.open("datagrams")
	f.at = a.AddrPort
	return f.fd, nil
}

func (k *faultKernel) listenMany(a conn.Addr, o conn.SocketOptions, n int) (fds []int, err error) {
	for range n {
		fd, err := k.listen(a, o)
		if err != nil {
			for _, fd := range fds {
				k.closeReserve(fd)
			}
			return nil, err
		}
		fds = append(fds, fd)
	}
	return fds, nil
}

func (k *faultKernel) dup(fd int) (int, error) {
	if err := k.fault("dup"); err != nil {
		return -1, err
	}
	f := k.open("listener")
	return f.fd, nil
}

// dialFault counts a call of connect, and reports whether it is one of a race.
func (k *faultKernel) dialFault(a conn.Addr) (racing bool, err error) {
	op := "connect"
	if racing = slices.Contains(faultRace, a.AddrPort.Addr()); racing {
		op = "connect in a race"
	}
	if err = k.fault(op); err != nil {
		err = fmt.Errorf("conn: %w", err)
	}
	return racing, err
}

func (k *faultKernel) dialDatagrams(a conn.Addr, _ conn.SocketOptions) (int, error) {
	racing, err := k.dialFault(a)
	if err != nil {
		return -1, err
	}
	k.ports++
	f := k.open("datagrams")
	f.racing = racing
	f.at, f.to = netip.AddrPortFrom(a.AddrPort.Addr(), k.ports), a.AddrPort
	return f.fd, nil
}

func (k *faultKernel) dial(a conn.Addr, _ conn.SocketOptions) (int, bool, error) {
	racing, err := k.dialFault(a)
	if err != nil {
		return -1, false, err
	}
	f := k.open("stream")
	if f.racing = racing; racing && a.AddrPort.Addr() == faultRace[0] {
		f.silent = true
		return f.fd, false, nil
	}
	if a.Network == "unix" {
		return f.fd, true, nil // the backlog is full
	}
	return f.fd, false, k.link(f)
}

func (k *faultKernel) redial(fd int, _ conn.Addr) (bool, error) {
	if err := k.fault("connect again"); err != nil {
		return err == unix.EAGAIN, err
	}
	return false, k.link(k.file("connect", fd))
}

func (k *faultKernel) decided(fd int) bool { return !k.file("poll", fd).silent }

// faultRace are the addresses of a name: the first never answers.
var faultRace = []netip.Addr{netip.MustParseAddr("127.0.0.8"), netip.MustParseAddr("127.0.0.9")}

func (k *faultKernel) describe(fd int, _ *conn.SocketOptions) (conn.DatagramSetup, error) {
	f := k.file("describe", fd)
	op := "describe"
	if f.racing {
		op = "describe in a race"
		f.racing = false
	}
	if err := k.fault(op); err != nil {
		return conn.DatagramSetup{}, err
	}
	return conn.DatagramSetup{Family: unix.AF_INET, Connected: f.to.IsValid(), Errors: true}, nil
}

// Receive is that of the DatagramTransport. The headers of a call are as few as two, so that there
// are several calls in a turn.
func (k *faultKernel) Receive(fd, size int, list []conn.Datagram) (n int, more bool, err error) {
	f := k.file("recvmmsg", fd)
	op := "recvmmsg"
	if len(f.errors) > 0 {
		op = "recvmmsg after an error of the network"
	}
	if err := k.fault(op); err != nil {
		return 0, false, err
	}
	if len(f.grams) == 0 {
		return 0, false, unix.EAGAIN
	}
	n = min(len(list), len(f.grams), 2)
	for i, g := range f.grams[:n] {
		list[i] = conn.Datagram{Data: g.data, From: conn.PeerOf(g.from), To: g.to.Addr()}
	}
	f.grams = slices.Clone(f.grams[n:])
	return n, n == 2, nil
}

func (k *faultKernel) Send(fd, family int, list []conn.Outgoing) (n int, err error) {
	f := k.file("sendmmsg", fd)
	if family != unix.AF_INET {
		k.fail("sendmmsg with family %d", family)
	}
	if err := k.fault("sendmmsg"); err != nil {
		return 0, err
	}
	if f.sent == faultGrams {
		return 0, unix.EAGAIN
	}
	for ; n < len(list) && f.sent < faultGrams; n++ {
		f.sent++
		g := faultGram{from: f.at, to: list[n].To.AddrPort(), data: slices.Clone(list[n].Data)}
		if f.to.IsValid() {
			g.to = f.to
		}
		var peer *faultFile
		for _, p := range k.files {
			if p.kind == "datagrams" && p.at.Port() == g.to.Port() && (!p.to.IsValid() || p.to.Port() == f.at.Port()) {
				peer = p
			}
		}
		if peer == nil {
			f.errors = append(f.errors, g)
		} else {
			peer.grams = append(peer.grams, g)
		}
	}
	return n, nil
}

func (k *faultKernel) ReceiveError(fd int, ev *conn.Undelivered) error {
	f := k.file("recvmsg", fd)
	if err := k.fault("recvmsg of the error queue"); err != nil {
		return err
	}
	if len(f.errors) == 0 {
		return unix.EAGAIN
	}
	*ev = conn.Undelivered{To: conn.PeerOf(f.errors[0].to), Err: unix.ECONNREFUSED}
	f.errors = f.errors[1:]
	return nil
}

// link puts the other end of f into the backlog of the listener.
func (k *faultKernel) link(f *faultFile) error {
	for _, l := range k.next {
		if l.kind == "listener" && !l.closed {
			f.peer = &faultFile{fd: -1, kind: "stream", peer: f}
			l.backlog = append(l.backlog, f.peer)
			return nil
		}
	}
	f.reset = true // told by ConnectOutcome
	return nil
}

func (k *faultKernel) ConnectOutcome(fd int, _ conn.Peer) error {
	f := k.file("getsockopt", fd)
	op := "getsockopt"
	if f.racing {
		op = "getsockopt in a race"
	}
	if err := k.fault(op); err != nil {
		return err
	}
	f.racing = f.kind == "datagrams" // it has won; a datagram socket is described then
	if f.reset {
		return unix.ECONNREFUSED
	}
	return nil
}

func (k *faultKernel) accept(lfd int) (int, conn.Peer, error) {
	l := k.file("accept", lfd)
	if len(l.backlog) == 0 {
		return -1, conn.Peer{}, unix.EAGAIN
	}
	if err := k.fault("accept"); err != nil {
		return -1, conn.Peer{}, err
	}
	f := l.backlog[0]
	l.backlog = l.backlog[1:]
	own := k.open("stream")
	f.fd, k.files[own.fd], k.next[len(k.next)-1] = own.fd, f, f
	return f.fd, conn.Peer{}, nil
}

func (k *faultKernel) setAccepted(int, conn.Addr, *conn.SocketOptions) error {
	return k.fault("setsockopt")
}

func (k *faultKernel) openReserve() (int, error) {
	if err := k.fault("open"); err != nil {
		return -1, err
	}
	return k.open("reserve").fd, nil
}

func (k *faultKernel) closeReserve(fd int) { k.close(fd) }

func (k *faultKernel) Read(fd int, p []byte) (int, error) {
	f := k.file("read", fd)
	if err := k.fault("read"); err != nil {
		return 0, err
	}
	switch {
	case f.reset:
		return 0, unix.ECONNRESET
	case len(f.in) > 0:
		n := copy(p, f.in)
		f.in = slices.Clone(f.in[n:])
		return n, nil
	case f.fin:
		return 0, nil
	}
	return 0, unix.EAGAIN
}

func (k *faultKernel) put(f *faultFile, pieces ...[]byte) (int, error) {
	switch {
	case f.shut:
		k.fail("write after shutdown on %d", f.fd)
		return 0, unix.EPIPE
	case f.reset || f.peer == nil || f.peer.closed:
		return 0, unix.EPIPE
	}
	sent := 0
	for _, p := range pieces {
		n := min(len(p), faultRoom-len(f.peer.in))
		f.peer.in = append(f.peer.in, p[:n]...)
		sent += n
	}
	if sent == 0 {
		return 0, unix.EAGAIN
	}
	return sent, nil
}

func (k *faultKernel) Write(fd int, p []byte) (int, error) {
	f := k.file("write", fd)
	if err := k.fault("write"); err != nil {
		return 0, err
	}
	return k.put(f, p)
}

func (k *faultKernel) Writev(fd int, pieces [][]byte) (int, error) {
	f := k.file("writev", fd)
	if err := k.fault("writev"); err != nil {
		return 0, err
	}
	return k.put(f, pieces...)
}

func (k *faultKernel) SendFile(fd, file int, off int64, n int) (int, error) {
	f := k.file("sendfile", fd)
	if err := k.fault("sendfile"); err != nil {
		return 0, err
	}
	if f.reset || f.peer.closed {
		return 0, unix.EPIPE
	}
	b := make([]byte, min(n, faultRoom-len(f.peer.in)))
	if len(b) == 0 {
		return 0, unix.EAGAIN
	}
	got, err := unix.Pread(file, b, off)
	if got <= 0 {
		return 0, err
	}
	return k.put(f, b[:got])
}

func (k *faultKernel) CloseWrite(fd int) error {
	f := k.file("shutdown", fd)
	if err := k.fault("shutdown"); err != nil {
		return err
	}
	f.shut = true
	if f.peer != nil {
		f.peer.fin = true
	}
	return nil
}

// close gives the descriptor back even when it fails, as the kernel does.
func (k *faultKernel) close(fd int) {
	f := k.file("close", fd)
	if k.watched[fd] != 0 && !k.stuck[fd] {
		k.fail("descriptor %d was closed while it is watched", fd)
	}
	delete(k.watched, fd)
	delete(k.stuck, fd)
	f.closed = true
	delete(k.files, fd)
	if f.peer != nil {
		f.peer.fin = true
		if len(f.in) > 0 {
			f.peer.reset = true
		}
	}
	for _, p := range f.backlog {
		p.closed, p.peer.fin, p.peer.reset = true, true, true
	}
}

func (k *faultKernel) Close(fd int) error {
	k.close(fd)
	return k.fault("close")
}
