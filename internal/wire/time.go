package wire

import (
	"strings"
	"time"
)

const (
	monthNames = "JanFebMarAprMayJunJulAugSepOctNovDec"
	dayNames   = "MonTueWedThuFriSatSun"
)

// TimeFormat is IMF-fixdate (RFC 9110 5.6.7). The time must be in UTC.
const TimeFormat = "Mon, 02 Jan 2006 15:04:05 GMT"

// ParseTime reads an HTTP-date in any of its three forms (RFC 9110 5.6.7), to the letter; the name
// of the day must be one, though not the right one. A second 60 is the first of the next minute.
// now is asked for dates that have two digits for the year. It allocates nothing.
func ParseTime(b []byte, now func() time.Time) (t time.Time, ok bool) {
	var d dateFields
	switch {
	case len(b) == len("Sun, 06 Nov 1994 08:49:37 GMT") && b[3] == ',':
		// IMF-fixdate
		d = dateFields{day: b[5:7], month: b[8:11], year: b[12:16], clock: b[17:25]}
		ok = isName(dayNames, b[:3]) && isFilled(b[3:], ", __ ___ ____ ________ GMT")
	case len(b) == len("Sun Nov  6 08:49:37 1994"):
		// asctime-date
		d = dateFields{day: b[8:10], month: b[4:7], year: b[20:], clock: b[11:19]}
		if b[8] == ' ' {
			d.day = b[9:10]
		}
		ok = isName(dayNames, b[:3]) && isFilled(b[3:], " ___ __ ________ ____")
	default:
		// rfc850-date: a long day name goes in front
		i := 0
		for i < len(b) && b[i] != ',' {
			i++
		}
		if rest := b[i:]; isLongDay(b[:i]) && isFilled(rest, ", __-___-__ ________ GMT") {
			d = dateFields{day: rest[2:4], month: rest[5:8], year: rest[9:11], clock: rest[12:20]}
			ok = true
		}
	}
	if !ok {
		return t, false
	}
	return d.time(now)
}

// dateFields are the places of a date where digits and the month stand.
type dateFields struct{ day, month, year, clock []byte }

func (d *dateFields) time(now func() time.Time) (t time.Time, ok bool) {
	day, ok1 := number(d.day)
	year, ok2 := number(d.year)
	hour, ok3 := number(d.clock[0:2])
	minute, ok4 := number(d.clock[3:5])
	second, ok5 := number(d.clock[6:8])
	if !ok1 || !ok2 || !ok3 || !ok4 || !ok5 || !isFilled(d.clock, "__:__:__") || !isName(monthNames, d.month) {
		return t, false
	}
	month := time.Month(strings.Index(monthNames, string(d.month))/3 + 1)
	if hour > 23 || minute > 59 || second > 60 || day < 1 || day > daysIn(year, month, len(d.year)) {
		return t, false
	}
	if len(d.year) == 2 {
		// RFC 9110 5.6.7: a date that seems to lie more than 50 years in the future is the latest
		// one in the past with the same two digits.
		today := now().UTC()
		year += today.Year() / 100 * 100
		limit := today.AddDate(50, 0, 0)
		if t = time.Date(year, month, day, hour, minute, second, 0, time.UTC); t.After(limit) {
			year -= 100
		}
		if day > daysIn(year, month, 4) {
			return t, false
		}
	}
	return time.Date(year, month, day, hour, minute, second, 0, time.UTC), true
}

// daysIn returns the days of a month; with two digits for the year every fourth one may be a leap
// year.
func daysIn(year int, month time.Month, digits int) int {
	switch month {
	case time.April, time.June, time.September, time.November:
		return 30
	case time.February:
		if year%4 == 0 && (digits == 2 || year%100 != 0 || year%400 == 0) {
			return 29
		}
		return 28
	}
	return 31
}

func number(b []byte) (n int, ok bool) {
	for _, x := range b {
		if !IsDigit(x) {
			return 0, false
		}
		n = n*10 + int(x-'0')
	}
	return n, true
}

// isFilled reports whether b is the form, but for its underscores, which stand for any byte.
func isFilled(b []byte, form string) bool {
	if len(b) != len(form) {
		return false
	}
	for i, x := range b {
		if form[i] != '_' && form[i] != x {
			return false
		}
	}
	return true
}

// isName looks for a name of three letters among names.
func isName(names string, b []byte) bool {
	for ; names != ""; names = names[3:] {
		if string(b) == names[:3] {
			return true
		}
	}
	return false
}

func isLongDay(b []byte) bool {
	switch string(b) {
	case "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday":
		return true
	}
	return false
}
