package deflate

import (
	"bytes"
	"testing"

	"github.com/seed4930a636/mangusta/websocket"
)

// What is remembered is the end of what was sent, across any lengths.
func TestRememberKeepsTheEnd(t *testing.T) {
	for _, window := range []int{256, 1024, 1 << 15} {
		x := &codec{outWindow: window}
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

// A codec without takeover holds nothing, and one with takeover no more than it says.
func TestMemoryOfACodec(t *testing.T) {
	text := bytes.Repeat([]byte("memory "), 20_000)
	talk := func(a *websocket.Agreement) {
		t.Helper()
		z, ok := a.Codec.Append(nil, text, true, true)
		if !ok {
			t.Fatal("it got no smaller")
		}
		a.Codec.Sent(text)
		dst, d := a.Codec.Begin(nil)
		dst = append(make([]byte, 0, len(dst)+len(text)), dst...)
		out, n, more, err := d.Inflate(dst, z, true)
		if err != nil || more || n != len(z) || !bytes.HasSuffix(out, text) {
			t.Fatalf("%d bytes of %d, more %v, %v", n, len(z), more, err)
		}
		d.Drop()
	}
	z := New()
	_, one := z.Accept(nil, nil)
	_, two := z.Accept(nil, nil)
	talk(one)
	if x := one.Codec.(*codec); one != two || x.sent != nil || x.history != nil {
		t.Error("a codec without takeover keeps something")
	}
	// 4096 bytes for what is sent and 32768 for what is received.
	z = New(Options{ServerTakeover: true, ClientTakeover: true, MaxTakeover: 3*36_864 + 4096})
	for i := range 3 {
		_, a := z.Accept(nil, nil)
		x := a.Codec.(*codec)
		if x.sent != nil || x.history != nil {
			t.Error("memory is spent before the first message")
		}
		if talk(a); cap(x.sent)+cap(x.history) != 36_864 {
			t.Errorf("%d and %d bytes are kept", cap(x.sent), cap(x.history))
		}
		if n := z.held.Load(); n != int64(i+1)*36_864 {
			t.Errorf("%d bytes are held", n)
		}
		defer func() {
			if a.Codec.Drop(); x.sent != nil || x.history != nil || z.held.Load() > int64(i)*36_864+4096 {
				t.Errorf("%d bytes are held after Drop", z.held.Load())
			}
		}()
	}
}
