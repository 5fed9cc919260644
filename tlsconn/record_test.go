package tlsconn

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

func record(kind byte, size int) []byte {
	return append([]byte{kind, 3, 3, byte(size >> 8), byte(size)}, bytes.Repeat([]byte{kind}, size)...)
}

func TestRecordLen(t *testing.T) {
	for _, c := range []struct {
		in   string
		n    int
		fail string
	}{
		{"", 0, ""},
		{"\x16", 0, ""},
		{"\x16\x03\x01\x00", 0, ""},
		{"\x16\x03\x01\x00\x00", 5, ""},
		{"\x17\x03\x03\x48\x00", 5 + 18432, ""},
		{"\x17\x03\x03\x48\x01", 0, "tlsconn: not a TLS record: 18433 bytes"},
		{"\x13", 0, "tlsconn: not a TLS record: type 19"},
		{"\x18", 0, "tlsconn: not a TLS record: type 24"},
		{"G", 0, "tlsconn: not a TLS record: type 71"},
		{"\x16\x02", 0, "tlsconn: not a TLS record: version 2"},
	} {
		n, err := recordLen([]byte(c.in))
		if n != c.n || (err == nil) != (c.fail == "") || err != nil && (err.Error() != c.fail || !errors.Is(err, ErrRecord)) {
			t.Errorf("recordLen(%q): %d, %v; want %d, %q", c.in, n, err, c.n, c.fail)
		}
	}
}

// cutAll gives stream to a feeder in pieces of size, and returns the records, and the error that
// ended it. With most 0 it takes what there is, and puts back all but one record.
func cutAll(f *feeder, stream []byte, size, most int, rest bool) (records [][]byte, err error) {
	for {
		var run []byte
		if most > 0 {
			run, err = f.run(most)
		} else {
			run, err = f.take(new([mostCopied]byte))
		}
		if err != nil {
			return records, err
		}
		if most == 0 && run != nil {
			n, _ := recordLen(run)
			f.putBack(run[n:])
			run = run[:n]
		}
		if run != nil {
			for len(run) > 0 {
				n, _ := recordLen(run)
				records = append(records, bytes.Clone(run[:n]))
				run = run[n:]
			}
			continue
		}
		if f.whole() {
			return records, errors.New("whole, but nothing comes")
		}
		if rest {
			f.rest()
		}
		if len(stream) == 0 {
			return records, io.EOF
		}
		_, _ = f.fill(func(p []byte) (int, error) {
			n := copy(p, stream[:min(size, len(stream))])
			stream = stream[n:]
			return n, nil
		})
	}
}

// Records come out as they are, however the stream is cut, and whether the buffer is kept or not.
func TestFeederCuts(t *testing.T) {
	var stream []byte
	var want [][]byte
	for _, size := range []int{0, 1, 5, 300, maxCiphertext, 2, maxCiphertext, 7, 3, 4000, 5, 500} {
		rec := record(typeData, size)
		want = append(want, rec)
		stream = append(stream, rec...)
	}
	for _, size := range []int{1, 2, 3, 4, 5, 6, 7, 100, 4096, 18437, readSize} {
		for _, rest := range []bool{false, true} {
			for _, most := range []int{0, 1, 100} {
				var f feeder
				got, err := cutAll(&f, stream, size, most, rest)
				if err != io.EOF || fmt.Sprint(got) != fmt.Sprint(want) {
					t.Fatalf("pieces of %d, rest %v, run %d: %d records, %v", size, rest, most, len(got), err)
				}
				if f.rest(); f.partial() || f.buf != nil || f.part != nil {
					t.Fatalf("pieces of %d: the feeder keeps %d bytes", size, len(f.part))
				}
			}
		}
	}
}

// A record that claims much costs what has come of it, no more.
func TestFeederHoldsWhatHasCome(t *testing.T) {
	var f feeder
	f.fill(func(p []byte) (int, error) { return copy(p, "\x17\x03\x03\x40\x00abc"), nil })
	if run, err := f.run(1); run != nil || err != nil {
		t.Fatal(run, err)
	}
	f.rest()
	if f.buf != nil || cap(f.part) > 64 || string(f.part) != "\x17\x03\x03\x40\x00abc" {
		t.Errorf("it keeps a buffer, or %d bytes", cap(f.part))
	}
}

// Records before what is no record come first; then the error.
func TestFeederRefuses(t *testing.T) {
	for size := 1; size < 12; size++ {
		var f feeder
		got, err := cutAll(&f, []byte("\x17\x03\x03\x00\x01aHTTP/1.1"), size, 9, true)
		if len(got) != 1 || err == nil || !strings.Contains(err.Error(), "type 72") {
			t.Errorf("pieces of %d: %q, %v", size, got, err)
		}
	}
}

// FuzzFeeder cuts any stream in any way: the records are the same, and nothing is lost, doubled or
// kept beyond its bound.
func FuzzFeeder(f *testing.F) {
	f.Add(append(record(typeData, 3), record(typeAlert, 2)...), 4, true, 1)
	f.Add([]byte("\x16\x03\x01\x00\x00GET"), 1, false, 3)
	f.Fuzz(func(t *testing.T, stream []byte, size int, rest bool, most int) {
		size, most = max(1, size), max(0, most)
		var whole, cut feeder
		want, wantErr := cutAll(&whole, stream, len(stream)+1, 1, false)
		got, err := cutAll(&cut, stream, size, most, rest)
		if fmt.Sprint(got) != fmt.Sprint(want) || fmt.Sprint(err) != fmt.Sprint(wantErr) {
			t.Fatalf("%d records, %v; whole %d, %v", len(got), err, len(want), wantErr)
		}
		n := 0
		for _, rec := range got {
			n += len(rec)
		}
		if cut.rest(); err == io.EOF && n+len(cut.part) != len(stream) {
			t.Fatalf("%d bytes in records, %d kept, of %d", n, len(cut.part), len(stream))
		}
	})
}
