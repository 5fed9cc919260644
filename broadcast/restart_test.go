package broadcast

import "testing"

// A subscription that was left still has messages for its client. If the stream is new before they
// are sent, they are dropped: the client would take their offsets for those of the new stream.
func TestANewStreamDropsWhatALeftSubscriptionStillHas(t *testing.T) {
	const first, second = 1 << 40, 2 << 40
	e := newSinkOf(t)
	f := newFakes(t, Options{Engine: e, History: History{Count: 10}})
	sink := <-e.sink
	sink.Begin(Info{Epoch: first, First: first + 1, Last: first})
	f.turn(func() {})
	o := SubscribeOptions{Window: 1, TellMissed: true}
	c, w := f.subscriber("a", o)
	f.subscribe(c, "b", o)
	other, _ := f.open()
	f.subscribe(other, "t", SubscribeOptions{Filter: func(*Message) bool { // after 1, while the others wait
		f.hub.Unsubscribe(c, "a")
		sink.Begin(Info{Epoch: second, First: second + 1, Last: second})
		sink.Deliver(&Entry{Offset: second + 1, Topic: "b", Data: []byte("new")})
		return false
	}})
	for i, topic := range []string{"a", "a", "a", "a", "t"} {
		sink.Deliver(&Entry{Offset: first + 1 + uint64(i), Topic: topic, Data: []byte{'1' + byte(i)}})
	}
	// One more is sent before the restart has its turn.
	f.want(w, "1", "2", `{"missed":2,"reset":true}`, "new")
}
