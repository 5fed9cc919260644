package mqtt_test

import (
	"context"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/seed4930a636/mangusta/broadcast"
	"github.com/seed4930a636/mangusta/mqtt"
	"github.com/seed4930a636/mangusta/mqtt/broker"
)

// A program that ends closes the bridge, then its broker: what the bridge has sent gets to clients.
func TestTheEmbeddedBrokerEndsAfterItsClientsHaveEverything(t *testing.T) {
	b, err := broker.Start(broker.Options{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	tcp := place{"tcp", func(ctx context.Context) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", b.Addr())
	}}
	c := newClient(t, tcp, "#")
	n := newNode(t, mqtt.Options{Dial: b.Dial, Out: []mqtt.Out{{Pattern: "#", QoS: 1}}}, broadcast.Options{})
	const messages = 200
	for i := range messages {
		n.publish("t", strconv.Itoa(i))
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := n.b.Close(ctx); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	for i := range messages {
		c.want("t " + strconv.Itoa(i))
	}
}

func TestTheEmbeddedBrokerEndsAllConnections(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	n := newNode(t, mqtt.Options{Dial: b.Dial, In: []mqtt.In{{Filter: "#", QoS: 1}}}, broadcast.Options{})
	c, err := b.Dial(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	connect := []byte{0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 60, 0, 2, 'i', 'd'} // MQTT 3.1.1 §3.1
	if _, err := c.Write(connect); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(c, make([]byte, 4)); err != nil { // CONNACK
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	c.SetReadDeadline(time.Now().Add(patience))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the connection is still there: %v", err)
	}
	n.until("cut", func(s mqtt.Stats) bool { return !s.Connected })
	if _, err := b.Dial(context.Background()); err == nil {
		t.Error("a closed broker takes connections")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
}

// Many messages both ways on each connection: the ends must not wait for each other.
func TestManyMessagesByDial(t *testing.T) {
	b, err := broker.Start(broker.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	c := newClient(t, place{"embedded", b.Dial}, "out/#")
	n := newNode(t, mqtt.Options{Dial: b.Dial, In: []mqtt.In{{Filter: "in/#", QoS: 1}}, Out: []mqtt.Out{{Pattern: "out/#", QoS: 1}}}, broadcast.Options{})
	const senders, messages = 32, 50
	var work sync.WaitGroup
	for i := range senders {
		work.Go(func() {
			for range messages {
				c.send("in/"+strconv.Itoa(i), "x", 1, false)
			}
		})
		work.Go(func() {
			for range messages {
				if _, err := n.hub.Publish("out/"+strconv.Itoa(i), []byte("x")); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 2 * senders * messages {
		n.next()
	}
	for range senders * messages {
		c.next()
	}
	work.Wait()
}
