package flate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// With history, what compress/flate needs for each message is no more than the window before it.
func TestHistoryReachesAsFarAsTheWindow(t *testing.T) {
	for bits := 8; bits <= 15; bits++ {
		for _, level := range []int{1, 3, 6} {
			window := 1 << bits
			var d Deflater
			var sent []byte
			size := 0
			for i := range 200 {
				p := append(telemetry(50+i%37*i), fmt.Sprint(i)...)
				if i == 150 {
					p = telemetry(100_000)
				}
				out := d.Append(nil, p, level, window, true)
				size += len(out)
				if got := peerInflates(t, out, sent[max(0, len(sent)-window):]); !bytes.Equal(got, p) {
					t.Fatalf("%d bits, level %d, message %d: wrong", bits, level, i)
				}
				sent = append(sent, p...)
			}
			if bits == 15 && size > len(sent)/8 {
				t.Errorf("level %d: %d bytes became %d: the history is not used", level, len(sent), size)
			}
		}
	}
}

// No match reaches back farther than the window: an inflater that keeps no more can follow, a byte at a time.
func TestNoMatchIsFartherThanTheWindow(t *testing.T) {
	for bits := 8; bits <= 15; bits++ {
		window := 1 << bits
		for _, level := range []int{1, 4, 9} {
			for _, history := range []bool{false, true} {
				p := slices.Concat(telemetry(70_000), samples()["far"][:70_000])
				var d Deflater
				in := append(d.Append(nil, p, level, window, history), Tail...)
				var i Inflater
				var all []byte
				buf := make([]byte, 0, 2*window+1)
				for err := error(ErrRoom); errors.Is(err, ErrRoom); {
					if len(buf) == 2*window {
						buf = buf[:copy(buf, buf[window:])]
					}
					kept := buf[max(0, len(buf)-window):]
					var out []byte
					var n int
					out, n, err = i.Inflate(kept[:len(kept):len(kept)+1], in)
					in = in[n:]
					if err != nil && !errors.Is(err, ErrRoom) {
						t.Fatalf("%d bits, level %d, history %v: %v behind %d bytes", bits, level, history, err, len(all))
					}
					all = append(all, out[len(kept):]...)
					buf = buf[:len(buf)+len(out)-len(kept)]
				}
				if !bytes.Equal(all, p) {
					t.Fatalf("%d bits, level %d, history %v: %d bytes of %d", bits, level, history, len(all), len(p))
				}
			}
		}
	}
}

// After Forget a message is for itself.
func TestForget(t *testing.T) {
	var d Deflater
	p := telemetry(3000)
	for range 3 {
		if got := peerInflates(t, d.Append(nil, p, 1, maxWindow, true), nil); !bytes.Equal(got, p) {
			t.Error("wrong")
		}
		d.Forget()
	}
}

// The positions begin anew long before they overflow, and nothing goes wrong there.
func TestPositionsBeginAnew(t *testing.T) {
	for _, history := range []bool{false, true} {
		for _, level := range []int{1, 6} {
			var d Deflater
			var sent []byte
			d.Append(nil, telemetry(100), level, maxWindow, history)
			sent = append(sent, telemetry(100)...)
			d.base = farBase - 200_000
			for i := range 100 {
				p := telemetry(5000 + i)
				window := sent[max(0, len(sent)-maxWindow):]
				if !history {
					window = nil
				}
				if i == 0 {
					d.Forget() // its positions are not those of the table
				}
				if got := peerInflates(t, d.Append(nil, p, level, maxWindow, history), window); !bytes.Equal(got, p) {
					t.Fatalf("history %v, level %d, message %d: wrong", history, level, i)
				}
				sent = append(sent, p...)
			}
			if d.base > farBase {
				t.Errorf("base is %d", d.base)
			}
		}
	}
}

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
	var d Deflater
	for _, n := range []int{0, 10, 200} {
		f.Add(d.Append(nil, telemetry(n), 1+n%9, maxWindow, false), uint16(7), uint16(100))
		f.Add(d.Append(nil, samples()["noise 200000"][:n], 1, maxWindow, false), uint16(1), uint16(1))
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

// FuzzDeflate: compress/flate inflates what a Deflater makes of any messages.
func FuzzDeflate(f *testing.F) {
	f.Add([]byte("Hello"), []byte("Hello Hello"), 1, 8, true)
	f.Add(telemetry(150), []byte("aaaaaaaaaaaaaaaaaaaaaaaaab"), 6, 9, false)
	f.Fuzz(func(t *testing.T, p, q []byte, level, bits int, history bool) {
		level, window := 1+int(uint(level)%9), 1<<(8+uint(bits)%8)
		var d Deflater
		var sent []byte
		for _, p := range [][]byte{p, q, p, slices.Concat(q, p, q)} {
			out := d.Append(nil, p, level, window, history)
			dict := sent[max(0, len(sent)-window):]
			if !history {
				dict = nil
			}
			if got := peerInflates(t, out, dict); !bytes.Equal(got, p) {
				t.Fatalf("level %d, window %d, history %v: %q became %q", level, window, history, p, got)
			}
			sent = append(sent, p...)
		}
	})
}
