package fuzz

import (
	"fmt"
	"math/big"
	nethttp "net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/http"
)

var (
	rangeSet  = regexp.MustCompile(`^(?i:bytes)=((?:[ \t]*(?:[0-9]+-[0-9]*|-[0-9]+)?[ \t]*,)*[ \t]*(?:[0-9]+-[0-9]*|-[0-9]+)?[ \t]*)$`)
	rangeSpec = regexp.MustCompile(`([0-9]*)-([0-9]*)`)
)

// slowRange is the definition of ParseRange: which bytes are asked for, whether the whole is to be
// sent, and whether that is 416.
func slowRange(value string, size int) (bytes []bool, whole, unsatisfiable bool) {
	set := rangeSet.FindStringSubmatch(value)
	if set == nil {
		return nil, true, false
	}
	specs := rangeSpec.FindAllStringSubmatch(set[1], -1)
	if len(specs) == 0 || len(specs) > 32 {
		return nil, true, false
	}
	number := func(s string) *big.Int {
		n, _ := new(big.Int).SetString("0"+s, 10)
		return n
	}
	bytes = make([]bool, size)
	suffix, any := false, false
	for _, s := range specs {
		first, last := number(s[1]), number(s[2])
		switch {
		case s[1] == "":
			suffix = suffix || last.Sign() > 0
			first = new(big.Int).Sub(big.NewInt(int64(size)), last)
			last = big.NewInt(int64(size))
		case s[2] == "":
			last = big.NewInt(int64(size))
		case first.Cmp(last) > 0:
			return nil, true, false
		}
		for i := range bytes {
			if n := big.NewInt(int64(i)); n.Cmp(first) >= 0 && n.Cmp(last) <= 0 {
				bytes[i], any = true, true
			}
		}
	}
	if size == 0 && suffix {
		return nil, true, false
	}
	return bytes, false, !any
}

// FuzzRange: ranges are what their definition says, apart from each other, and where there is one,
// that of net/http.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-499", "bytes=-5", "bytes=9-", "bytes=0-0,-1", "bytes= 1-2 , 3-4,,9-", "bytes=-0", "bytes=5-4", "lines=1-2", "bytes=0-18446744073709551616", "bytes=0700000000000000000000-70000000000000000000"} {
		f.Add(s, uint8(10))
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, value string, size uint8) {
		ranges, err := http.ParseRange(nil, []byte(value), int64(size))
		want, whole, unsatisfiable := slowRange(value, int(size))
		if (err != nil) != unsatisfiable || (err == nil && len(ranges) == 0) != whole {
			t.Fatalf("%q of %d: %v %v, want whole %v, unsatisfiable %v", value, size, ranges, err, whole, unsatisfiable)
		}
		if err != nil || whole {
			return
		}
		got := make([]bool, size)
		for i, g := range ranges {
			for j := range g.Length {
				got[g.Start+j] = true
			}
			for _, h := range ranges[i+1:] {
				if g.Start <= h.Start+h.Length && h.Start <= g.Start+g.Length {
					t.Fatalf("%q of %d: %v and %v touch", value, size, g, h)
				}
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%q of %d: %v", value, size, ranges)
		}
		if len(ranges) == 1 && !strings.Contains(value, ",") {
			sameRange(t, value, int(size), ranges[0])
		}
	})
}

// sameRange wants net/http to send the same range, if it sends one.
func sameRange(t *testing.T, value string, size int, g http.Range) {
	w := httptest.NewRecorder()
	q := httptest.NewRequest("GET", "/", nil)
	q.Header.Set("Range", value)
	nethttp.ServeContent(w, q, "a.bin", time.Time{}, strings.NewReader(strings.Repeat("x", size)))
	// It takes no number above 2^63-1, and the unit in lower case only.
	if w.Code == 206 && w.Header().Get("Content-Range") != string(g.AppendContentRange(nil, int64(size))) {
		t.Fatalf("%q of %d: %v, net/http says %s", value, size, g, w.Header().Get("Content-Range"))
	}
}
