// Package server is the broadcast API server that examples/broadcast runs by itself, and
// examples/cluster on several nodes. The doc comment of examples/broadcast says what it serves.
package server

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/internal/certs"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// Options are what a program may add to the server. The zero value works.
type Options struct {
	// Engine, when not nil, shares the topics with other servers: see broadcast.Options.Engine.
	// Before the server listens, it waits for what the engine has stored, but no longer than 10 s.
	// The program that has made the engine closes it, after Run.
	Engine broadcast.Engine

	// Authorize, when not nil, returns what a client with a token other than that of the command
	// line may do, or an error. There must be one on the command line, which may do everything. It
	// is called on the loops, and must not wait.
	Authorize func(token string) (broadcast.Rights, error)

	// More returns figures for the page, beside those of the hub, and for "more" of GET /stats. It
	// is called once a second while a page is open, on a loop: it must not wait. Nil is none.
	More func() []Figure

	// MoreTitle is the title above them on the page.
	MoreTitle string
}

// A Figure is one of Options.More, such as {"Engine", "embedded NATS"}.
type Figure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Bad   bool   `json:"bad,omitempty"` // it is a trouble, and looks like one
}

// Flags are those of the command line.
type Flags struct {
	cfg              config
	program          program.Flags
	token, tokenFile *string
	perAddr          *int
}

// config is what the command line says.
type config struct {
	token   string
	history int
	limit   int
	policy  string
	rate    float64
	queue   int // of the hub; for tests
	web     program.Web
	tls     *certs.Flags
	more    Options
}

// policies are the values of -policy.
var policies = map[string]broadcast.Policy{"skip": broadcast.SkipNew, "oldest": broadcast.DropOldest,
	"latest": broadcast.KeepLatest, "close": broadcast.Disconnect}

func (cfg *config) check() error {
	switch {
	case policies[cfg.policy] == 0:
		return fmt.Errorf("broadcast: policy %q is none of skip, oldest, latest and close", cfg.policy)
	case cfg.history < 0:
		return fmt.Errorf("broadcast: a history of %d messages", cfg.history)
	case cfg.limit < 1:
		return fmt.Errorf("broadcast: a limit of %d bytes", cfg.limit)
	case !(cfg.rate > 0 && cfg.rate <= 1e6):
		return fmt.Errorf("broadcast: a rate of %v messages a second", cfg.rate)
	}
	return nil
}

// Register adds the flags to the command line; listen is what -listen is when it is not given.
func Register(listen string) *Flags {
	f := &Flags{program: program.RegisterLoops(listen)}
	cfg := &f.cfg
	f.token = flag.String("token", "", "`secret` that everything but the page takes; others on this machine can read it here, so rather use -token-file or "+tokenVariable+" in the environment")
	f.tokenFile = flag.String("token-file", "", "`file` with the token")
	flag.IntVar(&cfg.history, "history", 100, "`messages` of each topic that are kept for those who come back, in 64 MiB for all topics")
	flag.IntVar(&cfg.limit, "limit", 1<<20, "`bytes` that may wait for a slow subscriber")
	flag.StringVar(&cfg.policy, "policy", "oldest", "`what` is done with messages over the limit: skip, oldest, latest or close")
	flag.Float64Var(&cfg.rate, "rate", 10_000, "`messages` that one address may publish in a second")
	cfg.web.Register(flag.CommandLine)
	f.perAddr = flag.Int("max-per-address", 256, "`connections` that one address may have, if it is none of -trusted-proxy; 0 is no limit")
	cfg.tls = certs.Register(flag.CommandLine)
	return f
}

// History returns what -history says.
func (f *Flags) History() int { return f.cfg.history }

// Run serves, as the flags say, until SIGINT or SIGTERM. It comes after flag.Parse.
func (f *Flags) Run(more Options) error {
	cfg := f.cfg
	cfg.more = more
	if err := cfg.check(); err != nil {
		return err
	}
	var err error
	if cfg.token, err = readToken(*f.token, *f.tokenFile); err != nil {
		return err
	}
	if more.Authorize != nil && cfg.token == "" {
		return errors.New("broadcast: without a token everybody may do everything: tokens with rights need -token-file beside them")
	}
	m, err := f.program.Group(mgr.Options{MaxConnsPerAddr: *f.perAddr, Trusted: cfg.web.Trusted})
	if err != nil {
		return err
	}
	s, err := newServer(m, cfg)
	if err != nil {
		return err
	}
	if err := s.catchUp(); err != nil {
		slog.Warn("the engine is not ready: history may be missing at first", "why", err)
	}
	o := listenerOptions
	o.Hosts = cfg.web.Hosts
	cfg.tls.Bound(maxHandshakes, cfg.web.Trusted)
	url, err := cfg.tls.Listen(f.program.URL(), &o, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	if err != nil {
		return err
	}
	l, err := http.Listen(m, url, s.requests.Count(s.routes().Serve), o)
	if err != nil {
		return err
	}
	if cfg.token == "" {
		fmt.Println("there is no token: everybody who reaches this address may publish and subscribe")
	}
	return program.Run(m, l)
}

// catchUp waits until the hub has what its engine has stored, so that the first clients find their
// history.
func (s *server) catchUp() error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return s.hub.CaughtUp(ctx)
}
