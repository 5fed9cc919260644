package conn

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"golang.org/x/sys/unix"
)

// Credentials say which process sent bytes over a unix socket, or is connected to it, as the kernel
// knows it. PID is 0 on systems that do not tell it.
type Credentials struct {
	PID, UID, GID int
}

// controlSize has room for all that Linux puts beside one read: SCM_MAX_FD, 253, descriptors and
// credentials. A smaller buffer would make the kernel throw descriptors away.
const controlSize = 2048

// A messenger is a Transport whose bytes can have control messages beside them. flags are those of
// recvmsg(2) and sendmsg(2).
type messenger interface {
	RecvMsg(fd int, p, control []byte, flags int) (n, controls, outFlags int, err error)
	SendMsg(fd int, p, control []byte, flags int) (int, error)
}

// RecvMsg is recvmsg(2), with the descriptors that come close-on-exec.
func (s *Socket) RecvMsg(fd int, p, control []byte, flags int) (n, controls, outFlags int, err error) {
	n, controls, outFlags, _, err = unix.Recvmsg(fd, p, control, flags|cmsgCloexec)
	return max(n, 0), controls, outFlags, err
}

// SendMsg is sendmsg(2).
func (s *Socket) SendMsg(fd int, p, control []byte, flags int) (int, error) {
	return count(unix.SendmsgN(fd, p, control, nil, flags))
}

// aside is what a connection has for news that come beside its bytes. It is made by SetAncillary
// and SetUrgent, so programs without these have none of their code.
type aside struct {
	recv   func(c *Conn, p []byte) (int, error) // reads, with the flag beside
	tell   func(c *Conn, n int)                 // of what came with the last recv, of n bytes
	urgent func(c *Conn)                        // reads urgent data

	controls  bool   // SetAncillary(true)
	pri       bool   // SetUrgent(true)
	control   []byte // of the last recv
	truncated bool
	ev        Ancillary
	who       Credentials // of ev
	told      bool        // of an urgent mark that is still in the stream
}

func (c *Conn) aside() *aside {
	r := c.rarely()
	if r.aside == nil {
		r.aside = &aside{recv: (*Conn).recvBeside, tell: (*Conn).tellAside, urgent: (*Conn).readUrgent}
	}
	return r.aside
}

// SetAncillary says whether the connection, one over a unix socket, takes descriptors and
// credentials that come beside its bytes: an *Ancillary event tells of them. Without it the kernel
// closes what comes. The kernel adds credentials to all that is sent from now on, on systems that
// have SO_PASSCRED (Linux). Call it in Open or Accept, before there is anything to read.
//
// Over TLS, and where the descriptor is no socket, the error wraps errors.ErrUnsupported.
func (c *Conn) SetAncillary(on bool) error {
	c.check("SetAncillary")
	if c.state == closed {
		return ErrClosed
	}
	if _, ok := c.tr.(messenger); !ok || c.flags&submits != 0 {
		return fmt.Errorf("conn: ancillary data: the transport has none: %w", errors.ErrUnsupported)
	}
	if err := passCredentials(int(c.fd), on); err != nil {
		return fmt.Errorf("conn: ancillary data: %w", err)
	}
	c.aside().controls = on
	c.noteBeside()
	return nil
}

// noteBeside sets the flag beside where something is to be read beside the bytes.
func (c *Conn) noteBeside() {
	c.flags &^= beside
	if a := c.rare.aside; a.controls || a.pri || a.told {
		c.flags |= beside
	}
}

// recvBeside is recv with the flag beside. A read never goes past an urgent mark, so the mark is
// over after a read that has begun at it.
func (c *Conn) recvBeside(p []byte) (n int, err error) {
	a := c.rare.aside
	over := false
	if a.told {
		over, err = atMark(int(c.fd))
		over = over || err != nil
	}
	if a.controls {
		n, err = c.recvMsg(p)
	} else {
		n, err = c.tr.Read(int(c.fd), p)
	}
	if over && n > 0 {
		a.told = false
		c.noteBeside()
	}
	return n, err
}

// recvMsg is recv for a connection with SetAncillary. The control messages that come with the bytes
// wait in aside.control for tellAside.
func (c *Conn) recvMsg(p []byte) (int, error) {
	a := c.rare.aside
	if cap(a.control) == 0 {
		a.control = make([]byte, controlSize)
	}
	room := a.control[:cap(a.control)]
	n, controls, flags, err := c.tr.(messenger).RecvMsg(int(c.fd), p, room, 0)
	if err != nil {
		return 0, err
	}
	a.control = room[:controls]
	a.truncated = flags&unix.MSG_CTRUNC != 0
	return n, nil
}

// tellAside fires Ancillary for what came beside the n bytes of the last recv, if anything did.
// Descriptors that no handler takes are closed, even if a handler panics. The end of the stream (n
// is 0) has credentials beside it, too, which tell nothing.
func (c *Conn) tellAside(n int) {
	a := c.rare.aside
	if len(a.control) == 0 && !a.truncated {
		return
	}
	a.ev = Ancillary{Control: a.control, Truncated: a.truncated, Files: a.ev.Files[:0]}
	a.control, a.truncated = a.control[:0], false
	a.read()
	defer a.closeRest()
	if n > 0 {
		c.fire(&a.ev)
	}
}

// read takes descriptors and credentials out of Control. Messages of other kinds, and malformed
// ones, are left to the handler.
func (a *aside) read() {
	for rest := a.ev.Control; len(rest) >= unix.CmsgLen(0); {
		header, data, after, err := unix.ParseOneSocketControlMessage(rest)
		if err != nil {
			return
		}
		rest = after
		switch {
		case header.Level != unix.SOL_SOCKET:
		case header.Type == unix.SCM_RIGHTS:
			for ; len(data) >= 4; data = data[4:] {
				fd := int(int32(binary.NativeEndian.Uint32(data)))
				closeOnExec(fd)
				a.ev.Files = append(a.ev.Files, fd)
			}
		case isCredentials(header.Type, data):
			a.who = credentials(data)
			a.ev.Credentials = &a.who
		}
	}
}

// Take returns a copy of Files, and makes the descriptors the caller's to close. The next Take
// returns nil.
func (ev *Ancillary) Take() []int {
	if len(ev.Files) == 0 {
		return nil
	}
	files := slices.Clone(ev.Files)
	ev.Files = ev.Files[:0]
	return files
}

func (a *aside) closeRest() {
	for _, fd := range a.ev.Files {
		unix.Close(fd)
	}
	a.ev = Ancillary{Files: a.ev.Files[:0]}
}

// PeerCredentials asks the kernel which process is at the other end of a unix socket (SO_PEERCRED):
// the one that called connect, or listen, whoever has the descriptor by now. Where the system does
// not tell, the error wraps errors.ErrUnsupported.
func (k *Kernel) PeerCredentials() (Credentials, error) {
	c := (*Conn)(k)
	c.check("PeerCredentials")
	if c.state == closed {
		return Credentials{}, ErrClosed
	}
	who, err := PeerCredentials(int(c.fd))
	if err != nil {
		return who, fmt.Errorf("conn: %w", err)
	}
	return who, nil
}

// maxFiles is the kernel's SCM_MAX_FD: how many descriptors one message may have beside it.
const maxFiles = 253

var errManyFiles = fmt.Errorf("conn: more than %d descriptors with one message", maxFiles)

// SendMsg is Write for a unix socket, with descriptors that go along with the first byte of p. They
// are duplicated now, so the caller may close its own at once. p must not be empty, and at most 253
// descriptors may go with it.
//
// It returns ErrClosed and ErrSendLimit as Write does, and an error that wraps
// errors.ErrUnsupported over TLS and where the descriptor is no socket; nothing is queued then.
func (c *Conn) SendMsg(p []byte, files ...int) error {
	if _, ok := c.tr.(messenger); !ok || c.flags&submits != 0 {
		return fmt.Errorf("conn: send message: the transport has no ancillary data: %w", errors.ErrUnsupported)
	}
	switch {
	case len(p) == 0:
		return errors.New("conn: send message: descriptors need a byte to go with")
	case len(files) > maxFiles:
		return errManyFiles
	}
	if err := c.admit(len(p)); err != nil {
		return err
	}
	m := &message{p: slices.Clone(p)}
	for _, fd := range files {
		own, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 3)
		if err != nil {
			m.close()
			return fmt.Errorf("conn: send message: descriptor %d: %w", fd, err)
		}
		m.files = append(m.files, own)
	}
	c.queueMessage(m)
	return nil
}

// A message is a part of a queue that goes out in a sendmsg of its own: bytes with descriptors
// beside the first of them, or an urgent byte.
type message struct {
	p     []byte
	files []int // ours to close
	flags int   // of sendmsg
}

func (c *Conn) queueMessage(m *message) {
	q := c.ownQueue()
	q.place()
	q.parts = append(q.parts, part{file: &filePart{message: m, send: (*Conn).sendMessage}})
	c.queued(q, len(m.p))
}

// sendMessage is sendSome for a message.
func (c *Conn) sendMessage(part *filePart) (asked, n int, err error) {
	m := part.message
	var control []byte
	if len(m.files) > 0 {
		control = unix.UnixRights(m.files...)
	}
	n, err = c.tr.(messenger).SendMsg(int(c.fd), m.p, control, m.flags|msgNoSignal)
	if c.flags&tracing != 0 && n > 0 {
		c.dump("send", m.p[:n])
	}
	return len(m.p), max(n, 0), err
}

// took notes that n bytes, one at least, have been sent: the descriptors went with the first. It
// reports whether all are.
func (m *message) took(n int) bool {
	m.p = m.p[n:]
	m.close()
	return len(m.p) == 0
}

func (m *message) close() {
	for _, fd := range m.files {
		unix.Close(fd)
	}
	m.files = nil
}
