package http

import "github.com/seed4930a636/mangusta/conn"

// answerNote is what OnAnswer will tell.
type answerNote struct {
	call   func(status int, bytes int64)
	status int
	size   int64
}

// OnAnswer has f called once the whole answer to the request that waits is queued: with its status, and with how many
// bytes of content it has, which are none for HEAD. For a hijacked connection that is 101 and 0. When the connection
// ends before the answer, the status is 0; before its last byte, bytes is what was queued of it. f runs on the loop,
// when the request is no longer there to be looked at or answered. With several, the last one given is called first. It
// returns ErrNoRequest when no request waits.
func OnAnswer(c *conn.Conn, f func(status int, bytes int64)) error {
	x, err := waiting(c)
	if err != nil {
		return err
	}
	if before := x.note.call; before != nil {
		last := f
		f = func(status int, bytes int64) {
			last(status, bytes)
			before(status, bytes)
		}
	}
	x.note.call = f
	return nil
}

// noteAnswer remembers an answer whose head is being queued.
func (x *exchange) noteAnswer(status int, length int64) {
	x.note.status, x.note.size = status, max(length, 0)
	if x.is(isHead) || status == 204 || status == 205 || status == 304 {
		x.note.size = 0
	}
}

// noted takes the note off an exchange that is over.
func (x *exchange) noted() answerNote {
	n := x.note
	x.note = answerNote{}
	switch {
	case x.phase == phaseOver:
		n.status, n.size = 101, 0
	case x.is(live):
		n.status, n.size = 0, 0
	}
	if x.file.f != nil { // cut
		n.size -= x.file.left
		for i := range x.file.parts {
			n.size -= x.file.parts[i].Length
		}
	}
	return n
}
