package update

import (
	"bytes"
	"errors"
	"strconv"
	"sync"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/device/internal/rest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/middleware"
)

// Mount adds the routes of the Updater to x:
//
//	GET    PATH            the Status, as JSON
//	POST   PATH?size=N     begins an update, or goes on with it; the body is the signature file. With
//	                       &force=true it may be older than what runs. The reply is the Status: its
//	                       offset is where to go on
//	PATCH  PATH            the bytes from Upload-Offset on, as many as the client likes to send at once
//	DELETE PATH            drops the update that is being received
//
// A PATCH whose Upload-Offset is not that of the Status gets 409 with the Status. The reply to the
// PATCH with the last byte is sent after the signature was checked and the disk has the program. It
// is the Status, with the state "ready". Then the program has to be restarted.
//
// mayRead is called for each GET, and mayChange for each other request, before its body is read. If
// one returns false it must have replied. Pages of other origins are refused.
func (u *Updater) Mount(x *http.Mux, path string, mayRead, mayChange func(c *conn.Conn, r *http.Request) bool) {
	guard := http.Guard(mayChange)
	x.MustHandle("GET "+path, func(c *conn.Conn, _ *http.Message) { u.reply(c, 200, nil) }, http.Guard(mayRead))
	x.MustHandle("POST "+path, u.post, csrf, guard)
	x.MustHandle("DELETE "+path, func(c *conn.Conn, _ *http.Message) {
		err := u.Abort()
		u.reply(c, statusOf(err), err)
	}, csrf, guard)
	ups := &uploads{u: u}
	x.MustHandleEvents("PATCH "+path, ups.event, csrf, guard)
}

var csrf = middleware.CSRF()

// reply sends the Status, and the error if there is one.
func (u *Updater) reply(c *conn.Conn, status int, err error) {
	reply := struct {
		Status
		Error string `json:"error,omitempty"`
		Code  string `json:"code,omitempty"`
	}{Status: u.Status()}
	if err != nil {
		reply.Error, reply.Code = err.Error(), rest.Code(err)
	}
	rest.Reply(c, status, reply)
}

func (u *Updater) post(c *conn.Conn, m *http.Message) {
	size, _ := m.QueryVar("size")
	force, _ := m.QueryVar("force")
	n, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		u.reply(c, 400, rest.Coded("malformed", "update: the size is missing"))
		return
	}
	sig, later := bytes.Clone(m.Body), rest.LaterOf(c, m.Later())
	go func() { // the part that is there is read again
		_, err := u.Begin(sig, n, force == "true")
		u.replyLater(later, err)
	}()
}

func (u *Updater) replyLater(later rest.Later, err error) {
	later.Complete(func(c *conn.Conn) { u.reply(c, statusOf(err), err) }, nil)
}

// statusOf returns the status of a reply that says err.
func statusOf(err error) int {
	switch {
	case err == nil:
		return 200
	case errors.Is(err, ErrSignature), errors.Is(err, ErrBoard), errors.Is(err, ErrOlder):
		return 422
	case errors.Is(err, ErrSize):
		return 413
	case errors.Is(err, ErrTrial), errors.Is(err, ErrNoUpdate), errors.Is(err, ErrBusy), errors.Is(err, errTaken):
		return 409
	case full(err):
		return 507
	}
	return 500
}

// uploads has the PATCH that is under way, on one of the loops.
type uploads struct {
	u *Updater

	mu  sync.Mutex
	now *upload // nil while there is none
}

// An upload is one PATCH. It belongs to the update for which it began: another client may begin another
// one meanwhile.
type upload struct {
	c  *conn.Conn
	in *incoming
	at int64 // of the next byte
}

func (ups *uploads) event(c *conn.Conn, ev conn.Event) {
	switch ev := ev.(type) {
	case *http.Head:
		ups.begin(c, ev)
	case *http.Chunk:
		up := ups.of(c)
		if up == nil {
			return // it has its reply: this is the rest of a body that was refused
		}
		err := ups.u.writeTo(up.in, up.at, ev.Data)
		if up.at += int64(len(ev.Data)); err != nil {
			ups.u.reply(c, statusOf(err), err)
		} else if ev.Last {
			ups.end(c, rest.LaterOf(c, ev.Later()), up)
		}
	}
}

func (ups *uploads) of(c *conn.Conn) *upload {
	ups.mu.Lock()
	defer ups.mu.Unlock()
	if ups.now == nil || ups.now.c != c {
		return nil
	}
	return ups.now
}

// take makes up the one that is under way; false if there is another.
func (ups *uploads) take(up *upload) bool {
	ups.mu.Lock()
	defer ups.mu.Unlock()
	if ups.now != nil {
		return false
	}
	ups.now = up
	return true
}

func (ups *uploads) giveBack() {
	ups.mu.Lock()
	defer ups.mu.Unlock()
	ups.now = nil
}

func (ups *uploads) begin(c *conn.Conn, h *http.Head) {
	at, err := strconv.ParseInt(string(h.Header("Upload-Offset")), 10, 64)
	up := &upload{c: c, at: at}
	if err != nil || !ups.take(up) {
		ups.u.reply(c, 409, rest.Coded("busy", "update: Upload-Offset is missing, or another upload is under way"))
		return
	}
	h.Later().OnEnd(ups.giveBack)
	if up.in = ups.u.receiving(at); up.in == nil {
		ups.u.reply(c, 409, rest.Coded("offset", "update: this is not the offset to go on from"))
		return
	}
	if err := http.StreamBody(c); err != nil {
		ups.u.reply(c, 500, err)
	}
}

// end is called when a PATCH is complete. The disk may take its time: the loop does not wait for
// it.
func (ups *uploads) end(c *conn.Conn, later rest.Later, up *upload) {
	if up.at < up.in.size {
		ups.u.reply(c, 200, nil)
		return
	}
	go func() {
		_, err := ups.u.finish(up.in)
		ups.u.replyLater(later, err)
	}()
}
