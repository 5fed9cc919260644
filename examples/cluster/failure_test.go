package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// TestNodesDie: a node that has no engine in it dies amid a flood, and comes back.
func TestNodesDie(t *testing.T) {
	t.Parallel()
	host, url := startHost(t, t.TempDir())
	b, c := startNode(t, "-nats", url, "-files"), startNode(t, "-nats", url, "-files")
	f := startFlood(t, host, b, c)
	for _, s := range []*process{b, c, b} {
		f.more(100)
		s.kill()
		f.more(50)
		s.start()
	}
	f.more(100)
	f.check()
}

// TestHostDies: the node with the engine dies. Messages that the others publish are refused until
// it is back, with its stream.
func TestHostDies(t *testing.T) {
	t.Parallel()
	host, url := startHost(t, t.TempDir())
	f := startFlood(t, host, startNode(t, "-nats", url, "-files"), startNode(t, "-nats", url, "-files"))
	for range 2 {
		f.more(100)
		host.kill()
		f.refuse(20)
		host.start()
		f.more(50)
	}
	f.check()
}

// TestHostForgets: the stream of a host that keeps it in memory is another one when it is back. The
// subscribers are told so.
func TestHostForgets(t *testing.T) {
	t.Parallel()
	host, url := startHost(t, "")
	f := startFlood(t, host, startNode(t, "-nats", url))
	f.reset = true
	f.more(100)
	host.kill()
	f.refuse(10)
	host.start()
	f.more(100)
	f.check()
	for i, s := range f.clients {
		if s.resets == 0 {
			t.Fatalf("subscriber %d was not told that the stream is another one", i)
		}
	}
}

// TestHostHangs: the node with the engine stops for a while, and then goes on, as if the network
// had been cut. So does another one, which lags then.
func TestHostHangs(t *testing.T) {
	t.Parallel()
	host, url := startHost(t, t.TempDir())
	b := startNode(t, "-nats", url, "-files")
	f := startFlood(t, host, b, startNode(t, "-nats", url, "-files"))
	pause := 8 * time.Second // longer than a link may be silent
	for _, s := range []*process{b, host} {
		f.more(100)
		s.Signal(syscall.SIGSTOP)
		time.Sleep(pause) // nothing tells how long a link has been silent
		s.Signal(syscall.SIGCONT)
		f.more(50)
	}
	f.check()
}

// startThree starts three nodes with a server in each, and all messages on all of them.
func startThree(t *testing.T, at func(i int) string) (nodes []*process) {
	t.Helper()
	return startThreeBy(t, func(int) []string { return nil }, at)
}

// startThreeBy is startThree by a command for each.
func startThreeBy(t *testing.T, by func(i int) []string, at func(i int) string) (nodes []*process) {
	t.Helper()
	var peers []string
	for i := range 3 {
		peers = append(peers, at(i))
	}
	started := make(chan *process, 3)
	for i, self := range peers {
		go func() { // none is up before two are there
			started <- startNodeIn(t, by(i), "-node", fmt.Sprint("n", i), "-self", self, "-peers", strings.Join(peers, ","), "-replicas", "3",
				"-dir", filepath.Join(t.TempDir(), "nats"))
		}()
	}
	for range peers {
		nodes = append(nodes, <-started)
	}
	return nodes
}

// freeAddress returns an address that nobody listens at: the servers of a cluster must know each
// other's before they start.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// TestOneOfThreeDies: of three nodes with all messages on each, one may die, and the others go on.
func TestOneOfThreeDies(t *testing.T) {
	t.Parallel()
	nodes := startThree(t, func(int) string { return freeAddress(t) })
	f := startFlood(t, nodes...)
	rounds := nodes[:1]
	if exhaustive.On() {
		rounds = nodes
	}
	for _, s := range rounds {
		f.more(100)
		s.kill()
		f.more(100)
		s.start()
		f.more(100)
	}
	f.check()
}
