package http

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
)

func rangeText(ranges []Range, err error) string {
	if err != nil {
		return err.Error()
	}
	var b strings.Builder
	for _, g := range ranges {
		fmt.Fprintf(&b, "%d+%d ", g.Start, g.Length)
	}
	return strings.TrimSpace(b.String())
}

func TestParseRange(t *testing.T) {
	const none = "http: range: not satisfiable"
	for _, x := range []struct {
		value string
		size  int64
		want  string // "" is the whole
	}{
		// RFC 9110 14.1.2: the examples of the RFC
		{"bytes=0-499", 10000, "0+500"}, {"bytes=500-999", 10000, "500+500"}, {"bytes=-500", 10000, "9500+500"}, {"bytes=9500-", 10000, "9500+500"},
		{"bytes=0-0,-1", 10000, "0+1 9999+1"}, {"bytes= 0-999, 4500-5499, -1000", 10000, "0+1000 4500+1000 9000+1000"},
		{"bytes=500-600,601-999", 10000, "500+500"}, {"bytes=500-700,601-999", 10000, "500+500"},
		// A last-pos after the end, or a suffix longer than all, means up to the end, or all.
		{"bytes=0-9", 10, "0+10"}, {"bytes=0-10", 10, "0+10"}, {"bytes=9-9999", 10, "9+1"}, {"bytes=0-", 10, "0+10"}, {"bytes=-10", 10, "0+10"}, {"bytes=-11", 10, "0+10"},
		{"bytes=000-0001", 10, "0+2"}, {"BYTES=0-1", 10, "0+2"},
		// RFC 9110 14.1.2: satisfiable if a first-pos is below the length, or a suffix-length is
		// not 0.
		{"bytes=10-", 10, none}, {"bytes=10-11", 10, none}, {"bytes=-0", 10, none}, {"bytes=-0,20-", 10, none}, {"bytes=-0,1-2", 10, "1+2"}, {"bytes=20-30,1-2", 10, "1+2"},
		{"bytes=0-", 0, none}, {"bytes=0-0", 0, none}, {"bytes=-1", 0, ""}, {"bytes=-0", 0, none}, {"bytes=-1,0-", 0, ""},
		// Numbers that no integer holds
		{"bytes=0-9223372036854775807", 10, "0+10"}, {"bytes=0-9223372036854775808", 10, "0+10"}, {"bytes=0-99999999999999999999999", 10, "0+10"},
		{"bytes=-99999999999999999999999", 10, "0+10"}, {"bytes=18446744073709551616-", 10, none}, {"bytes=18446744073709551616-18446744073709551617", 10, none},
		{"bytes=0-9223372036854775807", math.MaxInt64, "0+9223372036854775807"}, {"bytes=1-,-9223372036854775807", math.MaxInt64, "0+9223372036854775807"},
		{"bytes=070000000000000000000-9999999999999999999", 10, ""}, {"bytes=70000000000000000000-70000000000000000000", 10, none},
		{"bytes=070000000000000000000-80000000000000000000", 10, none}, {"bytes=80000000000000000000-79999999999999999999", 10, ""},
		{"bytes=9223372036854775800-", math.MaxInt64, "9223372036854775800+7"},
		// RFC 9110 14.2: an invalid ranges-specifier, or an unknown unit, is ignored.
		{"bytes=5-4", 10, ""}, {"bytes=0-1,5-4", 10, ""}, {"bytes=", 10, ""}, {"bytes=,", 10, ""}, {"bytes=-", 10, ""}, {"bytes=a-b", 10, ""}, {"bytes=1", 10, ""}, {"bytes=1-2-3", 10, ""},
		{"bytes=--1", 10, ""}, {"bytes=+1-2", 10, ""}, {"bytes=1 -2", 10, ""}, {"bytes=1- 2", 10, ""}, {"bytes=0x1-2", 10, ""}, {"bytes=1-2;", 10, ""}, {"bytes=1-2x", 10, ""}, {"bytes=1.0-2", 10, ""},
		{"bytes =0-1", 10, ""}, {"bytes", 10, ""}, {"", 10, ""}, {"=0-1", 10, ""}, {"lines=0-1", 10, ""}, {"0-1", 10, ""}, {"bytes:0-1", 10, ""}, {"bytes=0-1 2-3", 10, ""},
		{"bytes=20-,x", 10, ""},
		// RFC 9110 5.6.1.2: empty elements of a list
		{"bytes=,0-1,, ,3-4,", 10, "0+2 3+2"},
		// RFC 9110 15.3.7.2: overlapping and touching ranges are sent once; else the order stays.
		{"bytes=5-6,0-1", 10, "5+2 0+2"}, {"bytes=0-1,4-5,2-3", 10, "0+6"}, {"bytes=4-5,0-1,2-3", 10, "0+6"}, {"bytes=0-1,0-1,0-1", 10, "0+2"}, {"bytes=0-1,3-4", 10, "0+2 3+2"},
		{"bytes=8-8,0-0,2-2,1-1,5-5", 10, "8+1 0+3 5+1"}, {"bytes=0-,3-4", 10, "0+10"}, {"bytes=3-4,0-", 10, "0+10"}, {"bytes=6-6,0-0,3-3,-8", 10, "2+8 0+1"},
		// RFC 9110 17.15: too many
		{"bytes=" + strings.Repeat("0-0,", 32), 10, "0+1"}, {"bytes=" + strings.Repeat("0-0,", 33), 10, ""}, {"bytes=" + strings.Repeat("99-,", 33), 10, ""},
	} {
		got, err := ParseRange(nil, []byte(x.value), x.size)
		if err != nil && !errors.Is(err, ErrUnsatisfiable) || rangeText(got, err) != x.want {
			t.Errorf("%.60q of %d: %s, want %s", x.value, x.size, rangeText(got, err), x.want)
		}
	}
}

// RFC 9110 14.2: Range is for GET; and a field that is no list of lists counts only when it is
// there once.
func TestRanges(t *testing.T) {
	for _, x := range []struct {
		r    *Request
		want string
	}{
		{withFields("GET", "Range: bytes=1-2"), "1+2"}, {withFields("HEAD", "Range: bytes=1-2"), ""}, {withFields("POST", "Range: bytes=1-2"), ""},
		{withFields("GET"), ""}, {withFields("GET", "Range: bytes=1-2", "range: bytes=1-2"), ""}, {withFields("GET", "Range: bytes=99-"), ErrUnsatisfiable.Error()},
	} {
		if got := rangeText(x.r.Ranges([]Range{{7, 7}}, 10)); got != x.want {
			t.Errorf("%s %s: %s", x.r.Method, fieldText(x.r.fields), got)
		}
	}
}

func TestContentRange(t *testing.T) {
	if got := string(Range{5, 10}.AppendContentRange([]byte("x "), 100)); got != "x bytes 5-14/100" {
		t.Error(got)
	}
	if got := string(AppendUnsatisfied(nil, 100)); got != "bytes */100" {
		t.Error(got)
	}
}

func TestParseRangeAllocatesNothing(t *testing.T) {
	var room [4]Range
	value := []byte("bytes=0-1,3-4,-2")
	if n := testing.AllocsPerRun(100, func() { ParseRange(room[:0], value, 10) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// Ranges mean the same set of bytes as their definition says, and no two of them touch.
func TestRangesCoverWhatWasAskedFor(t *testing.T) {
	const size = 6
	specs := []string{"-0", "-1", "-3", "9-"}
	for a := range size {
		specs = append(specs, fmt.Sprintf("%d-", a))
		for b := a; b < size+1; b += 2 {
			specs = append(specs, fmt.Sprintf("%d-%d", a, b))
		}
	}
	for _, a := range specs {
		for _, b := range specs {
			for _, c := range specs {
				var want, got [size]bool
				for _, s := range []string{a, b, c} {
					one, _ := ParseRange(nil, []byte("bytes="+s), size)
					for _, g := range one {
						for i := range g.Length {
							want[g.Start+i] = true
						}
					}
				}
				all, _ := ParseRange(nil, []byte("bytes="+a+","+b+","+c), size)
				for _, g := range all {
					for i := range g.Length {
						got[g.Start+i] = true
					}
					for _, h := range all {
						if g != h && g.Start <= h.Start+h.Length && h.Start <= g.Start+g.Length {
							t.Fatalf("%s %s %s: %v", a, b, c, all)
						}
					}
				}
				if got != want {
					t.Fatalf("%s %s %s: %v", a, b, c, all)
				}
			}
		}
	}
}
