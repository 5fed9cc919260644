package broadcast

import (
	"fmt"
	"io"
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
			t.Errorf("offset %d after %d", x.Offset, first.Offset)
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

// An event that EventSource gives to onmessage has no type, so its data has to name the topic.
func TestEventsAreJSONOfTheDefaultType(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		for _, tc := range []struct {
			name   string
			encode func(b []byte, m *Message) (string, []byte)
			want   string
		}{
			{"default", nil, "id: %d\ndata: {\"topic\":\"a/b\",\"offset\":%[1]d,\"data\":{\"x\":\ndata: 1}}\n\n"},
			{"own", func(b []byte, m *Message) (string, []byte) { return "t:" + m.Topic, append(b, "own"...) },
				"id: %d\nevent: t:a/b\ndata: own\n\n"},
		} {
			t.Run(tc.name, func(t *testing.T) {
				r := newRig(t, p, Options{}, func(r *rig) { r.hub = NewHub(Options{EncodeEvent: tc.encode}, r.m) })
				c := r.sse("topic=%23", "")
				x := r.publish("a/b", "{\"x\":\n1}")
				want := fmt.Sprintf(tc.want, x.Offset)
				c.r.ReadString('\n') // the size of the chunk
				b := make([]byte, len(want))
				if _, err := io.ReadFull(c.r, b); err != nil || string(b) != want {
					t.Errorf("got %q, %v, want %q", b, err, want)
				}
			})
		}
	})
}

func TestAnEventThatCannotBeEncodedIsSkipped(t *testing.T) {
	r := newRig(t, mgr.Auto, Options{EncodeEvent: func(b []byte, m *Message) (string, []byte) {
		switch string(m.Data) {
		case "panic":
			panic("on purpose")
		case "bad":
			return "a\nb", b
		}
		return "x", append(b, m.Data...)
	}}, func(r *rig) { r.sub.TellMissed = true })
	c := r.sse("topic=a", "")
	for _, data := range []string{"0", "panic", "1", "bad", "2"} {
		r.publish("a", data)
	}
	c.want("0", `{"missed":1}`, "1", `{"missed":1}`, "2")
}

func TestParseSince(t *testing.T) {
	for text, want := range map[string]uint64{"": 0, "0": All, "1": Unknown, "2": Unknown, "12": 12, "abc": Unknown, "-1": Unknown,
		"18446744073709551615": 1<<64 - 1, "18446744073709551616": Unknown, " 12": Unknown} {
		if got := ParseSince([]byte(text)); got != want {
			t.Errorf("%q: %d, want %d", text, got, want)
		}
	}
	r := newRig(t, mgr.Auto, Options{History: History{Count: 3}}, func(r *rig) { r.sub.TellMissed = true })
	r.publish("a", "1")
	for _, since := range []uint64{Unknown, 1<<64 - 1} {
		c := r.ws(fmt.Sprint("topic=a&since=", since))
		c.want(`{"missed":0,"reset":true}`, "1")
	}
}
