package mqtt_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/broadcast/enginetest"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

func TestMessagesGoBothWays(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		c := newClient(t, p, "commands/#", "all/#")
		n := newNode(t, mqtt.Options{Dial: p.dial,
			In:  []mqtt.In{{Filter: "sensors/+/t", QoS: 1}, {Filter: "home/#", From: "home/", To: "house/"}},
			Out: []mqtt.Out{{Pattern: "commands/#", QoS: 1}, {Pattern: "x/+", From: "x/", To: "all/"}},
		}, broadcast.Options{})
		c.send("sensors/kitchen/t", "21", 1, false)
		n.want("sensors/kitchen/t 21")
		c.send("sensors/kitchen/humidity", "50", 1, false) // there is no rule for it
		c.send("home/door", "open", 0, false)
		n.want("house/door open")
		n.publish("commands/lamp", "on")
		n.publish("private/x", "secret")
		n.publish("x/y", "z")
		n.publish("commands/lamp", "")
		var lamp []string
		for range 3 { // one topic has its order, two have none between them
			if p := c.next(); p.Topic == "commands/lamp" {
				lamp = append(lamp, string(p.Payload))
			} else if p.Topic != "all/y" || string(p.Payload) != "z" {
				t.Error(p)
			}
		}
		if fmt.Sprintf("%q", lamp) != `["on" ""]` {
			t.Errorf("%q", lamp)
		}
		if s := n.until("done", func(s mqtt.Stats) bool { return s.Waiting == 0 }); s.In != 2 || s.Out != 3 || s.Lost+s.Refused+s.Looped+s.NoRoom+s.Retries > 0 || s.Connects != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestRetainedMessagesAndDeletedTopics(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		c := newClient(t, p)
		c.send("state/old", "1", 1, true)
		n := newNode(t, mqtt.Options{Dial: p.dial, In: []mqtt.In{{Filter: "state/#", QoS: 1}},
			Out: []mqtt.Out{{Pattern: "state/#", QoS: 1, Retain: true}}}, broadcast.Options{Retain: true})
		n.want("state/old 1")
		c.send("state/old", "", 1, true)
		n.want("state/old deleted")
		c.send("state/other", "", 1, false) // empty, and not retained: a message
		n.want("state/other ")
		n.publish("state/new", "2")
		n.until("sent", func(s mqtt.Stats) bool { return s.Out == 1 })
		late := newClient(t, p, "state/#")
		late.want("state/new 2 retained")
		if _, err := n.hub.Delete("state/new"); err != nil {
			t.Fatal(err)
		}
		late.want("state/new  retained")
		n.until("sent", func(s mqtt.Stats) bool { return s.Out == 2 })
		none := newClient(t, p, "state/#", "end")
		none.send("end", "", 1, false)
		none.want("end ")
	})
}

// Two bridges with the same topics both ways: each message is at each place once.
func TestNothingGoesInCircles(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		all := func(name string) mqtt.Options {
			return mqtt.Options{Dial: p.dial, Client: name, In: []mqtt.In{{Filter: "#", QoS: 1}}, Out: []mqtt.Out{{Pattern: "#", QoS: 1, Retain: true}}}
		}
		a, b := newNode(t, all("a"), broadcast.Options{}), newNode(t, all("b"), broadcast.Options{})
		c := newClient(t, p, "#")
		for i := range 20 {
			text := fmt.Sprint(i)
			a.publish("t", "a"+text)
			b.want("t a" + text)
			c.want("t a" + text + " retained")
			c.send("t", "c"+text, 1, false)
			a.want("t c" + text)
			b.want("t c" + text)
			c.want("t c" + text)
		}
		// A new subscription has the retained messages sent again, ours too.
		s := a.until("quiet", func(s mqtt.Stats) bool { return s.Waiting == 0 })
		if s.Out != 20 || s.In != 20 {
			t.Errorf("%+v", s)
		}
		if s := b.b.Stats(); s.Out != 0 || s.In != 40 {
			t.Errorf("%+v", s)
		}
	})
}

// Without a session the broker sends what is retained after each connect, our own messages too.
func TestOurRetainedMessagesAreNoNews(t *testing.T) {
	q := newMosquitto(t)
	q.start()
	conns := make(chan net.Conn, 10)
	n := newNode(t, mqtt.Options{Session: -1, In: []mqtt.In{{Filter: "#", QoS: 1}}, Out: []mqtt.Out{{Pattern: "#", QoS: 1, Retain: true}},
		Dial: func(ctx context.Context) (net.Conn, error) {
			c, err := q.dial(ctx)
			if err == nil {
				conns <- c
			}
			return c, err
		}}, broadcast.Options{})
	n.publish("t", "1")
	n.until("sent", func(s mqtt.Stats) bool { return s.Out == 1 })
	(<-conns).Close()
	n.until("looped", func(s mqtt.Stats) bool { return s.Looped == 1 })
	newClient(t, place{"mosquitto", q.dial}).send("t", "2", 1, false)
	n.want("t 2")
}

func TestTopicsThatTheHubCannotHaveAreCounted(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		c := newClient(t, p)
		n := newNode(t, mqtt.Options{Dial: p.dial, In: []mqtt.In{{Filter: "#", QoS: 1}}}, broadcast.Options{})
		c.send(strings.Repeat("x", 1025), "", 1, false)
		c.send(strings.Repeat("x/", 64)+"x", "", 1, false)
		c.send("fine", "1", 1, false)
		n.want("fine 1")
		if s := n.b.Stats(); s.Refused != 2 || s.In != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestTheBrokersOwnTopicsStayThere(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		c := newClient(t, p, "$SYS/x", "#")
		n := newNode(t, mqtt.Options{Dial: p.dial, In: []mqtt.In{{Filter: "#", QoS: 1}}, Out: []mqtt.Out{{Pattern: "#", QoS: 1}}}, broadcast.Options{})
		n.publish("$SYS/x", "1")
		n.publish("y", "2")
		c.want("y 2")
		if s := n.b.Stats(); s.In != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A message that the hub has not taken is not acknowledged, and comes when the hub can take it:
// nothing twice, nothing out of order. The embedded broker cannot do this: see package broker.
func TestABrokenEngineHoldsMessagesBack(t *testing.T) {
	q := newMosquitto(t)
	q.start()
	c := newClient(t, place{"mosquitto", q.dial})
	e := enginetest.NewLog().Engine()
	n := newNode(t, mqtt.Options{Dial: q.dial, ReceiveMaximum: 10, In: []mqtt.In{{Filter: "s", QoS: 1}}}, broadcast.Options{Engine: e})
	if err := n.hub.CaughtUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.send("s", "0", 1, false)
	n.want("s 0")
	e.Down()
	const messages = 200
	for i := range messages {
		c.send("s", fmt.Sprint(i+1), 1, false)
	}
	n.until("trying", func(s mqtt.Stats) bool { return s.Retries > 2 })
	if s := n.b.Stats(); s.In != 1 || s.NoRoom != 0 {
		t.Errorf("%+v", s)
	}
	e.Up()
	for i := range messages {
		n.want("s " + fmt.Sprint(i+1))
	}
}

// A narrow engine takes no message of more than 100 bytes.
type narrow struct{ broadcast.Engine }

func (n narrow) Publish(e *broadcast.Entry, done func(uint64, error)) error {
	if len(e.Data) > 100 {
		return fmt.Errorf("narrow: %w", broadcast.ErrTooLarge)
	}
	return n.Engine.Publish(e, done)
}

// A message that the other side will never take does not hold up those after it.
func TestMessagesThatAreTooLarge(t *testing.T) {
	b, err := broker.Start(broker.Options{MaxMessage: 1000})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c := newClient(t, place{"embedded", b.Dial}, "out")
	n := newNode(t, mqtt.Options{Dial: b.Dial, In: []mqtt.In{{Filter: "in", QoS: 1}}, Out: []mqtt.Out{{Pattern: "out", QoS: 1}}}, broadcast.Options{Engine: narrow{enginetest.NewLog().Engine()}})
	if err := n.hub.CaughtUp(context.Background()); err != nil {
		t.Fatal(err)
	}
	c.send("in", strings.Repeat("x", 101), 1, false)
	c.send("in", "1", 1, false)
	n.want("in 1")
	if s := n.b.Stats(); s.Refused != 1 {
		t.Errorf("%+v", s)
	}
	n.b.Tap(&broadcast.Message{Topic: "out", Data: make([]byte, 2000)}, "")
	n.publish("out", "2")
	c.want("out 2")
	if s := n.b.Stats(); s.Lost != 1 || s.Connects != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTheBridgeSaysWhetherItIsThere(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		c := newClient(t, p, "bridge/status")
		n := newNode(t, mqtt.Options{Dial: p.dial, Status: "bridge/status", In: []mqtt.In{{Filter: "s"}}}, broadcast.Options{})
		c.want("bridge/status online retained")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := n.b.Close(ctx); err != nil {
			t.Error(err)
		}
		c.want("bridge/status offline retained")
	})
}

func TestABrokerThatIsAwayLosesNothingUpToTheLimit(t *testing.T) {
	q := newMosquitto(t)
	q.start()
	p := place{"mosquitto", q.dial}
	n := newNode(t, mqtt.Options{Dial: q.dial, Queue: 50, In: []mqtt.In{{Filter: "in", QoS: 1}}, Out: []mqtt.Out{{Pattern: "#", QoS: 1, Retain: true}}}, broadcast.Options{})
	q.kill()
	n.until("cut", func(s mqtt.Stats) bool { return !s.Connected })
	for i := range 60 {
		n.publish("t", fmt.Sprint(i))
	}
	if s := n.b.Stats(); s.Lost != 10 || s.Waiting != 50 {
		t.Errorf("%+v", s)
	}
	q.start()
	n.until("sent", func(s mqtt.Stats) bool { return s.Out == 50 && s.Waiting == 0 && s.Connected })
	c := newClient(t, p, "t")
	c.want("t 49 retained") // the last one that had room
	c.send("in", "x", 1, false)
	n.want("in x") // the subscription is there again
}

func TestOptionsThatAreRefused(t *testing.T) {
	in := []mqtt.In{{Filter: "a"}}
	for want, o := range map[string]mqtt.Options{
		`the URL "" is not`:       {In: in},
		`the URL "http://x" is`:   {URL: "http://x", In: in},
		"there are no rules":      {URL: "mqtt://x"},
		`the rule for "a/#/b" is`: {URL: "mqtt://x", In: []mqtt.In{{Filter: "a/#/b"}}},
		`the rule for "a" is`:     {URL: "mqtt://x", Out: []mqtt.Out{{Pattern: "a", QoS: 2}}},
	} {
		if _, err := mqtt.New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
