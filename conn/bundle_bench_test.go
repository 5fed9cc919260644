package conn_test

import (
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/conn/conntest"
)

// BenchmarkFanOut queues one shared buffer, or several, on 2,000 connections and settles them. A
// delivery is one operation.
func BenchmarkFanOut(b *testing.B) {
	const conns = 2000
	frame := make([]byte, 66)
	for _, each := range []int{1, 4} {
		b.Run(fmt.Sprintf("messages=%d", each), func(b *testing.B) {
			l, limits := conntest.NewLoop(), conn.Limits{}.WithDefaults()
			all := make([]*conn.Conn, conns)
			for i := range all {
				w := conntest.NewWire()
				w.Forget = true
				all[i] = l.Add(w, &limits, nil)
			}
			b.ReportAllocs()
			for n := 0; n < b.N; n += conns * each {
				for range each {
					for _, c := range all {
						c.WriteShared(frame)
					}
				}
				l.Settle()
			}
		})
	}
}
