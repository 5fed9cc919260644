package websocket

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed4930a636/mangusta/websocket/internal/flate"
)

// telemetry returns n bytes of JSON such as dashboards get.
func telemetry(n int) []byte {
	var b []byte
	for i := 0; len(b) < n; i++ {
		b = fmt.Appendf(b, `{"id":%d,"name":"sensor-%d","value":%d.%02d,"ok":true,"unit":"kPa"},`, 1000+i*37, i%7, i*i%101, i*31%100)
	}
	return b[:n]
}

// followed inflates in with an inflater that remembers window bytes and no more.
func followed(in, before []byte, window int) (all []byte, err error) {
	var i flate.Inflater
	in = slices.Concat(in, tailBytes)
	buf := append(make([]byte, 0, 2*window+1), before...)
	for {
		if len(buf) == 2*window {
			buf = buf[:copy(buf, buf[window:])]
		}
		kept := buf[max(0, len(buf)-window):]
		out, n, err := i.Inflate(kept[:len(kept):len(kept)+1], in) // a byte at a time
		buf = buf[:len(buf)+len(out)-len(kept)]
		all = append(all, out[len(kept):]...)
		if in = in[n:]; !errors.Is(err, flate.ErrRoom) {
			if err == nil && !i.Whole() {
				err = errors.New("not whole")
			}
			return all, err
		}
	}
}

// RFC 7692 §7.1.2.1: whatever the level and the window, and whether there were messages before, no match reaches back farther
// than the window.
func TestNoMatchIsFartherThanTheWindow(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var far []byte // repeats at all distances
	for len(far) < 70_000 {
		if back := random.IntN(40_000); back < len(far) {
			far = append(far, far[len(far)-back:][:min(back, 40)]...)
		}
		far = append(far, byte(random.Uint32()))
	}
	texts := [][]byte{nil, []byte("a"), []byte("hello"), bytes.Repeat([]byte("a"), 1000), telemetry(100), telemetry(70_000), far}
	for bits := minWindowBits; bits <= maxWindowBits; bits++ {
		window := 1 << bits
		for level := 1; level <= 9; level++ {
			d := &Deflate{Level: level}
			for _, before := range [][]byte{nil, []byte("hel"), telemetry(min(window, sentLimit)), far[:min(window, sentLimit)]} {
				for i, p := range texts {
					if len(p) > 1000 && (level%4 != 1 || raceEnabled) {
						continue // they take long
					}
					z := d.compress(p, before, window)
					if out, err := followed(z.out, before, window); err != nil || !bytes.Equal(out, p) {
						t.Fatalf("%d bits, level %d, text %d behind %d bytes: %d bytes of %d, %v", bits, level, i, len(before), len(out), len(p), err)
					}
					z.release()
				}
			}
		}
	}
}

// What is remembered is the end of what was sent, across any lengths.
func TestRememberKeepsTheEnd(t *testing.T) {
	for _, window := range []int{256, 1024, 1 << 15} {
		x := &deflation{outWindow: window}
		limit := min(window, sentLimit)
		var all []byte
		for i := range 300 {
			p := telemetry(i * i % (limit + 100))
			x.remember(p)
			all = append(all, p...)
			if want := all[max(0, len(all)-limit):]; !bytes.Equal(x.sent, want) {
				t.Fatalf("window %d, message %d: %d bytes are not the last %d", window, i, len(x.sent), len(want))
			}
		}
		if cap(x.sent) != limit {
			t.Errorf("window %d: %d bytes are held", window, cap(x.sent))
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, n := range []int{1 << 10, 16 << 10} {
		for _, before := range []int{0, sentLimit} {
			b.Run(fmt.Sprintf("%d behind %d", n, before), func(b *testing.B) {
				b.ReportAllocs()
				d, all := new(Deflate), telemetry(before+n)
				out := 0
				for b.Loop() {
					z := d.compress(all[before:], all[:before], 1<<maxWindowBits)
					out = len(z.out)
					z.release()
				}
				b.ReportMetric(float64(out), "out")
			})
		}
	}
}
