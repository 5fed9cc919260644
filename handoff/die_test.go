package handoff_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
	"github.com/seed4930a636/mangusta/mgr"
)

// files returns how many descriptors a process has open.
func (p *process) files(t *testing.T) int {
	t.Helper()
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", p.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// wantFiles waits until p has as many descriptors as before.
func (p *process) wantFiles(t *testing.T, want int) {
	t.Helper()
	got := 0
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if got = p.files(t); got == want {
			return
		}
	}
	t.Errorf("process %d has %d descriptors open, and had %d", p.Process.Pid, got, want)
}

// wantPID waits until the process p, and it alone, takes new connections.
func (s *servers) wantPID(p *process) {
	s.t.Helper()
	for range 3 {
		if got, want := s.get("/pid"), strconv.Itoa(p.Process.Pid); got != want {
			s.t.Errorf("process %s serves, want %s", got, want)
		}
	}
}

func TestNewProcessThatCrashesAtStart(t *testing.T) {
	underBoth(t, func(t *testing.T, p mgr.Poller) {
		n, times := 20, 3
		if exhaustive.On() {
			n, times = 400, 20
		}
		s := newServers(t, p, "HANDOFF_MOVE=1")
		old := s.start()
		old.wantReady(t)
		w, r := s.echo(n, 50*time.Millisecond), s.load(4)
		s.get("/pid")
		for range times {
			s.start("HANDOFF_FAIL=start").wantEnd(t, false)
		}
		s.wantPID(old)
		r.wantAll(t)
		w.wantAll()
		w.on(func() {
			t.Logf("%d new processes that crashed: %d of %d requests and %d of %d WebSockets dropped; longest request %v, longest echo %v",
				times, len(r.dropped), r.n, w.dropped, n, r.longest.Round(time.Millisecond), w.longest.Round(time.Millisecond))
		})
		next := s.start() // and the old one is not tired of it
		next.wantReady(t)
		old.wantEnd(t, true)
		s.wantPID(next)
	})
}

func TestNewProcessThatIsTooSlowMustNotServe(t *testing.T) {
	s := newServers(t, mgr.Epoll, "HANDOFF_PATIENCE=100ms")
	old := s.start()
	old.wantReady(t)
	before := old.files(t)
	hangs := s.start("HANDOFF_FAIL=hang", "HANDOFF_PATIENCE=1m")
	<-hangs.begun
	late := s.start("HANDOFF_PATIENCE=1m") // waits until the first has been given up
	late.wantReady(t)
	old.wantEnd(t, true)
	s.wantPID(late)
	hangs.Process.Kill()
	late.wantFiles(t, before)
}

// A process dies at each step of the handoff in turn. The other one serves, on the same sockets; of
// the connections only those die that the dead process owned; and no message is handled twice.
func TestEitherSideDiesAtAnyStep(t *testing.T) {
	for _, at := range []struct {
		side, step string
		lose       int // how many WebSockets may die: those that the dead process owned
	}{
		{"new", "begin L", 0}, {"new", "begin O", 0}, {"new", "ready sent", 0}, {"new", "go received", 0}, {"new", "new got M", 0},
		{"new", "send T", 0}, {"new", "adopt", sockets10},
		{"old", "old got H", sockets10}, {"old", "send L", sockets10}, {"old", "send O", sockets10}, {"old", "old got R", sockets10},
		{"old", "send G", sockets10}, {"old", "send M", sockets10}, {"old", "old got T", sockets10}, {"old", "finish", 0},
	} {
		pollers := []mgr.Poller{mgr.Epoll}
		if exhaustive.On() {
			pollers = append(pollers, mgr.Select)
		}
		for _, p := range pollers {
			t.Run(fmt.Sprintf("%s at %s under %v", at.side, at.step, p), func(t *testing.T) {
				s := newServers(t, p, "HANDOFF_MOVE=1")
				dies := map[string]string{at.side: "HANDOFF_DIE=" + at.step}
				old := s.start(dies["old"])
				old.wantReady(t)
				w := s.echo(sockets10, 20*time.Millisecond)
				files := old.files(t)
				next := s.start(dies["new"])
				survivor := old
				if at.side == "old" {
					old.wantEnd(t, false)
					next.wantReady(t)
					survivor = next
				} else {
					next.wantEnd(t, false)
				}
				s.wantPID(survivor)
				lost := w.wantAllBut(at.lose)
				if at.side == "new" {
					old.wantFiles(t, files-lost)
				}
				last := s.start() // and the one that is left can be replaced
				last.wantReady(t)
				survivor.wantEnd(t, true)
				s.wantPID(last)
			})
		}
	}
}

const sockets10 = 10
