package mqtt_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

// BenchmarkBridge sends messages of 64 bytes with QoS 1 through a bridge, from 32 topics:
//
//	go test -run '^$' -bench Bridge -benchtime 20000x -count 3 .
//
// In is from a client of the broker that waits for each acknowledgement, 32 at a time, to the hub;
// Out is from the hub until the broker has acknowledged all of them.
func BenchmarkBridge(b *testing.B) {
	benchBrokers(b, func(b *testing.B, p place) {
		b.Run("in", func(b *testing.B) { benchIn(b, p) })
		b.Run("out", func(b *testing.B) { benchOut(b, p) })
	})
}

func benchBrokers(b *testing.B, f func(b *testing.B, p place)) {
	b.Run("embedded", func(b *testing.B) {
		own, err := broker.Start(broker.Options{})
		if err != nil {
			b.Fatal(err)
		}
		defer own.Close()
		f(b, place{"embedded", own.Dial})
	})
	b.Run("mosquitto", func(b *testing.B) {
		q := newMosquitto(b)
		conf := fmt.Sprintf("listener 0 %s/s\nallow_anonymous true\nmax_queued_messages 0\nlog_dest none\nuser root\n", q.dir) // it does not save
		if err := os.WriteFile(filepath.Join(q.dir, "conf"), []byte(conf), 0o600); err != nil {
			b.Fatal(err)
		}
		q.start()
		f(b, place{"mosquitto", q.dial})
	})
}

// benchSenders is how many messages are on their way to the broker at once.
const benchSenders = 32

func benchTopics() (topics [benchSenders]string) {
	for i := range topics {
		topics[i] = "bench/" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	return topics
}

// benchBridge is a hub with a bridge; got gets a value when the hub has had b.N messages.
func benchBridge(b *testing.B, o mqtt.Options) (bridge *mqtt.Bridge, hub *broadcast.Hub, got chan struct{}) {
	m, err := mgr.New(mgr.Options{})
	if err != nil {
		b.Fatal(err)
	}
	o.Log, o.Session, o.Queue = slog.New(slog.DiscardHandler), -1, 1<<30
	connected := make(chan struct{}, 10)
	o.Changed = func(up bool) {
		if up {
			connected <- struct{}{}
		}
	}
	if bridge, err = mqtt.New(o); err != nil {
		b.Fatal(err)
	}
	got = make(chan struct{}, 1)
	var n atomic.Int64
	hub = broadcast.NewHub(broadcast.Options{Tap: func(m *broadcast.Message, id string) {
		bridge.Tap(m, id)
		if n.Add(1) == int64(b.N) {
			got <- struct{}{}
		}
	}}, m)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		m.Run(context.Background())
	}()
	if err := bridge.Start(hub); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		bridge.Close(ctx)
		m.Close()
		<-ended
	})
	<-connected
	return bridge, hub, got
}

func benchIn(b *testing.B, p place) {
	bridge, _, got := benchBridge(b, mqtt.Options{Dial: p.dial, In: []mqtt.In{{Filter: "bench/#", QoS: 1}}})
	c := newClient(b, p)
	data, topics := make([]byte, 64), benchTopics()
	var next atomic.Int64
	b.ResetTimer()
	for i := range benchSenders {
		go func() {
			for next.Add(1) <= int64(b.N) {
				if _, err := c.cm.Publish(context.Background(), &paho.Publish{Topic: topics[i], Payload: data, QoS: 1}); err != nil {
					b.Error(err)
					return
				}
			}
		}()
	}
	select {
	case <-got:
	case <-time.After(3 * patience):
		b.Fatalf("not all came: %+v", bridge.Stats())
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
}

func benchOut(b *testing.B, p place) {
	bridge, hub, _ := benchBridge(b, mqtt.Options{Dial: p.dial, Out: []mqtt.Out{{Pattern: "bench/#", QoS: 1}}})
	data, topics := make([]byte, 64), benchTopics()
	b.ResetTimer()
	for i := range b.N {
		for {
			if _, err := hub.Publish(topics[i%len(topics)], data); err == nil {
				break
			}
			time.Sleep(time.Millisecond) // the hub is full
		}
	}
	for bridge.Stats().Waiting > 0 { // nothing tells
		time.Sleep(time.Millisecond)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	if s := bridge.Stats(); s.Out != uint64(b.N) {
		b.Fatalf("%+v", s)
	}
}
