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

// Recover answers with 500 when a handler panics in an event of a request, and logs the panic with its stack. Fields that
// were set for the answer before go with it. When there is no request to answer any more, the connection fails with reason
// conn.Panicked, as it does without Recover. A nil l is the loop's log. A panic in a timer or a Do function, after the
// handler has returned, is not seen here.
func Recover(l ErrorLogger) Middleware {
	return func(next http.Handler) http.Handler {
		return func(c *conn.Conn, ev conn.Event) {
			var r *http.Request
			switch ev := ev.(type) {
			case *http.Head:
				r = &ev.Request
			case *http.Message:
				r = &ev.Request
			case *http.Chunk: // its head is gone
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

// recovered answers the request of c, whose handler panicked with v. r is nil when the event did not tell.
func recovered(c *conn.Conn, r *http.Request, l ErrorLogger, v any) {
	if l == nil && c.Shared().Log != nil {
		l = c.Shared().Log
	}
	if r == nil {
		r = new(http.Request)
	}
	if l != nil {
		l.Error("handler panicked", "panic", fmt.Sprint(v), "method", r.Method, "target", string(r.Target),
			"stack", string(debug.Stack()))
	}
	if err := http.Error(c, 500); err != nil {
		c.Fail(conn.Panicked, fmt.Errorf("panic: %v", v))
	}
}
