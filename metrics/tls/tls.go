// Package tls is the source of metrics of a tlsconn.Server or Client. It is a package of its own so
// that a program without TLS does not link crypto/tls.
//
//	import tlsmetrics "github.com/seed4930a636/mangusta/metrics/tls"
//
//	x.MustHandle("GET /metrics", metrics.Handler(metrics.Manager(m), tlsmetrics.Source(server)))
package tls

import (
	"strings"

	"github.com/seed4930a636/mangusta/metrics"
	"github.com/seed4930a636/mangusta/tlsconn"
)

// A Counter has figures: a *tlsconn.Server or a *tlsconn.Client.
type Counter interface {
	Stats() tlsconn.Stats
}

// Source is the source of tlsconn.Stats. labels, pairs of name and value, go with each sample; they
// tell servers and clients apart.
func Source(of Counter, labels ...string) metrics.Source {
	labels = labels[:len(labels):len(labels)]
	return func(w *metrics.Writer) {
		s := of.Stats()
		counter := func(name, help string, v uint64, more ...string) {
			w.Counter("mangusta_tls_"+name+"_total", help, float64(v), append(labels, more...)...)
		}
		const done = "Handshakes done, by version."
		counter("handshakes", done, s.TLS12, "version", "1.2")
		counter("handshakes", done, s.TLS13, "version", "1.3")
		counter("resumed", "Handshakes that resumed a session.", s.Resumed)
		const failed = "Handshakes that failed, by the version that both sides had agreed on."
		counter("failed", failed, s.FailedTLS12, "version", "1.2")
		counter("failed", failed, s.FailedTLS13, "version", "1.3")
		counter("failed", failed, s.Failed-s.FailedTLS12-s.FailedTLS13, "version", "none")
		counter("unfinished", "Handshakes that ended by a timeout, a reset or a close.", s.Unfinished)
		for _, a := range s.Alerts {
			from := "us"
			if a.Received {
				from = "peer"
			}
			counter("alerts", "Handshakes that failed with an alert, by the alert and by who sent it.", a.Count,
				"alert", name(a), "from", from)
		}
		w.Gauge("mangusta_tls_handshakes_in_flight", "Handshakes under way.", float64(s.InFlight), labels...)
		counter("busy", "Handshakes refused because there were too many; they are among the failed.", s.Busy)
		counter("busy_by_address", "Handshakes refused because there were too many of one address; they are among the busy.", s.Crowded)
		counter("made_room", "Handshakes that waited for their peer, and ended to make room for a new one; they are among the failed.", s.MadeRoom)
		counter("plain_http", "HTTP requests without TLS; they are among the failed.", s.PlainHTTP)
		counter("bad_records", "Connections ended because of bytes that were no records.", s.Records)
		counter("floods", "Connections ended because of records without data, or too many bytes of a handshake.", s.Floods)
		counter("truncated", "Streams that ended without close_notify.", s.Truncated)
		counter("reloads", "Certificates read again.", s.Reloads)
		counter("bad_reloads", "Attempts to read certificates again that failed.", s.BadReloads)
	}
}

// name is the name that crypto/tls has for an alert.
func name(a tlsconn.Alert) string {
	text := strings.TrimPrefix(a.Description.Error(), "tls: ")
	if strings.HasPrefix(text, "alert(") {
		return "unknown"
	}
	return strings.ReplaceAll(text, " ", "_")
}
