package redis

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
)

func TestContract(t *testing.T) {
	enginetest.Contract(t, func(t *testing.T) enginetest.Setup {
		s := startServer(t, "--appendonly", "yes", "--appendfsync", "always")
		return enginetest.Setup{
			Open: func(t *testing.T) broadcast.Engine {
				return mustOpen(t, Options{URL: s.url(), Backlog: 1000, InFlight: 2000})
			},
			Keep:     1000,
			InFlight: 2000,
			Stop:     func(*testing.T) { s.kill() },
			Start:    func(t *testing.T) { s.start(t) },
			Forget: func(t *testing.T) {
				if err := os.RemoveAll(filepath.Join(s.dir, "appendonlydir")); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
