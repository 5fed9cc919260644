package middleware

import (
	"fmt"
	"runtime/debug"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// ErrorLogger takes structured log entries. A *slog.Logger is one, and a conn.Logger.
type ErrorLogger interface {
	Error(msg string, args ...any)
}

// Recover replies with 500 if a handler panics in an event of a request, and logs the panic with
// its stack. Fields that were set for the reply before go with it. If no request waits for a reply
// any more, the connection fails with reason conn.Panicked, as it does without Recover. A nil l is
// the loop's log. Recover does not see a panic in a timer or in a function of Do.
func Recover(l ErrorLogger) Middleware {
	return func(next http.Handler) http.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			var r *http.Request
			switch ev := ev.(type) {
			case *http.Head:
				r = &ev.Request
			case *http.Message:
				r = &ev.Request
			case *http.Chunk: // the head is not valid any more
			default:
				next(c, ev)
				return
			}
			defer func() {
				if v := recover(); v != nil {
					recovered(c, r, l, v)
				}
			}()
			next(c, ev)
		}
	}
}

// recovered replies to the request of c, whose handler panicked with v. r is nil if the event has
// no request.
func recovered(c *conn.Conn, r *http.Request, l ErrorLogger, v any) {
	if l == nil && c.Layer().Shared().Log != nil {
		l = c.Layer().Shared().Log
	}
	if r == nil {
		r = new(http.Request)
	}
	if l != nil {
		l.Error("handler panicked", "panic", fmt.Sprint(v), "method", r.Method, "target", string(r.Target),
			"stack", string(debug.Stack()))
	}
	if err := http.Error(c, 500); err != nil {
		c.Layer().Fail(conn.Panicked, fmt.Errorf("panic: %v", v))
	}
}
