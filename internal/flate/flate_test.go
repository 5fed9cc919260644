package flate

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

const maxWindow = 32768

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

// deflate deflates a message with compress/flate.
func deflate(p []byte, level int) []byte {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, level) // the error is for what is no level
	w.Write(p)
	w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(Tail))
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

func TestInflatesWhatOthersDeflate(t *testing.T) {
	for name, p := range samples() {
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 2, 6, 9} {
			in := deflate(p, level)
			for _, how := range [][2]int{{1 << 20, 1 << 20}, {1000, 300}, {7, 1}, {1, 1 << 10}} {
				if how[1] == 1 && (level != 6 || len(p) > 10_000) {
					continue // it takes long
				}
				var d Inflater
				if got, err := inflate(&d, in, how[0], how[1]); err != nil || !bytes.Equal(got, p) {
					t.Fatalf("%s, level %d, %v: %d bytes of %d, %v", name, level, how, len(got), len(p), err)
				}
			}
		}
	}
}

func BenchmarkInflate(b *testing.B) {
	for _, n := range []int{64, 256, 1 << 10, 16 << 10} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(n))
			in := deflate(telemetry(n), 1)
			var d Inflater
			out := make([]byte, 0, n+slack)
			for b.Loop() {
				d.Reset()
				if out, _, _ = d.Inflate(out[:0], in); len(out) != n {
					b.Fatal(len(out))
				}
			}
		})
	}
}
