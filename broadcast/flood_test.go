package broadcast

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
)

// A client that renews its token again and again amid a flood loses nothing of the patterns that it
// keeps, and has nothing twice; one that it may have by every other token only comes and goes.
func TestTokensAreRenewedAmidAFlood(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		door := DoorOptions{Authorize: func(_ *mghttp.Request, token string) (Rights, error) {
			return Rights{Until: time.Now().Add(time.Hour), Subscribe: func(pattern string) bool { return pattern == "a" || token == "b too" }}, nil
		}}
		r := newDoorRig(t, p, Options{Subscribe: SubscribeOptions{Limit: Limit{Messages: 1 << 20, Bytes: 1 << 30}}}, door)
		c := r.enter("")
		c.say(`{"subscribe":{"a":null}}`)
		c.wantRelative(r, `{"live":+0}`)
		const renewals = 300
		published := make(chan int)
		stop := make(chan struct{})
		go func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					published <- n
					return
				default:
				}
				for _, topic := range []string{"a", "b"} {
					for {
						_, err := r.hub.Publish(topic, fmt.Append(nil, n))
						if !errors.Is(err, ErrFull) {
							break
						}
						time.Sleep(time.Millisecond)
					}
				}
			}
		}()
		go func() {
			for i := range renewals {
				token := [...]string{"b too", "a alone"}[i%2]
				c.say(`{"token":"` + token + `","subscribe":{"b":null}}`)
			}
			close(stop)
		}()
		next, last, tokens, refused, most := 0, -1, 0, 0, -1
		for most < 0 || next < most || tokens < renewals {
			text, err := c.read()
			if err != nil {
				t.Fatal(err)
			}
			var doc struct {
				Topic, Refused string
				Token, Missed  json.RawMessage
				Data           int
			}
			if err := json.Unmarshal([]byte(text), &doc); err != nil || doc.Missed != nil {
				t.Fatal(text, err)
			}
			switch {
			case doc.Topic == "a":
				if doc.Data != next {
					t.Fatalf("message %d instead of %d", doc.Data, next)
				}
				next++
			case doc.Topic == "b":
				if doc.Data <= last {
					t.Fatalf("message %d of b after %d", doc.Data, last)
				}
				last = doc.Data
			case doc.Token != nil:
				tokens++
			case doc.Refused != "":
				refused++
			}
			select {
			case most = <-published:
			default:
			}
		}
		if tokens != renewals || refused < renewals/2 {
			t.Errorf("%d tokens, %d refusals", tokens, refused)
		}
	})
}

// Rights that end in the middle of a replay: a client of a Door has what came before, in order and
// without a hole, and then its Close frame. A subscription that ends beside others has what was
// published up to then, and nothing later.
func TestRightsEndAmidAReplay(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		var k clocks
		door := DoorOptions{Authorize: func(*mghttp.Request, string) (Rights, error) { return Rights{Until: k.wall.Add(time.Minute)}, nil }}
		r := newDoorRig(t, p, Options{History: History{Count: 1 << 20, Total: 1 << 30}}, door)
		r.do(func() { k.set(r) })
		body := strings.Repeat("x", 4000)
		const messages = 4000
		for n := range messages {
			r.publish("a", fmt.Sprintf("%d %s", n, body))
		}
		number := func(c *client) int {
			text, err := c.read()
			if err != nil {
				if err.Error() != "close 4401" {
					t.Fatal(err)
				}
				return -1
			}
			var n int
			if _, err := fmt.Sscanf(text[strings.Index(text, `"data":`)+7:], `"%d `, &n); err != nil {
				t.Fatalf("%.80q", text)
			}
			return n
		}
		c := r.enter("")
		c.say(`{"subscribe":{"a":0}}`)
		if n := number(c); n != 0 {
			t.Fatal(n)
		}
		k.pass(time.Minute)
		for next := 1; ; next++ {
			n := number(c)
			if n < 0 && next < messages {
				break
			}
			if n != next {
				t.Fatalf("message %d instead of %d", n, next)
			}
		}
		r.until("the end", func(s Stats) bool { return s.Subscriptions == 0 })

		r.do(func() { r.sub.Rights = &Rights{Until: k.wall.Add(time.Minute)} })
		c = r.ws("topic=a&since=1")
		r.do(func() {
			if err := r.hub.Subscribe(r.m.Lookup(r.newest), "b", SubscribeOptions{Rights: &Rights{Until: k.wall.Add(time.Hour)}}); err != nil {
				t.Error(err)
			}
		})
		if n := number(c); n != 0 {
			t.Fatal(n)
		}
		k.pass(time.Minute)
		r.publish("a", "after")
		r.publish("b", "the end")
		for next, told := 1, false; ; {
			text, err := c.read()
			switch {
			case err != nil:
				t.Fatal(err)
			case text == `{"expired":["a"]}`:
				told = true
			case strings.Contains(text, `"the end"`):
				if !told || next != messages {
					t.Errorf("it was told: %v, and has %d messages", told, next)
				}
				return
			default:
				if !strings.Contains(text, fmt.Sprintf(`"data":"%d `, next)) {
					t.Fatalf("%.80q instead of %d", text, next)
				}
				next++
			}
		}
	})
}
