package conn_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// benchConn returns a connection whose peer takes everything.
func benchConn(h conn.Handler) (c *conn.Conn, w *conntest.Wire, l *conntest.Loop) {
	w, l = conntest.NewWire(), conntest.NewLoop()
	w.Forget = true
	limits := conn.Limits{}.WithDefaults()
	return l.Add(w, &limits, h), w, l
}

// Input that a handler takes whole stays in the loop's buffer; what it leaves goes to one of the
// connection's own.
func BenchmarkRead(b *testing.B) {
	const size = 512
	for _, bc := range []struct {
		name string
		left int
	}{{"taken", 0}, {"half-left", size / 2}} {
		b.Run(bc.name, func(b *testing.B) {
			in := make([]byte, size)
			c, w, l := benchConn(func(c *conn.Conn, ev conn.Event) {
				if _, ok := ev.(*conn.Read); ok {
					c.Recv.Discard(c.Recv.Len() - bc.left)
				}
			})
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				w.Arrive(in, nil)
				c.Driver().Readable()
				l.Settle()
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		p := bytes.Repeat([]byte("x"), size)
		for _, bc := range []struct {
			name  string
			write func(c *conn.Conn)
		}{
			{"copied", func(c *conn.Conn) { c.Write(p) }},
			{"shared", func(c *conn.Conn) { c.WriteShared(p) }},
			{"shared-4", func(c *conn.Conn) {
				for range 4 {
					c.WriteShared(p)
				}
			}},
		} {
			b.Run(fmt.Sprintf("%s-%d", bc.name, size), func(b *testing.B) {
				c, _, l := benchConn(func(*conn.Conn, conn.Event) {})
				b.ReportAllocs()
				for b.Loop() {
					bc.write(c)
					l.Settle()
				}
			})
		}
	}
}
