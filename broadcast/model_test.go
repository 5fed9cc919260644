package broadcast

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/gobwas/ws"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/internal/exhaustive"
)

// This file compares hubs with an engine to a model: the list of all messages that were stored.
// Everything is random: what is published and deleted, who subscribes to what and from which
// offset, who does not read, comes back to another node, or leaves; and when the engine is lost,
// forgets its oldest messages, or begins with a new stream. One goroutine does all, so that a seed
// always does the same.

// modelStore is the stream that nodes share, and the model of what clients must see.
type modelStore struct {
	t       *testing.T
	d       *rand.Rand
	epoch   uint64
	stream  []*modelEntry // of this epoch: all that were ever stored, one for each offset
	plain   bool          // hubs and store keep everything
	opts    Options
	nodes   []*modelNode
	clients []*modelClient
	steps   []string
}

func (s *modelStore) last() uint64 { return s.epoch + uint64(len(s.stream)) }

// modelEntry is an entry, and what became of it.
type modelEntry struct {
	Entry
	epoch  uint64
	gone   bool   // the store has it no more
	except uint64 // the connection that does not get it
}

// modelNode is a hub, and the engine that connects it to the store.
type modelNode struct {
	*fakes
	store  *modelStore
	sink   chan Sink
	end    chan struct{}
	link   Sink
	number int

	up      bool
	epoch   uint64 // that was begun
	after   uint64 // the offset delivered last
	known   uint64 // the highest offset of epoch that the node knows to be stored
	cuts    int    // how often the hub was told Down: it forgets what was on its way
	acks    []func()
	delayed bool // acknowledgements wait in acks
}

func (n *modelNode) Run(s Sink) error { n.sink <- s; <-n.end; return nil }
func (n *modelNode) Close() error     { close(n.end); return nil }

func (n *modelNode) Publish(e *Entry, done func(uint64, error)) error {
	s := n.store
	if !n.up {
		return errors.New("cut")
	}
	x := &modelEntry{Entry: *e, epoch: s.epoch}
	x.Offset = s.last() + 1
	s.stream = append(s.stream, x)
	cuts, epoch := n.cuts, n.epoch
	ack := func() {
		if cuts == n.cuts && epoch == n.epoch && epoch == x.epoch {
			n.known = max(n.known, x.Offset)
		}
		done(x.Offset, nil)
	}
	if n.delayed {
		n.acks = append(n.acks, ack)
	} else {
		ack()
	}
	return nil
}

// begin connects n to the stream, maybe without having told the hub of the loss.
func (n *modelNode) begin() {
	s := n.store
	i := Info{Epoch: s.epoch, First: s.last() + 1, Last: s.last()}
	for _, x := range s.stream {
		if !x.gone {
			i.First = x.Offset
			break
		}
	}
	n.up, n.epoch, n.known = true, s.epoch, s.last()
	n.after = n.link.Begin(i)
	s.log("node %d begins after %d, the store has %d to %d", n.number, n.after, i.First, i.Last)
}

// deliver brings up to most entries.
func (n *modelNode) deliver(most int) {
	s := n.store
	for ; n.up && n.epoch == s.epoch && most > 0 && n.after < s.last(); most-- {
		at := n.after + 1
		for at < s.last() && s.stream[at-s.epoch-1].gone {
			at++
		}
		x := s.stream[at-s.epoch-1]
		if x.gone { // nothing is left: the next entry will tell it
			return
		}
		e := x.Entry
		e.Lost = at - n.after - 1
		n.after, n.known = at, max(n.known, at)
		n.link.Deliver(&e)
	}
}

// ack acknowledges what waits.
func (n *modelNode) ack() {
	acks := n.acks
	n.acks = nil
	for _, f := range acks {
		f()
	}
}

// modelClient is a client that comes back with its last offset.
type modelClient struct {
	store    *modelStore
	number   int
	patterns []string
	node     *modelNode
	c        *conn.Conn
	w        *wire
	id       uint64

	since  uint64 // it has everything after its beginning up to this offset, or was told what is missing
	epoch  uint64 // of since; 0 when nobody knows what has to come
	told   uint64 // missed on this connection
	absent uint64 // messages that did not come on this connection; told counts them, maybe before their place
	rising uint64 // the offset of the last message of this connection
	greet  uint64 // messages up to this offset are a newcomer's retained ones
	blame  uint64 // one who asks for all that is kept is not told what is missing up to here
	live   uint64 // those after it come live
	reset  bool   // everything of a stream has to come
	fast   bool   // nothing waits for it; of others a turn has more than they may have queued
}

// connect subscribes at a random node.
func (c *modelClient) connect() {
	s := c.store
	c.node = s.nodes[s.d.IntN(len(s.nodes))]
	n := c.node
	c.c, c.w = n.open()
	c.id = c.c.ID()
	c.w.Forget = false
	c.reset, c.absent, c.told, c.rising, c.greet, c.blame, c.live = false, 0, 0, 0, 0, 0, forever
	o := SubscribeOptions{TellMissed: true}
	if c.fast = s.d.IntN(2) == 0; !c.fast {
		o.Policy, o.Limit, o.Window = Policy(1+s.d.IntN(3)), Limit{Messages: 1 + s.d.IntN(6)}, 1+s.d.IntN(200)
	}
	switch tracks := s.opts.Retain || s.opts.History.Count > 0; {
	case c.since > 0 && s.d.IntN(8) > 0:
		o.Since = c.since
	case n.epoch == 0:
		o.Since, c.since, c.epoch = uint64(s.d.IntN(2)), 0, 0
	case s.d.IntN(3) == 0:
		o.Since, c.since, c.epoch = All, n.epoch, n.epoch
		c.blame = n.after
		if !tracks {
			c.since = n.known
		}
	default:
		c.since, c.epoch = n.known, n.epoch
		if s.opts.Retain {
			c.since, c.greet = n.after, n.after
		}
	}
	s.log("client %d, connection %d, comes to node %d with %+v after %d, %q", c.number, c.id, n.number, o, c.since, c.patterns)
	n.turn(func() { // in one turn: the histories of all come as one
		for _, p := range c.patterns {
			if err := n.hub.Subscribe(c.c, p, o); err != nil {
				s.fail("Subscribe(%q): %v", p, err)
			}
		}
	})
	if c.fast {
		for range 6 {
			s.turn()
		}
		c.live = n.after
	}
}

// modelMessage is a message in the form that the function JSON gives it.
type modelMessage struct {
	Topic   string
	Offset  uint64
	Data    json.RawMessage
	Deleted bool
	Missed  *uint64
	Reset   bool
}

// read compares what has come to the model.
func (c *modelClient) read() {
	s := c.store
	for {
		r := bytes.NewReader(c.w.Sent)
		h, err := ws.ReadHeader(r)
		if err != nil || int64(r.Len()) < h.Length {
			return
		}
		b := c.w.Sent[len(c.w.Sent)-r.Len():][:h.Length]
		c.w.Sent = c.w.Sent[len(c.w.Sent)-r.Len()+int(h.Length):]
		if h.OpCode != ws.OpText {
			continue
		}
		var m modelMessage
		if err := json.Unmarshal(b, &m); err != nil {
			s.fail("client %d: %q: %v", c.number, b, err)
		}
		s.log("client %d got %s", c.number, b)
		switch {
		case m.Missed != nil && m.Reset:
			c.reset, c.epoch, c.rising, c.greet, c.blame, c.live = true, 0, 0, 0, 0, forever // of which stream, the next message says
			c.absent, c.told = 0, *m.Missed
		case m.Missed != nil:
			c.told += *m.Missed
		default:
			c.message(&m)
		}
	}
}

func (c *modelClient) message(m *modelMessage) {
	s := c.store
	if m.Offset <= c.rising {
		s.fail("client %d: %d comes after %d", c.number, m.Offset, c.rising)
	}
	c.rising = m.Offset
	if m.Offset <= s.epoch || m.Offset > s.last() {
		if c.epoch == s.epoch {
			s.fail("client %d: %d is not of the stream", c.number, m.Offset)
		}
		c.since, c.reset = m.Offset, false // of a stream that is gone
		return
	}
	c.begin()
	e := s.stream[m.Offset-s.epoch-1]
	if m.Topic != e.Topic || m.Deleted != e.Delete || !e.Delete && !bytes.Equal(m.Data, e.Data) || !c.matches(e.Topic) {
		s.fail("client %d: %+v instead of %+v", c.number, m, e)
	}
	if c.epoch == s.epoch && m.Offset <= c.greet {
		for _, x := range s.stream[m.Offset-s.epoch : c.greet-s.epoch] {
			if x.Topic == m.Topic && !x.gone || m.Deleted {
				s.fail("client %d: %d is not the last of its topic", c.number, m.Offset)
			}
		}
		return
	}
	if c.epoch == s.epoch {
		if m.Offset <= c.since {
			s.fail("client %d: %d comes, it has %d", c.number, m.Offset, c.since)
		}
		c.gap(m.Offset)
	}
	c.since, c.epoch = m.Offset, s.epoch
}

// begin takes it that a Reset was about the stream of now.
func (c *modelClient) begin() {
	if c.reset {
		c.reset, c.since, c.epoch = false, c.store.epoch, c.store.epoch
	}
}

// gap sees that the messages after since and before at were told as missed.
func (c *modelClient) gap(at uint64) {
	s := c.store
	for o := c.since + 1; o < at; o++ {
		e := s.stream[o-s.epoch-1]
		switch {
		case !c.matches(e.Topic), e.except == c.id, o <= c.blame && !s.plain:
		case o > c.live, !s.deletedAfter(&e.Entry):
			c.absent++
		}
	}
	if c.absent > c.told {
		s.fail("client %d: %d messages are missing, the last between %d and %d, %d were told", c.number, c.absent, c.since, at, c.told)
	}
	if s.plain && c.fast && c.told > 0 {
		s.fail("client %d: %d missed between %d and %d, and none can be", c.number, c.told, c.since, at)
	}
}

// deletedAfter reports whether the topic of e was deleted later: e need not be told as missed then.
func (s *modelStore) deletedAfter(e *Entry) bool {
	for _, x := range s.stream[e.Offset-s.epoch:] {
		if x.Delete && x.Topic == e.Topic {
			return true
		}
	}
	return false
}

func (c *modelClient) matches(topic string) bool {
	for _, p := range c.patterns {
		if Match(p, topic) {
			return true
		}
	}
	return false
}

func (s *modelStore) log(format string, args ...any) {
	s.steps = append(s.steps, fmt.Sprintf(format, args...))
}

func (s *modelStore) fail(format string, args ...any) {
	s.t.Helper()
	for _, x := range s.steps {
		s.t.Log(x)
	}
	s.t.Fatalf(format, args...)
}

var modelTopics = []string{"a", "a/b", "a/c", "b", "b/c", "c/d/e"}
var modelPatterns = []string{"#", "a/#", "a", "+/c", "b", "b/c", "a/+", "c/d/e", "+"}

// turn lets the loops work, and reads what has come.
func (s *modelStore) turn() {
	for _, n := range s.nodes {
		n.turn(func() {})
	}
	for _, c := range s.clients {
		if c.c != nil {
			c.read()
		}
	}
}

// cut ends the connection.
func (c *modelClient) cut() {
	c.store.log("client %d leaves", c.number)
	c.read()
	c.node.turn(func() { c.node.hub.UnsubscribeAll(c.c) }) // the manager does not know the connection
	c.c = nil
}

// step does something at random.
func (s *modelStore) step() {
	d := s.d
	n, c := s.nodes[d.IntN(len(s.nodes))], s.clients[d.IntN(len(s.clients))]
	switch x := d.IntN(100); {
	case x < 40:
		topic, data := modelTopics[d.IntN(len(modelTopics))], fmt.Appendf(nil, "%d", len(s.steps))
		was, o := len(s.stream), PublishOptions{Delete: x < 5}
		if o.Delete {
			data = nil
		}
		if x >= 35 && c.c != nil {
			o.Except = c.id
		}
		_, err := n.hub.publish(topic, data, &o)
		if (err == nil) != n.up || (err == nil) != (len(s.stream) == was+1) {
			s.fail("Publish: %v", err)
		}
		if err == nil {
			if c.c != nil && c.node == n { // another node does not know the connection
				s.stream[was].except = o.Except
			}
			s.log("node %d publishes %d %s %+v", n.number, s.last(), topic, o)
		}
	case x < 60:
		n.deliver(1 + d.IntN(5))
	case x < 75:
		s.turn()
	case x < 80:
		if n.delayed = !n.delayed; !n.delayed {
			n.ack()
		}
	case x < 92 && c.c == nil:
		c.connect()
	case x < 92:
		c.cut()
	case x < 95 && n.up:
		s.log("node %d is cut off", n.number)
		n.up = false
		n.cuts++
		n.link.Down(errors.New("cut"))
	case x < 95:
		n.begin()
	case x < 98 && !s.plain:
		s.trim()
	case x < 99 && d.IntN(3) == 0:
		was := s.epoch
		for s.epoch-was+2<<32 <= 4<<32 {
			s.epoch = (1 + d.Uint64N(1<<20)) << 32
		}
		s.stream = nil
		s.log("the stream is new: %d", s.epoch)
	case n.up && n.epoch != s.epoch || n.up && x == 99:
		n.begin()
	}
}

// trim has the store forget its oldest entries, maybe but for the last of each topic.
func (s *modelStore) trim() {
	last, keep := make(map[string]*modelEntry), s.d.IntN(2) == 0
	for _, x := range s.stream {
		last[x.Topic] = x
	}
	n := s.d.IntN(len(s.stream) + 1)
	for _, x := range s.stream[:n] {
		x.gone = x.gone || !keep || last[x.Topic] != x
	}
	s.log("the store trims %d", n)
}

// end connects all nodes, and lets all clients read all.
func (s *modelStore) end() {
	for range 2 {
		for _, n := range s.nodes {
			n.delayed = false
			n.ack()
			if !n.up || n.epoch != s.epoch {
				n.begin()
			}
		}
		for range 10 {
			for _, n := range s.nodes {
				n.deliver(5)
			}
			s.turn()
		}
		for _, n := range s.nodes {
			n.deliver(1 << 30)
		}
		for range 10 {
			s.turn()
		}
		for _, t := range modelTopics { // after these come
			s.nodes[0].hub.Publish(t, []byte("0"))
		}
	}
	for _, n := range s.nodes {
		n.deliver(1 << 30)
		if n.after != s.last() || n.hub.Offset() != s.last() || n.hub.Engine().Behind != 0 {
			s.fail("node %d has %d of %d: %+v", n.number, n.hub.Offset(), s.last(), n.hub.Engine())
		}
	}
	for range 10 {
		s.turn()
	}
	for _, c := range s.clients {
		switch {
		case c.c == nil:
			continue
		}
		switch c.begin(); {
		case c.epoch != s.epoch:
			s.fail("client %d has nothing of the stream", c.number)
		default:
			c.gap(s.last() + 1)
		}
	}
}

// TestHubsWithAnEngineAreLikeTheModel: see the top of this file.
func TestHubsWithAnEngineAreLikeTheModel(t *testing.T) {
	seeds := 300
	if exhaustive.On() {
		seeds = 10_000
	}
	fakes := []*fakes{newFakes(t, Options{}), newFakes(t, Options{})}
	for seed := range seeds {
		modelRun(t, fakes, uint64(seed))
	}
}

func modelRun(t *testing.T, on []*fakes, seed uint64) {
	d := rand.New(rand.NewPCG(seed, 14))
	s := &modelStore{t: t, d: d, epoch: (1 + d.Uint64N(1<<20)) << 32, plain: d.IntN(3) == 0}
	s.log("seed %d", seed)
	s.opts = Options{Encode: JSON, Retain: d.IntN(2) == 0, History: History{Count: []int{0, 1, 3, 1000}[d.IntN(4)]}}
	if s.plain {
		s.opts.History.Count = 1000
	} else if d.IntN(3) == 0 {
		s.opts.MaxTopics = 1 + d.IntN(5)
	}
	s.log("%+v plain %v", s.opts, s.plain)
	for i, f := range on {
		n := &modelNode{store: s, number: i, sink: make(chan Sink, 1), end: make(chan struct{})}
		o := s.opts
		o.Engine = n
		x := *f
		n.fakes = &x
		n.fakes.hub = NewHub(o, f.m)
		n.link = <-n.sink
		s.nodes = append(s.nodes, n)
		if d.IntN(4) > 0 {
			n.begin()
		}
	}
	for i := range 3 {
		c := &modelClient{store: s, number: i}
		for _, j := range d.Perm(len(modelPatterns))[:1+d.IntN(3)] {
			c.patterns = append(c.patterns, modelPatterns[j])
		}
		s.clients = append(s.clients, c)
	}
	for range 20 + d.IntN(150) {
		s.step()
	}
	s.end()
	for _, c := range s.clients {
		if c.c != nil {
			c.cut()
		}
	}
	for _, n := range s.nodes {
		n.Close()
	}
}
