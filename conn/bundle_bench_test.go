package conn

import (
	"fmt"
	"testing"
)

// nullNet takes everything.
type nullNet struct{}

func (nullNet) Read(int, []byte) (int, error)      { return 0, nil }
func (nullNet) Write(_ int, p []byte) (int, error) { return len(p), nil }
func (nullNet) Writev(_ int, v [][]byte) (int, error) {
	n := 0
	for _, p := range v {
		n += len(p)
	}
	return n, nil
}
func (nullNet) CloseWrite(int) error { return nil }
func (nullNet) Close(int) error      { return nil }

// BenchmarkFanOut queues one shared buffer, or several, on 2,000 connections and settles them. A delivery is one operation.
func BenchmarkFanOut(b *testing.B) {
	const conns = 2000
	frame := make([]byte, 66)
	for _, each := range []int{1, 4} {
		b.Run(fmt.Sprintf("messages=%d", each), func(b *testing.B) {
			loop := &fakeLoop{}
			sh, limits := NewShared(loop), Limits{}.WithDefaults()
			all := make([]*Conn, conns)
			for i := range all {
				all[i] = New(sh, i, NewID(i), nullNet{}, &limits, nil)
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += conns * each {
				for range each {
					for _, c := range all {
						c.WriteShared(frame)
					}
				}
				for _, c := range loop.touched {
					c.Settle()
				}
				loop.touched = loop.touched[:0]
			}
		})
	}
}
