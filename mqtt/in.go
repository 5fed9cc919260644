package mqtt

import (
	"errors"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/paho"

	"github.com/seed4930a636/mangusta/broadcast"
)

// An inbox takes messages from the broker to the hub, in their order.
type inbox struct {
	b       *Bridge
	arrived chan arrival
	number  uint64 // of the last message

	in, refused, looped, noRoom, retries atomic.Uint64
	complaint                            nowAndThen
}

// An arrival is a message that is to be acknowledged.
type arrival struct {
	packet *paho.Publish
	client *paho.Client
	topic  string // of the hub
	id     string
}

// maxBatch is how many messages are given to the hub before the first is waited for: an engine
// takes its time for each.
const maxBatch = 128

// take is called by paho for each message, one after the other. A message of QoS 1 waits until
// there is room: a broker that heeds Receive Maximum has none of them waiting, and one that does
// not has to.
func (x *inbox) take(r paho.PublishReceived) (bool, error) {
	a := arrival{packet: r.Packet, client: r.Client}
	if r.Packet.Properties != nil {
		for _, p := range r.Packet.Properties.User {
			if p.Key == originProperty && p.Value == x.b.origin {
				x.looped.Add(1)
				x.ack(a)
				return true, nil
			}
		}
	}
	if a.packet.QoS == 0 {
		select {
		case x.arrived <- a:
		default:
			x.noRoom.Add(1)
		}
		return true, nil
	}
	select {
	case x.arrived <- a:
	case <-x.b.ctx.Done():
	}
	return true, nil
}

func (x *inbox) run() {
	x.b.work.Go(func() {
		for {
			batch := x.batch()
			if batch == nil {
				return
			}
			x.publish(batch)
		}
	})
}

// batch waits for messages, and returns those that are there; nil at the end.
func (x *inbox) batch() []arrival {
	var batch []arrival
	select {
	case a := <-x.arrived:
		batch = append(batch, a)
	case <-x.b.ctx.Done():
		return nil
	}
	for len(batch) < maxBatch {
		select {
		case a := <-x.arrived:
			batch = append(batch, a)
		default:
			return batch
		}
	}
	return batch
}

// publish gives a batch to the hub until the hub has all of it. Those that it did not take are
// tried again, in their order; an engine knows by the ID those that it has stored though it could
// not say so.
func (x *inbox) publish(batch []arrival) {
	left := batch[:0]
	for _, a := range batch {
		if a.topic = x.topic(a.packet.Topic); !broadcast.ValidTopic(a.topic) {
			x.refused.Add(1)
			x.complaint.warn(x.b.opts.Log, "the hub cannot have this topic of the MQTT broker", "topic", a.packet.Topic)
			x.ack(a)
			continue
		}
		x.number++
		a.id = idPrefix + x.b.origin + "/" + strconv.FormatUint(x.number, 10)
		left = append(left, a)
	}
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		if left = x.try(left); len(left) == 0 {
			return
		}
		x.retries.Add(1)
		select {
		case <-time.After(pause):
		case <-x.b.ctx.Done():
			return // unacknowledged: the broker has them
		}
	}
}

// try gives messages to the hub, acknowledges those that it took, and returns the others.
func (x *inbox) try(batch []arrival) (left []arrival) {
	var (
		outcomes = make([]error, len(batch))
		under    sync.WaitGroup
		failed   atomic.Bool
		given    int
	)
	for i := range batch {
		if failed.Load() {
			break // those after it would overtake it
		}
		a := &batch[i]
		deleted := a.packet.Retain && len(a.packet.Payload) == 0
		given++
		under.Add(1)
		x.b.hub.PublishLater(a.topic, a.packet.Payload, func(_ broadcast.Receipt, err error) {
			if outcomes[i] = err; err != nil && !errors.Is(err, broadcast.ErrTooLarge) {
				failed.Store(true)
			}
			under.Done()
		}, broadcast.PublishOptions{ID: a.id, Delete: deleted})
	}
	under.Wait()
	for i, a := range batch {
		switch {
		case i < given && outcomes[i] == nil:
			x.in.Add(1)
		case i < given && errors.Is(outcomes[i], broadcast.ErrTooLarge): // it would hold up all that come after it
			x.refused.Add(1)
			x.complaint.warn(x.b.opts.Log, "the hub's engine cannot have this message of the MQTT broker", "topic", a.packet.Topic, "why", outcomes[i])
		default:
			left = append(left, a)
			continue
		}
		x.ack(a)
	}
	return left
}

// topic returns the hub's name of a topic of the broker.
func (x *inbox) topic(topic string) string {
	for _, r := range x.b.opts.In {
		if topic != "" && match(r.Filter, topic) {
			return rename(topic, r.From, r.To)
		}
	}
	return topic
}

// ack acknowledges a message. If the connection that it came by is gone, the broker sends it again.
func (x *inbox) ack(a arrival) {
	if a.packet.QoS > 0 {
		if err := a.client.Ack(a.packet); err != nil {
			x.complaint.warn(x.b.opts.Log, "a message of the MQTT broker could not be acknowledged", "why", err)
		}
	}
}

func (x *inbox) stats(s *Stats) {
	s.In, s.Refused, s.Looped, s.NoRoom, s.Retries = x.in.Load(), x.refused.Load(), x.looped.Load(), x.noRoom.Load(), x.retries.Load()
}
