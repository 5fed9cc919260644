package main

import (
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// A wire forwards connections to an address. It can be cut: nothing passes then, and nobody is
// told.
type wire struct {
	net.Listener
	to string

	mu   sync.Mutex
	cond sync.Cond
	cut  bool
}

func newWire(t *testing.T, to string) *wire {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &wire{Listener: l, to: to}
	w.cond.L = &w.mu
	go w.accept()
	t.Cleanup(func() { l.Close(); w.setCut(false) })
	return w
}

func (w *wire) setCut(cut bool) {
	w.mu.Lock()
	w.cut = cut
	w.mu.Unlock()
	w.cond.Broadcast()
}

// pass waits until the wire is whole.
func (w *wire) pass() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for w.cut {
		w.cond.Wait()
	}
}

func (w *wire) accept() {
	for {
		c, err := w.Accept()
		if err != nil {
			return
		}
		go func() {
			w.pass()
			far, err := net.Dial("tcp", w.to)
			if err != nil {
				c.Close()
				return
			}
			go w.copy(c, far)
			w.copy(far, c)
		}()
	}
}

func (w *wire) copy(to, from net.Conn) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		w.pass()
		if n > 0 {
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// TestPartition: of three nodes one is cut off from the others, but not from its clients. It
// refuses what they publish; the others go on. When it is back, its clients get what they have
// missed.
func TestPartition(t *testing.T) {
	if !exhaustive.On() {
		t.Skip("it takes half a minute: MANGUSTA_EXHAUSTIVE=1")
	}
	t.Parallel()
	var real []string
	for range 3 {
		real = append(real, freeAddress(t))
	}
	wires := map[[2]int]*wire{} // from one node to another
	started := make(chan *process, 3)
	for i := range real {
		peers := []string{real[i]}
		for k := range real {
			if k != i {
				w := newWire(t, real[k])
				wires[[2]int{i, k}] = w
				peers = append(peers, w.Addr().String())
			}
		}
		go func() {
			started <- startNode(t, "-node", fmt.Sprint("n", i), "-self", real[i], "-peers", strings.Join(peers, ","), "-replicas", "3",
				"-dir", filepath.Join(t.TempDir(), "nats"))
		}()
	}
	var nodes []*process
	for range real {
		nodes = append(nodes, <-started)
	}
	f := startFlood(t, nodes...)
	f.more(100)
	cut := func(cut bool) {
		for ends, w := range wires {
			if ends[0] == 0 || ends[1] == 0 {
				w.setCut(cut)
			}
		}
	}
	cut(true)
	f.refuse(1)
	f.more(100)
	time.Sleep(10 * time.Second) // longer than links may be silent
	f.more(100)
	cut(false)
	f.more(100)
	f.check()
}
