package mqtt_test

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mqtt"
)

func TestChangesOfTheConnectionAreTold(t *testing.T) {
	q := newMosquitto(t)
	q.start()
	told := make(chan bool, 100)
	n := newNode(t, mqtt.Options{Dial: q.dial, Status: "bridge/status", In: []mqtt.In{{Filter: "s"}},
		Changed: func(connected bool) { told <- connected }}, broadcast.Options{})
	want := func(connected bool) {
		t.Helper()
		select {
		case got := <-told:
			if got != connected {
				t.Fatalf("told %v", got)
			}
		case <-time.After(patience):
			t.Fatalf("%v is not told", connected)
		}
	}
	want(true)
	q.kill()
	want(false)
	q.start()
	want(true)
	newClient(t, place{"mosquitto", q.dial}).send("s", "1", 0, false)
	n.want("s 1")
	q.kill()
	want(false)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.b.Close(ctx); err != nil {
		t.Errorf("nothing is left, but Close says %v", err)
	}

	q.start()
	n = newNode(t, mqtt.Options{Dial: q.dial, In: []mqtt.In{{Filter: "s"}},
		Changed: func(connected bool) { told <- connected }}, broadcast.Options{})
	want(true)
	if err := n.b.Close(ctx); err != nil {
		t.Error(err)
	}
	want(false)
	if n.b.Stats().Connected {
		t.Error("still connected after Close")
	}
	select {
	case <-told:
		t.Error("told twice")
	default:
	}
}

// A jealous broker refuses subscriptions so many times.
type jealous struct {
	auth.AllowHook
	refusals atomic.Int32
}

func (j *jealous) OnACLCheck(_ *mochi.Client, _ string, write bool) bool {
	return write || j.refusals.Add(-1) < 0
}

func TestARefusedSubscriptionIsTriedAgain(t *testing.T) {
	server, j := mochi.New(nil), &jealous{}
	j.refusals.Store(2)
	if err := server.AddHook(j, nil); err != nil {
		t.Fatal(err)
	}
	if err := server.Serve(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	dial := func(context.Context) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go server.EstablishConnection("pipe", theirs)
		return ours, nil
	}
	n := newNode(t, mqtt.Options{Dial: dial, In: []mqtt.In{{Filter: "s", QoS: 1}}}, broadcast.Options{})
	newClient(t, place{"jealous", dial}).send("s", "1", 1, false)
	n.want("s 1")
	if left := j.refusals.Load(); left >= 0 {
		t.Errorf("%d refusals are left", left)
	}
}

// The will is a message of this bridge, too: the hub would have "offline", and no "online" after
// it.
func TestTheWillDoesNotComeIn(t *testing.T) {
	eachBroker(t, func(t *testing.T, p place) {
		conns := make(chan net.Conn, 10)
		n := newNode(t, mqtt.Options{Status: "bridge/status", In: []mqtt.In{{Filter: "#", QoS: 1}},
			Dial: func(ctx context.Context) (net.Conn, error) {
				c, err := p.dial(ctx)
				if err == nil {
					conns <- c
				}
				return c, err
			}}, broadcast.Options{})
		watch := newClient(t, p, "bridge/status")
		watch.want("bridge/status online retained")
		(<-conns).Close()
		watch.want("bridge/status offline retained", "bridge/status online retained")
		n.until("back", func(s mqtt.Stats) bool { return s.Connected })
		watch.send("s", "1", 1, false)
		n.want("s 1")
	})
}
