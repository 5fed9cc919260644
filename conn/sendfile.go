package conn

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

var (
	// ErrShortFile says that a file given to SendFile ended before the bytes that were to be sent.
	ErrShortFile = errors.New("conn: the file is shorter than what was to be sent of it")

	errFileRange = errors.New("conn: send file: negative offset or length")
)

// A fileSender is a Transport that can have the kernel send a file. SendFile sends n bytes of file
// from the offset off, or the beginning of them, and never waits for the peer: 0 and no error mean
// that the file ends at off. It returns EINVAL, ENOSYS or EOPNOTSUPP when this file cannot be sent
// so.
type fileSender interface {
	SendFile(fd, file int, off int64, n int) (int, error)
}

// A filePart is a part of a queue that does not go out together with others: a stretch of a file,
// or a message.
type filePart struct {
	send    func(c *Conn, p *filePart) (asked, n int, err error) // a value, to be linked on mention
	message *message

	f     *os.File
	fd    int
	off   int64
	left  int64
	owner io.Closer
	plain bool // to be read and written: the kernel does not send it
}

// SendFile queues n bytes of the regular file f from the offset off, after what is queued and
// before later Writes. None of it is kept in memory, so the send limit does not count it, and
// neither does Pending: see FilePending. Write events tell of the progress, and a Drained event of
// the end. owner, usually f, is closed exactly once, when the bytes have been sent or when the
// connection ends; it may be nil, and f must then stay open as long.
//
// The bytes are those that the file has when their turn comes. When it ends too early or cannot be
// read, the connection ends with Error{IOError} (ErrShortFile, or the error of the kernel).
//
// In one turn of the loop 256 KiB are sent at most, with sendfile(2) where Transport and system
// have it, and with pread(2) and Write elsewhere; of a file in the page cache sendfile sends 1 MiB.
// Sending never waits for the peer, but the loop does wait for a disk to give up to 256 KiB that
// are not in the page cache.
//
// SendFile returns ErrClosed as Write does; nothing is queued then, and owner is not closed.
func (c *Conn) SendFile(f *os.File, off, n int64, owner io.Closer) error {
	c.check("SendFile")
	if c.state != open || c.flags&shutWrite != 0 { // shutWrite is set on datagram sockets too
		return ErrClosed
	}
	if off < 0 || n < 0 {
		return errFileRange
	}
	if n == 0 {
		if owner != nil {
			owner.Close()
		}
		return nil
	}
	q := c.ownQueue()
	q.place()
	q.parts = append(q.parts, part{file: &filePart{send: (*Conn).sendFile, f: f, fd: int(f.Fd()), off: off, left: n, owner: owner}})
	c.begun()
	q.files += n
	c.flags |= aboveHigh // Drained tells the end of it
	c.touch()
	return nil
}

// FilePending returns the number of bytes that SendFile has queued and the kernel has not yet
// taken.
func (c *Conn) FilePending() int64 {
	if c.out == nil {
		return 0
	}
	return c.out.files
}

// fileMax is flushMax for what the kernel sends from memory, which takes it a tenth of a
// millisecond.
const fileMax = 1 << 20

// sendFile is sendSome for a stretch of a file. Bytes that are read and then not taken by a short
// Write are read again when the peer has room: so a connection whose peer does not read holds no
// memory.
func (c *Conn) sendFile(p *filePart) (asked, n int, err error) {
	asked = int(min(p.left, fileMax))
	if s, ok := c.tr.(fileSender); ok && !p.plain {
		n, err = s.SendFile(int(c.fd), p.fd, p.off, asked)
		switch {
		case err == unix.EINVAL || err == unix.ENOSYS || err == unix.EOPNOTSUPP:
			p.plain = true
		case n == 0 && err == nil:
			return asked, 0, ErrShortFile
		default:
			return asked, max(n, 0), err
		}
	}
	// Not the loop's read buffer: a handler that broadcasts may have it on loan.
	b := c.sh.getBuf(readSize)
	b = b[:min(asked, readSize)]
	if n, err = p.f.ReadAt(b, p.off); n == 0 {
		c.sh.putBuf(b)
		if err == io.EOF {
			err = ErrShortFile
		}
		return asked, 0, err
	}
	asked, n, err = c.send(b[:n])
	if err == ErrSubmitted {
		c.out.kept = b
	} else {
		c.sh.putBuf(b)
	}
	return asked, n, err
}

// advanceFile marks n bytes of p, the first part of the queue, as sent.
func (q *queue) advanceFile(p *filePart, n int) {
	done := false
	if p.message != nil {
		q.size -= n
		done = p.message.took(n)
	} else {
		p.off += int64(n)
		p.left -= int64(n)
		q.files -= int64(n)
		done = p.left == 0
	}
	if done {
		q.parts[q.first] = part{}
		q.first++
		p.close()
	}
}

func (p *filePart) close() {
	if p.message != nil {
		p.message.close()
	}
	if p.owner != nil {
		p.owner.Close()
	}
}

// closeFiles closes what was not sent.
func (q *queue) closeFiles() {
	for i := range q.parts[q.first:] {
		t := &q.parts[q.first+i]
		if t.file != nil {
			t.file.close()
			t.file = nil
		}
	}
	q.files = 0
}
