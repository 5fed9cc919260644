package nats

import (
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
)

// quiet is a log for tests in which servers die.
var quiet = func() *slog.Logger {
	if os.Getenv("MG_LOG") != "" {
		return slog.Default()
	}
	return slog.New(slog.NewTextHandler(io.Discard, nil))
}()

func mustOpen(t *testing.T, o Options) *Engine {
	t.Helper()
	if o.Log == nil {
		o.Log = quiet
	}
	e, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

// host is an engine with an embedded server that others use, which the test may stop.
type host struct {
	opts Options
	e    *Engine
}

func (h *host) start(t *testing.T) {
	h.e = mustOpen(t, h.opts)
	h.opts.Listen = h.e.Address() // the same port again
}

func (h *host) stop(t *testing.T) { h.e.Close() }

func TestContract(t *testing.T) {
	enginetest.Contract(t, func(t *testing.T) enginetest.Setup {
		h := &host{opts: Options{Dir: filepath.Join(t.TempDir(), "nats"), Listen: "127.0.0.1:0", Backlog: 1000}}
		h.start(t)
		return enginetest.Setup{
			Open: func(t *testing.T) broadcast.Engine {
				return mustOpen(t, Options{URLs: []string{"nats://" + h.e.Address()}, Files: true, Backlog: 1000, InFlight: 2000})
			},
			Keep:     1000,
			InFlight: 2000,
			Stop:     h.stop,
			Start:    h.start,
			Forget: func(t *testing.T) {
				if err := os.RemoveAll(h.opts.Dir); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}

// freeAddresses returns addresses of this machine that nobody listens at. Somebody else may take
// one before the test does; servers of a cluster must know each other's before they start.
func freeAddresses(t *testing.T, n int) (addresses []string) {
	t.Helper()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addresses = append(addresses, l.Addr().String())
	}
	return addresses
}
