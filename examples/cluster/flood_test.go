package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// A flood is publishers and subscribers of several nodes. The subscribers come back, to any node,
// whenever their connection breaks, and check what they get: each message comes once, in the order
// of the offsets, or they are told that so many are missing.
type flood struct {
	t          *testing.T
	nodes      func() []string // the addresses of those that live
	client     *http.Client
	over       atomic.Bool           // the publishers stop
	closed     atomic.Bool           // the subscribers stop
	why        atomic.Pointer[error] // of the last message that was refused
	running    sync.WaitGroup
	publishing sync.WaitGroup

	mu      sync.Mutex
	acked   map[string]uint64 // by message: its offset
	refused int
	slowest time.Duration // until a publish was answered
	clients []*subscriber
	reset   bool // a subscriber may be told so
}

// A subscriber is one that comes back.
type subscriber struct {
	f *flood

	mu      sync.Mutex
	since   uint64
	seen    map[string]uint64
	missed  uint64
	resets  int
	dials   int
	problem string
}

const publishers = 4

// startFlood begins to publish, and subscribes: a hundred subscribers, or a thousand in the long
// form.
func startFlood(t *testing.T, nodes ...*process) *flood {
	f := &flood{t: t, acked: make(map[string]uint64), client: &http.Client{Timeout: 10 * time.Second}}
	f.nodes = func() (list []string) {
		for _, n := range nodes {
			list = append(list, n.at.Load().(string))
		}
		return list
	}
	n := 100
	if exhaustive.On() {
		n = 1000
	}
	for range n {
		s := &subscriber{f: f, seen: make(map[string]uint64)}
		f.clients = append(f.clients, s)
		f.running.Go(s.run)
	}
	for i := range publishers {
		f.publishing.Go(func() { f.publish(i) })
	}
	t.Cleanup(func() { f.over.Store(true); f.closed.Store(true); f.publishing.Wait(); f.running.Wait() })
	return f
}

// any returns the address of one of the nodes.
func (f *flood) any() string {
	list := f.nodes()
	return list[rand.IntN(len(list))]
}

// post publishes a message once, and returns its offset.
func (f *flood) post(message string) (uint64, error) { return f.postTo(f.any(), message) }

func (f *flood) postTo(addr, message string) (uint64, error) {
	began := time.Now()
	resp, err := f.client.Post("http://"+addr+"/publish/flood/"+message, "text/plain", bytes.NewReader([]byte(message)))
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	f.mu.Lock()
	f.slowest = max(f.slowest, time.Since(began))
	f.mu.Unlock()
	if err != nil || resp.StatusCode != 200 {
		return 0, fmt.Errorf("%s: %s %v", resp.Status, body, err)
	}
	var answer struct{ Offset uint64 }
	if err := json.Unmarshal(body, &answer); err != nil || answer.Offset == 0 {
		return 0, fmt.Errorf("%s: %v", body, err)
	}
	return answer.Offset, nil
}

// publish posts until it is over. A message that is refused is not tried again.
func (f *flood) publish(publisher int) {
	for k := 0; !f.over.Load(); k++ {
		message := fmt.Sprintf("%d-%d", publisher, k)
		offset, err := f.post(message)
		f.mu.Lock()
		if err == nil {
			f.acked[message] = offset
		} else {
			f.refused++
			f.why.Store(&err)
		}
		f.mu.Unlock()
		time.Sleep(5 * time.Millisecond) // the rate
	}
}

// published returns how many messages were acknowledged and refused.
func (f *flood) published() (acked, refused int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.acked), f.refused
}

// more waits until n more messages were acknowledged.
func (f *flood) more(n int) {
	f.t.Helper()
	have, _ := f.published()
	f.await(fmt.Sprintf("%d more messages", n), func() bool { a, _ := f.published(); return a >= have+n })
}

// everywhere waits until each node takes a message.
func (f *flood) everywhere() {
	f.t.Helper()
	for i, addr := range f.nodes() {
		f.await(fmt.Sprintf("a message that node %d takes", i), func() bool {
			message := fmt.Sprintf("at-%d-%d", i, rand.Uint64())
			offset, err := f.postTo(addr, message)
			if err != nil {
				f.why.Store(&err)
				return false
			}
			f.mu.Lock()
			f.acked[message] = offset
			f.mu.Unlock()
			return true
		})
	}
}

// refuse waits until n more messages were refused.
func (f *flood) refuse(n int) {
	f.t.Helper()
	_, have := f.published()
	f.await(fmt.Sprintf("%d more refusals", n), func() bool { _, r := f.published(); return r >= have+n })
}

func (f *flood) await(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			why := f.why.Load()
			if why == nil {
				why = new(error)
			}
			f.t.Fatalf("%s: not within %v: %v", what, patience, *why)
		}
	}
}

// check ends the flood, and looks at what each subscriber has got.
func (f *flood) check() {
	f.t.Helper()
	f.over.Store(true)
	f.publishing.Wait() // what they still had under way comes before the last message
	var last string
	f.await("the last message", func() bool {
		last = fmt.Sprintf("last-%d", rand.Uint64())
		_, err := f.post(last)
		return err == nil
	})
	for i, s := range f.clients {
		f.await(fmt.Sprintf("the last message at subscriber %d", i), func() bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.seen[last] != 0 || s.problem != ""
		})
	}
	f.closed.Store(true)
	f.mu.Lock()
	acked := maps.Clone(f.acked)
	slowest := f.slowest
	f.mu.Unlock()
	dials, missed := 0, uint64(0)
	for i, s := range f.clients {
		s.mu.Lock()
		if s.problem != "" {
			f.t.Errorf("subscriber %d: %s", i, s.problem)
		}
		lost, gone := uint64(0), ""
		for message, offset := range acked {
			if got, ok := s.seen[message]; !ok {
				lost, gone = lost+1, fmt.Sprintf("%s at %d", message, offset)
			} else if got != offset {
				f.t.Errorf("subscriber %d: %s was acknowledged with %d and came with %d", i, message, offset, got)
			}
		}
		if lost > s.missed && s.resets == 0 {
			f.t.Errorf("subscriber %d: %d messages of %d are lost, %s among them, and %d were said to be missed", i, lost, len(acked), gone, s.missed)
		}
		if s.resets > 0 && !f.reset {
			f.t.Errorf("subscriber %d: %d resets", i, s.resets)
		}
		missed, dials = missed+s.missed, dials+s.dials
		s.mu.Unlock()
		if f.t.Failed() {
			break
		}
	}
	_, refused := f.published()
	f.t.Logf("%d messages acknowledged, %d refused; %d subscribers, %d connections, %d missed; the slowest answer after %v",
		len(acked), refused, len(f.clients), dials, missed, slowest)
}

// run subscribes, and comes back.
func (s *subscriber) run() {
	for !s.f.closed.Load() {
		s.session()
		time.Sleep(rand.N(200 * time.Millisecond)) // not all at once
	}
}

func (s *subscriber) session() {
	s.mu.Lock()
	since := s.since
	s.dials++
	s.mu.Unlock()
	dialer := websocket.Dialer{HandshakeTimeout: 10 * time.Second}
	c, resp, err := dialer.Dial(fmt.Sprintf("ws://%s/ws?topic=flood/%%23&since=%d", s.f.any(), since), nil)
	if err != nil {
		if resp != nil {
			resp.Body.Close()
		}
		return
	}
	defer c.Close()
	for !s.f.closed.Load() {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		_, text, err := c.ReadMessage()
		if err != nil {
			return // silence too: the node may hang
		}
		if !s.got(text) {
			return
		}
	}
}

// got takes a message, and reports whether the subscriber goes on.
func (s *subscriber) got(text []byte) bool {
	var m struct {
		Offset, Missed uint64
		Reset          bool
		Data           string
	}
	err := json.Unmarshal(text, &m)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil:
		s.problem = fmt.Sprintf("%s: %v", text, err)
	case m.Reset:
		s.resets++
		s.missed += m.Missed
		s.since, s.seen = 0, make(map[string]uint64)
	case m.Missed > 0:
		s.missed += m.Missed
	case m.Offset <= s.since:
		s.problem = fmt.Sprintf("%s comes after the offset %d", text, s.since)
	case s.seen[m.Data] != 0:
		s.problem = fmt.Sprintf("%s came before with the offset %d", text, s.seen[m.Data])
	default:
		s.since, s.seen[m.Data] = m.Offset, m.Offset
	}
	return s.problem == ""
}
