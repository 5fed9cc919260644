package flate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// telemetry returns n bytes of JSON such as dashboards get.
func telemetry(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"type":"telemetry","items":[`)
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"sensor-%d","value":%d.%02d,"ok":true,"unit":"kPa"},`, 1000+i*37, i%7, i*i%101, i*31%100)
	}
	return b.Bytes()[:n]
}

// samples are inputs of every kind and size.
func samples() map[string][]byte {
	random := rand.New(rand.NewPCG(1, 2))
	list := map[string][]byte{"empty": {}, "hello": []byte("Hello")}
	noise := make([]byte, 200_000)
	skewed := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for i := range skewed {
		for skewed[i] < 40 && random.Uint32()&1 == 0 { // frequencies by powers of two: the codes get as long as they may
			skewed[i]++
		}
	}
	list["skewed"] = skewed
	var far []byte // repeats at distances around the largest
	for i := range 8 {
		far = append(append(far, noise[:2000]...), noise[10_000:10_000+maxWindow-2000-4+i]...)
	}
	list["far"] = far
	for _, n := range []int{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 63, 64, 65, 255, 257, 258, 259, 260, 261, 1000, 1024, 8191, 8193, 32768, 65535,
		65536, 65537, 200_000} {
		list[fmt.Sprint("noise ", n)] = noise[:n]
		list[fmt.Sprint("json ", n)] = telemetry(n)
		list[fmt.Sprint("run ", n)] = bytes.Repeat([]byte("a"), n)
		list[fmt.Sprint("mixed ", n)] = append(telemetry(n), noise[:n]...)
	}
	return list
}

// peerInflates inflates with compress/flate.
func peerInflates(t testing.TB, in, window []byte) []byte {
	t.Helper()
	r := flate.NewReaderDict(io.MultiReader(bytes.NewReader(in), strings.NewReader(Tail+"\x01\x00\x00\xff\xff")), window)
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("compress/flate cannot inflate it: %v", err)
	}
	return out
}

// inflate inflates a message in pieces of n bytes, with room for room bytes at a time.
func inflate(d *Inflater, in []byte, n, room int) (out []byte, err error) {
	in = append(bytes.Clone(in), Tail...)
	all := make([]byte, 1<<20)
	for len(in) > 0 {
		p := in[:min(n, len(in))]
		for more := true; more; {
			var k int
			out, k, err = d.Inflate(all[:len(out):min(len(all), len(out)+room)], p)
			in, p = in[k:], p[k:]
			if more = errors.Is(err, ErrRoom); err != nil && !more {
				return out, err
			}
			if !more && len(p) > 0 {
				return out, fmt.Errorf("%d bytes left and no error", len(p))
			}
		}
	}
	if !d.Whole() {
		return out, errors.New("not whole")
	}
	return out, nil
}

func TestDeflatedIsInflatedByBoth(t *testing.T) {
	var d Deflater
	for name, p := range samples() {
		for level := 1; level <= 9; level++ {
			out := d.Append([]byte("before"), p, level, maxWindow, false)
			if string(out[:6]) != "before" {
				t.Fatal("the start of dst was changed")
			}
			out = out[6:]
			if got := peerInflates(t, out, nil); !bytes.Equal(got, p) {
				t.Errorf("%s, level %d: compress/flate gets %d bytes of %d", name, level, len(got), len(p))
			}
			for _, how := range [][2]int{{1 << 20, 1 << 20}, {1000, 300}, {7, 1}, {1, 1 << 10}} {
				if level != 1 && level != 6 && len(p) > 10_000 {
					continue
				}
				var i Inflater
				if got, err := inflate(&i, out, how[0], how[1]); err != nil || !bytes.Equal(got, p) {
					t.Fatalf("%s, level %d, %v: %d bytes of %d, %v", name, level, how, len(got), len(p), err)
				}
			}
			if limit := len(p) + 5*(len(p)/maxTokens+1) + 1; len(out) > limit {
				t.Errorf("%s, level %d: %d bytes became %d", name, level, len(p), len(out))
			}
		}
	}
}

func TestInflatesWhatOthersDeflate(t *testing.T) {
	for name, p := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 2, 6, 9} {
			var b bytes.Buffer
			w, _ := flate.NewWriter(&b, level)
			w.Write(p)
			w.Flush()
			in := bytes.TrimSuffix(b.Bytes(), []byte(Tail))
			for _, how := range [][2]int{{1 << 20, 1 << 20}, {1000, 300}, {1, 1 << 10}} {
				var d Inflater
				if got, err := inflate(&d, in, how[0], how[1]); err != nil || !bytes.Equal(got, p) {
					t.Fatalf("%s, level %d, %v: %d bytes of %d, %v", name, level, how, len(got), len(p), err)
				}
			}
		}
	}
}

func bench(b *testing.B, f func(b *testing.B, p []byte)) {
	for _, n := range []int{64, 256, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			f(b, telemetry(n))
		})
	}
}

func BenchmarkDeflate(b *testing.B) {
	for _, level := range []int{1, 3, 6, 9} {
		b.Run(fmt.Sprint("level ", level), func(b *testing.B) {
			bench(b, func(b *testing.B, p []byte) {
				var d Deflater
				var out []byte
				for b.Loop() {
					out = d.Append(out[:0], p, level, maxWindow, false)
				}
				b.ReportMetric(float64(len(out)), "out")
			})
		})
	}
}

func BenchmarkInflate(b *testing.B) {
	bench(b, func(b *testing.B, p []byte) {
		var c bytes.Buffer
		w, _ := flate.NewWriter(&c, 1)
		w.Write(p)
		w.Flush()
		var d Inflater
		out := make([]byte, 0, len(p)+slack)
		for b.Loop() {
			d.Reset()
			if out, _, _ = d.Inflate(out[:0], c.Bytes()); len(out) != len(p) {
				b.Fatal(len(out))
			}
		}
	})
}

func BenchmarkCompressFlate(b *testing.B) {
	b.Run("deflate", func(b *testing.B) {
		bench(b, func(b *testing.B, p []byte) {
			var out bytes.Buffer
			w, _ := flate.NewWriter(&out, 1)
			for b.Loop() {
				out.Reset()
				w.Reset(&out)
				w.Write(p)
				w.Flush()
			}
			b.ReportMetric(float64(out.Len()), "out")
		})
	})
	b.Run("inflate", func(b *testing.B) {
		bench(b, func(b *testing.B, p []byte) {
			var c bytes.Buffer
			w, _ := flate.NewWriter(&c, 1)
			w.Write(p)
			w.Flush()
			r, in := flate.NewReader(nil), bytes.NewReader(nil)
			out := make([]byte, len(p))
			for b.Loop() {
				in.Reset(c.Bytes())
				r.(flate.Resetter).Reset(in, nil)
				if _, err := io.ReadFull(r, out); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
