package main

import (
	"crypto/rand"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/cluster/nats"
	"github.com/seed4930a636/mangusta/cluster/redis"
)

// choice is what the command line says of the engine.
type choice struct {
	node, name       *string
	nats, natsListen *string
	self, peers      *string
	replicas         *int
	dir              *string
	files            *bool
	sync             *time.Duration
	redis            *string
	secretFile       *string
	alone            *bool
}

func registerEngine() *choice {
	return &choice{
		node:       flag.String("node", "", "`name` of this node, for the page; chosen when empty"),
		name:       flag.String("name", "mangusta", "`name` of the log: nodes with the same one share topics"),
		nats:       flag.String("nats", "", "`URLs` of NATS servers, with commas; without -nats and -redis a server is embedded"),
		natsListen: flag.String("nats-listen", "", "`address` where the embedded server takes other nodes; empty: none"),
		self:       flag.String("self", "", "`address` where the embedded server takes those of -peers"),
		peers:      flag.String("peers", "", "`addresses` of all embedded servers, with commas, for a cluster of three or more"),
		replicas:   flag.Int("replicas", 1, "`servers` that have each message: 1 or 3"),
		dir:        flag.String("dir", "", "`directory` for the messages of the embedded server, which are in memory without"),
		files:      flag.Bool("files", false, "the servers of -nats keep the messages in files"),
		sync:       flag.Duration("sync", 0, "`time` after which files are flushed to the disk; negative: before each message is acknowledged; 0: two minutes"),
		redis:      flag.String("redis", "", "`URL` of a Redis or Valkey server"),
		alone:      flag.Bool("alone", false, "this node is alone: there is no engine"),
		secretFile: flag.String("secret-file", "", "`file` with what nodes show each other"),
	}
}

// open makes the engine, and says which one it is.
func (c *choice) open(history int) (broadcast.Engine, string, error) {
	if *c.node == "" {
		*c.node = "node-" + strings.ToLower(rand.Text()[:4])
	}
	secret := ""
	if *c.secretFile != "" {
		text, err := os.ReadFile(*c.secretFile)
		if err != nil {
			return nil, "", err
		}
		if secret = strings.TrimSpace(string(text)); secret == "" {
			return nil, "", fmt.Errorf("cluster: %s is empty", *c.secretFile)
		}
	}
	if *c.redis != "" {
		if *c.nats != "" || *c.natsListen != "" || *c.peers != "" {
			return nil, "", fmt.Errorf("cluster: -redis and flags of NATS exclude each other")
		}
		e, err := redis.Open(redis.Options{URL: *c.redis, Name: *c.name})
		return e, "Redis", err
	}
	o := nats.Options{
		Name:     *c.name,
		History:  broadcast.History{Count: history},
		URLs:     list(*c.nats),
		Listen:   *c.natsListen,
		Cluster:  nats.Cluster{Self: *c.self, Peers: list(*c.peers)},
		Secret:   secret,
		Dir:      *c.dir,
		Files:    *c.files,
		Sync:     *c.sync,
		Replicas: *c.replicas,
	}
	what := "NATS, embedded"
	switch {
	case len(o.URLs) > 0:
		what = "NATS"
	case len(o.Cluster.Peers) > 0:
		what = fmt.Sprintf("NATS, embedded, %d servers", len(o.Cluster.Peers))
	}
	if o.Replicas > 1 {
		what += fmt.Sprintf(", %d replicas", o.Replicas)
	}
	if o.Files || o.Dir != "" {
		what += ", in files"
	} else {
		what += ", in memory"
	}
	e, err := nats.Open(o)
	if err != nil {
		return nil, "", err
	}
	if at := e.Address(); at != "" {
		fmt.Printf("other nodes connect with -nats nats://%s\n", at)
	}
	return e, what, nil
}

// list returns what stands between commas.
func list(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}
