package http

import (
	"time"

	"github.com/seed4930a636/mangusta/internal/wire"
)

// ParseTime reads an HTTP-date in any of its three forms (RFC 9110 5.6.7), to the letter; the name
// of the day must be one, though not the right one. A second 60 is the first of the next minute. It
// allocates nothing.
func ParseTime(b []byte) (t time.Time, ok bool) { return wire.ParseTime(b, time.Now) }

// A dateLine is the Date field of the replies of one loop. It is made anew once a second.
type dateLine struct {
	until int64 // of the loop's clock
	line  []byte
}

// at returns "Date: …CRLF" for the loop's clock now, in nanoseconds; nothing while the machine has
// no clock.
func (d *dateLine) at(now int64) []byte {
	if now >= d.until || d.line == nil {
		d.set(now, time.Now().UTC())
	}
	return d.line
}

func (d *dateLine) set(now int64, t time.Time) {
	d.until = now + int64(time.Second) - int64(t.Nanosecond())
	d.line = append(d.line[:0], "Date: "...)
	// RFC 9110 6.6.1: an origin server with a clock sends Date, one without must not.
	if t.Before(clockless) {
		d.line = d.line[:0]
		return
	}
	d.line = append(t.AppendFormat(d.line, wire.TimeFormat), "\r\n"...)
}
