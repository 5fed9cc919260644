package http

import "time"

// timeFormat is IMF-fixdate (RFC 9110 5.6.7). The time must be in UTC.
const timeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// A dateLine is the Date field of the replies of one loop. It is made anew once a second.
type dateLine struct {
	until int64 // of the loop's clock
	line  []byte
}

// at returns "Date: …CRLF" for the loop's clock now, in nanoseconds.
func (d *dateLine) at(now int64) []byte {
	if now >= d.until || d.line == nil {
		t := time.Now().UTC()
		d.until = now + int64(time.Second) - int64(t.Nanosecond())
		d.line = append(t.AppendFormat(append(d.line[:0], "Date: "...), timeFormat), "\r\n"...)
	}
	return d.line
}
