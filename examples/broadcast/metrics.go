package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

// metrics answers GET /metrics with the handler of Prometheus' own library, on a goroutine beside the loop.
func (s *server) metrics() http.Handler {
	registry := prometheus.NewRegistry()
	registry.MustRegister(newCollector(s), collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	h := promhttp.HandlerFor(registry, promhttp.HandlerOpts{Registry: registry})
	return stdhttp.New(s.m, h, stdhttp.Options{Workers: 2, Queue: 16}).Serve
}

// reading is what the metrics are made of.
type reading struct {
	hub   broadcast.Stats
	loop  mgr.Stats
	conns Connections
}

// metric is one line of the exposition. There is none for each topic: clients make topics up, and each would be a series that
// Prometheus never forgets.
type metric struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(*reading) float64
}

// collector reads hub and loop when Prometheus asks. Collect is safe for concurrent use.
type collector struct {
	s           *server
	metrics     []metric
	connections *prometheus.Desc
}

func newCollector(s *server) *collector {
	x := &collector{s: s, connections: prometheus.NewDesc("broadcast_connections", "Connections that have subscribed.",
		[]string{"kind"}, nil)}
	add := func(kind prometheus.ValueType, name, help string, value func(*reading) float64) {
		x.metrics = append(x.metrics, metric{prometheus.NewDesc(name, help, nil, nil), kind, value})
	}
	const counter, gauge = prometheus.CounterValue, prometheus.GaugeValue
	add(counter, "broadcast_published_total", "Messages published.", func(r *reading) float64 { return float64(r.hub.Published) })
	add(counter, "broadcast_refused_total", "Messages refused because a queue was full.", func(r *reading) float64 { return float64(r.hub.Refused) })
	add(counter, "broadcast_delivered_total", "Messages given to connections.", func(r *reading) float64 { return float64(r.hub.Delivered) })
	add(counter, "broadcast_replayed_total", "Messages delivered from history.", func(r *reading) float64 { return float64(r.hub.Replayed) })
	add(counter, "broadcast_skipped_total", "Messages that slow subscribers did not get.", func(r *reading) float64 { return float64(r.hub.Skipped) })
	add(counter, "broadcast_lost_total", "Messages that waited for a connection when it ended.", func(r *reading) float64 { return float64(r.hub.Lost) })
	add(counter, "broadcast_disconnected_total", "Connections closed because they were too slow.", func(r *reading) float64 { return float64(r.hub.Disconnected) })
	add(counter, "broadcast_delivered_bytes_total", "Bytes of messages given to connections.", func(r *reading) float64 { return float64(r.hub.Bytes) })
	add(counter, "broadcast_fan_out_seconds_total", "Time spent on distributing.", func(r *reading) float64 { return r.hub.FanOut.Seconds() })
	add(gauge, "broadcast_subscriptions", "Subscriptions.", func(r *reading) float64 { return float64(r.hub.Subscriptions) })
	add(gauge, "broadcast_slow_connections", "Connections for which messages wait.", func(r *reading) float64 { return float64(r.conns.Slow) })
	add(gauge, "broadcast_topics", "Topics kept track of.", func(r *reading) float64 { return float64(r.hub.Topics) })
	add(gauge, "broadcast_history_messages", "Messages in history.", func(r *reading) float64 { return float64(r.hub.Kept) })
	add(gauge, "broadcast_history_bytes", "Bytes of messages in history.", func(r *reading) float64 { return float64(r.hub.KeptBytes) })
	add(gauge, "broadcast_queued_messages", "Messages that wait for the loop.", func(r *reading) float64 { return float64(r.hub.Queued) })
	add(gauge, "broadcast_queued_bytes", "Bytes of messages that wait for the loop.", func(r *reading) float64 { return float64(r.hub.QueuedBytes) })
	add(gauge, "loop_connections", "Connections open.", func(r *reading) float64 { return float64(r.loop.Conns) })
	add(counter, "loop_accepts_total", "Connections accepted.", func(r *reading) float64 { return float64(r.loop.Accepts) })
	add(counter, "loop_turns_total", "Turns of the loop.", func(r *reading) float64 { return float64(r.loop.Turns) })
	add(counter, "loop_events_total", "Calls of handlers.", func(r *reading) float64 { return float64(r.loop.Events) })
	add(counter, "loop_received_bytes_total", "Bytes received.", func(r *reading) float64 { return float64(r.loop.BytesIn) })
	add(counter, "loop_sent_bytes_total", "Bytes sent.", func(r *reading) float64 { return float64(r.loop.BytesOut) })
	return x
}

// Describe is half of prometheus.Collector.
func (x *collector) Describe(to chan<- *prometheus.Desc) {
	for _, m := range x.metrics {
		to <- m.desc
	}
	to <- x.connections
}

// Collect is the other half. It waits for the loop, which tells its own figures and those of the connections.
func (x *collector) Collect(to chan<- prometheus.Metric) {
	s, answer := x.s, make(chan reading, 1)
	err := s.m.Do(func() {
		r := reading{hub: s.hub.Stats(), loop: s.m.Stats()}
		s.subscribers(&r.conns)
		answer <- r
	})
	if err != nil {
		to <- prometheus.NewInvalidMetric(x.connections, err)
		return
	}
	r := <-answer
	for _, m := range x.metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(&r))
	}
	to <- prometheus.MustNewConstMetric(x.connections, prometheus.GaugeValue, float64(r.conns.WebSocket), "websocket")
	to <- prometheus.MustNewConstMetric(x.connections, prometheus.GaugeValue, float64(r.conns.Events), "events")
}
