// Command broadcast is a broadcast API server: what is posted to a topic reaches all WebSockets and streams of server-sent
// events that have subscribed to it. http://127.0.0.1:8000/ shows what is going on.
//
//	go run ./examples/broadcast [-token SECRET] [-history N] [-limit BYTES] [-policy skip|oldest|latest|close] [-rate N]
//
//	POST /publish/{topic}    the body, text of up to 1 MiB, is the message; with -token it takes Authorization: Bearer SECRET
//	                         200 {"topic": "a/b", "offset": 12, "subscribers": 3}
//	GET /ws?topic=PATTERN    WebSocket of text messages {"topic": "a/b", "offset": 12, "data": …}; see encode.go
//	GET /events?topic=PATTERN
//	                         server-sent events: the id is the offset, the type the topic, the data the body
//	GET /stats               the figures as JSON
//	GET /metrics             the figures for Prometheus
//	GET /                    a page that shows them live, and publishes
//
// A topic has levels, as in "sensors/kitchen/temperature". In a pattern "+" stands for any one level and "#" at the end for any
// number: in a URL they are %2B and %23. There may be 32 topic parameters; a message that more than one matches comes once.
//
// With since=OFFSET, and with Last-Event-ID, which EventSource sends by itself, a subscriber gets what it missed behind that offset,
// as far as -history keeps it, and then what is new; since=0 asks for all that is kept. What it cannot get, because history has it
// no longer or because the subscriber is too slow for -limit and -policy, it is told of in the place where it is missing:
// {"missed": 3}, an event of type "missed". With "reset": true the offset is none of this run of the program, and what
// history has is all that there is.
//
// An EventSource gives events of a type to addEventListener(topic, …) and not to onmessage. A topic named "error" or "open" could
// not be told from the events that EventSource has itself.
//
// Errors are JSON, {"error": "…"}: 400 for a bad topic, pattern or since, 401, 413, 415 for a body that is not UTF-8, and 429 with
// Retry-After for an address that publishes more than -rate messages a second and when the hub's queue is full.
package main

import (
	"flag"
	"fmt"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/internal/program"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// config is what the command line says.
type config struct {
	token   string
	history int
	limit   int
	policy  string
	rate    float64
	queue   int // of the hub; for tests
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

func main() {
	flags := program.Register("127.0.0.1:8000")
	var cfg config
	flag.StringVar(&cfg.token, "token", "", "`secret` that publishing takes; without one everybody may publish")
	flag.IntVar(&cfg.history, "history", 100, "`messages` of each topic that are kept for those who come back, in 64 MiB for all topics")
	flag.IntVar(&cfg.limit, "limit", 1<<20, "`bytes` that may wait for a slow subscriber")
	flag.StringVar(&cfg.policy, "policy", "oldest", "`what` is done with messages over the limit: skip, oldest, latest or close")
	flag.Float64Var(&cfg.rate, "rate", 10_000, "`messages` that one address may publish in a second")
	flag.Parse()
	program.Check(cfg.check())

	m, err := flags.Manager(mgr.Options{})
	program.Check(err)
	s, err := newServer(m, cfg)
	program.Check(err)
	l, err := http.Listen(m, flags.URL(), s.routes().Serve, options)
	program.Check(err)
	if cfg.token == "" {
		fmt.Println("there is no -token: everybody who reaches this address may publish")
	}
	program.Check(program.Run(m, l))
}
