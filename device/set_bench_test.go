package device_test

import (
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/device"
	"github.com/seed4930a636/mangusta/mgr"
)

// BenchmarkSet is a change of one setting that nobody is subscribed to.
func BenchmarkSet(b *testing.B) {
	for _, way := range []string{"rpc", "hub"} {
		b.Run(way, func(b *testing.B) {
			m, err := mgr.New(mgr.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer m.Close()
			o := device.Options{}
			if way == "hub" {
				o.Hub = broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, Retain: true, History: broadcast.History{Count: 64, Bytes: 64 << 10}}, m)
			}
			dev, err := device.New(m, inUse(), o)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				if err := dev.Set(device.Program, func(s *pushed) { s.Target = 5 + float64(i%50)/2 }); err != nil {
					b.Fatal(err)
				}
				m.Poll(0)
			}
		})
	}
}
