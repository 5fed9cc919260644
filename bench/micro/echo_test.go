package micro

import (
	"bytes"
	"compress/flate"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

// BenchmarkEcho is a message that comes and is sent back, without a network: plain, and compressed
// both ways.
func BenchmarkEcho(b *testing.B) {
	plain := []byte{0x82, 0x80 | 64, 0, 0, 0, 0}
	plain = append(plain, strings.Repeat("x", 64)...)
	var z bytes.Buffer
	w, _ := flate.NewWriter(&z, 6)
	w.Write(messages(1 << 10)[0])
	w.Flush()
	deflated := appendFrame(nil, bytes.TrimSuffix(z.Bytes(), []byte("\x00\x00\xff\xff")))
	for _, mode := range []struct {
		name  string
		opts  *websocket.Options
		frame []byte
	}{
		{"plain 64", nil, plain},
		{"deflated 1024", &websocket.Options{Compress: deflate.New()}, deflated},
		{"deflated 1024 takeover", &websocket.Options{Compress: deflate.New(deflate.Options{ServerTakeover: true})}, deflated},
	} {
		b.Run(mode.name, func(b *testing.B) {
			wire, loop := conntest.NewWire(), conntest.NewLoop()
			wire.Forget = true
			limits := conn.Limits{}.WithDefaults()
			c := loop.Add(wire, &limits, func(c *conn.Conn, ev conn.Event) {
				switch ev := ev.(type) {
				case *http.Message:
					websocket.Upgrade(c, ev, mode.opts)
				case *websocket.Message:
					websocket.Send(c, ev.Op, ev.Data)
				}
			})
			http.Attach(c, http.NewServer(http.Options{}))
			turn := func(p []byte) {
				wire.Arrive(p, nil)
				if err := loop.Turn(); err != nil {
					b.Fatal(err)
				}
			}
			turn([]byte(handshake))
			b.ReportAllocs()
			taken := wire.Taken
			for b.Loop() {
				turn(mode.frame)
			}
			b.ReportMetric(float64(wire.Taken-taken)/float64(b.N), "out")
		})
	}
}
