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

// A verdict is what is to be said of a whole message.
type verdict int

const (
	whole   verdict = iota // it ends between two blocks, or behind the last one
	cut                    // it ends somewhere else
	corrupt                // it is not DEFLATE, whatever follows
)

func (v verdict) String() string { return [...]string{"whole", "cut", "corrupt"}[v] }

// streams returns what compress/flate makes of one stream after the other in the input, each with
// the window that the one before leaves, up to limit bytes and one; how much of the input is left;
// and nil, io.ErrUnexpectedEOF or an error that says corrupt.
func streams(in []byte, limit int) (out []byte, left int, err error) {
	r := bytes.NewReader(in)
	for err == nil && r.Len() > 0 && len(out) <= limit {
		var p []byte
		p, err = io.ReadAll(io.LimitReader(flate.NewReaderDict(r, out[max(0, len(out)-maxWindow):]), int64(limit+1-len(out))))
		out = append(out, p...)
	}
	return out, r.Len(), err
}

// judge returns what compress/flate makes of in and the tail, and its verdict. ok is false for more
// than limit bytes.
func judge(t *testing.T, in []byte, limit int) (out []byte, v verdict, ok bool) {
	in = append(bytes.Clone(in), Tail...)
	out, _, err := streams(in, limit)
	var bad flate.CorruptInputError
	switch {
	case len(out) > limit:
		return nil, 0, false
	case err == nil:
		return out, whole, true
	case errors.As(err, &bad):
		return out, corrupt, true
	case !errors.Is(err, io.ErrUnexpectedEOF):
		t.Fatalf("compress/flate says %v", err)
	}
	// It ends inside of a stream. If that is between two blocks, empty blocks behind it end the
	// stream and add nothing.
	for _, end := range []string{"\x01\x00\x00\xff\xff", "\x00\x00\x00\xff\xff\x01\x00\x00\xff\xff"} {
		more, left, err := streams(append(bytes.Clone(in), end...), limit)
		if err != nil || left > 0 || !bytes.Equal(more, out) {
			return out, cut, true
		}
	}
	return out, whole, true
}

// FuzzInflate: the verdict on any bytes is that of compress/flate, and so is what was inflated up
// to there, however the input and the room for the output are cut.
func FuzzInflate(f *testing.F) {
	for _, n := range []int{0, 10, 200} {
		f.Add(deflate(telemetry(n), 1+n%9), uint16(7), uint16(100))
		f.Add(deflate(samples()["noise 200000"][:n], 1), uint16(1), uint16(1))
	}
	for _, s := range []string{"\xf3\x48\xcd\xc9\xc9\x07\x00\xf3\x00\x11\x00\x00", "\xf2\x48\xcd\xc9\xc9\x07\x00\x06", "\x00\x05\x00\xfa\xffHel", "\x02\x03\x00",
		"\x4a\x84\x0f\x00", "\xfc\x00\x00", "\x04\x1f\x00", "\x04\x00\xfe\xff\xff\xff", "\x04\x80\x24\x00\x00\x00\x00\x00", "\x1a\x03\x00"} {
		f.Add([]byte(s), uint16(3), uint16(1))
	}
	f.Fuzz(func(t *testing.T, in []byte, n, room uint16) {
		if len(in) > 2000 {
			return // compress/flate takes 40 KB for each of the streams that may be in it
		}
		want, verdict, ok := judge(t, in, 1<<18)
		if !ok {
			return
		}
		for _, pieces := range []int{int(n) + 1, 1, len(in) + len(Tail)} {
			var i Inflater
			got, err := inflate(&i, in, pieces, int(room)+1)
			v := whole
			switch {
			case errors.Is(err, ErrCorrupt):
				v = corrupt
			case err != nil && !i.Whole():
				v = cut
			case err != nil:
				t.Fatal(err)
			}
			// compress/flate finds out at the end of the input, or at something else that is wrong,
			// that a block with no code for its end does not end. Here it is corrupt from the
			// start.
			if v == corrupt && i.step == inLens && i.have == i.nlit+i.ndist && i.lens[endOfBlock] == 0 && verdict != whole && bytes.HasPrefix(want, got) {
				continue
			}
			if v != verdict {
				t.Fatalf("% x, pieces of %d: %v, and %v to compress/flate", in, pieces, v, verdict)
			}
			if !bytes.Equal(got, want) {
				t.Fatalf("% x, pieces of %d, %v: %d bytes, compress/flate gets %d", in, pieces, v, len(got), len(want))
			}
		}
	})
}
