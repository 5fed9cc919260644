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

// Recover answers with 500 when a handler panics, and logs the panic with its stack. Fields that were set for the answer
// before go with it. When there is no request to answer any more, the connection fails with reason conn.Panicked, as it
// does without Recover. A nil l is the loop's log. A panic in a timer or a Do function, after the handler has returned, is
// not seen here.
func Recover(l ErrorLogger) Middleware {
	return func(next http.Handler) http.Handler {
		return func(c *conn.Conn, m *http.Message) {
			defer func() {
				v := recover()
				if v == nil {
					return
				}
				to := l
				if to == nil && c.Shared().Log != nil {
					to = c.Shared().Log
				}
				if to != nil {
					to.Error("handler panicked", "panic", fmt.Sprint(v), "method", m.Method, "target", string(m.Target),
						"stack", string(debug.Stack()))
				}
				if err := http.Error(c, 500); err != nil {
					c.Fail(conn.Panicked, fmt.Errorf("panic: %v", v))
				}
			}()
			next(c, m)
		}
	}
}
