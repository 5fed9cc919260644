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

// AccessLog writes a line to w for each request when its reply is queued, in the common log format:
//
//	127.0.0.1 - - [02/Jan/2026:15:04:05 +0100] "GET /path?query HTTP/1.1" 200 512
//
// The time is that of the request's head. The status is 0 if the connection ended before the reply,
// and 101 if it left HTTP. Bytes from the client that could end or fake a line are written as \xHH.
// Each line is one Write on the loop's goroutine: w must not block. Errors are dropped. With
// several loops w must be safe for concurrent use, as an *os.File is.
func AccessLog(w io.Writer, client Client) Middleware {
	return accessLog(client, func(e *entry) {
		e.line = e.appendCommon(e.line[:0])
		w.Write(e.line)
	})
}

// AccessLogTo gives l an entry "request" for each request when its reply is queued, with client,
// method, target, host, proto, status, bytes, duration, pattern (if a Mux has a route), agent and
// referer. The client's bytes are not escaped: that is for l to do. See AccessLog for status and
// goroutine.
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

// An entry keeps what the log needs of a request until its reply is queued: the slices of the
// request are not valid any more by then.
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
	done  func(status int, bytes int64) // the method logReply, bound once
}

// maxLine bounds the buffers of an entry that goes back to the pool, in bytes.
const maxLine = 4 << 10

func accessLog(client Client, write func(e *entry)) Middleware {
	pool := new(sync.Pool)
	pool.New = func() any {
		e := &entry{write: write, pool: pool}
		e.done = e.logReply
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
		if http.OnReply(c, e.done) != nil {
			pool.Put(e) // the request has its reply already
		}
		return true
	})
}

func (e *entry) logReply(status int, bytes int64) {
	e.status, e.bytes = status, bytes
	e.write(e)
	if cap(e.line)+cap(e.target)+cap(e.authority)+cap(e.agent)+cap(e.referer) <= maxLine {
		e.pool.Put(e)
	}
}

// host is the client's address, "-" if it is not known.
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
