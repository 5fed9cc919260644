package broadcast

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/mgr"
)

// Several parts of a page share one connection. Each newcomer of them gets what the hub retains,
// whether or not another part has had it.
func TestEachNewcomerOfTheDoorGetsWhatIsRetained(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{Retain: true}, DoorOptions{})
		r.publish("a/b", "1")
		r.publish("a/c", "2")
		const b1, c2 = `{"topic":"a/b","offset":+1,"data":1}`, `{"topic":"a/c","offset":+2,"data":2}`
		c := r.enter("")
		c.say(`{"subscribe":{"a/#":null}}`)
		c.wantRelative(r, b1, c2, `{"live":+2}`)
		// Another pattern brings the same, and so does the same one.
		c.say(`{"subscribe":{"a/b":null}}`)
		c.wantRelative(r, b1, `{"live":+2}`)
		c.say(`{"subscribe":{},"latest":["a/#","no","a/b"]}`)
		c.wantRelative(r, b1, c2, `{"live":+2}`)
		c.say(`{"latest":["a/b"]}`)
		c.wantRelative(r, b1, `{"live":+2}`)
		c.say(`{"latest":"a/b","subscribe":{"a/b":null}}`) // no list, but a newcomer
		c.wantRelative(r, b1, `{"live":+2}`)
		// All goes on as before, once, and what was left brings nothing.
		r.publish("a/b", "3")
		c.wantRelative(r, `{"topic":"a/b","offset":+3,"data":3}`)
		c.say(`{"unsubscribe":["a/b"],"latest":["a/b","a/#"]}`)
		c.wantRelative(r, c2, `{"topic":"a/b","offset":+3,"data":3}`, `{"live":+3}`)
		r.do(func() {
			for _, s := range r.hub.loops[0].subscriptions() {
				if n := len(s.to.subs); n != 1 {
					t.Errorf("%d subscriptions are left", n)
				}
			}
		})

		// A client that goes on has both: the latest of each topic, and all that it missed.
		at := r.hub.Offset()
		r.publish("a/b", "4")
		r.publish("a/b", "5")
		c = r.enter("")
		c.say(fmt.Sprintf(`{"subscribe":{"a/#":%d},"latest":["a/#"]}`, at))
		c.wantRelative(r, c2)
		want := map[string]int{`{"missed":1}`: 1, `{"topic":"a/b","offset":+5,"data":5}`: 2}
		for range 3 {
			got, _ := c.read()
			want[r.relative(got)]--
		}
		for text, n := range want {
			if n != 0 {
				t.Errorf("%s: %d are missing", text, n)
			}
		}
		c.wantRelative(r, `{"live":+5}`)

		// Events likewise.
		s := r.open(fmt.Sprintf("GET /hub?topic=a/%%23&since=%d&latest=a/%%23 HTTP/1.1\r\nHost: x\r\n\r\n", r.hub.Offset()), true)
		for _, want := range []string{c2, `{"topic":"a/b","offset":+5,"data":5}`, `{"live":+5}`} {
			if got, err := s.readAny(); r.relative(got) != want {
				t.Errorf("%s, %v instead of %s", got, err, want)
			}
		}
		// A message to come, so that nothing else waits. One that comes back has had its latest.
		s = r.open(fmt.Sprintf("GET /hub?topic=a/%%23&latest=a/%%23 HTTP/1.1\r\nHost: x\r\nLast-Event-ID: %d\r\n\r\n", r.hub.Offset()), true)
		if got, err := s.readAny(); r.relative(got) != `{"live":+5}` {
			t.Error(got, err)
		}
		r.wantStatus("GET /hub?topic=a&latest=b", 400)
	})
}

// Without SubscribeOptions.Greet a connection gets what is retained once.
func TestWithoutGreetWhatIsRetainedComesOnce(t *testing.T) {
	p := newPacer(t, Options{Retain: true})
	p.publish("a", "1")
	c, w := p.subscriber("#", SubscribeOptions{})
	p.want(w, "1")
	p.subscribe(c, "a")
	p.subscribe(c, "#")
	p.want(w)
	greet := SubscribeOptions{Greet: true}
	p.subscribe(c, "+", greet)
	p.want(w, "1")
	p.subscribe(c, "#", greet)
	p.want(w, "1")
	// No more of them than a connection may have.
	p.turn(func() {
		for i := 3; i < MaxPatterns; i++ {
			if err := p.hub.Subscribe(c, "#", greet); err != nil {
				t.Fatal(i, err)
			}
		}
		if err := p.hub.Subscribe(c, "#", greet); err != ErrTooManyPatterns {
			t.Error(err)
		}
	})
	p.publish("a", "2")
	p.hub.UnsubscribeAll(c)
	if s := p.hub.Stats(); s.Subscriptions != 0 {
		t.Errorf("%+v", s)
	}
}

// An EventSource that is cut early comes back with its first id, and none of its topics may be
// ahead of that.
func TestEventsGoOnFromTheLowestOffset(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{History: History{Count: 9}}, DoorOptions{})
		for _, topic := range []string{"a", "b", "a", "b"} {
			r.publish(topic, "1")
		}
		at := r.hub.first
		topics := []string{fmt.Sprintf("topic=a&since=%d", at+3), fmt.Sprintf("topic=b&since=%d", at+1)}
		request := ""
		for range 2 { // in either order
			request = "GET /hub?" + strings.Join(topics, "&") + " HTTP/1.1\r\nHost: x\r\n"
			s := r.open(request+"\r\n", true)
			for {
				line, err := s.r.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if id, ok := strings.CutPrefix(line, "id: "); ok {
					if want := fmt.Sprintln(at + 1); id != want {
						t.Errorf("%q: the first id is %s, want %s", topics, id, want)
					}
					break
				}
			}
			slices.Reverse(topics)
		}
		const b2, b4 = `{"topic":"b","offset":+2,"data":1}`, `{"topic":"b","offset":+4,"data":1}`
		for _, id := range []uint64{1, 2} {
			s := r.open(request+fmt.Sprintf("Last-Event-ID: %d\r\n\r\n", at+id), true)
			want := []string{b2, b4, `{"live":+4}`}
			for _, want := range want[id-1:] {
				if got, err := s.readAny(); r.relative(got) != want {
					t.Errorf("after %d: %s, %v instead of %s", id, got, err, want)
				}
			}
		}
	})
}

func TestFirstID(t *testing.T) {
	for _, tt := range []struct {
		since []uint64
		want  uint64
	}{{[]uint64{0}, 9}, {[]uint64{5}, 5}, {[]uint64{0, 5}, 5}, {[]uint64{5, 3, 7}, 3}, {[]uint64{5, All}, 0}, {[]uint64{All, 5, 0}, 0}, {[]uint64{12, 0}, 9}} {
		var list []wish
		for _, n := range tt.since {
			list = append(list, wish{since: n})
		}
		if got := firstID(list, 9); got != tt.want {
			t.Errorf("%d: %d, want %d", tt.since, got, tt.want)
		}
	}
}

// wantStatus sends a request without a body, and looks at the status of the reply.
func (r *rig) wantStatus(request string, want int) {
	r.t.Helper()
	c := r.dial()
	fmt.Fprintf(c, "%s HTTP/1.1\r\nHost: x\r\n\r\n", request)
	got := 0
	if _, err := fmt.Fscanf(c, "HTTP/1.1 %d", &got); err != nil || got != want {
		r.t.Errorf("%s: %d, %v instead of %d", request, got, err, want)
	}
	c.Close()
}
