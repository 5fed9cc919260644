package main

import (
	"strconv"

	"github.com/seed4930a636/mangusta/metrics"
)

// figures are what the proxy counts.
type figures struct {
	requests    int
	retries     int // requests that went to another server
	clientGone  int // requests that ended because the client did
	cut         int // responses that a server has not completed
	tunnels     int
	openTunnels int
	failures    [600]int // replies of the proxy's own, by status
}

// write is a metrics.Source.
func (p *proxy) write(w *metrics.Writer) {
	f := &p.figures
	w.Counter("proxy_requests_total", "Requests of clients.", float64(f.requests))
	w.Counter("proxy_retries_total", "Requests that went to another server after one had failed.", float64(f.retries))
	w.Counter("proxy_client_gone_total", "Requests that ended because the client did.", float64(f.clientGone))
	w.Counter("proxy_cut_total", "Responses that a server has not completed.", float64(f.cut))
	for _, status := range [...]int{502, 503, 504} {
		w.Counter("proxy_failures_total", "Errors of the proxy's own.", float64(f.failures[status]), "status", strconv.Itoa(status))
	}
	w.Counter("proxy_tunnels_total", "Connections that switched protocols.", float64(f.tunnels))
	w.Gauge("proxy_open_tunnels", "Connections that have switched protocols.", float64(f.openTunnels))
	s := p.client.Stats()
	w.Gauge("proxy_upstream_connections", "Connections to servers.", float64(s.Conns))
	w.Gauge("proxy_upstream_idle_connections", "Connections to servers that carry no request.", float64(s.Idle))
	w.Gauge("proxy_upstream_waiting", "Requests that wait for a connection to a server.", float64(s.Waiting))
	now := p.m.Now()
	for _, u := range p.upstreams.all {
		w.Counter("proxy_upstream_requests_total", "Requests to this server.", float64(u.requests), "server", u.url)
	}
	for _, u := range p.upstreams.all {
		w.Counter("proxy_upstream_failures_total", "Failures of this server.", float64(u.failures), "server", u.url)
	}
	for _, u := range p.upstreams.all {
		up := 1.0
		if u.until > now {
			up = 0
		}
		w.Gauge("proxy_upstream_up", "0 while this server is left out.", up, "server", u.url)
	}
}
