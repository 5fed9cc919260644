// Command cluster is the broadcast API server of examples/broadcast on several nodes that share
// their topics: what is posted to one of them reaches the subscribers of all, with the same offset,
// and a client that comes back may come to any of them. The page shows the engine, the nodes, and
// how far each lags.
//
// Two nodes, of which the first one has the engine, an embedded NATS server:
//
//	go run ./examples/cluster -listen 127.0.0.1:8000 -nats-listen 127.0.0.1:4222 -dir /tmp/log
//	go run ./examples/cluster -listen 127.0.0.1:8001 -nats nats://127.0.0.1:4222 -files
//
// Three nodes with the messages on each, of which one may die:
//
//	go run ./examples/cluster -listen 127.0.0.1:800N -self 127.0.0.1:622N -replicas 3 -dir /tmp/logN
//		-peers 127.0.0.1:6221,127.0.0.1:6222,127.0.0.1:6223
//
// An engine that stands elsewhere:
//
//	go run ./examples/cluster -nats nats://a.example:4222,nats://b.example:4222 -files
//	go run ./examples/cluster -redis redis://127.0.0.1:6379
//
// With -jwt-key-file clients show tokens (JWT) with the patterns that they may subscribe and publish
// to. The token of -token-file may do everything. Nodes that share topics must have the same -name,
// -history and -files. docs/cluster.md lists the failures that each set-up survives. The other flags
// and the routes are those of examples/broadcast. POST /publish replies with the offset after the
// engine has stored the message, and with 503 if the engine is down.
package main

import (
	"flag"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/broadcast/server"
	"github.com/seed4930a636/mangusta/examples/internal/program"
)

func main() {
	flags := server.Register("127.0.0.1:8000")
	choice := registerEngine()
	jwtKey := flag.String("jwt-key-file", "", "`file` with the key of tokens for clients: JWT with HS256, exp, and the patterns that they may \"subscribe\" and \"publish\" to")
	flag.Parse()
	if *choice.alone {
		program.Check(flags.Run(server.Options{}))
		return
	}
	var authorize func(string) (broadcast.Rights, error)
	if *jwtKey != "" {
		var err error
		authorize, err = authorizer(*jwtKey)
		program.Check(err)
	}
	engine, what, err := choice.open(flags.History())
	program.Check(err)
	nodes := newNodes(engine, *choice.node, what)
	err = flags.Run(server.Options{Engine: nodes, Authorize: authorize, MoreTitle: "Cluster", More: nodes.figures})
	nodes.Close()
	program.Check(err)
}
