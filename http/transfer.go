package http

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/conn"
)

// A transfer is a file that is being sent.
type transfer struct {
	f     fs.File     // nil when there is none
	os    *os.File    // f, if the connection sends from it itself
	at    io.ReaderAt // f, if it can be read at any offset
	off   int64       // of the next bytes, for os and at
	left  int64
	parts []filePiece // of a multipart/byteranges, still to come
	tail  string      // its last line
	bucket
}

// A filePiece is a part of a multipart/byteranges.
type filePiece struct {
	head []byte
	Range
}

func (t *transfer) close() { t.f.Close() } // the connection may have closed it already

func (t *transfer) unsent() int64 {
	n := t.left
	for i := range t.parts {
		n += t.parts[i].Length
	}
	return n
}

var errShortFile = errors.New("http: serve file: the file is shorter than it was when it was opened")

// send queues as much of the file as may be queued now. It reports last after the last byte is
// queued, or, if the connection sends from the file, sent.
func (t *transfer) send(x *exchange, c *conn.Conn) (last bool, err error) {
	for {
		if t.left == 0 {
			more, err := t.next(c)
			if err != nil {
				return false, err
			}
			if !more {
				// The file is open until it is sent. Later requests wait, since each would open
				// another file.
				return c.FilePending() == 0, nil
			}
		}
		if t.rate > 0 && (c.FilePending() > 0 || c.Pending() >= fileStep) || t.os == nil && c.Pending() >= fileStep {
			return false, nil
		}
		n := t.draw(c.Layer().Shared().Now, t.left)
		if n == 0 {
			x.due = c.Layer().Shared().Now + int64(t.wait(t.left))
			return false, nil
		}
		if t.os != nil {
			err = t.give(c, n)
		} else {
			err = t.read(x, c, n)
		}
		if err != nil {
			return false, err
		}
	}
}

// next goes on to the next part, and reports whether there is more to send.
func (t *transfer) next(c *conn.Conn) (more bool, err error) {
	if len(t.parts) == 0 {
		_, err = c.WriteString(t.tail)
		t.tail = ""
		return false, err
	}
	p := &t.parts[0]
	t.off, t.left = p.Start, p.Length
	t.parts = t.parts[1:]
	_, err = c.Write(p.head)
	return true, err
}

// give queues n bytes of the file for the connection to send. With the last of them the connection
// also gets the duty to close the file, so that this happens even if the HTTP layer has been
// removed by then.
func (t *transfer) give(c *conn.Conn, n int64) error {
	var owner io.Closer
	if n == t.left && len(t.parts) == 0 {
		owner = t.f
	}
	if err := c.SendFile(t.os, t.off, n, owner); err != nil {
		return err
	}
	t.off += n
	t.left -= n
	return nil
}

// read queues one step of the file, of n bytes at most.
func (t *transfer) read(x *exchange, c *conn.Conn, n int64) error {
	b := x.srv.fileBuffer()[:min(fileStep, n)]
	var got int
	var err error
	if t.at != nil {
		got, err = t.at.ReadAt(b, t.off)
	} else {
		got, err = t.f.Read(b)
	}
	if got == 0 {
		// RFC 9112 8: a message shorter than its Content-Length is incomplete; only the end of the
		// connection shows that.
		if err == nil || err == io.EOF {
			err = errShortFile
		}
		return err
	}
	t.off += int64(got)
	t.left -= int64(got)
	t.tokens += n - int64(got)
	_, err = c.Write(b[:got])
	return err
}

// A bucket limits a transfer to a rate.
type bucket struct {
	rate   int64 // bytes per second, 0 is no bound
	tokens int64 // bytes that may be sent now
	since  int64 // when tokens was true
}

// bursts is the part of a second that a bucket holds.
const bursts = 4

// throttle sets the rate of the bucket, which is full at the time now.
func (k *bucket) throttle(rate int, now int64) {
	if rate > 0 {
		*k = bucket{rate: int64(rate), tokens: max(int64(rate)/bursts, 1), since: now}
	}
}

// draw returns how many of n bytes may be sent now: 0 while the bucket has too few tokens for a
// useful step.
func (k *bucket) draw(now, n int64) int64 {
	if k.rate == 0 {
		return n
	}
	full := max(k.rate/bursts, 1)
	passed := float64(now-k.since) / float64(time.Second)
	more := int64(float64(k.rate) * min(passed, 1)) // a second fills it in any case
	if k.tokens += more; k.tokens >= full {
		k.tokens, k.since = full, now
	} else {
		k.since += int64(float64(more) / float64(k.rate) * float64(time.Second))
	}
	if k.tokens < min(n, max(full/2, 1)) {
		return 0
	}
	n = min(n, k.tokens)
	k.tokens -= n
	return n
}

// wait returns how long it takes until n bytes, or a step of them, may be sent.
func (k *bucket) wait(n int64) time.Duration {
	missing := min(n, max(k.rate/bursts/2, 1)) - k.tokens
	return time.Duration(float64(missing)/float64(k.rate)*float64(time.Second)) + time.Millisecond // never just too short
}
