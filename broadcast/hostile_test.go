package broadcast

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/seed4930a636/mangusta/conn"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client that takes nothing of its history and goes on to ask is closed: each question waits for
// its reply. One that asks often, and reads then, gets each of its replies.
func TestAClientOfTheDoorThatAsksWithoutReading(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		for _, asks := range []int{maxOwed, maxOwed + 1} {
			var id atomic.Uint64
			o := Options{Presence: func(p Presence) { id.Store(p.Conn) }, History: History{Count: 1000}}
			o.Subscribe.Policy = KeepLatest // with its window the connection goes on to read
			r := newDoorRig(t, p, o, DoorOptions{})
			for range 1000 {
				r.publish("a", strings.Repeat("x", 4<<10))
			}
			c := r.enter("")
			c.say(`{"subscribe":{"b":null}}`)
			if got, err := c.read(); !strings.HasPrefix(got, `{"live":`) {
				t.Fatal(got, err)
			}
			r.do(func() { unix.SetsockoptInt(r.m.Lookup(id.Load()).FD(), unix.SOL_SOCKET, unix.SO_SNDBUF, 4096) })
			c.say(`{"subscribe":{"a":0}}`)
			for range asks - 1 {
				c.say(`{"subscribe":{}}`)
			}
			for owed := 0; owed < maxOwed; time.Sleep(time.Millisecond) {
				r.do(func() {
					owed = maxOwed
					if c := r.m.Lookup(id.Load()); c != nil && c.IsOpen() { // else it has been closed for what it owes
						if u := r.hub.subscriber(c); u != nil {
							owed = len(u.caught)
						}
					}
				})
			}
			lives := 0
			for asks <= maxOwed && lives < asks || asks > maxOwed {
				got, err := c.read()
				if err != nil {
					if asks <= maxOwed || err.Error() != "close 1008" {
						t.Errorf("%d questions: %v after %d replies", asks, err, lives)
					}
					break
				}
				if strings.HasPrefix(got, `{"live":`) {
					lives++
				}
			}
			if asks > maxOwed && lives > maxOwed {
				t.Errorf("%d replies", lives)
			}
		}
	})
}

// A reply that cannot be queued is not dropped without a word, also where Limits.OnFull is
// RefuseOnFull.
func TestAClientOfTheDoorThatTakesNoRepliesIsClosed(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		var id atomic.Uint64
		closed := make(chan struct{})
		r := newDoorRig(t, p, Options{Presence: func(p Presence) {
			if id.Store(p.Conn); !p.Joined {
				close(closed)
			}
		}}, DoorOptions{})
		c := r.enter("")
		c.say(`{"subscribe":{"a":null}}`)
		c.wantRelative(r, `{"live":+0}`)
		r.do(func() { r.m.Lookup(id.Load()).SetLimits(&conn.Limits{Send: 100, OnFull: conn.RefuseOnFull}) })
		var many []string // patterns that are none: each has a reply
		for i := range 64 {
			many = append(many, fmt.Sprintf(`"#%d":null`, i))
		}
		c.say(`{"subscribe":{` + strings.Join(many, ",") + `}}`)
		go c.end()
		select {
		case <-closed:
		case <-time.After(patience):
			t.Error("the connection is open, and the client does not know that replies are missing")
		}
	})
}

// A patch is not sought deep in a document: each level would be read as often as it is deep, by the
// loop.
func TestAPatchOfADeepDocument(t *testing.T) {
	doc := func(depth int, x string) []byte {
		return []byte(strings.Repeat(`{"a":`, depth) + x + strings.Repeat("}", depth))
	}
	for _, tc := range []struct {
		depth int
		ok    bool
	}{{1, true}, {maxDeltaDepth, true}, {maxDeltaDepth + 1, false}, {maxDepth - 1, false}} {
		from, to := doc(tc.depth, `"x"`), doc(tc.depth, `"y"`)
		got, ok := appendMergePatch(nil, from, to, maxDeltaDepth)
		if ok != tc.ok || ok && !bytes.Equal(got, to) {
			t.Errorf("%d deep: %v, %s", tc.depth, ok, got)
		}
		// Nor in what is new.
		if _, ok := appendMergePatch(nil, []byte(`{}`), to, maxDeltaDepth); ok != tc.ok {
			t.Errorf("new, %d deep: %v", tc.depth, ok)
		}
	}
}
