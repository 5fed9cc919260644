package nats

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
)

// TestEmbeddedByDefault: the zero Options are an engine that nobody else reaches.
func TestEmbeddedByDefault(t *testing.T) {
	before := listening(t)
	e := mustOpen(t, Options{})
	n := enginetest.NewNode(t, e, nil)
	n.AwaitUp()
	last := n.MustPublish(broadcast.Entry{Topic: "t", Data: []byte("1"), ID: "1"})
	if got := n.AwaitOffset(last); len(got) != 1 || string(got[0].Data) != "1" {
		t.Fatalf("%+v", got)
	}
	if after := listening(t); after != before {
		t.Errorf("%d sockets listen, after %d", after, before)
	}
	if e.Address() != "" {
		t.Errorf("it listens at %s", e.Address())
	}
	dir := e.temporary
	e.Close()
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("%s is left: %v", dir, err)
	}
}

// listening returns how many TCP sockets of this process listen.
func listening(t *testing.T) int {
	t.Helper()
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/self/net/tcp", "/proc/self/net/tcp6"} {
		text, err := os.ReadFile(table)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(text)) {
			if f := strings.Fields(line); len(f) > 9 && f[3] == "0A" {
				inodes["socket:["+f[9]+"]"] = true
			}
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, fd := range fds {
		if to, err := os.Readlink("/proc/self/fd/" + fd.Name()); err == nil && inodes[to] {
			n++
		}
	}
	return n
}

// TestDelete: the marker takes the place of what the topic had, on all nodes.
func TestDelete(t *testing.T) {
	e := mustOpen(t, Options{})
	n := enginetest.NewNode(t, e, nil)
	n.AwaitUp()
	for i := range 5 {
		n.MustPublish(broadcast.Entry{Topic: "gone", ID: fmt.Sprint("g", i)})
		n.AwaitOffset(n.MustPublish(broadcast.Entry{Topic: "gone/not", ID: fmt.Sprint("n", i)}))
	}
	marker := n.MustPublish(broadcast.Entry{Topic: "gone", Delete: true, ID: "marker"})
	if got := n.AwaitOffset(marker); len(got) != 11 || !got[10].Delete || got[10].Topic != "gone" {
		t.Fatalf("%+v", got)
	}
	info, err := e.Info()
	if err != nil || info.Last != marker || info.First != info.Epoch+2 {
		t.Fatalf("%+v, %v", info, err)
	}
}

// TestTooLarge: a message that no server takes is refused before it is sent.
func TestTooLarge(t *testing.T) {
	n := enginetest.NewNode(t, mustOpen(t, Options{MaxMessage: 1000}), nil)
	n.AwaitUp()
	if _, err := n.Publish(broadcast.Entry{Topic: "t", Data: make([]byte, 1001), ID: "1"}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("1001 bytes: %v", err)
	}
	if _, err := n.Publish(broadcast.Entry{Topic: "t", ID: strings.Repeat("i", 1025)}); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an ID of 1025 bytes: %v", err)
	}
	long := strings.Repeat(".", 1024)
	last := n.MustPublish(broadcast.Entry{Topic: long, Data: make([]byte, 1000), ID: strings.Repeat("\n", 1024)})
	if got := n.AwaitOffset(last); got[0].Topic != long || len(got[0].Data) != 1000 {
		t.Errorf("%+v", got[0])
	}
}

// TestLostEnd: a stream whose end is gone, as after a loss of power, gets a new epoch, with what is
// left. All nodes find the same one.
func TestLostEnd(t *testing.T) {
	t.Parallel() // it waits more than it works
	dir := t.TempDir()
	h := &host{opts: Options{Dir: filepath.Join(dir, "nats"), Listen: "127.0.0.1:0"}}
	h.start(t)
	var nodes []*enginetest.Node
	for range 3 {
		n := enginetest.NewNode(t, mustOpen(t, Options{URLs: []string{"nats://" + h.e.Address()}, Files: true}), nil)
		n.AwaitUp()
		nodes = append(nodes, n)
	}
	publish := func(from, to int) (last uint64) {
		for i := from; i < to; i++ {
			last = nodes[0].MustPublish(broadcast.Entry{Topic: fmt.Sprint("t/", i), Data: fmt.Append(nil, i), ID: fmt.Sprint(i)})
		}
		return last
	}
	kept := publish(0, 10)
	h.stop(t)
	for _, n := range nodes {
		n.AwaitDown()
	}
	if err := os.CopyFS(filepath.Join(dir, "old"), os.DirFS(h.opts.Dir)); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	nodes[0].AwaitUp()
	last := publish(10, 20)
	for _, n := range nodes {
		n.AwaitOffset(last)
	}
	h.stop(t)
	if err := os.RemoveAll(h.opts.Dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "old"), h.opts.Dir); err != nil {
		t.Fatal(err)
	}
	h.start(t)
	for i, n := range nodes {
		info := n.AwaitEpochOtherThan(last >> 32 << 32)
		if info.Last != info.Epoch+10 || info.First != info.Epoch+1 {
			t.Errorf("node %d: Begin(%+v)", i, info)
		}
		n.AwaitLast(info.Last)
		entries := n.AwaitOffset(0)
		if got := entries[20:]; len(got) != 10 || string(got[9].Data) != "9" || got[0].Offset != info.Epoch+1 {
			t.Errorf("node %d: after %d come %+v", i, kept, got)
		}
	}
	last = nodes[0].Insist(broadcast.Entry{Topic: "t", ID: "20"})
	for _, n := range nodes {
		n.AwaitLast(last)
	}
}

// TestSettingsChange: a stream that is there takes new Options, but for its storage.
func TestSettingsChange(t *testing.T) {
	h := &host{opts: Options{Listen: "127.0.0.1:0"}}
	h.start(t)
	n := enginetest.NewNode(t, h.e, nil)
	n.AwaitUp()
	var last uint64
	for i := range 20 {
		last = n.MustPublish(broadcast.Entry{Topic: "t", ID: fmt.Sprint(i)})
	}
	urls := []string{"nats://" + h.e.Address()}
	less := enginetest.NewNode(t, mustOpen(t, Options{URLs: urls, Backlog: 5}), nil)
	less.AwaitUp()
	if got := less.AwaitOffset(last); len(got) != 5 || got[0].Lost != 15 {
		t.Errorf("%+v", got)
	}
	files := enginetest.NewNode(t, mustOpen(t, Options{URLs: urls, Files: true}), nil)
	if err := files.AwaitDown(); !strings.Contains(err.Error(), "cannot be changed") {
		t.Errorf("Down(%v)", err)
	}
}

// TestClusterOfThree: of three embedded servers one may die, whichever it is.
func TestClusterOfThree(t *testing.T) {
	t.Parallel()
	peers := freeAddresses(t, 3)
	open := func(i int, dir string) *Engine {
		return mustOpen(t, Options{Cluster: Cluster{Self: peers[i], Peers: peers}, Replicas: 3, Dir: dir, Secret: "secret"})
	}
	var nodes []*enginetest.Node
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	for i := range peers {
		nodes = append(nodes, enginetest.NewNode(t, open(i, dirs[i]), nil))
	}
	for _, n := range nodes {
		n.AwaitUp()
	}
	want := 0
	publish := func(n *enginetest.Node) uint64 {
		t.Helper()
		id := fmt.Sprint(want)
		want++
		for { // a new leader takes its time
			offset, err := n.Publish(broadcast.Entry{Topic: "t", Data: []byte(id), ID: id})
			if err == nil {
				return offset
			}
			if !errors.Is(err, broadcast.ErrDown) {
				t.Fatal(err)
			}
			time.Sleep(20 * time.Millisecond) // nothing tells when it is up again
		}
	}
	var last uint64
	for range 10 {
		for _, n := range nodes {
			last = publish(n)
		}
	}
	for _, n := range nodes {
		n.AwaitOffset(last)
	}
	leader := 0
	for i, n := range nodes {
		if n.Engine.(*Engine).server.JetStreamIsStreamLeader("$G", streamName(t, n.Engine.(*Engine))) {
			leader = i
		}
	}
	nodes[leader].Engine.Close()
	for i, n := range nodes {
		if i != leader {
			last = publish(n)
		}
	}
	for i, n := range nodes {
		if i == leader {
			continue
		}
		got := n.AwaitOffset(last)
		for k, e := range got {
			if string(e.Data) != fmt.Sprint(k) || e.Lost != 0 {
				t.Fatalf("node %d: entry %d is %s, %d lost", i, k, e.Data, e.Lost)
			}
		}
		if len(got) != want {
			t.Errorf("node %d: %d entries instead of %d", i, len(got), want)
		}
	}
	back := enginetest.NewNode(t, open(leader, dirs[leader]), nil)
	back.AwaitUp()
	if got := back.AwaitOffset(last); len(got) != want {
		t.Errorf("the node that came back has %d entries instead of %d", len(got), want)
	}
}

func streamName(t *testing.T, e *Engine) string {
	t.Helper()
	l, err := e.findStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return l.name
}

// TestLossOfPower: a host whose machine has lost its power begins a new epoch, with what is left,
// unless each message was flushed. The end of the program alone is no such thing.
func TestLossOfPower(t *testing.T) {
	t.Parallel()
	for _, sync := range []time.Duration{0, -1} {
		opts := Options{Dir: filepath.Join(t.TempDir(), "nats"), Sync: sync}
		open := func() (*enginetest.Node, broadcast.Info) {
			e := mustOpen(t, opts)
			n := enginetest.NewNode(t, e, nil)
			n.AwaitUp()
			info, err := e.Info()
			if err != nil {
				t.Fatal(err)
			}
			return n, info
		}
		n, first := open()
		n.MustPublish(broadcast.Entry{Topic: "a", Data: []byte("1"), ID: "1"})
		n.MustPublish(broadcast.Entry{Topic: "b", Data: []byte("2"), ID: "2"})
		n.Engine.Close()
		n, again := open()
		if again.Epoch != first.Epoch || again.Last != first.Epoch+2 {
			t.Errorf("sync %v: %+v after a restart of %+v", sync, again, first)
		}
		n.Engine.Close()
		if err := os.WriteFile(filepath.Join(opts.Dir, bootFile), []byte("an earlier boot"), 0o600); err != nil {
			t.Fatal(err)
		}
		n, after := open()
		if renewed := after.Epoch != first.Epoch; renewed != (sync >= 0) || after.Last != after.Epoch+2 {
			t.Errorf("sync %v: %+v after a loss of power, before %+v", sync, after, first)
		}
		if got := n.AwaitOffset(after.Last); len(got) != 2 || string(got[1].Data) != "2" {
			t.Errorf("sync %v: %+v", sync, got)
		}
		n.Engine.Close()
		if _, last := open(); last.Epoch != after.Epoch {
			t.Errorf("sync %v: %+v after a restart of %+v", sync, last, after)
		}
	}
}

// TestAStreamIsDeletedAmidTheWork by somebody: the next one has another epoch.
func TestAStreamIsDeletedAmidTheWork(t *testing.T) {
	t.Parallel()
	h := &host{opts: Options{Listen: "127.0.0.1:0"}}
	h.start(t)
	a := enginetest.NewNode(t, h.e, nil)
	b := enginetest.NewNode(t, mustOpen(t, Options{URLs: []string{"nats://" + h.e.Address()}}), nil)
	a.AwaitUp()
	b.AwaitUp()
	last := a.MustPublish(broadcast.Entry{Topic: "t", ID: "1"})
	b.AwaitOffset(last)
	if err := h.e.js.DeleteStream(t.Context(), streamName(t, h.e)); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Publish(broadcast.Entry{Topic: "t", ID: "2"}); err != nil && !errors.Is(err, broadcast.ErrDown) {
		t.Errorf("Publish: %v", err)
	}
	for _, n := range []*enginetest.Node{a, b} {
		n.AwaitEpochOtherThan(last >> 32 << 32)
	}
	last = a.Insist(broadcast.Entry{Topic: "t", ID: "3"})
	for _, n := range []*enginetest.Node{a, b} {
		n.AwaitLast(last)
	}
}

// TestAnEpochOverflows: after 2^32 messages of an epoch the offsets go on, into what would be the next
// one.
func TestAnEpochOverflows(t *testing.T) {
	e := mustOpen(t, Options{})
	for !e.nc.IsConnected() {
		time.Sleep(time.Millisecond) // Open does not wait for it, and nothing tells
	}
	const epoch = 7 << 32
	c := e.settings(e.newConfig(epoch))
	c.FirstSeq = epoch + 1<<32 - 2
	if _, err := e.js.CreateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	n := enginetest.NewNode(t, e, nil)
	n.AwaitUp()
	var last uint64
	for i := range 5 {
		last = n.MustPublish(broadcast.Entry{Topic: "t", Data: fmt.Append(nil, i), ID: fmt.Sprint(i)})
	}
	late := enginetest.NewNode(t, &reopened{e}, nil)
	for _, n := range []*enginetest.Node{n, late} {
		got := n.AwaitOffset(last)
		if len(got) != 5 || last != epoch+1<<32+2 || got[4].Offset != last || string(got[4].Data) != "4" || got[4].Lost != 0 {
			t.Fatalf("%+v", got)
		}
	}
}

// reopened runs a second reader of an engine, for what a node that comes later gets.
type reopened struct{ *Engine }

func (x *reopened) Run(sink broadcast.Sink) error {
	r := &reader{e: x.Engine, sink: sink}
	for x.ctx.Err() == nil {
		r.follow()
	}
	return nil
}

func (x *reopened) Close() error { return nil }
