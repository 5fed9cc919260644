// Command hub puts load on a hub through the Doors of its nodes: so many subscribers, so many
// messages a second, and how long each takes from Publish to each subscriber. A message that is
// lost, or comes twice, out of order, or with another offset than elsewhere, makes the run invalid:
// it ends with status 1.
//
//	go run ./hub [-urls URL,URL] [-nodes N -engine E] [-subscribers N] [-rate N] [-size BYTES] [-time D] [-cut N] [-loops N] [-token T]
//
// URLs are those of Doors, ws://HOST:PORT/hub, that let publish below the topic "bench". Without
// -urls the program starts one node itself, as another process, or, with -engine, so many nodes of
// examples/cluster that share one: "memory", "files", "replicas" or "redis". The subscribers are
// spread over the nodes, and so are the publishers, one for each node. With -cut that many
// subscribers a second lose their connection, and have to go on where they were. Latencies are
// those of one clock, so the nodes may be anywhere, but the load comes from here alone.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// config is what the command line says.
type config struct {
	urls        []string
	subscribers int
	rate        float64 // messages a second, of all publishers together
	size        int     // bytes
	time        time.Duration
	cut         float64 // subscribers a second
	loops       int
	token       string
	patience    time.Duration // for all to be live, and for the last message
}

func main() {
	if os.Getenv("BENCH_HUB_NODE") != "" {
		check(serve())
		return
	}
	var cfg config
	urls := flag.String("urls", "", "`URLs` of the Doors, with commas; without them it starts nodes of its own")
	nodes := flag.Int("nodes", 1, "`number` of nodes to start, with -engine")
	engine := flag.String("engine", "", "what the nodes share: memory, files, replicas (NATS) or redis; empty: nothing, and there is one node")
	flag.IntVar(&cfg.subscribers, "subscribers", 1000, "`number` of subscribers")
	flag.Float64Var(&cfg.rate, "rate", 100, "`messages` published a second")
	flag.IntVar(&cfg.size, "size", 64, "`bytes` of a message, 48 at least")
	flag.DurationVar(&cfg.time, "time", 10*time.Second, "how long messages are published")
	flag.Float64Var(&cfg.cut, "cut", 0, "`subscribers` a second that lose their connection")
	flag.IntVar(&cfg.loops, "loops", 1, "`loops` of the load")
	flag.StringVar(&cfg.token, "token", "", "`token` for the Doors")
	flag.Parse()
	cfg.patience = time.Minute
	cfg.urls = strings.FieldsFunc(*urls, func(r rune) bool { return r == ',' })
	c, err := start(&cfg, *nodes, *engine)
	check(err)
	ok := measure(cfg, c)
	c.stop()
	if !ok {
		os.Exit(1)
	}
}

// start starts what the command line asks for, and sets cfg to it.
func start(cfg *config, nodes int, engine string) (c *cluster, err error) {
	switch {
	case len(cfg.urls) > 0 && (engine != "" || nodes != 1):
		return nil, errors.New("hub: with -urls the nodes run already")
	case len(cfg.urls) > 0:
		return &cluster{}, nil
	case engine == "" && nodes != 1:
		return nil, errors.New("hub: several nodes share an -engine")
	case engine == "":
		c, err = startNode()
	default:
		c, err = startCluster(nodes, engine)
	}
	if err == nil {
		cfg.urls, cfg.token = c.urls(), c.token
	}
	return c, err
}

// measure puts the load on, says what came of it, and reports whether the run is valid.
func measure(cfg config, c *cluster) bool {
	var before, after unix.Rusage
	unix.Getrusage(unix.RUSAGE_SELF, &before)
	began := c.cpu()
	r, err := run(cfg)
	ended := c.cpu()
	unix.Getrusage(unix.RUSAGE_SELF, &after)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return false
	}
	r.print(os.Stdout, cfg)
	fmt.Printf("processor  load %.2f s", cpu(&after)-cpu(&before))
	for i, s := range ended {
		fmt.Printf(", node %d %.2f s", i+1, s-began[i])
	}
	fmt.Println()
	if !r.valid() {
		fmt.Println("INVALID: messages are lost, missing, doubled or out of order")
		return false
	}
	return true
}

func cpu(r *unix.Rusage) float64 { return float64(r.Utime.Nano()+r.Stime.Nano()) / 1e9 }

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// startNode runs this program as a node.
func startNode() (*cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	x := &node{cmd: exec.Command(self)}
	x.cmd.Env = append(os.Environ(), "BENCH_HUB_NODE=1")
	x.cmd.Stderr = os.Stderr
	out, err := x.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := x.cmd.Start(); err != nil {
		return nil, err
	}
	_, err = fmt.Fscanln(out, &x.url)
	return &cluster{nodes: []*node{x}}, err
}

// serve is a node. It says its URL, and ends with a signal.
func serve() error {
	m, err := mgr.New(mgr.Options{MaxConnsPerAddr: -1})
	if err != nil {
		return err
	}
	addr, err := listen(m, broadcast.History{Count: 100_000, Age: time.Minute})
	if err != nil {
		return err
	}
	fmt.Println("ws://" + addr + "/hub")
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	m.Run(ctx)
	return m.Close()
}

// listen makes a hub with a Door on a free port of m.
func listen(m *mgr.Manager, h broadcast.History) (addr string, err error) {
	hub := broadcast.NewHub(broadcast.Options{Encode: broadcast.Framed, History: h}, m)
	everybody := broadcast.Rights{Publish: func(string) bool { return true }}
	x := http.NewMux()
	x.MustHandle("/hub", broadcast.NewDoor(hub, broadcast.DoorOptions{Rights: everybody}).Serve)
	l, err := http.Listen(m, "http://127.0.0.1:0", x.Serve)
	if err != nil {
		return "", err
	}
	return l.LocalAddr().String(), nil
}
