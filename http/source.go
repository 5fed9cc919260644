package http

import (
	"errors"
	"io"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

var (
	// ErrWait is returned by a Source that has no bytes at the moment.
	ErrWait = errors.New("http: the source has nothing yet")

	errShortSource = errors.New("http: reply from a source: it ended before the length that was told")
)

// A Source is the body of a long reply. It is asked for bytes as the client takes them: see
// ReplyFrom. Its methods are called on the loop and must not block.
type Source interface {
	// Next returns the next bytes, room of them at most; they are valid until the next call. With
	// the last of them, or after them, it returns io.EOF. A Source that returns ErrWait calls wake
	// as soon as it has more bytes or has come to its end. wake is safe for concurrent use, and
	// returns the errors of Later.Do; after ErrFull it must be called again. Any other error cuts
	// the reply, and is the error of the *conn.Error event.
	Next(room int, wake func() error) ([]byte, error)
	// Close is called once, after the reply is complete or has broken off.
	Close()
}

// A TrailerSource is a Source whose body has trailers. They are sent if the body is chunked; other
// bodies have no place for them. One that ValidTrailer refuses ends the reply, or the request, with
// ErrBadHeader.
type TrailerSource interface {
	Source
	// Trailers is called once, after Next has returned io.EOF.
	Trailers() []Field
}

func trailersOf(s Source) []Field {
	if s, ok := s.(TrailerSource); ok {
		return s.Trailers()
	}
	return nil
}

// ReplyFrom replies with the bytes of src, which is closed in any case. It never holds more of them
// than the connection's high-water mark. A negative length is a body of unknown length, sent as by
// Begin; otherwise src must have exactly that many bytes, or the connection is cut. The client of a
// HEAD request gets the head alone. The errors are those of BeginLength.
//
// FromReader makes a Source of an io.Reader.
func ReplyFrom(c *conn.Conn, status int, contentType string, length int64, src Source) error {
	x, err := waiting(c)
	if err != nil {
		src.Close()
		return err
	}
	return x.replyFrom(c, status, contentType, length, src)
}

// ReplyFrom is the function ReplyFrom for this request. It returns ErrGone, and the errors of that
// but ErrNoRequest.
func (l *Later) ReplyFrom(status int, contentType string, length int64, src Source) error {
	x, err := l.waiting()
	if err != nil {
		src.Close()
		return err
	}
	return x.replyFrom(l.c, status, contentType, length, src)
}

func (x *exchange) replyFrom(c *conn.Conn, status int, contentType string, length int64, src Source) error {
	x.flags &^= asStream // the rest of the body is not wanted
	if err := x.beginLength(c, status, contentType, length, pumps); err != nil {
		src.Close()
		return err
	}
	x.src = &feed{src: src, later: x.handle()}
	x.startPump(c)
	return nil
}

// A pumped gives an outlet that pumps the body of its reply: a file, or a Source.
type pumped interface {
	// send queues what the connection has room for. It reports whether that was the last.
	send(x *exchange, c *conn.Conn) (last bool, err error)
	// unsent returns how many bytes of those that exchange.note has counted are not queued yet.
	unsent() int64
	close()
}

// startPump begins to pump a reply whose head is queued.
func (x *exchange) startPump(c *conn.Conn) {
	x.pump(c)
	x.goOn(c)
}

// pumpOn goes on after bytes have gone out, after time has passed, or after the source has called
// wake.
func (x *exchange) pumpOn(c *conn.Conn) {
	x.pump(c)
	if c.IsOpen() {
		x.goOn(c)
	}
}

// pump queues as much as may be queued now, and ends the reply after the last of it.
func (x *exchange) pump(c *conn.Conn) {
	x.due = 0
	last, err := x.src.send(x, c)
	switch {
	case errors.Is(err, conn.ErrSendLimit):
		x.showCut(c)
		c.Layer().Fail(conn.SendLimit, err)
	case err != nil: // half a body cannot be repaired; the source is closed with the connection
		x.showCut(c)
		c.Layer().Fail(conn.IOError, err)
	case last:
		x.dropSource()
		x.out.on(ends)
	}
}

// A feed pumps from a Source.
type feed struct {
	src   Source
	later *Later
	wakes func() error // wake, made once
	idle  int          // calls of Next in a row that gave nothing
}

// maxIdle is how often Next may give neither bytes nor an error.
const maxIdle = 100

func (f *feed) send(x *exchange, c *conn.Conn) (last bool, err error) {
	if x.is(isHead) {
		return true, nil
	}
	if f.wakes == nil {
		f.wakes = f.wake
	}
	l := c.Limits()
	most := min(l.HighWater, l.Send/2)
	for c.IsOpen() {
		room := most - c.Pending()
		if room <= 0 {
			return false, nil // a Write event comes
		}
		p, err := f.src.Next(room, f.wakes)
		if len(p) > 0 {
			f.idle = 0
			if err := x.writeChunk(c, p); err != nil {
				return false, err
			}
		} else if f.idle++; err == nil && f.idle > maxIdle {
			return false, io.ErrNoProgress
		}
		switch {
		case err == nil:
		case err == ErrWait:
			return false, nil
		case err != io.EOF:
			return false, err
		case x.owed > 0:
			return false, errShortSource
		default:
			trailers := trailersOf(f.src)
			size, err := trailerSize(trailers)
			if err != nil {
				return false, err
			}
			return true, x.writeEnd(c, size, trailers)
		}
	}
	return false, nil
}

func (f *feed) unsent() int64 { return 0 }
func (f *feed) close()        { f.src.Close() }

// wake has the loop go on with the reply. Safe for concurrent use.
func (f *feed) wake() error {
	return f.later.Do(func() {
		if x := f.later.x; x != nil && x.out == outPumping && x.src == pumped(f) {
			x.pumpOn(f.later.c)
		}
	})
}

// FromReader makes a Source from r, which is read on goroutines of its own: Read may block. Up to
// two buffers of 32 KiB are read ahead. If r is an io.Closer, it is closed at the end, even during
// a Read, so that a Read that blocks returns.
func FromReader(r io.Reader) Source { return &readerSource{r: r} }

const readerRoom = 32 << 10

// A readerSource reads one buffer while the other is sent.
type readerSource struct {
	r io.Reader

	mu      sync.Mutex
	ready   []byte // bytes that were read, and that Next has not returned yet
	err     error  // of the last Read
	spare   []byte // not in use
	last    []byte // the bytes that Next has returned are in it
	reading bool
	waiting bool // Next has returned ErrWait
	closed  bool
}

func (s *readerSource) Next(room int, wake func() error) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.ready) == 0 && s.err == nil {
		s.read(wake)
		s.waiting = true
		return nil, ErrWait
	}
	p := s.ready[:min(room, len(s.ready))]
	s.ready = s.ready[len(p):]
	switch {
	case len(s.ready) > 0:
		return p, nil
	case s.err != nil:
		return p, s.err
	}
	s.read(wake)
	return p, nil
}

// read begins the next Read, into the buffer that Next does not return from. It is called with mu
// held.
func (s *readerSource) read(wake func() error) {
	if s.reading {
		return
	}
	s.reading = true
	b := s.spare
	if s.spare = s.last; b == nil {
		b = make([]byte, readerRoom)
	}
	s.last = b
	go func() {
		var n int
		var err error
		for idle := 0; n == 0 && err == nil; idle++ {
			if n, err = s.r.Read(b); idle == maxIdle {
				err = io.ErrNoProgress
			}
		}
		s.mu.Lock()
		s.ready, s.err, s.reading = b[:n], err, false
		rouse := s.waiting && !s.closed
		s.waiting = false
		s.mu.Unlock()
		for rouse {
			if err := wake(); err == nil || errors.Is(err, ErrGone) || err == errNoDo {
				return
			}
			time.Sleep(time.Millisecond) // the loop's queue is full
		}
	}()
}

func (s *readerSource) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	if r, ok := s.r.(io.Closer); ok {
		go r.Close() // it may block, and the loop may not
	}
}
