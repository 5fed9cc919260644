package tlsconn

import (
	"sync"
	"syscall"
)

const (
	sealMost = 64 << 10 // plaintext sealed before it is given to the kernel
	sealSize = sealMost + 4*256
)

// seals are what ciphertext is collected in, and plaintext that comes in small pieces.
var (
	seals  = sync.Pool{New: func() any { b := make([]byte, 0, sealSize); return &b }}
	gather = sync.Pool{New: func() any { return new([maxPlaintext]byte) }}
)

// Write implements conn.Transport. It seals as much as the kernel takes, and at most one portion
// more: 64 KiB, or one record after the kernel's buffer was full, so that slow peers hold little.
func (l *layer) Write(fd int, p []byte) (int, error) {
	taken := 0
	for len(p) > 0 {
		if err := l.sendUnsent(fd); err != nil {
			if taken > 0 && err == syscall.EAGAIN {
				err = nil
			}
			return taken, err
		}
		most := sealMost
		if l.flags&short != 0 {
			most = maxPlaintext
		}
		n := min(len(p), most)
		if err := l.seal(fd, p[:n]); err != nil {
			return taken, err
		}
		p = p[n:]
		taken += n
	}
	return taken, nil
}

// Writev implements conn.Transport. Small pieces share a record.
func (l *layer) Writev(fd int, pieces [][]byte) (int, error) {
	if len(pieces) == 1 {
		return l.Write(fd, pieces[0])
	}
	room := gather.Get().(*[maxPlaintext]byte)
	defer gather.Put(room)
	taken := 0
	for len(pieces) > 0 {
		p, n := pieces[0], 0
		if len(p) < len(room) {
			for len(pieces) > 0 && n+len(pieces[0]) <= len(room) {
				n += copy(room[n:], pieces[0])
				pieces = pieces[1:]
			}
			p = room[:n]
		} else {
			pieces = pieces[1:]
		}
		k, err := l.Write(fd, p)
		if taken += k; k < len(p) || err != nil {
			if taken > 0 && err == syscall.EAGAIN {
				err = nil
			}
			return taken, err
		}
	}
	return taken, nil
}

// seal encrypts p and gives the kernel the records. What it does not take becomes unsent. The
// caller has seen to it that nothing is unsent.
func (l *layer) seal(fd int, p []byte) error {
	b := seals.Get().(*[]byte)
	l.unsent = (*b)[:0]
	_, err := l.tls.Write(p)
	out := l.unsent
	l.unsent = nil
	var sent int
	var failed error
	if err == nil {
		sent, failed = l.send(fd, out)
	}
	if rest := out[sent:]; err == nil && failed == nil && len(rest) > 0 {
		l.unsent = append(make([]byte, 0, len(rest)), rest...)
		l.flags |= short
	} else {
		l.flags &^= short
	}
	if cap(out) == sealSize {
		*b = out[:0]
		seals.Put(b)
	}
	if err != nil {
		return err
	}
	return failed
}

// send gives p to the kernel, which may take a part of it.
func (l *layer) send(fd int, p []byte) (sent int, err error) {
	for sent < len(p) {
		n, err := l.below.Write(fd, p[sent:])
		if n > 0 {
			sent += n
		}
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return sent, nil
		case err != nil:
			return sent, err
		case n == 0:
			return sent, nil
		}
	}
	return sent, nil
}

// sendUnsent gives the kernel all that is unsent, or returns EAGAIN.
func (l *layer) sendUnsent(fd int) error {
	if len(l.unsent) == 0 {
		return nil
	}
	n, err := l.send(fd, l.unsent)
	switch rest := l.unsent[n:]; {
	case len(rest) == 0:
		l.unsent = nil
	case len(rest) < cap(l.unsent)/4: // a slow peer must not hold 64 KiB for its last bytes
		l.unsent = append(make([]byte, 0, len(rest)), rest...)
	default:
		l.unsent = l.unsent[:copy(l.unsent, rest)] // the capacity says what is held
	}
	if err == nil && l.unsent != nil {
		l.flags |= short
		return syscall.EAGAIN
	}
	return err
}

// Unsent implements conn.Layered.
func (l *layer) Unsent() int { return len(l.unsent) }

// What a connection takes beside buffers, measured on 64 bits: TestHolds.
const (
	holdsIdle      = 3400     // two AEADs, secrets, tls.Conn, layer
	holdsBuffers   = 3584     // of crypto/tls after a handshake, where their sizes are not known
	holdsHandshake = 20 << 10 // what crypto/tls has in the middle of a handshake, and its goroutine's stack
)

// Holds implements conn.Layered: buffers are counted as they are, the rest is estimated.
func (l *layer) Holds() int {
	n := cap(l.unsent) + cap(l.feed.part)
	if l.feed.buf != nil {
		n += readSize
	}
	switch h := l.hs; {
	case h != nil:
		if h.phase > ready {
			n += holdsHandshake
		}
	case l.tls == nil:
	case known:
		n += holdsIdle + bufferOf(l.tls, rawInput).Cap() + bufferOf(l.tls, hand).Cap()
	default:
		n += holdsIdle + holdsBuffers
	}
	return n
}

// Flush implements conn.Layered.
func (l *layer) Flush(fd int) error { return l.sendUnsent(fd) }

// CloseWrite implements conn.Transport: close_notify, then shutdown(SHUT_WR).
func (l *layer) CloseWrite(fd int) error {
	l.notify()
	if err := l.sendUnsent(fd); err != nil {
		return err
	}
	return l.below.CloseWrite(fd)
}

// notify puts close_notify after what is unsent, once, if there is somebody to understand it. A
// stream that was cut ends without: the peer must see that something is missing (RFC 8446 §6.1).
func (l *layer) notify() {
	if l.flags&notified == 0 && !l.c.Layer().WasCut() && l.hs == nil && l.tls != nil && l.failed == nil {
		l.flags |= notified
		l.tls.CloseWrite() // an error says that an alert has ended the stream already
	}
}

// Close implements conn.Transport. It may come at any time, while a worker computes too.
func (l *layer) Close(fd int) error {
	if l.flags&closed == 0 {
		l.flags |= closed
		if h := l.hs; h != nil {
			if h.phase == computing {
				l.feed = feeder{} // the worker may be reading what is in the buffer: it is left to the garbage collector
			}
			if h.phase != abandoned {
				l.side.stats.unfinished.Add(1)
			}
			h.abandon()
		} else {
			l.notify()
		}
		if fd >= 0 && len(l.unsent) > 0 {
			l.send(fd, l.unsent)
		}
		l.feed.release()
		l.feed.part = nil
		l.unsent = nil
	}
	if fd < 0 {
		return nil
	}
	return l.below.Close(fd)
}
