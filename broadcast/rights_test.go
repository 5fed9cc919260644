package broadcast

import (
	"fmt"
	"testing"
	"time"

	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// clocks are both clocks of a hub, which the test sets. They belong to the loop.
type clocks struct {
	r    *rig
	now  int64
	wall time.Time
}

// setClocks gives the hub of r clocks. It is a change for newRig.
func (k *clocks) set(r *rig) {
	k.r, k.now, k.wall = r, 1, time.Date(2026, 11, 29, 14, 0, 0, 0, time.UTC)
	r.hub.clock = func() int64 { return k.now }
	r.hub.wall = func() time.Time { return k.wall }
}

// step sets the clock of the system.
func (k *clocks) step(d time.Duration) { k.r.do(func() { k.wall = k.wall.Add(d) }) }

// pass lets d pass.
func (k *clocks) pass(d time.Duration) {
	k.r.do(func() {
		k.now += int64(d)
		k.wall = k.wall.Add(d)
		k.r.hub.loops[0].ring()
	})
}

// A timer does not know that the clock is set. So the end of rights is looked at each minute,
// whichever way they were given.
func TestRightsEndByTheClockThatIsSet(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		var k clocks
		until := func() time.Time { return k.wall.Add(90 * time.Second) }
		door := DoorOptions{Authorize: func(*mghttp.Request, string) (Rights, error) {
			return Rights{Until: until(), Publish: func(string) bool { return true }}, nil
		}}
		r := newDoorRig(t, p, Options{}, door)
		r.do(func() { k.set(r) })
		enter := func() (all [4]*client) {
			r.do(func() { r.sub = SubscribeOptions{Rights: &Rights{Until: until()}} })
			silent, guest := r.enter(""), r.enter("")
			silent.say(`{"ping":true}`)
			silent.want(`{"pong":0}`)
			guest.say(`{"subscribe":{"a":null}}`)
			guest.wantRelative(r, fmt.Sprintf(`{"live":%s}`, r.relative(fmt.Sprint(r.hub.Offset()))))
			stream := r.open("GET /hub?topic=a HTTP/1.1\r\nHost: x\r\n\r\n", true)
			stream.want(fmt.Sprintf(`{"live":%d}`, r.hub.Offset()))
			return [4]*client{silent, guest, stream, r.ws("topic=a")}
		}
		wantEnds := func(all [4]*client) {
			t.Helper()
			for i, c := range all {
				if c.events {
					c.wantLastChunk()
				} else if got := c.end(); got != "close 4401" {
					t.Errorf("client %d: %s", i, got)
				}
			}
		}
		// The clock is set an hour forward: a minute later all have ended.
		all := enter()
		k.step(time.Hour)
		k.pass(time.Minute)
		wantEnds(all)

		// It is set back: the time has not come when the timer thinks so.
		all = enter()
		k.step(-time.Hour)
		for range 4 {
			k.pass(30 * time.Second)
		}
		r.publish("a", "1")
		for i, read := range []func() (string, error){all[1].read, all[2].readAny, all[3].read} {
			if _, err := read(); err != nil {
				t.Errorf("client %d: %v", i+1, err)
			}
		}
		k.step(time.Hour)
		k.pass(time.Minute)
		wantEnds(all)

		// A request after the end is refused, although no timer has looked yet.
		all = enter()
		before := r.hub.Offset()
		k.step(90 * time.Second)
		all[1].say(`{"publish":"a","data":1}`)
		if got := all[1].end(); got != "close 4401" || r.hub.Offset() != before {
			t.Error(got, r.hub.Offset()-before)
		}
	})
}

// wantLastChunk reads a stream of events to its end.
func (c *client) wantLastChunk() {
	c.t.Helper()
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%v before the end of the stream", err)
		}
		if line == "0\r\n" {
			c.Close()
			return
		}
	}
}
