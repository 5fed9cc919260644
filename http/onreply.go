package http

import "github.com/seed4930a636/mangusta/conn"

// A replyNote holds what the functions of OnReply will be told.
type replyNote struct {
	call   func(status int, bytes int64)
	status int
	size   int64
}

// OnReply has f called after the whole reply to the request that waits is queued: with its status,
// and with the number of bytes of its content (0 for HEAD). For a hijacked connection these are 101
// and 0. If the connection ends before the reply, the status is 0; if it ends within the reply,
// bytes is the number that were queued. f runs on the loop, after the request has ended: it can
// neither read it nor reply. Of several functions, the last one given is called first. It returns
// ErrNoRequest if no request waits.
func OnReply(c *conn.Conn, f func(status int, bytes int64)) error {
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

// noteReply remembers a reply whose head is being queued.
func (x *exchange) noteReply(status int, length int64) {
	x.note.status, x.note.size = status, max(length, 0)
	if x.is(isHead) || status == 204 || status == 205 || status == 304 {
		x.note.size = 0
	}
}
