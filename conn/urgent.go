package conn

import (
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// SetUrgent says whether an *Urgent event tells of urgent data (TCP's out-of-band byte; Linux has
// it on unix sockets too). The byte is taken out of the stream, unless SocketOptions.OOBInline or
// SetOOBInline leaves it there: then the event comes once, when the mark has arrived, and AtMark
// tells when all before it has been read. While reading has stopped no Urgent event comes. The
// kernel keeps one urgent byte: a second one makes the first a byte of the stream (Linux).
//
// Over TLS, and where the descriptor is no socket, the error wraps errors.ErrUnsupported.
func (c *Conn) SetUrgent(on bool) error {
	c.check("SetUrgent")
	if c.state == closed {
		return ErrClosed
	}
	if _, ok := c.tr.(messenger); !ok {
		return fmt.Errorf("conn: urgent data: the transport has none: %w", errors.ErrUnsupported)
	}
	c.aside().pri = on
	c.noteBeside()
	c.touch()
	return nil
}

// SendUrgent queues b as an urgent byte (MSG_OOB), after what is queued already. It returns what
// SendMsg returns.
func (c *Conn) SendUrgent(b byte) error {
	if _, ok := c.tr.(messenger); !ok || c.flags&submits != 0 {
		return fmt.Errorf("conn: urgent data: the transport has none: %w", errors.ErrUnsupported)
	}
	if err := c.admit(1); err != nil {
		return err
	}
	c.queueMessage(&message{p: []byte{b}, flags: unix.MSG_OOB})
	return nil
}

// Urgent says that the poller has found urgent data (Pri). It comes in each turn until the mark has
// been read over.
func (d *Driver) Urgent() {
	c := (*Conn)(d)
	if c.flags&beside != 0 && c.rare.aside.pri && c.state == open && c.flags&(shut|eof|connecting) == 0 {
		c.rare.aside.urgent(c)
	}
}

// readUrgent takes the urgent byte. EAGAIN: the mark has come, but not the byte. EINVAL: the byte
// is left in the stream (SO_OOBINLINE), or has been read.
func (c *Conn) readUrgent() {
	a := c.rare.aside
	b := [1]byte{}
	n, _, _, err := c.tr.(messenger).RecvMsg(int(c.fd), b[:], nil, unix.MSG_OOB)
	switch {
	case err == nil && n == 1:
		c.lastActive = c.sh.Now
		c.sh.Stats.BytesIn++
		c.fire(&Urgent{Byte: b[0]})
	case err == unix.EINVAL && !a.told:
		a.told = true
		c.fire(&Urgent{Inline: true})
	}
}

// AtMark reports whether the next byte to be read from the kernel is the urgent one (SIOCATMARK).
// Unread bytes in Recv come before the mark.
func (k *Kernel) AtMark() (bool, error) {
	c := (*Conn)(k)
	at := false
	err := c.setOption("AtMark", func(fd int) (err error) {
		at, err = atMark(fd)
		return err
	})
	return at, err
}

func atMark(fd int) (bool, error) {
	n, err := unix.IoctlGetInt(fd, unix.SIOCATMARK)
	return n != 0, os.NewSyscallError("ioctl", err)
}

// SetOOBInline sets SO_OOBINLINE: the urgent byte stays in its place in the stream.
func (k *Kernel) SetOOBInline(on bool) error {
	c := (*Conn)(k)
	return c.setOption("SetOOBInline", func(fd int) error { return soOOBInline.set(fd, oneIf(on)) })
}

// Peek copies to p the bytes that wait in the kernel, and leaves them there to be read (MSG_PEEK).
// Unread bytes in Recv are not among them: they have left the kernel. 0 and no error mean that
// nothing waits; at the end of the stream the error is io.EOF. A connection that is to be looked at
// before anything is read calls Pause in Accept or Open first.
//
// Over TLS, and where the descriptor is no socket, the error wraps errors.ErrUnsupported.
func (c *Conn) Peek(p []byte) (int, error) {
	c.check("Peek")
	m, ok := c.tr.(messenger)
	switch {
	case c.state == closed:
		return 0, ErrClosed
	case !ok:
		return 0, fmt.Errorf("conn: peek: the transport cannot: %w", errors.ErrUnsupported)
	case len(p) == 0:
		return 0, nil
	}
	n, _, _, err := m.RecvMsg(int(c.fd), p, nil, unix.MSG_PEEK)
	for err == unix.EINTR {
		n, _, _, err = m.RecvMsg(int(c.fd), p, nil, unix.MSG_PEEK)
	}
	switch {
	case err == unix.EAGAIN || err == unix.ENOTCONN && c.flags&connecting != 0:
		return 0, nil
	case err != nil:
		return 0, fmt.Errorf("conn: peek: %w", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}
