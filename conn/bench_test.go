package conn

import (
	"bytes"
	"fmt"
	"testing"
)

// sink is a Transport that takes all, and has the same bytes ready for each Read.
type sink struct{ in []byte }

func (s *sink) Read(_ int, p []byte) (int, error)  { return copy(p, s.in), nil }
func (s *sink) Write(_ int, p []byte) (int, error) { return len(p), nil }
func (s *sink) CloseWrite(int) error               { return nil }
func (s *sink) Close(int) error                    { return nil }

func (s *sink) Writev(_ int, pieces [][]byte) (n int, err error) {
	for _, p := range pieces {
		n += len(p)
	}
	return n, nil
}

// benchConn returns a connection over s, and what settles it.
func benchConn(s *sink, h Handler) (c *Conn, settle func()) {
	loop := new(fakeLoop)
	limits := Limits{}.WithDefaults()
	c = New(NewShared(loop), 5, NewID(5), s, &limits, h)
	return c, func() {
		for _, c := range loop.touched {
			c.Settle()
		}
		loop.touched = loop.touched[:0]
	}
}

// Input that a handler takes whole stays in the loop's buffer; what it leaves goes to one of the connection's own.
func BenchmarkRead(b *testing.B) {
	const size = 512
	for _, bc := range []struct {
		name string
		left int
	}{{"taken", 0}, {"half-left", size / 2}} {
		b.Run(bc.name, func(b *testing.B) {
			c, settle := benchConn(&sink{in: make([]byte, size)}, func(c *Conn, ev Event) {
				if _, ok := ev.(*Read); ok {
					c.Recv.Discard(c.Recv.Len() - bc.left)
				}
			})
			b.ReportAllocs()
			b.SetBytes(size)
			for b.Loop() {
				c.Readable()
				settle()
			}
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, size := range []int{64, 1 << 10, 16 << 10} {
		p := bytes.Repeat([]byte("x"), size)
		for _, bc := range []struct {
			name  string
			write func(c *Conn)
		}{
			{"copied", func(c *Conn) { c.Write(p) }},
			{"shared", func(c *Conn) { c.WriteShared(p) }},
			{"shared-4", func(c *Conn) {
				for range 4 {
					c.WriteShared(p)
				}
			}},
		} {
			b.Run(fmt.Sprintf("%s-%d", bc.name, size), func(b *testing.B) {
				c, settle := benchConn(new(sink), func(*Conn, Event) {})
				b.ReportAllocs()
				for b.Loop() {
					bc.write(c)
					settle()
				}
			})
		}
	}
}
