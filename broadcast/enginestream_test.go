package broadcast_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/mgr"
)

// The stream of an engine, and what clients are told of it: that it is new, that some of it is
// missed, that it has holes, repeats itself, or is ahead of the client.

func TestANewStreamIsToldAsReset(t *testing.T) {
	broadcast.Pollers(t, func(t *testing.T, p mgr.Poller) {
		log := enginetest.NewLog()
		n := newNode(t, p, log.Engine(), kept).ready()
		c, two := n.WS("topic=a"), n.WS("topic=a,b")
		old := n.publish("a", "old")
		c.Want("1 a old")
		two.Want("1 a old")
		log.Renew()
		n.until("the new stream", func(s broadcast.EngineState) bool { return s.Resets == 1 })
		n.publish("a", "new")
		c.Want(`{"missed":0,"reset":true}`, "1 a new")
		two.Want(`{"missed":0,"reset":true}`, "1 a new")
		n.WS(fmt.Sprint("topic=a&since=", old)).Want(`{"missed":0,"reset":true}`, "1 a new")
		n.WS("topic=a&since=1").Want("1 a new")
		if infos := n.Hub().Topics(); len(infos) != 1 || infos[0].Published != 1 || infos[0].Offset != log.Last() {
			t.Errorf("%+v", infos)
		}
	})
}

// A stream that has lost its end gives offsets a second time.
func TestAStreamThatHasLostItsEndIsNew(t *testing.T) {
	e := &silent{sink: make(chan broadcast.Sink, 1), end: make(chan struct{})}
	defer close(e.end)
	r := broadcast.NewRig(t, mgr.Auto, broadcast.Options{Engine: e, History: kept.History, Encode: numbered}, broadcast.TellMissed)
	sink := <-e.sink
	c := r.WS("topic=a")
	for i := range 3 {
		sink.Deliver(&broadcast.Entry{Offset: 1<<40 + 1 + uint64(i), Topic: "a"})
	}
	c.Want("1 a ", "2 a ", "3 a ")
	if after := sink.Begin(broadcast.Info{Epoch: 1 << 40, First: 1<<40 + 1, Last: 1<<40 + 2}); after != 1<<40 {
		t.Error(after)
	}
	sink.Deliver(&broadcast.Entry{Offset: 1<<40 + 1, Topic: "a", Data: []byte("x")})
	c.Want(`{"missed":0,"reset":true}`, "1 a x")
}

func TestWhatAnEngineHasTrimmedIsMissed(t *testing.T) {
	log := enginetest.NewLog()
	a, b := newNode(t, mgr.Auto, log.Engine(), kept).ready(), newNode(t, mgr.Auto, log.Engine(), kept).ready()
	live := b.WS("topic=a")
	first := a.publish("a", "1")
	live.Want("1 a 1")
	b.e.Down()
	b.until("down", func(s broadcast.EngineState) bool { return !s.Up })
	for i := range 5 {
		a.publish("a", fmt.Sprint(i+2))
	}
	late := b.WS(fmt.Sprint("topic=a&since=", first))
	log.Trim(2)
	b.e.Up()
	live.Want(`{"missed":3}`, "5 a 5", "6 a 6")
	missed := 0 // in one piece or in two: before it has caught up, and after
	for {
		var n int
		m, err := late.Read()
		if _, none := fmt.Sscanf(m, `{"missed":%d}`, &n); err != nil || none != nil {
			if m != "5 a 5" || missed != 3 {
				t.Error(m, missed, err)
			}
			break
		}
		missed += n
	}
	late.Want("6 a 6")
	b.WS(fmt.Sprint("topic=a&since=", first)).Want(`{"missed":3}`, "5 a 5", "6 a 6")
	b.WS(fmt.Sprint("topic=a&since=", first+2)).Want(`{"missed":1}`, "5 a 5", "6 a 6")
	b.WS(fmt.Sprint("topic=a&since=", first+3)).Want("5 a 5", "6 a 6")
	b.WS(fmt.Sprint("topic=a&since=", first+4)).Want("6 a 6")
	a.WS(fmt.Sprint("topic=a&since=", first)).Want("2 a 2", "3 a 3") // it was there all the time

	// An engine may drop messages in the middle of its stream too.
	log.Thin(func(e *broadcast.Entry) bool { return string(e.Data) == "5" })
	c := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	c.WS(fmt.Sprint("topic=a&since=", first)).Want(`{"missed":4}`, "6 a 6")
	c.WS(fmt.Sprint("topic=a&since=", first+4)).Want("6 a 6")
	c.WS("topic=a&since=1").Want("6 a 6")
}

// A node that does not see all topics finds holes in the offsets. Nobody has missed them.
func TestHolesAreNotMissed(t *testing.T) {
	log := enginetest.NewLog()
	all := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	e := log.Engine()
	e.Filter = func(topic string) bool { return topic != "b" }
	n := newNode(t, mgr.Auto, e, kept).ready()
	live := n.WS("topic=%23")
	var first uint64
	for i := range 4 {
		at := all.publish("a", "x")
		if i == 0 {
			first = at
		}
		all.publish("b", "x")
	}
	live.Want("1 a x", "3 a x", "5 a x", "7 a x")
	for _, pattern := range []string{"a", "%23", "%2B"} {
		n.WS(fmt.Sprint("topic=", pattern, "&since=", first)).Want("3 a x", "5 a x", "7 a x")
		n.WS(fmt.Sprint("topic=", pattern, "&since=", first+1)).Want("3 a x", "5 a x", "7 a x")
	}
	// The messages of the pattern that history has lost are missed, and no more than those.
	small := log.Engine()
	small.Filter = e.Filter
	m := newNode(t, mgr.Auto, small, broadcast.Options{History: broadcast.History{Count: 2}}).ready()
	m.WS(fmt.Sprint("topic=a&since=", first)).Want(`{"missed":1}`, "5 a x", "7 a x")
	m.WS(fmt.Sprint("topic=a&since=", first+3)).Want("5 a x", "7 a x")
}

// Clients come from a node that was ahead of this one, and from one that was behind.
func TestClientsMoveBetweenNodes(t *testing.T) {
	log := enginetest.NewLog()
	a, b := newNode(t, mgr.Auto, log.Engine(), kept).ready(), newNode(t, mgr.Auto, log.Engine(), kept).ready()
	b.e.Slow()
	var first, last uint64
	for i := range 4 {
		last = a.publish("a", fmt.Sprint(i))
		if i == 0 {
			first = last
		}
	}
	c, d := b.WS(fmt.Sprint("topic=a&since=", last-1)), b.SSE("topic=a,c", fmt.Sprint(last))
	// A newcomer does not get an older message, although this node has not got that yet.
	b.publish("a", "of b")
	newcomer := b.WS("topic=a")
	a.publish("a", "5")
	b.e.Fast()
	c.Want("4 a 3", "5 a of b", "6 a 5")
	d.Want("of b", "5")
	newcomer.Want("6 a 5")
	b.has(log.Last())
	b.WS(fmt.Sprint("topic=a&since=", first)).Want("2 a 1", "3 a 2", "4 a 3", "5 a of b", "6 a 5")
	// A node that starts has the history of the engine.
	n := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	n.WS(fmt.Sprint("topic=a&since=", last)).Want("5 a of b", "6 a 5")
	if s := n.Hub().Stats(); s.Published != 6 || s.Kept != 6 {
		t.Errorf("%+v", s)
	}
}

// Nobody knows what an offset means before the engine has said which stream it has.
func TestClientsMayComeBeforeTheEngine(t *testing.T) {
	for _, history := range []int{0, 100} {
		t.Run(fmt.Sprint(history), func(t *testing.T) {
			log := enginetest.NewLog()
			opts := broadcast.Options{History: broadcast.History{Count: history}}
			a := newNode(t, mgr.Auto, log.Engine(), opts).ready()
			first := a.publish("a", "1")
			a.publish("a", "2")
			e := log.Engine()
			e.Down()
			n := newNode(t, mgr.Auto, e, opts)
			if _, err := n.Hub().Publish("a", nil); !errors.Is(err, broadcast.ErrDown) || n.Hub().Offset() != 0 {
				t.Error(err, n.Hub().Offset())
			}
			newcomer, back := n.WS("topic=a"), n.WS(fmt.Sprint("topic=a&since=", first))
			foreign, all := n.WS("topic=a&since=12345"), n.WS("topic=a&since=1")
			ahead := n.WS(fmt.Sprint("topic=a&since=", first+2))
			e.Up()
			n.ready()
			a.publish("a", "3")
			a.publish("a", "4")
			newcomer.Want("3 a 3", "4 a 4")
			ahead.Want("4 a 4")
			if history == 0 {
				back.Want(`{"missed":1}`, "3 a 3")
				foreign.Want(`{"missed":2,"reset":true}`, "3 a 3")
				all.Want("3 a 3")
			} else {
				back.Want("2 a 2", "3 a 3")
				foreign.Want(`{"missed":0,"reset":true}`, "1 a 1", "2 a 2", "3 a 3")
				all.Want("1 a 1", "2 a 2", "3 a 3")
			}
		})
	}
}

func TestWhatAnEngineRepeatsIsIgnored(t *testing.T) {
	log := enginetest.NewLog()
	n := newNode(t, mgr.Auto, log.Engine(), kept).ready()
	c := n.WS("topic=a")
	n.publish("a", "1")
	n.publish("a", "2")
	n.has(log.Last())
	n.e.Repeat(2)
	n.publish("a", "3")
	c.Want("1 a 1", "2 a 2", "3 a 3")
	n.Until("two stale messages", func(s broadcast.Stats) bool { return s.Stale == 2 })
}
