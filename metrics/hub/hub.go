// Package hub is the source of metrics of a broadcast.Hub.
//
//	x.MustHandle("GET /metrics", metrics.Handler(metrics.Manager(m), hub.Source(h)))
package hub

import (
	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/metrics"
)

// Source is the source of broadcast.Stats. Topics have no metrics of their own: clients invent
// topics, and Prometheus would keep a series for each of them for ever. labels, pairs of name and
// value, go with each sample; they tell hubs apart.
func Source(h *broadcast.Hub, labels ...string) metrics.Source {
	return func(w *metrics.Writer) {
		s := h.Stats()
		counter := func(name, help string, v uint64) {
			w.Counter("mangusta_hub_"+name+"_total", help, float64(v), labels...)
		}
		gauge := func(name, help string, v int) { w.Gauge("mangusta_hub_"+name, help, float64(v), labels...) }
		counter("published", "Messages published.", s.Published)
		counter("refused", "Messages refused because a queue was full, or that the engine did not store.", s.Refused)
		counter("stale", "Messages that the engine delivered again.", s.Stale)
		counter("delivered", "Messages given to connections.", s.Delivered)
		counter("replayed", "Messages given to connections from history.", s.Replayed)
		counter("skipped", "Messages that slow subscribers did not get.", s.Skipped)
		counter("merged", "Messages of which a later one of their topic went out, because of an interval.", s.Merged)
		counter("lost", "Messages that waited for a connection when it ended.", s.Lost)
		counter("disconnected", "Connections closed because they were too slow.", s.Disconnected)
		counter("expired", "Subscriptions that ended with the rights of their clients.", s.Expired)
		counter("delivered_bytes", "Bytes of messages given to connections.", s.Bytes)
		counter("looks", "Looks at topics and messages in search of history.", s.Looks)
		w.Counter("mangusta_hub_fan_out_seconds_total", "Time spent on distributing.", s.FanOut.Seconds(), labels...)
		gauge("subscriptions", "Subscriptions.", s.Subscriptions)
		gauge("topics", "Topics kept track of.", s.Topics)
		gauge("history_messages", "Messages in history.", s.Kept)
		gauge("history_bytes", "Bytes of messages in history.", s.KeptBytes)
		gauge("history_held_bytes", "Bytes that count against the limit of history.", s.Held)
		gauge("queued_messages", "Messages that wait for the loops.", s.Queued)
		gauge("queued_bytes", "Bytes of messages that wait for the loops.", s.QueuedBytes)
		if e := h.Engine(); e != (broadcast.EngineState{}) {
			up := 0
			if e.Up {
				up = 1
			}
			gauge("engine_up", "Whether the engine is connected.", up)
			gauge("engine_behind", "Messages stored and not delivered here yet, at most.", int(e.Behind))
			gauge("engine_in_flight", "Messages published here and not acknowledged yet.", e.InFlight)
			counter("engine_begins", "Times that the engine has connected.", e.Begins)
			counter("engine_resets", "Times that its stream was new.", e.Resets)
		}
	}
}
