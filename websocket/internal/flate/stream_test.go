package flate

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"slices"
	"testing"
)

// RFC 1951: what is corrupt, in the smallest form.
func TestCorrupt(t *testing.T) {
	for _, tc := range []struct{ name, in string }{
		{"§3.2.3 reserved type", "\x06"},
		{"§3.2.4 length and complement differ", "\x00\x05\x00\xfb\xffHello"},
		{"§3.2.5 distance before the beginning", "\x02\x03\x00"},
		{"§3.2.6 length symbol 286", "\x1a\x03\x00"},
		{"§3.2.6 distance symbol 30", "\x4a\x84\x0f\x00"},
		{"§3.2.7 too many literal codes", "\xfc\x00\x00"},
		{"§3.2.7 too many distance codes", "\x04\x1f\x00"},
		{"§3.2.7 code lengths over-subscribed", "\x04\x00\xfe\xff\xff\xff"},
		{"§3.2.7 code lengths incomplete", "\x04\x00\x0a\x00\x00\x00"},
		{"§3.2.7 repeat of nothing", "\x04\x80\x24\x00\x00\x00\x00\x00"},
	} {
		for _, n := range []int{1, 100} {
			var d Inflater
			if out, err := inflate(&d, []byte(tc.in), n, 100); !errors.Is(err, ErrCorrupt) {
				t.Errorf("%s, pieces of %d: %q, %v", tc.name, n, out, err)
			}
		}
		if _, err := flate.NewReader(bytes.NewReader([]byte(tc.in + Tail))).Read(make([]byte, 100)); err == nil {
			t.Errorf("%s: compress/flate takes it", tc.name)
		}
	}
}

func TestEndsOfBlocksAndStreams(t *testing.T) {
	for _, tc := range []struct {
		in           string
		out          string
		whole, ended bool
	}{
		{"", "", true, false},
		{"\xf2\x48\xcd\xc9\xc9\x07\x00", "Hello", false, false}, // inside the header of the empty block
		{"\xf2\x48\xcd\xc9\xc9\x07\x00" + Tail, "Hello", true, false},
		{"\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", true, true},
		{"\xf3\x48\xcd\xc9\xc9\x07\x00\x00" + Tail, "Hello", true, false},
		{"\xf3\x48\xcd\xc9\xc9\x07\x00\x01\x00\x00\xff\xff", "Hello", true, true},
		{"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x00\x11\x00", "HelloHello", true, true}, // across streams
		{"\x00\x05\x00\xfa\xffHello\x00" + Tail, "Hello", true, false},
		{"\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00" + Tail, "Hello", true, false},
	} {
		for n := 1; n <= len(tc.in)+1; n++ {
			var d Inflater
			out := make([]byte, 0, 100)
			var err error
			for _, p := range slices.Collect(slices.Chunk([]byte(tc.in), n)) {
				if out, _, err = d.Inflate(out, p); err != nil {
					break
				}
			}
			if string(out) != tc.out || err != nil || d.Whole() != tc.whole || d.Ended() != tc.ended {
				t.Errorf("%q, pieces of %d: %q, %v, whole %v, ended %v", tc.in, n, out, err, d.Whole(), d.Ended())
			}
		}
	}
}

// FuzzInflate: what compress/flate inflates is inflated to the same, however it is cut; what it refuses is refused.
func FuzzInflate(f *testing.F) {
	for _, n := range []int{0, 10, 200} {
		f.Add(deflate(telemetry(n), 1+n%9), uint16(7), uint16(100))
		f.Add(deflate(samples()["noise 200000"][:n], 1), uint16(1), uint16(1))
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x00\x11\x00\x00"), uint16(3), uint16(1))
	f.Fuzz(func(t *testing.T, in []byte, n, room uint16) {
		const limit = 1 << 19
		var want []byte
		wantErr := error(nil)
		r := bytes.NewReader(append(bytes.Clone(in), Tail...))
		for r.Len() > 0 && wantErr == nil { // one stream after the other
			z := flate.NewReaderDict(r, want[max(0, len(want)-maxWindow):])
			buf := make([]byte, 4096)
			for {
				k, err := z.Read(buf)
				want = append(want, buf[:k]...)
				if len(want) > limit {
					return
				}
				if err != nil {
					// compress/flate wants a last block; that the input ends is for Whole to judge.
					if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
						wantErr = err
					}
					break
				}
			}
		}
		var i Inflater
		got, err := inflate(&i, in, int(n)+1, int(room)+1)
		if errors.Is(err, ErrCorrupt) && wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("corrupt behind %d bytes, compress/flate gets %d", len(got), len(want))
		}
		if wantErr != nil && err == nil {
			t.Fatalf("no error, compress/flate says %v", wantErr)
		}
		if err == nil && !bytes.Equal(got, want) {
			t.Fatalf("%d bytes, compress/flate gets %d", len(got), len(want))
		}
	})
}
