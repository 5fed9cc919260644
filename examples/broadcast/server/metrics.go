package server

import (
	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/metrics/hub"
)

// metrics answers GET /metrics, when each loop has listed its subscribers.
func (s *server) metrics(_ *conn.Conn, m *http.Message) {
	later := m.Later()
	s.subscribers(func(_ []Subscriber, n Connections) {
		later.Do(func() {
			later.With(func(c *conn.Conn) {
				metrics.Handler(metrics.Process, metrics.Of(s.m), s.requests.Write, hub.Source(s.hub), n.write, s.cfg.tls.Metrics)(c, m)
			})
		})
	})
}

// write is a metrics.Source.
func (n *Connections) write(w *metrics.Writer) {
	const name, help = "broadcast_connections", "Connections that have subscribed."
	w.Gauge(name, help, float64(n.WebSocket), "kind", "websocket")
	w.Gauge(name, help, float64(n.Events), "kind", "events")
	w.Gauge("broadcast_slow_connections", "Connections for which messages wait.", float64(n.Slow))
}
