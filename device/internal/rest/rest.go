// Package rest has what the REST routes of a device's packages share: JSON bodies, failures, and
// replies from another goroutine.
package rest

import (
	"bytes"
	"slices"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/json"
	"github.com/seed4930a636/mangusta/mgr"
)

// IsJSON reports whether the body of r is declared as application/json, or as one of the other
// types. A page of another origin cannot send these without asking first (CORS).
func IsJSON(r *http.Request, others ...string) bool {
	kind, _, _ := bytes.Cut(r.Header("Content-Type"), []byte(";"))
	kind = bytes.ToLower(bytes.TrimSpace(kind))
	return string(kind) == "application/json" || slices.Contains(others, string(kind))
}

// Reply replies with v as JSON, which no cache may keep.
func Reply(c *conn.Conn, status int, v any) {
	http.SetHeader(c, "Cache-Control", "no-store")
	json.Reply(c, status, v)
}

// Fail replies with {"error": the text of err, "code": its Code}.
func Fail(c *conn.Conn, status int, err error) {
	Reply(c, status, struct {
		Error string `json:"error"`
		Code  string `json:"code,omitempty"`
	}{err.Error(), Code(err)})
}

// A Later is a request whose reply comes from another goroutine.
type Later struct {
	*http.Later
	Loop *mgr.Manager // of the request
}

// LaterOf returns the Later of an event of a request on c. It is called on the loop.
func LaterOf(c *conn.Conn, later *http.Later) Later { return Later{later, mgr.Of(c)} }

// Complete runs f on the loop, as if in an event of the request. If the request is over, gone, unless
// nil, is called in place of f, on any goroutine. The loop takes f even when its queue is full:
// the caller bounds how many requests are under way. Safe for concurrent use.
func (l Later) Complete(f func(c *conn.Conn), gone func()) {
	closed := l.Loop.Complete(func() {
		if l.With(f) != nil && gone != nil {
			gone()
		}
	})
	if closed != nil && gone != nil {
		gone()
	}
}
