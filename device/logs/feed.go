package logs

import (
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
)

const (
	// burst is how many lines the loop publishes at a time, and burstEvery how often.
	burst      = 64
	burstEvery = 5 * time.Millisecond
)

// A feed publishes the lines. The goroutine that logs may be anywhere, even inside the hub: so it
// only has the loop look. All fields but l belong to l.mu.
type feed struct {
	l     *Log
	m     *mgr.Manager
	hub   *broadcast.Hub
	topic string
	n     uint64 // of the last line that was taken
	told  bool   // publish is on its way
}

// Publish has each further line published to a topic of hub, by the loop of m. A line that has made
// room for others before the loop came to it is left out.
func (l *Log) Publish(m *mgr.Manager, hub *broadcast.Hub, topic string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.feed = &feed{l: l, m: m, hub: hub, topic: topic, n: l.n}
}

// tell has the loop publish. It is called with mu held.
func (f *feed) tell() {
	if !f.told {
		f.told = f.m.Complete(f.publish) == nil
	}
}

func (f *feed) publish() {
	var room [burst]line
	f.l.mu.Lock()
	lines := room[:copy(room[:], f.l.after(f.n, burst))]
	if len(lines) > 0 {
		f.l.stats.Unpublished += lines[0].n - f.n - 1
		f.n = lines[len(lines)-1].n
	} else { // Clear has forgotten them
		f.l.stats.Unpublished += f.l.n - f.n
		f.n = f.l.n
	}
	more := f.n < f.l.n
	f.told = more
	f.l.mu.Unlock()
	lost := uint64(0)
	for _, line := range lines {
		if _, err := f.hub.Publish(f.topic, line.text[:len(line.text)-1]); err != nil {
			lost++ // to log that would add a line
		}
	}
	if more {
		f.m.AfterFunc(burstEvery, f.publish)
	}
	if lost > 0 {
		f.l.mu.Lock()
		f.l.stats.Unpublished += lost
		f.l.mu.Unlock()
	}
}
