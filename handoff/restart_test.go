package handoff_test

import (
	"strconv"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// restarts replaces the process times times under load, and returns how long the slowest request and
// echo took.
func restarts(t *testing.T, p mgr.Poller, sockets, times int) {
	s := newServers(t, p, "HANDOFF_MOVE=1")
	old := s.start()
	old.wantReady(t)
	w := s.echo(sockets, 100*time.Millisecond)
	r := s.load(8)
	for range times {
		next := s.start()
		next.wantReady(t)
		old.wantEnd(t, true)
		if got := s.get("/pid"); got != strconv.Itoa(next.Process.Pid) {
			t.Errorf("process %s serves, want %d", got, next.Process.Pid)
		}
		old = next
	}
	r.wantAll(t)
	w.wantAll()
	w.on(func() {
		t.Logf("%d restarts: %d of %d requests and %d of %d WebSockets dropped, %d messages; longest request %v (50 ms are its own), longest echo %v",
			times, len(r.dropped), r.n, w.dropped, sockets, w.echoed, r.longest.Round(time.Millisecond), w.longest.Round(time.Millisecond))
	})
}

func TestWebSocketsAndRequestsOverRestarts(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		switch {
		case !exhaustive.On():
			restarts(t, p, 50, 3)
		case p == mgr.Select:
			restarts(t, p, 400, 20) // descriptors below 1024, of which a connection that moves takes three for a moment
		default:
			restarts(t, p, 1000, 20)
		}
	})
}
