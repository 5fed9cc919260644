package websocket

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"testing"

	"github.com/gobwas/ws"
)

var testKey = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// masked builds a client's frame without any help of the code under test. first is the opcode and
// the bits above it.
func masked(first byte, payload string) []byte {
	b := append(make([]byte, 0, len(payload)+ws.MaxHeaderSize), first)
	switch n := len(payload); {
	case n <= 125:
		b = append(b, 0x80|byte(n))
	case n <= 65535:
		b = binary.BigEndian.AppendUint16(append(b, 0x80|126), uint16(n))
	default:
		b = binary.BigEndian.AppendUint64(append(b, 0x80|127), uint64(n))
	}
	b = append(b, testKey[:]...)
	head := len(b)
	b = append(b, payload...)
	for i := range b[head:] {
		b[head+i] ^= testKey[i%4]
	}
	return b
}

func TestReservedOpcodes(t *testing.T) {
	for op := range 16 {
		if want := op > 2 && op < 8 || op > 10; Op(op).isReserved() != want {
			t.Errorf("opcode %d is reserved: %v, want %v", op, !want, want)
		}
	}
}

func TestHeaderNeedsMoreUntilItIsWhole(t *testing.T) {
	for _, n := range []int{0, 125, 126, 65535, 65536} {
		b := masked(0x82, string(make([]byte, n)))
		size := len(b) - n
		var h header
		for i := range size {
			if ok, why := h.decode(b[:i]); ok || why != "" {
				t.Fatalf("length %d, first %d bytes: %v %q", n, i, ok, why)
			}
		}
		ok, why := h.decode(b[:size])
		if !ok || why != "" || h.size != size || h.length != int64(n) || !h.fin || h.op != Binary || h.key != testKey {
			t.Fatalf("length %d: %v %q %+v", n, ok, why, h)
		}
	}
}

// Every first two bytes: decode refuses what ws.CheckHeader refuses (RFC 6455 §5.2, §5.5), and
// nothing else.
func TestHeaderAgreesWithGobwas(t *testing.T) {
	for first := range 256 {
		for second := range 256 {
			b := []byte{byte(first), byte(second), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}
			switch second & 0x7f {
			case 126:
				b[2] = 1
			case 127:
				b[7] = 1
			}
			want, err := ws.ReadHeader(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			state := ws.StateServerSide
			if want.OpCode == ws.OpContinuation {
				state |= ws.StateFragmented
			}
			err = ws.CheckHeader(want, state)
			var h header
			ok, why := h.decode(b)
			if ok != (err == nil) || ok == (why != "") {
				t.Fatalf("%08b %08b: %v %q, gobwas says %v", first, second, ok, why, err)
			}
			if ok && (h.length != want.Length || h.fin != want.Fin || byte(h.op) != byte(want.OpCode) || h.key != want.Mask) {
				t.Fatalf("%08b %08b: %+v, gobwas says %+v", first, second, h, want)
			}
		}
	}
}

// RFC 6455 §5.2: "the minimal number of bytes MUST be used to encode the length", and the highest
// bit of 64 must be 0.
func TestLengthMustBeMinimal(t *testing.T) {
	for _, b := range [][]byte{
		{0x82, 0xfe, 0, 0},
		{0x82, 0xfe, 0, 125},
		{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0, 1},
		{0x82, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff},
		{0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0},
		{0x82, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
	} {
		var h header
		if ok, why := h.decode(b); ok || why == "" {
			t.Errorf("% x: %v %q", b, ok, why)
		}
	}
}

func TestAppendHeaderAgreesWithGobwas(t *testing.T) {
	for _, n := range []int{0, 1, 125, 126, 65535, 65536, 1 << 30} {
		var want bytes.Buffer
		if err := ws.WriteHeader(&want, ws.Header{Fin: true, OpCode: ws.OpText, Length: int64(n)}); err != nil {
			t.Fatal(err)
		}
		if got := appendHeader(nil, finBit|byte(Text), n); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("length %d: % x, want % x", n, got, want.Bytes())
		}
	}
}

// The cipher is gobwas's; this checks it on this machine, at every offset and alignment.
func TestUnmaskInPieces(t *testing.T) {
	for n := range 200 {
		for done := range 9 {
			p := make([]byte, n+done)
			h := header{key: testKey}
			h.unmask(p[:done], 0)
			h.unmask(p[done:], done)
			for i, b := range p {
				if b != testKey[i%4] {
					t.Fatalf("%d bytes after %d: byte %d is %#x", n, done, i, b)
				}
			}
		}
	}
}

// RFC 6455 §7.4 and the IANA registry.
func TestCloseCodes(t *testing.T) {
	for code := range 65536 {
		want := code >= 1000 && code <= 1003 || code >= 1007 && code <= 1014 || code >= 3000 && code <= 4999
		if got := Code(code).valid(); got != want {
			t.Errorf("%d: valid = %v", code, got)
		}
	}
}

func BenchmarkDecodeHeader(b *testing.B) {
	frame := masked(0x82, string(make([]byte, 300)))
	b.Run("in-place", func(b *testing.B) {
		for b.Loop() {
			var h header
			if ok, _ := h.decode(frame); !ok {
				b.Fatal("not decoded")
			}
		}
	})
	b.Run("gobwas", func(b *testing.B) {
		r := bytes.NewReader(frame)
		buf := make([]byte, ws.MaxHeaderSize)
		for b.Loop() {
			r.Reset(frame)
			_, err := ws.ReadHeaderBuffer(r, buf)
			if errors.Is(err, io.EOF) {
				b.Fatal(err)
			}
		}
	})
}
