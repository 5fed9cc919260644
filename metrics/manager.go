package metrics

import (
	"math"
	"strconv"
	"strings"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// Manager is the source of mgr.Stats. The requests that ask for it must come over connections of m.
// labels, pairs of name and value, go with each sample.
func Manager(m *mgr.Manager, labels ...string) Source {
	return func(w *Writer) { writeStats(w, m.Stats(), m.Budget(), labels) }
}

// Loops is the source of the mgr.Stats of several loops: the same figures as those of Manager, in
// sum, and the connections and accepts of each loop, with its number as the label loop.
func Loops(l *mgr.Loops, labels ...string) Source {
	return func(w *Writer) {
		writeStats(w, l.Stats(), l.Budget(), labels)
		each := l.StatsEach()
		of := func(i int) []string { return append(labels[:len(labels):len(labels)], "loop", strconv.Itoa(i)) }
		for i, s := range each {
			w.Gauge("mangusta_loop_connections", "Connections open, by loop.", float64(s.Conns), of(i)...)
		}
		for i, s := range each {
			w.Counter("mangusta_loop_accepts_total", "Connections accepted, by loop.", float64(s.Accepts), of(i)...)
		}
	}
}

// Of is Manager or Loops, whichever g is.
func Of(g mgr.Group, labels ...string) Source {
	if l, ok := g.(*mgr.Loops); ok {
		return Loops(l, labels...)
	}
	return Manager(g.Managers()[0], labels...)
}

func writeStats(w *Writer, s mgr.Stats, b *conn.Budget, labels []string) {
	counter := func(name, help string, v uint64) { w.Counter("mangusta_"+name+"_total", help, float64(v), labels...) }
	gauge := func(name, help string, v int) { w.Gauge("mangusta_"+name, help, float64(v), labels...) }
	gauge("connections", "Connections open.", s.Conns)
	gauge("listeners", "Listeners open.", s.Listeners)
	gauge("loop_queued_messages", "Messages from other goroutines that wait for the loop.", s.Queued)
	counter("loop_turns", "Turns of the loop.", s.Turns)
	counter("loop_events", "Calls of handlers.", s.Events)
	counter("loop_bell_misses", "System calls that were to wake the loop and failed.", s.BellMisses)
	counter("loop_wakeups", "Wakeup events fired.", s.Wakeups)
	counter("loop_lost_wakeups", "Wakeups to connections that were gone.", s.LostWakeups)
	counter("loop_panics", "Panics of handlers, timers and Do functions.", s.Panics)
	counter("accepts", "Connections accepted.", s.Accepts)
	counter("refused", "Peers turned away because of MaxConns or MaxConnsPerAddr.", s.Refused)
	counter("refused_by_address", "Peers turned away because of MaxConnsPerAddr; they are among the refused.", s.Crowded)
	counter("made_room", "Idle connections closed at MaxConns for others to take their place.", s.MadeRoom)
	counter("empty_accepts", "Attempts to accept that found no peer.", s.EmptyAccepts)
	counter("handed_over", "Connections accepted on one loop for another.", s.HandedOver)
	counter("exhausted", "Peers turned away because there were no descriptors.", s.Exhausted)
	gauge("held_bytes", "Memory that connections hold.", s.Held)
	if b.Limit() != math.MaxInt {
		gauge("memory_limit_bytes", "Memory that connections may hold, with what shares their budget.", b.Limit())
		gauge("memory_used_bytes", "Memory that is held of the budget.", b.Used())
	}
	gauge("rationed", "Connections that are not read from because memory is scarce.", s.Rationed)
	counter("rations", "How often memory was so scarce that a connection was not read from.", s.Rations)
	counter("received_bytes", "Bytes received.", s.BytesIn)
	counter("sent_bytes", "Bytes sent.", s.BytesOut)
	counter("rejected_writes", "Writes turned away because the send queue was full.", s.Rejected)
	counter("datagrams_received", "Datagrams received.", s.DatagramsIn)
	counter("datagrams_sent", "Datagrams that the kernel has taken.", s.DatagramsOut)
	counter("datagrams_dropped", "Datagrams that were not sent: the queue was full, the kernel refused them, or the socket was closed.", s.DatagramsDropped)
	counter("datagrams_missed", "Datagrams that came while the kernel's buffer was full (Linux).", s.DatagramsMissed)
	counter("datagrams_cut", "Datagrams received that were longer than the socket takes.", s.DatagramsCut)
	for r, n := range s.Closed {
		reason := strings.ReplaceAll(conn.Reason(r).String(), " ", "_")
		w.Counter("mangusta_closed_total", "Connections by the reason they ended for.", float64(n),
			append(labels[:len(labels):len(labels)], "reason", reason)...)
	}
}
