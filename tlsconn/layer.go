package tlsconn

import (
	"crypto/tls"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrTruncated is in the error of a connection whose peer ended the stream within a record or
	// within the handshake.
	ErrTruncated = errors.New("tlsconn: the stream ended within a record")
	// ErrFlood is wrapped by the error of a connection whose peer has sent too much that carries no
	// data.
	ErrFlood = errors.New("tlsconn: flood")

	errReplies   = floodError("the peer asks for more replies than 64 a minute (KeyUpdate)")
	errNoData    = floodError("20 KB of records without data")
	errHandshake = floodError("the handshake has more bytes than Config.HandshakeBytes")
)

type floodError string

func (e floodError) Error() string { return "tlsconn: flood: " + string(e) }
func (floodError) Unwrap() error   { return ErrFlood }

// What a peer may have after the handshake without sending data.
const (
	mostReplies = 64     // in repliesTime
	repliesTime = 60     // seconds
	mostFed     = 20_000 // bytes of records since the last data
)

// A layer is the TLS of one connection: the conn.Layered above crypto/tls. The loop's goroutine
// owns it, but for the fields of hs that say otherwise.
type layer struct {
	c     *conn.Conn
	below conn.Transport
	side  *side // what all connections of the Server or Client share
	tls   *tls.Conn
	hs    *handshake // until that is over

	// read state
	feed      feeder
	failed    error  // what Read returns after the data before it
	repliesAt uint32 // in seconds of the loop's clock
	fed       uint16 // bytes since the last data
	replies   uint8  // since repliesAt
	flags     layerFlags

	// write state
	unsent []byte // ciphertext that the kernel has not taken
}

type layerFlags uint8

const (
	reading   layerFlags = 1 << iota // crypto/tls reads
	replied                          // and has written
	more                             // crypto/tls holds plaintext
	ended                            // the end of the peer's stream was read
	truncated                        // it came without close_notify
	short                            // the last send to the kernel was short
	notified                         // close_notify is sent, or among unsent
	closed
)

// Below implements conn.Layered.
func (l *layer) Below() conn.Transport { return l.below }

// Read implements conn.Transport.
func (l *layer) Read(fd int, p []byte) (int, error) {
	for {
		if l.flags&more == 0 {
			if l.failed != nil {
				return 0, l.failed
			}
			if l.flags&ended != 0 {
				return 0, nil
			}
			if err := l.record(fd); err != nil {
				l.feed.rest()
				l.compact()
				return 0, err
			}
			if l.flags&ended != 0 {
				return 0, nil
			}
		}
		n, err := l.decrypt(p)
		if n > 0 {
			l.fed = 0
			l.flags &^= more
			if n == len(p) && err == nil {
				l.flags |= more
			}
		} else if l.flags &^= more; l.fed > mostFed && (err == nil || err == syscall.EAGAIN) {
			l.side.stats.floods.Add(1)
			err = errNoData
		}
		switch {
		case err == nil, err == syscall.EAGAIN:
		case err == io.EOF:
			l.flags |= ended
		default:
			l.fail(err)
		}
		if n > 0 {
			if l.flags&more == 0 && l.failed == nil && !l.feed.whole() {
				l.feed.rest()
				l.compact()
			}
			return n, nil
		}
	}
}

// record takes the next record for crypto/tls, from the feeder or from the kernel, or finds the end
// of the stream.
func (l *layer) record(fd int) error {
	for {
		rec, err := l.feed.run(1)
		switch {
		case err != nil:
			l.side.stats.records.Add(1)
			return l.fail(err)
		case rec != nil:
			l.fed += uint16(len(rec)) // at most mostFed and one record
			l.feed.borrow().in = rec
			return nil
		}
		n, err := l.feed.fill(func(p []byte) (int, error) { return l.below.Read(fd, p) })
		if err != nil {
			return err
		}
		if n == 0 {
			return l.endOfStream()
		}
	}
}

// endOfStream handles the peer's FIN without close_notify before it: anybody on the way may have
// forged that (RFC 8446 §6.1).
func (l *layer) endOfStream() error {
	l.flags |= ended | truncated
	l.side.stats.truncated.Add(1)
	if l.feed.partial() {
		return l.fail(ErrTruncated)
	}
	l.feed.rest()
	return nil
}

// decrypt has crypto/tls read, and counts what it writes meanwhile.
func (l *layer) decrypt(p []byte) (int, error) {
	l.flags |= reading
	n, err := l.tls.Read(p)
	l.flags &^= reading
	if l.flags&replied == 0 {
		return n, err
	}
	l.flags &^= replied
	if now := uint32(l.c.Layer().Shared().Now / int64(time.Second)); l.replies == 0 || now-l.repliesAt > repliesTime {
		l.repliesAt, l.replies = now, 0
	}
	if l.replies++; l.replies > mostReplies && (err == nil || err == syscall.EAGAIN) {
		l.side.stats.floods.Add(1)
		err = errReplies
	}
	return n, err
}

// fail keeps err, to be returned by Read from now on, and returns it.
func (l *layer) fail(err error) error {
	l.failed = err
	l.feed.release()
	l.feed.part = nil
	return err
}

// Buffered implements conn.Layered.
func (l *layer) Buffered() bool {
	return l.flags&more != 0 || l.failed != nil || l.flags&ended == 0 && l.feed.whole()
}
