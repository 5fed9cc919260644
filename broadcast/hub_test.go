package broadcast

import (
	"fmt"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

func TestSubscribersGetWhatTheirPatternsMatch(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{})
		all, one, plus := r.ws("topic=%23"), r.ws("topic=a/b"), r.sse("topic=a/%2B", "")
		r.publish("a/b", "1")
		r.publish("a/c", "2")
		r.publish("b", "3")
		r.publish("a/b", "4")
		all.want("1", "2", "3", "4")
		one.want("1", "4")
		plus.want("1", "2", "4")
	})
}

func TestOffsetsRiseByOne(t *testing.T) {
	r := newRig(t, mgr.Auto, Options{})
	first := r.publish("a", "x")
	for i := range 10 {
		if x := r.publish(fmt.Sprint(i), "x"); x.Offset != first.Offset+1+uint64(i) {
			t.Errorf("offset %d behind %d", x.Offset, first.Offset)
		}
	}
}

func TestOverlappingPatternsBringAMessageOnce(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{History: History{Count: 10}})
		x := r.publish("a/b", "0")
		c := r.ws(fmt.Sprintf("topic=a/b,a/%%2B,%%23&since=%d", x.Offset-1))
		r.publish("a/b", "1")
		r.publish("a/c", "2")
		r.publish("d", "3")
		c.want("0", "1", "2", "3")
		c.say("unsub #")
		c.want("done unsub #")
		r.publish("d", "4")
		r.publish("a/b", "5")
		c.want("5")
	})
}

func TestWhoComesBackGetsWhatItMissedAndThenLive(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{History: History{Count: 3}}, func(r *rig) { r.sub.TellMissed = true })
		first := r.publish("a", "0")
		for i := 1; i < 3; i++ {
			r.publish("a", fmt.Sprint(i))
		}
		c := r.ws(fmt.Sprintf("topic=a&since=%d", first.Offset))
		e := r.sse("topic=a", fmt.Sprint(first.Offset))
		c.want("1", "2")
		e.want("1", "2")
		r.publish("a", "3")
		c.want("3")
		e.want("3")
		for i := 4; i < 7; i++ {
			r.publish("a", fmt.Sprint(i))
		}
		late := r.ws(fmt.Sprintf("topic=a&since=%d", first.Offset))
		late.want(`{"missed":3}`, "4", "5", "6")
		foreign := r.ws("topic=a&since=12345")
		foreign.want(`{"missed":4,"reset":true}`, "4", "5", "6")
	})
}

func TestRetainedMessagesGreetNewcomers(t *testing.T) {
	r := newRig(t, mgr.Auto, Options{Retain: true})
	r.publish("a", "1")
	r.publish("b", "2")
	r.publish("a", "3")
	c := r.ws("topic=%23")
	c.want("2", "3")
	r.publish("a", "4")
	c.want("4")
}

func TestWhoComesBackIsToldOfAResetWhenNothingIsKept(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{History: History{Count: 3}}, func(r *rig) { r.sub.TellMissed = true })
		c := r.ws("topic=a&since=12345")
		c.want(`{"missed":0,"reset":true}`)
		r.publish("a", "1")
		c.want("1")
	})
}

func TestWithoutHistoryWhoComesBackIsToldWhatItMayHaveMissed(t *testing.T) {
	r := newRig(t, mgr.Auto, Options{}, func(r *rig) { r.sub.TellMissed = true })
	first := r.publish("a", "1")
	same := r.ws(fmt.Sprintf("topic=a&since=%d", first.Offset))
	r.publish("a", "2")
	r.publish("b", "3")
	back := r.ws(fmt.Sprintf("topic=a&since=%d", first.Offset))
	foreign := r.ws("topic=a&since=12345")
	all := r.ws("topic=a&since=1")
	r.publish("a", "4")
	same.want("2", "4")
	back.want(`{"missed":2}`, "4")
	foreign.want(`{"missed":3,"reset":true}`, "4")
	all.want("4")
}
