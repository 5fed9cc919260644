// Package metrics shows the figures of a program to Prometheus, in its text format, without a
// library of Prometheus.
//
//	requests := metrics.NewRequests()
//	x.MustHandle("GET /metrics", metrics.Handler(metrics.Process, metrics.Manager(m), requests.Write))
//	x.MustHandle("GET /healthz", metrics.Health(m))
//	http.Listen(m, url, requests.Count(x.Serve))
//
// A Source writes its figures each time that it is asked, on the loop of the request. Package
// metrics/hub has the Source of a broadcast.Hub, package metrics/tls that of a tlsconn.Server or
// Client; they are packages of their own so that a program without hub or TLS does not link these.
// A program's own figures are a function with a Writer:
//
//	func (p *plant) figures(w *metrics.Writer) {
//		w.Gauge("plant_temperature_celsius", "Temperature of the oven.", p.oven, "oven", "1")
//	}
package metrics
