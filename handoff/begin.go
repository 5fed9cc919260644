package handoff

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Begin looks for the process that this one replaces, on Options.Path, and takes copies of its
// listening sockets. If there is none, this is the first process. Begin waits for Options.Patience
// at most; the program has no loop yet.
//
// A process that has begun calls Ready within Patience, or Close.
func Begin(o Options) (*Process, error) {
	p := &Process{opts: o.withDefaults(), before: -1}
	if _, err := conn.ParseAddr(p.controlURL()); err != nil || o.Path == "" {
		return nil, fmt.Errorf("handoff: begin: path %q: not the path of a unix socket", o.Path)
	}
	if err := p.begin(); err != nil {
		p.Close()
		return nil, fmt.Errorf("handoff: begin: %w", err)
	}
	return p, nil
}

// begin asks the process before for its listeners. If that one dies meanwhile, begin waits until
// another process answers, or the path is free: the kernel closes the descriptors of a dead process
// one after the other, and the listeners may not be closed yet.
func (p *Process) begin() error {
	last := errSlow // when the time is over
	for end := time.Now().Add(p.opts.Patience); ; time.Sleep(time.Millisecond) {
		fd, err := dial(p.opts.Path, end)
		if errors.Is(err, errSlow) {
			return last
		}
		if err != nil || fd < 0 {
			return err // what has come of a dead process's listeners is used
		}
		p.closeRest() // of the one that died: the one that answers now has its own
		p.offered, p.before = nil, fd
		if err = p.ask(fd, end); errors.Is(err, errSlow) {
			return last
		} else if !died(err) {
			return err
		}
		last = errDying
		p.opts.Log.Warn("handoff: the old process has hung up; it is asked again")
		unix.Close(fd)
		p.before = -1
		switch {
		case p.elder: // who comes back, and is asked next; its listeners are the same
			p.closeRest()
			p.offered, p.elder = nil, false
		case p.has(p.controlURL()):
			return nil // nobody but this process has the path
		}
	}
}

// has reports whether a listener on addr has come.
func (p *Process) has(addr string) bool {
	return slices.ContainsFunc(p.offered, func(o offered) bool { return o.addr == addr })
}

// ask asks the process at the other end of fd for its listeners, until end.
func (p *Process) ask(fd int, end time.Time) error {
	if who, err := conn.PeerCredentials(fd); err != nil {
		return err
	} else if !p.opts.Allow(who) {
		return fmt.Errorf("%w: %d", ErrNotAllowed, who.UID)
	}
	if err := write(fd, appendFrame(nil, kindHello, 0, hello())); err != nil && !died(err) {
		return err
	}
	for {
		f, file, err := read(fd, end)
		if err != nil { // died: a process that lives says Abort first
			return err
		}
		step("begin " + string(f.kind))
		switch f.kind {
		case kindListener:
			p.offered = append(p.offered, offered{addr: string(f.payload), fd: file})
		case kindElder:
			p.elder = true
		case kindOffered:
			return nil
		case kindAbort:
			return fmt.Errorf("%w: %s", ErrAborted, f.payload)
		default:
			drop(file)
			return errFrame
		}
	}
}

// drop closes the descriptor of a frame that is not wanted.
func drop(file int) {
	if file >= 0 {
		unix.Close(file)
	}
}

// refusals is how often dial tries again a path that is bound and on which no process listens, each
// millisecond.
var refusals = 20

// dial connects to path, until end. The descriptor is -1 if no process listens there.
func dial(path string, end time.Time) (int, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	if err := wait(fd, unix.SO_SNDTIMEO, end); err != nil { // of connect, too
		unix.Close(fd)
		return -1, err
	}
	// Refused is a path that a dead process has left, or one that a living process has bound and will
	// listen on in a moment.
	for refused := 0; ; {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
		if err == unix.ECONNREFUSED && refused < refusals {
			refused++
			time.Sleep(time.Millisecond)
		} else if err != unix.EINTR {
			break
		}
	}
	switch err {
	case nil:
		return fd, nil
	case unix.ENOENT, unix.ECONNREFUSED:
		unix.Close(fd)
		return -1, nil
	}
	unix.Close(fd)
	return -1, slow(os.NewSyscallError("connect", err)) // EAGAIN: it is there, and does not accept
}

// wait has the calls of a kind on fd, SO_RCVTIMEO or SO_SNDTIMEO, wait until end at most.
func wait(fd, kind int, end time.Time) error {
	left := time.Until(end)
	if left <= 0 {
		return errSlow
	}
	tv := unix.NsecToTimeval(int64(max(left, time.Microsecond))) // 0 would be for ever
	return os.NewSyscallError("setsockopt", unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, kind, &tv))
}

func write(fd int, b []byte) error {
	for len(b) > 0 {
		n, err := unix.SendmsgN(fd, b, nil, nil, msgNoSignal)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return slow(os.NewSyscallError("sendmsg", err))
		}
		b = b[n:]
	}
	return nil
}

var (
	errSlow  = errors.New("the other process does not answer in time")
	errDying = errors.New("the process that listens on the path hangs up time and again: it dies, or is out of descriptors")
)

func slow(err error) error {
	if errors.Is(err, unix.EAGAIN) {
		return errSlow
	}
	return err
}

var errGone = errors.New("the other process has gone")

// died reports whether err says that there is no process at the other end any more.
func died(err error) bool {
	return errors.Is(err, errGone) || errors.Is(err, unix.ECONNRESET) || errors.Is(err, unix.EPIPE)
}

// read reads one frame from a blocking socket, and not a byte more, until end. file is its
// descriptor, -1 if it has none, or after an error.
func read(fd int, end time.Time) (f frame, file int, err error) {
	file = -1
	defer func() {
		if err != nil && file >= 0 {
			unix.Close(file)
			file = -1
		}
	}()
	b := make([]byte, frameHeader)
	for have := 0; ; {
		if err := wait(fd, unix.SO_RCVTIMEO, end); err != nil { // for each, however many come
			return f, file, err
		}
		var oob [64]byte // for more than one descriptor, which is an error
		n, k, flags, _, err := unix.Recvmsg(fd, b[have:], oob[:], cmsgCloexec)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return f, file, slow(os.NewSyscallError("recvmsg", err))
		}
		surplus := false
		for _, came := range rights(oob[:k]) {
			unix.CloseOnExec(came)
			if file >= 0 {
				unix.Close(came)
				surplus = true
				continue
			}
			file = came
		}
		if surplus {
			return f, file, errFrame
		}
		if flags&unix.MSG_CTRUNC != 0 {
			return f, file, errors.New("no room for the other process's descriptors")
		}
		if n <= 0 {
			return f, file, errGone
		}
		if have += n; have < len(b) {
			continue
		}
		f, whole, err := parseFrame(b)
		switch {
		case err != nil:
			return f, file, err
		case whole > 0 && (f.files == 1) != (file >= 0):
			return f, file, errFrame
		case whole > 0:
			return f, file, nil
		}
		b = append(b, make([]byte, frameSize(b)-len(b))...)
	}
}

// rights returns the descriptors in control messages.
func rights(control []byte) (files []int) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for i := range messages {
		if got, err := unix.ParseUnixRights(&messages[i]); err == nil {
			files = append(files, got...)
		}
	}
	return files
}

// Ready says that this process can serve: it has opened its listeners on the manager or managers of
// g. If there is a process before it, that one stops accepting, and Ready returns when it has; the
// error wraps ErrAborted if it goes on serving instead, and then this process must end. Listeners
// of the process before that the program has not taken are closed.
//
// From now on this process waits for its successor. Call Ready before Run, in the goroutine that
// will call it.
func (p *Process) Ready(g mgr.Group) error {
	if err := p.ready(g); err != nil {
		p.Close()
		return fmt.Errorf("handoff: ready: %w", err)
	}
	return nil
}

func (p *Process) ready(g mgr.Group) error {
	p.loops = g.Managers()
	p.host = p.loops[0]
	control, err := p.host.Listen(p.controlURL(), p.onControl, mgr.ListenOptions{Socket: conn.SocketOptions{Mode: p.controlMode()}})
	if err != nil {
		return err
	}
	p.control = control
	p.host.Exempt(control) // a process that is full can be replaced, too
	if p.before < 0 {      // there was none, or it has died
		p.closeRest()
		return nil
	}
	if err := write(p.before, appendFrame(nil, kindReady, 0, p.readiness())); err != nil && !died(err) {
		p.host.Release(control, true)
		return err
	}
	p.closeRest()
	step("ready sent")
	f, file, err := read(p.before, time.Now().Add(p.opts.Patience))
	drop(file) // none of these frames has one
	switch {
	case died(err) && p.elder:
		err = fmt.Errorf("%w: it is the one before the last, which has died", ErrAborted)
	case died(err): // it would have said Abort first
		p.opts.Log.Warn("handoff: the old process has died; this one serves")
		unix.Close(p.before)
		p.before = -1
		return nil
	case err == nil && f.kind == kindAbort:
		err = fmt.Errorf("%w: %s", ErrAborted, f.payload)
	case err == nil && f.kind != kindGo:
		err = errFrame
	}
	if err != nil {
		p.host.Release(control, true)
		return err
	}
	step("go received")
	return p.receive()
}

// readiness is the payload of kindReady.
func (p *Process) readiness() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	flags := byte(0)
	if p.opts.Move {
		flags |= readyMoves
	}
	b := []byte{flags}
	for i, o := range p.offered {
		if o.taken {
			b = append(b, number(uint64(i))...)
		}
	}
	return b
}

// controlMode is the mode of the file at Options.Path.
func (p *Process) controlMode() os.FileMode {
	if p.opts.Path[0] == '@' {
		return 0
	}
	return 0o600
}
