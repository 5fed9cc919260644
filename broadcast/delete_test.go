package broadcast

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

func (r *rig) delete(topic string) uint64 {
	r.t.Helper()
	x, err := r.hub.Delete(topic)
	if err != nil {
		r.t.Errorf("Delete(%q): %v", topic, err)
	}
	return x.Offset
}

func deleted(topic string, offset uint64) string {
	return fmt.Sprintf(`{"topic":%q,"offset":%d,"deleted":true}`, topic, offset)
}

func TestSubscribersAreToldThatATopicWasDeleted(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newRig(t, p, Options{Retain: true})
		c, e := r.ws("topic=%23"), r.sse("topic=a", "")
		first := r.publish("a", "1").Offset
		at := r.delete("a")
		if at != first+1 {
			t.Errorf("offset %d after %d", at, first)
		}
		c.want("1", deleted("a", at))
		e.want("1", deleted("a", at))
		if e.id != fmt.Sprint(at) || e.kind != "deleted" {
			t.Errorf("id %s, type %s", e.id, e.kind)
		}
		if _, err := r.hub.Delete("a/+"); err != ErrBadTopic {
			t.Error(err)
		}
		if x := r.hub.Topics(); len(x) != 1 || !x[0].Deleted || x[0].Kept != 1 {
			t.Errorf("%+v", x)
		}
		// Newcomers get nothing, and the topic may live again.
		n := r.ws("topic=a")
		r.publish("a", "2")
		n.want("2")
		r.ws("topic=a").want("2")
		if x := r.hub.Topics(); x[0].Deleted {
			t.Errorf("%+v", x)
		}
	})
}

// A client that comes back learns it at its place. Dropped messages are not missed, however history
// is read.
func TestWhoComesBackLearnsThatATopicWasDeleted(t *testing.T) {
	for _, more := range []int{0, 10, 200, 2 * tail} { // by the names, by a scan of the log, by a walk
		for _, opts := range []Options{{Retain: true}, {History: History{Count: 5000}}} {
			t.Run(fmt.Sprint(more, opts.Retain), func(t *testing.T) {
				f := newFakes(t, opts)
				var first, at uint64
				publish := func(topic string) uint64 {
					x, err := f.hub.Publish(topic, []byte("x"))
					if err != nil {
						t.Fatal(err)
					}
					return x.Offset
				}
				first = publish("a/1")
				for range 5 {
					publish("a/1")
				}
				for range more {
					publish("b/1")
				}
				x, err := f.hub.Delete("a/1")
				if err != nil {
					t.Fatal(err)
				}
				at = x.Offset
				for _, pattern := range []string{"a/1", "a/+", "a/#"} {
					_, w := f.subscriber(pattern, SubscribeOptions{Since: first, TellMissed: true})
					f.settle()
					f.want(w, deleted("a/1", at))
					_, w = f.subscriber(pattern, SubscribeOptions{Since: at, TellMissed: true})
					f.settle()
					f.want(w)
				}
			})
		}
	}
}

// A reader that is in the middle of a topic goes on with the deletion.
func TestATopicIsDeletedWhileItIsRead(t *testing.T) {
	f := newFakes(t, Options{History: History{Count: 5000}})
	for i := range 2000 {
		f.publish(fmt.Sprint("a/", i%2), "x")
	}
	c, w := f.open()
	w.Forget = false
	f.turn(func() { f.hub.Subscribe(c, "a/+", SubscribeOptions{Since: All, TellMissed: true}) })
	u := f.hub.loops[0].subscriber(c)
	for u.delivered < 100 {
		f.m.Poll(0)
	}
	if u.delivered > 1500 || len(u.readers) == 0 {
		t.Fatal(u.delivered, "came at once")
	}
	before := u.delivered
	for _, topic := range []string{"a/0", "a/1"} {
		if _, err := f.hub.Delete(topic); err != nil {
			t.Fatal(err)
		}
	}
	f.settle()
	if n := u.delivered - before; n < 2 || n > 3 || f.hub.Stats().Skipped != 0 {
		t.Error(n, "came after it")
	}
	for _, m := range w.messages() {
		if strings.Contains(m, "missed") {
			t.Error(m)
		}
	}
}

// Nobody would free the names of deleted topics otherwise.
func TestADeletionGetsOldAlthoughTopicsAreRetained(t *testing.T) {
	now := int64(0)
	h := NewHub(Options{Retain: true, History: History{Age: time.Second}})
	h.clock = func() int64 { return now }
	for i := range 50 {
		h.Publish(fmt.Sprint("a/", i), []byte("x"))
		h.Delete(fmt.Sprint("a/", i))
	}
	now += int64(time.Minute)
	h.Publish("b", nil)
	h.Publish("b", nil)
	if s := h.Stats(); s.Topics != 1 || s.Kept != 1 || s.Held != int(memory("b"))+messageCost {
		t.Errorf("%+v", s)
	}
}

// The latest of a topic may be its end.
func TestADeletionSupersedesWhatWaits(t *testing.T) {
	f := newFakes(t, Options{Retain: true})
	c, w := f.subscriber("#", SubscribeOptions{Policy: KeepLatest})
	var busy io.WriteCloser
	f.turn(func() { busy = websocket.Writer(c, websocket.Text); busy.Write([]byte("x")) })
	f.publish("a", "1")
	x, _ := f.hub.Delete("a")
	f.publish("b", "2")
	f.turn(func() {})
	f.turn(func() { busy.Close() })
	f.settle()
	got := w.messages()
	if len(got) < 2 || !slices.Equal(got[len(got)-2:], []string{deleted("a", x.Offset), "2"}) {
		t.Errorf("%.200q", got)
	}
}
