package deflate

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/seed4930a636/mangusta/internal/flate"
	"github.com/seed4930a636/mangusta/internal/racetest"
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
	in = slices.Concat(in, tail)
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

// RFC 7692 §7.1.2.1: whatever the level and the window, and whether there were messages before, no
// match reaches back farther than the window.
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
			for _, before := range [][]byte{nil, []byte("hel"), telemetry(min(window, sentLimit)), far[:min(window, sentLimit)]} {
				for i, p := range texts {
					if len(p) > 1000 && (level%4 != 1 || racetest.Enabled) {
						continue // they take long
					}
					z := compress(nil, p, before, window, level)
					z = z[:len(z)-len(tail)]
					if out, err := followed(z, before, window); err != nil || !bytes.Equal(out, p) {
						t.Fatalf("%d bits, level %d, text %d after %d bytes: %d bytes of %d, %v", bits, level, i, len(before), len(out), len(p), err)
					}
				}
			}
		}
	}
}

func BenchmarkCompress(b *testing.B) {
	for _, n := range []int{1 << 10, 16 << 10} {
		for _, before := range []int{0, sentLimit} {
			b.Run(fmt.Sprintf("%d after %d", n, before), func(b *testing.B) {
				b.ReportAllocs()
				all := telemetry(before + n)
				var out []byte
				for b.Loop() {
					out = compress(out[:0], all[before:], all[:before], 1<<maxWindowBits, 1)
				}
				b.ReportMetric(float64(len(out)), "out")
			})
		}
	}
}
