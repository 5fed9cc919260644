package middleware

import (
	"io"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
)

// InfoLogger takes structured log entries. A *slog.Logger is one.
type InfoLogger interface {
	Info(msg string, args ...any)
}

// AccessLog writes a line to w for each request when its answer is queued, in the common log format:
//
//	127.0.0.1 - - [02/Jan/2026:15:04:05 +0100] "GET /path?query HTTP/1.1" 200 512
//
// The time is that of the request's head. The status is 0 when the connection ended before the answer, and 101 when it became
// another protocol's. Of what the client sent, bytes that could end or fake a line are written as \xHH. Each line is one
// Write on the loop's goroutine, which w must not hold up for long; errors are dropped. With several loops w must be safe
// for concurrent use, as an *os.File is.
func AccessLog(w io.Writer, client Client) Middleware {
	return accessLog(client, func(e *entry) {
		e.line = e.appendCommon(e.line[:0])
		w.Write(e.line)
	})
}

// AccessLogTo gives l an entry "request" for each request when its answer is queued, with client, method, target, host,
// proto, status, bytes, duration, pattern (of a Mux, when there is one), agent and referer. What the client sent comes as
// it was sent, for l to escape. See AccessLog for status and goroutine.
func AccessLogTo(l InfoLogger, client Client) Middleware {
	return accessLog(client, func(e *entry) {
		args := []any{"client", e.host(), "method", e.method, "target", string(e.target), "host", string(e.authority),
			"proto", "HTTP/1." + strconv.Itoa(e.minor), "status", e.status, "bytes", e.bytes,
			"duration", time.Since(e.start)}
		if e.pattern != "" {
			args = append(args, "pattern", e.pattern)
		}
		l.Info("request", append(args, "agent", string(e.agent), "referer", string(e.referer))...)
	})
}

// entry is what is kept of a request until it is answered: its own slices are gone by then.
type entry struct {
	client                            netip.Addr
	start                             time.Time
	method, pattern                   string
	target, authority, agent, referer []byte
	minor, status                     int
	bytes                             int64

	line  []byte
	write func(e *entry)
	pool  *sync.Pool
	done  func(status int, bytes int64) // the method answered, bound once
}

// maxLine is how much of a spare entry's line is kept.
const maxLine = 4 << 10

func accessLog(client Client, write func(e *entry)) Middleware {
	pool := new(sync.Pool)
	pool.New = func() any {
		e := &entry{write: write, pool: pool}
		e.done = e.answered
		return e
	}
	return http.Guard(func(c *conn.Conn, r *http.Request) bool {
		e := pool.Get().(*entry)
		e.client, e.start = client.addr(c, r), time.Now()
		e.method, e.pattern, e.minor = r.Method, r.Pattern(), r.Minor
		e.target = append(e.target[:0], r.Target...)
		e.authority = append(e.authority[:0], r.Host...)
		e.agent = append(e.agent[:0], r.Header("User-Agent")...)
		e.referer = append(e.referer[:0], r.Header("Referer")...)
		if http.OnAnswer(c, e.done) != nil {
			pool.Put(e) // somebody has answered before
		}
		return true
	})
}

func (e *entry) answered(status int, bytes int64) {
	e.status, e.bytes = status, bytes
	e.write(e)
	if cap(e.line)+cap(e.target)+cap(e.authority)+cap(e.agent)+cap(e.referer) <= maxLine {
		e.pool.Put(e)
	}
}

// host is the client's address, "-" when it is not known.
func (e *entry) host() string {
	if !e.client.IsValid() {
		return "-"
	}
	return e.client.String()
}

func (e *entry) appendCommon(b []byte) []byte {
	if e.client.IsValid() {
		b = e.client.AppendTo(b)
	} else {
		b = append(b, '-')
	}
	b = append(b, " - - ["...)
	b = e.start.AppendFormat(b, "02/Jan/2006:15:04:05 -0700")
	b = append(b, `] "`...)
	b = appendEscaped(b, []byte(e.method))
	b = appendEscaped(append(b, ' '), e.target)
	b = append(b, " HTTP/1."...)
	b = strconv.AppendInt(b, int64(e.minor), 10)
	b = strconv.AppendInt(append(b, `" `...), int64(e.status), 10)
	b = strconv.AppendInt(append(b, ' '), e.bytes, 10)
	return append(b, '\n')
}

func appendEscaped(b, s []byte) []byte {
	const hex = "0123456789abcdef"
	for _, x := range s {
		if x <= ' ' || x >= 0x7f || x == '"' || x == '\\' {
			b = append(b, '\\', 'x', hex[x>>4], hex[x&15])
		} else {
			b = append(b, x)
		}
	}
	return b
}
