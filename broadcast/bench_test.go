package broadcast

import (
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
	"github.com/seed4930a636/mangusta/websocket/deflate"
)

func BenchmarkPublishToNobody(b *testing.B) {
	f := newFakes(b, Options{})
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		f.hub.Publish("sensors/kitchen/temperature", data)
	}
}

// BenchmarkMatch looks up a topic in trees of different sizes. The cost must not grow with the
// number of patterns.
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

// BenchmarkPublish publishes to one subscriber, of the only topic or of one among many, and turns
// the loop.
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

// BenchmarkFanOutQueued has messages wait for connections that take nothing, with as many patterns
// each, and then sends them.
func BenchmarkFanOutQueued(b *testing.B) {
	for _, patterns := range []int{1, 8, 32} {
		b.Run(fmt.Sprint(patterns, "patterns"), func(b *testing.B) {
			const subscribers, messages = 200, 20
			f := newFakes(b, Options{})
			var all []*conn.Conn
			for range subscribers {
				c, _ := f.open()
				f.turn(func() {
					f.hub.Subscribe(c, "a/+", SubscribeOptions{TellMissed: true})
					for i := range patterns - 1 {
						f.hub.Subscribe(c, fmt.Sprint("b/", i), SubscribeOptions{TellMissed: true})
					}
				})
				all = append(all, c)
			}
			data := make([]byte, 64)
			ends := make([]io.WriteCloser, len(all))
			b.ReportAllocs()
			for b.Loop() {
				f.m.Do(func() {
					for i, c := range all {
						ends[i] = websocket.Writer(c, websocket.Text)
						ends[i].Write(data[:1])
					}
				})
				f.m.Poll(0)
				for range messages {
					f.hub.Publish("a/b", data)
				}
				f.m.Poll(0)
				f.m.Do(func() {
					for _, e := range ends {
						e.Close()
					}
				})
				for f.m.Poll(0); f.hub.loops[0].subscriber(all[subscribers-1]).waiting > 0; {
					f.m.Poll(0)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers/messages, "ns/delivery")
		})
	}
}

// BenchmarkFanOutOverLoops is BenchmarkFanOut with half of the subscribers on each of two loops,
// which this goroutine turns one after the other: what the second loop costs, not what it gains.
func BenchmarkFanOutOverLoops(b *testing.B) {
	const subscribers = 2000
	l, err := mgr.NewLoops(2, mgr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	hub := New(l)
	for _, m := range l.Managers() {
		f := &fakes{t: b, m: m, hub: hub, shared: conn.NewShared(m), server: http.NewServer(http.Options{})}
		f.limits = conn.Limits{Stall: -1}.WithDefaults()
		for range subscribers / 2 {
			c, _ := f.open()
			f.subscribe(c, "a/+")
		}
	}
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		hub.Publish("a/b", data)
		for _, m := range l.Managers() {
			m.Poll(0)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
}

// BenchmarkFanOutInjected is BenchmarkFanOut for what an engine delivers.
func BenchmarkFanOutInjected(b *testing.B) {
	const subscribers = 2000
	e := newSinkOf(b)
	f := newFakes(b, Options{Engine: e})
	s := <-e.sink
	s.Begin(Info{Epoch: base, First: base + 1, Last: base})
	for range subscribers {
		c, _ := f.open()
		f.subscribe(c, "a/+")
	}
	x := stored(0, "a/b")
	x.Data = make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		x.Offset++
		s.Deliver(x)
		f.m.Poll(0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
}

// BenchmarkFanOutPaced publishes ten messages to subscribers with an interval, lets it pass, and
// has the newest go out.
func BenchmarkFanOutPaced(b *testing.B) {
	const subscribers = 2000
	p := newPacer(b, Options{})
	for range subscribers {
		c, _ := p.open()
		p.subscribe(c, "a/+", SubscribeOptions{MinInterval: 1000})
	}
	data := make([]byte, 64)
	b.ReportAllocs()
	for b.Loop() {
		for range 10 {
			p.hub.Publish("a/b", data)
		}
		p.m.Poll(0)
		p.now += 1000
		p.m.Poll(0)
		p.hub.loops[0].ring()
		p.now += 1000
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/interval")
}

// A message of 1 KB that is compressed once for all.
func BenchmarkFanOutDeflated(b *testing.B) {
	const subscribers = 2000
	f := newFakes(b, Options{})
	f.ws = &websocket.Options{Compress: deflate.New()}
	for range subscribers {
		c, _ := f.open()
		f.subscribe(c, "a/+")
	}
	data := []byte(strings.Repeat(`{"id":17,"value":71.25,"unit":"C"},`, 30))
	b.ReportAllocs()
	for b.Loop() {
		f.hub.Publish("a/b", data)
		f.m.Poll(0)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/subscribers, "ns/delivery")
}

// BenchmarkWorstMatch looks up the topic that visits the most nodes, of patterns that do not match
// it.
func BenchmarkWorstMatch(b *testing.B) {
	root := &node{}
	for set := range 1 << (maxPlusLevels - 1) {
		levels := make([]string, maxPlusLevels)
		for i := range levels {
			levels[i] = []string{"a", "+"}[set>>i&1]
		}
		levels[maxPlusLevels-1] = "z"
		if p := strings.Join(levels, "/"); ValidPattern(p) {
			root.find(p).count++
		}
	}
	topic := strings.Repeat("a/", maxPlusLevels-1) + "a"
	var found []*node
	for b.Loop() {
		if found = root.match(found[:0], topic); len(found) != 0 {
			b.Fatal(found)
		}
	}
}
