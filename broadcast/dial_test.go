package broadcast

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/conn"
	mghttp "github.com/seed4930a636/mangusta/http"
	"github.com/seed4930a636/mangusta/mgr"
	"github.com/seed4930a636/mangusta/websocket"
)

// remote is a Remote on the rig's manager, whose doings come as lines.
type remote struct {
	*Remote
	rig   *rig
	lines chan string
}

// remote dials. What first does is done before the link can come up.
func (r *rig) remote(opts DialOptions, first ...func(*Remote) error) *remote {
	r.t.Helper()
	x := &remote{rig: r, lines: make(chan string, 100)}
	opts.Link.MinDelay, opts.Link.RestartMin, opts.Link.RestartMax = time.Millisecond, time.Millisecond, time.Millisecond
	opts.Message = func(m *Message) {
		if m.Deleted {
			x.lines <- m.Topic + " deleted"
			return
		}
		x.lines <- fmt.Sprintf("%s %s", m.Topic, m.Data)
	}
	opts.Missed = func(m Missed) { x.lines <- fmt.Sprintf("missed %d %v", m.N, m.Reset) }
	opts.Live = func() {
		if !x.IsLive() {
			r.t.Error("Live is called before it is live")
		}
		x.lines <- "live"
	}
	opts.Refused = func(pattern, why string) { x.lines <- "refused " + pattern }
	opts.State = func(s *websocket.State) {
		if s.Phase == websocket.PhaseClosed {
			if x.IsLive() {
				r.t.Error("it is live without a link")
			}
			x.lines <- fmt.Sprintf("closed %d", s.Code)
		}
	}
	r.do(func() {
		var err error
		if x.Remote, err = Dial(r.m, "ws://"+r.addr+"/hub", opts); err != nil {
			r.t.Error(err)
			return
		}
		for _, f := range first {
			if err := f(x.Remote); err != nil {
				r.t.Error(err)
			}
		}
	})
	return x
}

// do runs f on the loop.
func (x *remote) do(f func(*Remote)) { x.rig.t.Helper(); x.rig.do(func() { f(x.Remote) }) }

func (x *remote) subscribe(pattern string, since uint64) {
	x.rig.t.Helper()
	x.do(func(r *Remote) {
		if err := r.Subscribe(pattern, since); err != nil {
			x.rig.t.Error(err)
		}
	})
}

func (x *remote) want(lines ...string) {
	x.rig.t.Helper()
	for _, want := range lines {
		select {
		case got := <-x.lines:
			if got != want {
				x.rig.t.Fatalf("got %q, want %q of %q", got, want, lines)
			}
		case <-time.After(patience):
			x.rig.t.Fatalf("%q does not come", want)
		}
	}
}

// cut ends all WebSockets, without a Close frame.
func (r *rig) cut() {
	r.t.Helper()
	r.do(func() {
		r.m.Broadcast(func(c *conn.Conn) {
			if websocket.Is(c) {
				c.Close()
			}
		})
	})
}

func TestARemoteMissesNothing(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{History: History{Count: 3}}, DoorOptions{})
		r.publish("a/1", "before")
		x := r.remote(DialOptions{},
			func(x *Remote) error { return x.Subscribe("a/+", 0) },
			func(x *Remote) error { return x.Subscribe("b", All) })
		x.want("live")
		r.publish("a/1", `{"x":1}`)
		r.publish("b", "text")
		r.publish("c", "not asked for")
		r.publish("a/2", "\xff\n\x00")
		x.want(`a/1 {"x":1}`, "b text", "a/2 \xff\n\x00")

		// Messages that are published while it is away come, each once.
		cut := func(publish func()) {
			r.do(func() {
				r.m.Broadcast(func(c *conn.Conn) {
					if websocket.Is(c) {
						c.Close()
					}
				})
				publish()
			})
		}
		cut(func() { r.publish("a/1", "2"); r.publish("b", "3") })
		x.want("a/1 2", "b 3", "live")
		cut(func() {})
		x.want("live")
		cut(func() {
			for i := range 5 {
				r.publish("a/3", fmt.Sprint(i))
			}
		})
		x.want("missed 2 false", "a/3 2", "a/3 3", "a/3 4", "live")

		// The history of another pattern, in which there is what came already.
		x.subscribe("#", All)
		x.want("a/1 before", "c not asked for")
		r.hub.Delete("b")
		x.want("b deleted")
		x.do(func(x *Remote) {
			if x.Offset() != r.hub.Offset() {
				t.Errorf("it is at %d, the hub at %d", x.Offset(), r.hub.Offset())
			}
			x.Unsubscribe("#")
		})
		r.publish("d", "not wanted any more")
		r.publish("b", "4")
		x.want("b 4")

		// Another run of the server: it has another epoch.
		r.do(func() {
			r.hub = NewHub(r.hub.opts, r.m)
			r.door = NewDoor(r.hub)
		})
		r.publish("b", "new")
		r.cut()
		x.want("missed 0 true", "b new", "live")
		r.publish("b", "newer")
		x.want("b newer")
		x.do((*Remote).Close)
		x.want("closed 1000")
	})
}

// Each newcomer has what the hub retains, and Latest is for one whose pattern is there already.
func TestARemoteHasTheLatestAgain(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		r := newDoorRig(t, p, Options{Retain: true, History: History{Count: 3}}, DoorOptions{})
		r.publish("a/b", "1")
		r.publish("a/c", "2")
		x := r.remote(DialOptions{})
		x.subscribe("a/+", 0)
		first := []string{<-x.lines, <-x.lines, <-x.lines} // the link may have come up before
		if slices.Sort(first); !slices.Equal(first, []string{"a/b 1", "a/c 2", "live"}) {
			t.Fatal(first)
		}
		r.publish("a/b", "3")
		x.want("a/b 3")
		x.subscribe("a/b", 0)
		x.want("a/b 3")
		latest := func(pattern string, want error) {
			x.do(func(r *Remote) {
				if err := r.Latest(pattern); err != want {
					t.Errorf("%s: %v", pattern, err)
				}
			})
		}
		latest("a/+", nil)
		x.want("a/c 2", "a/b 3")
		latest("a/#", nil)
		x.want("a/c 2", "a/b 3")
		latest("a#", ErrBadPattern)
		r.publish("a/c", "4")
		x.want("a/c 4")
		// It is asked for again where the link breaks before it has come, and takes nothing from the
		// subscription beside it.
		r.do(func() {
			x.Latest("a/b")
			x.Conn().Close()
			for _, data := range []string{"3+", "3++"} {
				if _, err := r.hub.Publish("a/b", []byte(data)); err != nil {
					t.Error(err)
				}
			}
		})
		x.want("a/b 3+", "a/b 3++", "live")
		x.do(func(r *Remote) {
			if n := len(r.wants); n != 3 {
				t.Errorf("%d wants", n)
			}
			r.Latest("a/b")
			if !r.Unsubscribe("a/b") || len(r.wants) != 2 {
				t.Errorf("%d wants", len(r.wants))
			}
		})
		r.publish("a/b", "5")
		x.want("a/b 5")
	})
}

func TestARemotePublishesAndShowsTokens(t *testing.T) {
	pollers(t, func(t *testing.T, p mgr.Poller) {
		asked, now := 0, time.Now() // the Door's clock stands still: no token ends while a busy machine renews it
		door := DoorOptions{Authorize: func(_ *mghttp.Request, token string) (Rights, error) {
			if !strings.HasPrefix(token, "good") {
				return Rights{}, errors.New("no")
			}
			return Rights{Until: now.Add(100 * time.Millisecond), Subscribe: func(p string) bool { return p != "secret" },
				Publish: func(topic string) bool { return topic != "secret" }}, nil
		}}
		r := newDoorRig(t, p, Options{}, door)
		r.do(func() { r.hub.wall = func() time.Time { return now } })
		x := r.remote(DialOptions{Token: func() (string, error) {
			if asked++; asked == 1 {
				return "", errors.New("not yet")
			}
			return fmt.Sprint("good", asked), nil
		}})
		x.subscribe("a", 0)
		x.subscribe("secret", 0)
		if first := <-x.lines; first == "live" { // the link came up between the two
			x.want("refused secret")
		} else if first == "refused secret" {
			x.want("live")
		} else {
			t.Fatal(first)
		}
		publish := func(topic, data string) {
			x.do(func(r *Remote) {
				err := r.Publish(topic, []byte(data), func(receipt Receipt, err error) {
					x.lines <- fmt.Sprintf("%d %v", receipt.Subscribers, err)
				})
				if err != nil {
					x.lines <- err.Error()
				}
			})
		}
		publish("a", "\x00\xff")
		x.want("1 <nil>", "a \x00\xff")
		publish("secret", "x")
		x.want("0 broadcast: the hub refuses the message: this client may not publish to it")
		publish("a/+", "x")
		x.want("broadcast: malformed topic")
		// The token is renewed in place.
		for end := time.Now().Add(patience); ; time.Sleep(5 * time.Millisecond) {
			n := 0
			x.do(func(*Remote) { n = asked })
			if n >= 5 {
				break
			}
			if time.Now().After(end) {
				t.Fatal("the token is not renewed")
			}
		}
		if s := r.hub.Stats(); s.Subscriptions != 1 {
			t.Errorf("%d subscriptions", s.Subscriptions)
		}
		x.do(func(r *Remote) {
			r.Publish("a", nil, func(_ Receipt, err error) { x.lines <- err.Error() })
			r.Close()
		})
		x.want("broadcast: the link to the hub is down")
		x.want("closed 1000")
		publish("a", "x")
		x.want("broadcast: the link to the hub is down")

		// Without a token to ask for it gives up.
		x = r.remote(DialOptions{})
		x.subscribe("a", 0)
		x.want("closed 4401")
	})
}
