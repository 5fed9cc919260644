package main

import (
	"context"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mgr"
)

// inProcess starts a node in this process.
func inProcess(t *testing.T, h broadcast.History) string {
	m, err := mgr.New(mgr.Options{MaxConnsPerAddr: -1})
	if err != nil {
		t.Fatal(err)
	}
	addr, err := listen(m, h)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		m.Close()
	})
	return "ws://" + addr + "/hub"
}

var short = config{subscribers: 20, rate: 500, size: 64, time: 300 * time.Millisecond, loops: 2, patience: 10 * time.Second}

func TestALoadThatIsCutLosesNothing(t *testing.T) {
	cfg := short
	cfg.urls, cfg.cut = []string{inProcess(t, broadcast.History{Count: 10_000})}, 100
	r, err := run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !r.valid() || r.cuts == 0 || r.delivered != r.sent*uint64(cfg.subscribers) || r.latency.n != r.delivered {
		t.Errorf("%d sent, %d delivered, %d cuts, %d lost, %d doubled, %d missed, %d failed", r.sent, r.delivered, r.cuts, r.lost, r.doubled, r.missed, r.failed)
	}
}

// Without history what is cut is told as missed: the run is invalid.
func TestALoadThatMissesMessagesIsInvalid(t *testing.T) {
	cfg := short
	cfg.urls, cfg.cut, cfg.patience = []string{inProcess(t, broadcast.History{})}, 100, 100*time.Millisecond
	cfg.subscribers = 5
	r, err := run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.valid() || r.missed == 0 {
		t.Errorf("%d missed, %d lost", r.missed, r.lost)
	}
}

func TestHistogramIsWithinOnePart(t *testing.T) {
	var h histogram
	for us := 1; us <= 100_000; us++ {
		h.add(time.Duration(us) * time.Microsecond)
	}
	for part, want := range map[float64]float64{0.5: 0.05, 0.99: 0.099, 1: 0.1} {
		if got := h.at(part).Seconds(); got < want*0.999 || got > want*1.033 {
			t.Errorf("%v of all are below %v s, want %v", part, got, want)
		}
	}
}

// TestNodesThatShareAnEngine: what is published to either of two nodes reaches the subscribers of
// both, with the same offset.
func TestNodesThatShareAnEngine(t *testing.T) {
	cfg := short
	c, err := start(&cfg, 2, "memory")
	if err != nil {
		t.Fatal(err)
	}
	defer c.stop()
	cfg.cut = 50
	r, err := run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if !r.valid() || r.delivered != r.sent*uint64(cfg.subscribers) || len(cfg.urls) != 2 {
		t.Errorf("%d sent, %d delivered, %d cuts, %d lost, %d doubled, %d missed, %d failed", r.sent, r.delivered, r.cuts, r.lost, r.doubled, r.missed, r.failed)
	}
}

// TestNodesThatShareNothing: two nodes without an engine are no hub. The run is invalid.
func TestNodesThatShareNothing(t *testing.T) {
	cfg := short
	cfg.urls, cfg.patience = []string{inProcess(t, broadcast.History{}), inProcess(t, broadcast.History{})}, 100*time.Millisecond
	r, err := run(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if r.valid() {
		t.Errorf("%d sent, %d delivered", r.sent, r.delivered)
	}
}

func TestRefusedSetUps(t *testing.T) {
	for _, x := range []struct {
		cfg    config
		nodes  int
		engine string
	}{
		{config{}, 2, ""}, {config{}, 2, "replicas"}, {config{}, 1, "sqlite"}, {config{urls: []string{"ws://127.0.0.1:1/hub"}}, 2, ""},
	} {
		if c, err := start(&x.cfg, x.nodes, x.engine); err == nil {
			c.stop()
			t.Errorf("%d nodes, engine %q, URLs %q: no error", x.nodes, x.engine, x.cfg.urls)
		}
	}
}
