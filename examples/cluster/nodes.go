package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/examples/broadcast/server"
)

const (
	// greetings is what the topics begin with in which nodes say that they are there. No wildcard
	// matches "$", and nodes keep these entries from their hubs.
	greetings = "$nodes/"
	// greet is how often each does so, and lost after how long without it is a node gone.
	greet = 2 * time.Second
	lost  = 3 * greet
	// maxNodes bounds how many are remembered.
	maxNodes = 100
)

// nodes is the engine, and sees who uses it.
type nodes struct {
	broadcast.Engine
	name, what string
	ended      chan struct{}

	mu    sync.Mutex
	at    uint64 // the offset of the last entry that came
	last  uint64 // the highest offset that is known to be stored
	up    bool
	why   error
	seen  map[string]node
	begun uint64 // the last offset at Begin: what nodes said before is old
}

// node is what a node has said last.
type node struct {
	Offset uint64 `json:"offset"` // of the last entry that came to it
	lag    uint64 // entries that had been stored, and had not come to it
	when   time.Time
}

func newNodes(e broadcast.Engine, name, what string) *nodes {
	n := &nodes{Engine: e, name: name, what: what, ended: make(chan struct{}), seen: make(map[string]node)}
	go n.greetAll()
	return n
}

// greetAll says that this node is there, until Close.
func (n *nodes) greetAll() {
	tick := time.NewTicker(greet)
	defer tick.Stop()
	for i := 0; ; i++ {
		n.mu.Lock()
		up, said := n.up, node{Offset: n.at}
		n.mu.Unlock()
		if up {
			text, err := json.Marshal(said)
			if err == nil {
				id := fmt.Sprintf("%s%s-%d-%d", greetings, n.name, time.Now().UnixNano(), i)
				err = n.Engine.Publish(&broadcast.Entry{Topic: greetings + n.name, Data: text, Time: time.Now(), ID: id}, func(uint64, error) {})
			}
			if err != nil {
				slog.Debug("this node could not say that it is there", "why", err)
			}
		}
		select {
		case <-tick.C:
		case <-n.ended:
			return
		}
	}
}

// Close is the Engine's.
func (n *nodes) Close() error {
	close(n.ended)
	return n.Engine.Close()
}

// Run is the Engine's.
func (n *nodes) Run(s broadcast.Sink) error { return n.Engine.Run(&watched{n, s}) }

// watched is the hub's sink, and sees what comes to it.
type watched struct {
	n *nodes
	broadcast.Sink
}

func (w *watched) Begin(i broadcast.Info) uint64 {
	after := w.Sink.Begin(i)
	n := w.n
	n.mu.Lock()
	defer n.mu.Unlock()
	n.up, n.why, n.begun, n.last, n.at = true, nil, i.Last, i.Last, max(after, i.Epoch)
	return after
}

func (w *watched) Deliver(e *broadcast.Entry) {
	n := w.n
	n.mu.Lock()
	n.at, n.last = e.Offset, max(n.last, e.Offset)
	if name, ok := strings.CutPrefix(e.Topic, greetings); ok {
		n.greeted(name, e)
		e.Topic, e.Data = "", nil // nothing for the hub
	}
	n.mu.Unlock()
	w.Sink.Deliver(e)
}

func (w *watched) Down(err error) {
	w.n.mu.Lock()
	w.n.up, w.n.why = false, err
	w.n.mu.Unlock()
	w.Sink.Down(err)
}

// greeted notes that a node is there, with mu held.
func (n *nodes) greeted(name string, e *broadcast.Entry) {
	var x node
	if e.Offset <= n.begun {
		return
	}
	if json.Unmarshal(e.Data, &x) != nil || len(n.seen) >= maxNodes && n.seen[name].when.IsZero() {
		return
	}
	x.when = time.Now()
	if x.Offset < e.Offset {
		x.lag = e.Offset - 1 - x.Offset
	}
	n.seen[name] = x
}

// figures are for the page.
func (n *nodes) figures() []server.Figure {
	n.mu.Lock()
	defer n.mu.Unlock()
	state := server.Figure{Name: "State", Value: "up"}
	if !n.up {
		state = server.Figure{Name: "State", Value: "down", Bad: true}
		if n.why != nil {
			state.Value = "down: " + n.why.Error()
		}
	}
	list := []server.Figure{{Name: "Engine", Value: n.what}, state,
		{Name: "Lag of this node", Value: strconv.FormatUint(n.last-min(n.at, n.last), 10)}}
	var names []string
	for name, x := range n.seen {
		if time.Since(x.when) > 10*lost {
			delete(n.seen, name) // it has been shown as gone for a while
			continue
		}
		names = append(names, name)
	}
	slices.SortFunc(names, cmp.Compare[string])
	for _, name := range names {
		x := n.seen[name]
		f := server.Figure{Name: "Node " + name, Value: fmt.Sprintf("lags %d", x.lag)}
		if name == n.name {
			f.Name += ", this one"
		}
		if d := time.Since(x.when); d > lost && n.up {
			f.Value, f.Bad = fmt.Sprintf("gone for %v", d.Round(time.Second)), true
		}
		list = append(list, f)
	}
	return list
}
