package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/http/stdhttp"
	"github.com/seed4930a636/mangusta/mgr"
)

// metrics answers GET /metrics with the handler of Prometheus' own library, on a goroutine beside the loop.
func (s *server) metrics() func(*conn.Conn, *http.Message) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collector{s}, collectors.NewGoCollector(),
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

// each calls put for each metric but that of connections by kind. There is none for each topic: clients make topics up, and each
// would be a series that Prometheus never forgets.
func (r *reading) each(put func(kind prometheus.ValueType, name, help string, value float64)) {
	counter := func(name, help string, value uint64) { put(prometheus.CounterValue, name, help, float64(value)) }
	gauge := func(name, help string, value int) { put(prometheus.GaugeValue, name, help, float64(value)) }
	h, l := &r.hub, &r.loop
	counter("broadcast_published_total", "Messages published.", h.Published)
	counter("broadcast_refused_total", "Messages refused because a queue was full.", h.Refused)
	counter("broadcast_delivered_total", "Messages given to connections.", h.Delivered)
	counter("broadcast_replayed_total", "Messages given to connections from history.", h.Replayed)
	counter("broadcast_skipped_total", "Messages that slow subscribers did not get.", h.Skipped)
	counter("broadcast_lost_total", "Messages that waited for a connection when it ended.", h.Lost)
	counter("broadcast_disconnected_total", "Connections closed because they were too slow.", h.Disconnected)
	counter("broadcast_delivered_bytes_total", "Bytes of messages given to connections.", h.Bytes)
	put(prometheus.CounterValue, "broadcast_fan_out_seconds_total", "Time spent on distributing.", h.FanOut.Seconds())
	gauge("broadcast_subscriptions", "Subscriptions.", h.Subscriptions)
	gauge("broadcast_slow_connections", "Connections for which messages wait.", r.conns.Slow)
	gauge("broadcast_topics", "Topics kept track of.", h.Topics)
	gauge("broadcast_history_messages", "Messages in history.", h.Kept)
	gauge("broadcast_history_bytes", "Bytes of messages in history.", h.KeptBytes)
	gauge("broadcast_queued_messages", "Messages that wait for the loop.", h.Queued)
	gauge("broadcast_queued_bytes", "Bytes of messages that wait for the loop.", h.QueuedBytes)
	gauge("loop_connections", "Connections open.", l.Conns)
	counter("loop_accepts_total", "Connections accepted.", l.Accepts)
	counter("loop_turns_total", "Turns of the loop.", l.Turns)
	counter("loop_events_total", "Calls of handlers.", l.Events)
	counter("loop_received_bytes_total", "Bytes received.", l.BytesIn)
	counter("loop_sent_bytes_total", "Bytes sent.", l.BytesOut)
}

var connections = prometheus.NewDesc("broadcast_connections", "Connections that have subscribed.", []string{"kind"}, nil)

// A collector is a prometheus.Collector: it reads hub and loop when Prometheus asks. It is safe for concurrent use.
type collector struct{ s *server }

// Describe sends what Collect will send, without the values.
func (x collector) Describe(to chan<- *prometheus.Desc) {
	new(reading).each(func(_ prometheus.ValueType, name, help string, _ float64) {
		to <- prometheus.NewDesc(name, help, nil, nil)
	})
	to <- connections
}

// Collect waits for the loop, which tells its own figures and those of the connections.
func (x collector) Collect(to chan<- prometheus.Metric) {
	s, answer := x.s, make(chan reading, 1)
	err := s.m.Do(func() {
		r := reading{hub: s.hub.Stats(), loop: s.m.Stats()}
		s.subscribers(&r.conns)
		answer <- r
	})
	if err != nil {
		to <- prometheus.NewInvalidMetric(connections, err)
		return
	}
	r := <-answer
	r.each(func(kind prometheus.ValueType, name, help string, value float64) {
		to <- prometheus.MustNewConstMetric(prometheus.NewDesc(name, help, nil, nil), kind, value)
	})
	for kind, n := range map[string]int{"websocket": r.conns.WebSocket, "events": r.conns.Events} {
		to <- prometheus.MustNewConstMetric(connections, prometheus.GaugeValue, float64(n), kind)
	}
}
