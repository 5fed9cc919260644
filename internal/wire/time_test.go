package wire

import (
	nethttp "net/http"
	"strings"
	"testing"
	"time"
)

func TestParseTime(t *testing.T) {
	nov := time.Date(1994, 11, 6, 8, 49, 37, 0, time.UTC)
	in2026 := func() time.Time { return time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC) }
	for _, x := range []struct {
		date string
		want time.Time // zero is malformed
	}{
		// RFC 9110 5.6.7: the three forms
		{"Sun, 06 Nov 1994 08:49:37 GMT", nov}, {"Sunday, 06-Nov-94 08:49:37 GMT", nov}, {"Sun Nov  6 08:49:37 1994", nov},
		{"Sun Nov 16 08:49:37 1994", nov.AddDate(0, 0, 10)}, {"Sun Nov 06 08:49:37 1994", nov},
		{"Tue, 29 Feb 2000 23:59:59 GMT", time.Date(2000, 2, 29, 23, 59, 59, 0, time.UTC)}, {"Sat, 31 Dec 2016 23:59:60 GMT", time.Date(2017, 1, 1, 0, 0, 0, 0, time.UTC)},
		// More than 50 years in the future is in the past.
		{"Monday, 01-Jan-76 00:00:00 GMT", time.Date(2076, 1, 1, 0, 0, 0, 0, time.UTC)}, {"Monday, 01-Jan-77 00:00:00 GMT", time.Date(1977, 1, 1, 0, 0, 0, 0, time.UTC)},
		{"Monday, 02-Jun-76 00:00:00 GMT", time.Date(1976, 6, 2, 0, 0, 0, 0, time.UTC)}, {"Monday, 29-Feb-00 00:00:00 GMT", time.Date(2000, 2, 29, 0, 0, 0, 0, time.UTC)},
		// Anything else is none: other zones, no zone, fractions, other cases, lengths and
		// separators.
		{"Sun, 06 Nov 1994 08:49:37 UTC", time.Time{}}, {"Sun, 06 Nov 1994 08:49:37", time.Time{}}, {"Sun, 06 Nov 1994 08:49:37 +0000", time.Time{}}, {"Sun, 06 Nov 1994 08:49:37.5 GMT", time.Time{}},
		{"sun, 06 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 06 nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 6 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 06 Nov 94 08:49:37 GMT", time.Time{}},
		{"Sun, 06-Nov-1994 08:49:37 GMT", time.Time{}}, {"Sun, 06-Nov-94 08:49:37 GMT", time.Time{}}, {"Xxx, 06 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 06 anF 1994 08:49:37 GMT", time.Time{}},
		{"Sun, 06 Nov 1994 08:49:37 gmt", time.Time{}}, {"Sun, 06 Nov 1994 08.49.37 GMT", time.Time{}}, {"Sun, +6 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 06 Nov -994 08:49:37 GMT", time.Time{}},
		{"Sun, 0x Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 06 Nov 199x 08:49:37 GMT", time.Time{}}, {"Sun, 06 Nov 1994 0x:49:37 GMT", time.Time{}}, {"Sun, 06 Nov 1994 08:x9:37 GMT", time.Time{}},
		{"Sun, 06 Nov 1994 08:49:3x GMT", time.Time{}}, {"Sun, 31 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 00 Nov 1994 08:49:37 GMT", time.Time{}}, {"Sun, 32 Dec 1994 08:49:37 GMT", time.Time{}}, {"Sun, 29 Feb 1900 08:49:37 GMT", time.Time{}},
		{"Sun, 06 Nov 1994 24:00:00 GMT", time.Time{}}, {"Sun, 06 Nov 1994 08:60:00 GMT", time.Time{}}, {"Sun, 06 Nov 1994 08:49:61 GMT", time.Time{}}, {"Sun Nov 6 08:49:37 1994", time.Time{}},
		{"Sun Nov  6 08:49:37 1994 ", time.Time{}}, {"Foo Nov  6 08:49:37 1994", time.Time{}}, {"Foo, 06-Nov-94 08:49:37 GMT", time.Time{}}, {"", time.Time{}}, {"0", time.Time{}}, {"-1", time.Time{}}, {"784111777", time.Time{}},
		{"Monday, 30-Feb-00 00:00:00 GMT", time.Time{}}, {"Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", time.Time{}},
	} {
		got, ok := ParseTime([]byte(x.date), in2026)
		if ok == x.want.IsZero() || ok && !got.Equal(x.want) {
			t.Errorf("%q: %v %v", x.date, got, ok)
		}
	}
}

// A year of two digits may be a leap year in one century and not in the other.
func TestParseTimeLeapDayOfAnotherCentury(t *testing.T) {
	in2049 := func() time.Time { return time.Date(2049, 1, 1, 0, 0, 0, 0, time.UTC) }
	in2101 := func() time.Time { return time.Date(2101, 1, 1, 0, 0, 0, 0, time.UTC) }
	if got, ok := ParseTime([]byte("Monday, 29-Feb-00 00:00:00 GMT"), in2049); !ok || got.Year() != 2000 {
		t.Error(got, ok)
	}
	if got, ok := ParseTime([]byte("Monday, 29-Feb-00 00:00:00 GMT"), in2101); ok {
		t.Error(got)
	}
}

func TestParseTimeAllocatesNothing(t *testing.T) {
	b := []byte("Sun, 06 Nov 1994 08:49:37 GMT")
	if n := testing.AllocsPerRun(100, func() { ParseTime(b, time.Now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A date that we accept means the same to net/http. Leap seconds and years of two digits are left
// out: net/http has other rules for them.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994", "Wed, 29 Feb 2012 00:00:00 GMT"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := ParseTime([]byte(s), time.Now)
		if !ok || strings.Contains(s, ":60") {
			return
		}
		want, err := nethttp.ParseTime(s)
		if strings.Contains(s, "day, ") {
			want = want.AddDate(got.Year()/100*100-want.Year()/100*100, 0, 0)
		}
		if err != nil || !got.Equal(want) {
			t.Fatalf("%q: %v, net/http says %v, %v", s, got, want, err)
		}
	})
}
