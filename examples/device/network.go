package main

import (
	"encoding/json"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
)

// The pages show what changes in the network: interfaces, addresses and routes that come and go.
// The kernel tells of it through a netlink socket, which is one of the loop's connections: see
// netlink_linux.go.

// A Change is one thing that has changed in the network. A page gets the last ones with hello, and
// later ones as {"changes": […]}.
type Change struct {
	Seq  uint64 `json:"seq"`
	Time int64  `json:"time"` // Unix time in ms
	Text string `json:"text"`
}

const (
	changes    = "net" // the topic
	maxChanges = 100   // that are kept, and that one document has
	// changesEvery gathers a burst into one document: a router may change thousands of routes at
	// once.
	changesEvery = 100 * time.Millisecond
)

// network is what the device knows of changes. It belongs to the goroutine of m; what pages are
// told is in shared.
type network struct {
	d       *device
	m       *mgr.Manager
	seq     uint64
	waiting []Change // to be published
}

// changed notes what has changed.
func (n *network) changed(texts ...string) {
	for _, text := range texts {
		n.seq++
		n.waiting = append(n.waiting, Change{Seq: n.seq, Time: time.Now().UnixMilli(), Text: text})
		if len(n.waiting) == 1 {
			n.m.AfterFunc(changesEvery, n.publish)
		}
		if len(n.waiting) > 2*maxChanges {
			n.waiting = append(n.waiting[:0:0], n.waiting[len(n.waiting)-maxChanges:]...)
		}
	}
}

// publish tells all pages.
func (n *network) publish() {
	fresh := n.waiting[max(0, len(n.waiting)-maxChanges):]
	n.waiting = nil
	text, err := json.Marshal(struct {
		Changes []Change `json:"changes"`
	}{fresh})
	if err != nil {
		n.d.log.Error("the changes of the network could not be encoded", "why", err)
		return
	}
	s := &n.d.shared
	s.Lock()
	defer s.Unlock()
	s.changes = append(s.changes, fresh...)
	if k := len(s.changes) - maxChanges; k > 0 {
		s.changes = append([]Change{}, s.changes[k:]...)
	}
	n.d.say(changes, text)
}
