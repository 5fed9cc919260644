package mqtt

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/eclipse/paho.golang/autopaho"
	"github.com/eclipse/paho.golang/paho"

	"github.com/seed4930a636/mangusta/broadcast"
)

// originProperty is the user property with the origin of a message.
const originProperty = "mangusta-origin"

// idPrefix begins the IDs of the messages that a bridge publishes to a hub: they do not go out
// again, from no node.
const idPrefix = "mqtt/"

// A Bridge joins a hub with a broker. Its methods are safe for concurrent use.
type Bridge struct {
	opts   Options
	origin string // of this run: what an earlier one has retained at the broker is news
	hub    *broadcast.Hub

	ctx  context.Context
	stop context.CancelFunc
	cm   *autopaho.ConnectionManager
	work sync.WaitGroup

	in  inbox
	out outbox

	connects atomic.Uint64

	mu        sync.Mutex // held while Options.Changed runs, so that it is told in order
	connected bool
	cut       context.CancelFunc // ends what the present connection has begun
}

// New makes a bridge, which begins at Start.
func New(o Options) (*Bridge, error) {
	if err := o.fill(); err != nil {
		return nil, err
	}
	random := make([]byte, 8)
	rand.Read(random)
	b := &Bridge{opts: o, origin: o.Client + "/" + hex.EncodeToString(random)}
	b.ctx, b.stop = context.WithCancel(context.Background())
	b.in = inbox{b: b, arrived: make(chan arrival, int(o.ReceiveMaximum))}
	b.out.init(b)
	return b, nil
}

// Start connects the bridge with hub, whose Options.Tap is b.Tap if there are rules Out. The broker
// may be away: the bridge tries until Close.
func (b *Bridge) Start(hub *broadcast.Hub) error {
	b.hub = hub
	b.in.run()
	b.out.run()
	cm, err := autopaho.NewConnection(b.ctx, b.config())
	if err != nil {
		b.stop()
		return fmt.Errorf("mqtt: %w", err)
	}
	b.cm = cm
	close(b.out.started)
	return nil
}

func (b *Bridge) config() autopaho.ClientConfig {
	o := &b.opts
	u, _ := url.Parse(o.URL) // it was checked; with Dial it does not matter
	if o.Dial != nil {
		u = &url.URL{Scheme: "mqtt", Host: "dial", User: u.User}
	}
	cfg := autopaho.ClientConfig{
		ServerUrls:       []*url.URL{u},
		TlsCfg:           o.TLS,
		KeepAlive:        30,
		ReconnectBackoff: autopaho.NewExponentialBackoff(100*time.Millisecond, 10*time.Second, 200*time.Millisecond, 2),
		OnConnectionUp:   b.up,
		OnConnectionDown: func() bool {
			b.down()
			o.Log.Warn("the MQTT broker is away")
			return true
		},
		OnConnectError: func(err error) {
			o.Log.Warn("the MQTT broker cannot be reached", "why", err)
		},
		ConnectPacketBuilder: func(c *paho.Connect, _ *url.URL) (*paho.Connect, error) {
			if c.Properties == nil {
				c.Properties = &paho.ConnectProperties{}
			}
			c.Properties.ReceiveMaximum = &o.ReceiveMaximum
			return c, nil
		},
		ClientConfig: paho.ClientConfig{
			ClientID:                   o.Client,
			OnPublishReceived:          []func(paho.PublishReceived) (bool, error){b.in.take},
			EnableManualAcknowledgment: true,
			SendAcksInterval:           5 * time.Millisecond,
		},
	}
	if o.Session > 0 {
		cfg.SessionExpiryInterval = uint32(o.Session / time.Second)
	}
	if u.User != nil {
		cfg.ConnectUsername = u.User.Username()
		if password, ok := u.User.Password(); ok {
			cfg.ConnectPassword = []byte(password)
		}
	}
	if o.Dial != nil {
		cfg.AttemptConnection = func(ctx context.Context, _ autopaho.ClientConfig, _ *url.URL) (net.Conn, error) { return o.Dial(ctx) }
	}
	if o.Status != "" {
		cfg.WillMessage = &paho.WillMessage{Retain: true, QoS: 1, Topic: o.Status, Payload: []byte("offline")}
	}
	return cfg
}

// up is called for each new connection.
func (b *Bridge) up(cm *autopaho.ConnectionManager, ack *paho.Connack) {
	b.connects.Add(1)
	b.out.most.Store(0)
	if ack.Properties != nil && ack.Properties.MaximumPacketSize != nil {
		b.out.most.Store(*ack.Properties.MaximumPacketSize)
	}
	ctx, cut := context.WithCancel(b.ctx)
	b.mu.Lock()
	b.cut = cut
	b.mu.Unlock()
	go b.join(ctx, cm) // autopaho waits for up
}

// join subscribes, after each connect: a broker that was restarted may have forgotten the session.
// It tries until the connection ends: the broker may be slow, or be told by its owner to allow
// this.
func (b *Bridge) join(ctx context.Context, cm *autopaho.ConnectionManager) {
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 30*time.Second) {
		try, cancel := context.WithTimeout(ctx, 30*time.Second)
		err := b.greet(try, cm)
		cancel()
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			b.change(ctx, true)
			return
		}
		b.opts.Log.Error("the bridge cannot subscribe at the MQTT broker, and will try again", "why", err)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return
		}
	}
}

// down is called when the connection has ended.
func (b *Bridge) down() {
	b.mu.Lock()
	if b.cut != nil {
		b.cut()
	}
	b.mu.Unlock()
	b.change(context.Background(), false)
}

// change notes whether the bridge is connected. The news of a connection that has ended is none.
func (b *Bridge) change(ctx context.Context, connected bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if ctx.Err() != nil || b.connected == connected {
		return
	}
	b.connected = connected
	if b.opts.Changed != nil {
		b.opts.Changed(connected)
	}
}

func (b *Bridge) greet(ctx context.Context, cm *autopaho.ConnectionManager) error {
	if b.opts.Status != "" {
		if err := b.status(ctx, cm, "online"); err != nil {
			return err
		}
	}
	if len(b.opts.In) == 0 {
		return nil
	}
	s := &paho.Subscribe{}
	for _, r := range b.opts.In {
		// RetainHandling 1: what is retained comes for a new session alone.
		s.Subscriptions = append(s.Subscriptions, paho.SubscribeOptions{Topic: r.Filter, QoS: r.QoS, NoLocal: true, RetainAsPublished: true, RetainHandling: 1})
	}
	_, err := cm.Subscribe(ctx, s)
	return err
}

func (b *Bridge) status(ctx context.Context, cm *autopaho.ConnectionManager, text string) error {
	_, err := cm.Publish(ctx, &paho.Publish{QoS: 1, Retain: true, Topic: b.opts.Status, Payload: []byte(text), Properties: b.properties()})
	return err
}

func (b *Bridge) properties() *paho.PublishProperties {
	return &paho.PublishProperties{User: paho.UserProperties{{Key: originProperty, Value: b.origin}}}
}

// Close ends the bridge. It waits until ctx is over for what is on its way to the broker, and
// returns an error if something is left: those messages are counted as lost.
func (b *Bridge) Close(ctx context.Context) error {
	err := b.out.drain(ctx)
	if b.cm != nil {
		if b.opts.Status != "" {
			// Without a connection the broker has said it already: it is the will.
			if failed := b.status(ctx, b.cm, "offline"); !errors.Is(failed, autopaho.ConnectionDownError) {
				err = errors.Join(err, failed)
			}
		}
		b.cm.Disconnect(ctx) // with an error when there is no connection
		b.down()
	}
	b.stop()
	b.work.Wait()
	return err
}

// Stats returns the figures.
func (b *Bridge) Stats() Stats {
	s := Stats{Connects: b.connects.Load()}
	b.mu.Lock()
	s.Connected = b.connected
	b.mu.Unlock()
	b.in.stats(&s)
	b.out.stats(&s)
	return s
}

// A nowAndThen says the same thing once in ten seconds, by the time since started: a clock that is set
// back must not silence it.
type nowAndThen struct{ next atomic.Int64 }

var started = time.Now()

func (n *nowAndThen) warn(log *slog.Logger, text string, args ...any) {
	now := int64(time.Since(started))
	if next := n.next.Load(); now >= next && n.next.CompareAndSwap(next, now+int64(10*time.Second)) {
		log.Warn(text, args...)
	}
}
