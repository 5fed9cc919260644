package gzip

import (
	"bytes"
	"compress/gzip"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// squeeze is what a server sends, with every field that a header may have.
func squeeze(t testing.TB, plain []byte, h gzip.Header) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	w.Header = h
	w.Write(plain)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// decode decodes pieces, with room for so many bytes at a time.
func decode(d *Decompressor, room int, pieces ...[]byte) (string, error) {
	x := d.BeginDecoding()
	defer x.Drop()
	var all []byte
	for _, p := range pieces {
		for {
			out, used, err := x.Decode(make([]byte, 0, room), p)
			all = append(all, out...)
			if err != nil {
				return string(all), err
			}
			if p = p[used:]; len(p) == 0 && len(out) < room {
				break
			}
		}
	}
	return string(all), x.End()
}

func TestDecompress(t *testing.T) {
	d := NewDecompressor()
	noise := make([]byte, 100_000)
	for i := range noise {
		noise[i] = byte(rand.Uint32())
	}
	for name, plain := range map[string]string{
		"nothing": "", "short": "hello", "long": strings.Repeat("hello, world; ", 20_000), "noise": string(noise),
		"far": string(noise[:40_000]) + string(noise[10_000:40_000]),
	} {
		for _, h := range []gzip.Header{{}, {Name: "n", Comment: "c", Extra: []byte("extra"), ModTime: time.Unix(1, 0)}, {Comment: "c"}} {
			in := squeeze(t, []byte(plain), h)
			for _, room := range []int{1, 100, 32 << 10} {
				if room == 1 && len(plain) > 1000 {
					continue
				}
				if got, err := decode(d, room, in); got != plain || err != nil {
					t.Fatalf("%s, room %d: %d bytes, %v", name, room, len(got), err)
				}
			}
			step := 1 + len(in)/200
			for i := 0; i <= len(in); i += step {
				if got, err := decode(d, 32<<10, in[:i], in[i:]); got != plain || err != nil {
					t.Fatalf("%s, split at %d of %d: %d bytes, %v", name, i, len(in), len(got), err)
				}
			}
			if len(in) < 1000 {
				var each [][]byte
				for i := range in {
					each = append(each, in[i:i+1])
				}
				if got, err := decode(d, 10, each...); got != plain || err != nil {
					t.Fatalf("%s, byte by byte: %d bytes, %v", name, len(got), err)
				}
			}
		}
	}
}

// What compress/gzip refuses is refused, and what is cut is incomplete.
func TestDecompressRefuses(t *testing.T) {
	d := NewDecompressor()
	in := squeeze(t, []byte("hello, hello, hello"), gzip.Header{Name: "n"})
	for i := range in {
		if _, err := decode(d, 100, in[:i]); err == nil {
			t.Errorf("cut at %d: no error", i)
		}
		for bit := range 8 {
			bad := bytes.Clone(in)
			bad[i] ^= 1 << bit
			got, err := decode(d, 100, bad)
			r, want := gzip.NewReader(bytes.NewReader(bad))
			var plain []byte
			if want == nil {
				r.Multistream(false)
				plain, want = io.ReadAll(r)
			}
			if want != nil && err == nil {
				t.Errorf("bit %d of byte %d: taken, compress/gzip says %v", bit, i, want)
			}
			if want == nil && err == nil && got != string(plain) {
				t.Errorf("bit %d of byte %d: %q, compress/gzip says %q", bit, i, got, plain)
			}
		}
	}
	if _, err := decode(d, 100, append(bytes.Clone(in), 'x')); err != errTrailing {
		t.Errorf("a byte after the end: %v", err)
	}
	if got, err := decode(d, 100, in); got != "hello, hello, hello" || err != nil {
		t.Errorf("after all that: %q %v", got, err)
	}
}

func FuzzDecompress(f *testing.F) {
	f.Add(squeeze(f, []byte("hello"), gzip.Header{Name: "x"}), uint16(3))
	f.Fuzz(func(t *testing.T, in []byte, cut uint16) {
		d := NewDecompressor()
		i := min(int(cut), len(in))
		got, err := decode(d, 100, in)
		again, err2 := decode(d, 33, in[:i], in[i:])
		if (err == nil) != (err2 == nil) || err == nil && got != again {
			t.Fatalf("%q %v, and in two pieces %q %v", got, err, again, err2)
		}
		r, want := gzip.NewReader(bytes.NewReader(in))
		if want == nil {
			r.Multistream(false)
			plain, want := io.ReadAll(r)
			if err == nil && (want != nil || string(plain) != got) {
				t.Fatalf("%q, compress/gzip says %q %v", got, plain, want)
			}
		}
	})
}
