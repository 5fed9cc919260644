package broadcast

import (
	"fmt"
	"testing"
)

func BenchmarkPublishToNobody(b *testing.B) {
	f := newFakes(b, Options{})
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		f.hub.Publish("sensors/kitchen/temperature", data)
	}
}

// BenchmarkMatch looks up a topic in trees of different sizes. The cost must not grow with the number of patterns.
func BenchmarkMatch(b *testing.B) {
	for _, kind := range []struct{ name, pattern, topic string }{
		{"topics", "floor/room%d/temperature", "floor/room%d/temperature"},
		{"wildcards", "floor/+/%d/#", "floor/room/%d/temperature"},
	} {
		for _, n := range []int{1, 10_000} {
			b.Run(fmt.Sprint(kind.name, "/", n), func(b *testing.B) {
				root := &node{}
				topics := make([]string, n)
				for i := range n {
					root.find(fmt.Sprintf(kind.pattern, i)).count++
					topics[i] = fmt.Sprintf(kind.topic, i)
				}
				var found []*node
				i := 0
				b.ReportAllocs()
				for b.Loop() {
					if found = root.match(found[:0], topics[i%64%n]); len(found) != 1 {
						b.Fatal(found)
					}
					i++
				}
			})
		}
	}
}

// BenchmarkPublish publishes to one subscriber, of the only topic or of one among many, and turns the loop.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 10_000} {
		b.Run(fmt.Sprint(n, "topics"), func(b *testing.B) {
			f := newFakes(b, Options{})
			for i := range n {
				if i%256 == 0 {
					c, _ := f.open()
					f.turn(func() {
						for k := i; k < min(i+256, n); k++ {
							f.hub.Subscribe(c, fmt.Sprintf("floor/room%d/temperature", k))
						}
					})
				}
			}
			data := make([]byte, 64)
			b.ReportAllocs()
			for b.Loop() {
				f.hub.Publish("floor/room0/temperature", data)
				f.m.Poll(0)
			}
		})
	}
}

func BenchmarkFanOut(b *testing.B) {
	const subscribers = 2000
	f := newFakes(b, Options{})
	for range subscribers {
		c, _ := f.open()
		f.subscribe(c, "a/+")
	}
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		f.hub.Publish("a/b", data)
		f.m.Poll(0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
}
